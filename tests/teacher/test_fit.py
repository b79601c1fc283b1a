"""The adapted teacher: principal directions, what is saved, what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from teacher import fit, load_teacher
from teacher.fit import fit_teacher
from teacher.gradient.config import DecoderConfig, GradientConfig
from teacher.model import teacher_answers
from teacher.questions import trial
from teacher.questions.choice import Choice
from teacher.questions.config import QuestionsConfig
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.spread import spread
from wafer_data.store import prepare_data


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def images_of(store, indices):
    return torch.from_numpy(store.batch(indices))


@pytest.fixture(scope="module")
def teacher_dir(tiny_store, tiny_teacher_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    fit_teacher(tiny_teacher_config, tiny_store, out)
    return out


def test_projection_is_pca_of_standardised_features(teacher_dir, tiny_store):
    teacher = load_teacher(teacher_dir)
    images = images_of(tiny_store, tiny_store.indices("train", label=0))
    with torch.no_grad():
        raw = ((teacher.backbone(images) - teacher.channel_mean) / teacher.channel_std).permute(0, 2, 3, 1)
        ours = teacher.project(images, 8).permute(0, 2, 3, 1).reshape(-1, 8).numpy()
    reference = PCA(8).fit_transform(raw.reshape(-1, teacher.backbone.channels).numpy())
    np.testing.assert_allclose(ours.std(0), reference.std(0), rtol=1e-3)


def test_a_loaded_teacher_scores_defects_of_the_synthetic_set_higher(teacher_dir, tiny_store):
    teacher = load_teacher(teacher_dir)
    with torch.no_grad():
        normal, defect = (
            teacher.score(images_of(tiny_store, tiny_store.indices("test", label=label))).score
            for label in (0, 1)
        )
    assert defect.median() > normal.median()


def test_fit_is_the_same_each_time(teacher_dir, tiny_store, tiny_teacher_config, tmp_path):
    fit_teacher(tiny_teacher_config, tiny_store, tmp_path / "teacher")
    assert contents(tmp_path / "teacher") == contents(teacher_dir)


def test_a_fit_that_was_killed_goes_on_to_the_same_bytes(
    teacher_dir, tiny_store, tiny_teacher_config, tmp_path, monkeypatch
):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "teacher"
    with monkeypatch.context() as patch:
        patch.setattr("teacher.fit.fit_with_labels", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit_teacher(tiny_teacher_config, tiny_store, out)
    assert [path.name for path in out.iterdir()] == ["checkpoint"]  # nothing that looks finished

    asked = []
    whole = fit.project

    def counted(teacher, store, indices, config):
        asked.extend(indices)
        return whole(teacher, store, indices, config)

    monkeypatch.setattr("teacher.fit.project", counted)
    fit_teacher(tiny_teacher_config, tiny_store, out)
    assert asked == []  # its features were all there
    assert contents(out) == contents(teacher_dir)


def test_features_that_may_not_be_kept_give_the_same_teacher(
    teacher_dir, tiny_store, tiny_teacher_config, tmp_path
):
    config = tiny_teacher_config.model_copy(update={"cache_gb": 0.0})
    computed = fit_teacher(config, tiny_store, tmp_path / "teacher")
    images = torch.from_numpy(tiny_store.batch(tiny_store.indices("test")))
    with torch.no_grad():
        kept, anew = load_teacher(teacher_dir).score(images), computed.score(images)
    # kernels may round the last bit of a feature otherwise
    torch.testing.assert_close(anew.score, kept.score, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schema", [1, 6])
def test_a_teacher_of_another_schema_is_refused(teacher_dir, tmp_path, schema):
    shutil.copytree(teacher_dir, tmp_path / "teacher")
    path = tmp_path / "teacher" / "teacher.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    with pytest.raises(InputError, match=f"schema {schema}, expected 7"):
        load_teacher(tmp_path / "teacher")


class TestDecoder:
    """teacher.gradient.method=decoder: the likelihood judges what a decoder leaves of the features."""

    @pytest.fixture(scope="class")
    def config(self, tiny_teacher_config):
        decoder = DecoderConfig(epochs=2, hidden=8, batch_size=4)
        return tiny_teacher_config.model_copy(
            update={"gradient": GradientConfig(method="decoder", decoder=decoder)}
        )

    @pytest.fixture(scope="class")
    def saved(self, config, tiny_store, tmp_path_factory):
        """The fitted teacher and its folder."""
        out = tmp_path_factory.mktemp("decoder") / "teacher"
        return fit_teacher(config, tiny_store, out), out

    def test_saved_and_loaded_it_gives_the_same_bits(self, saved, tiny_store):
        teacher, out = saved
        again = load_teacher(out)
        images = images_of(tiny_store, tiny_store.indices("test"))
        with torch.no_grad():
            for one, other in zip(teacher.score(images), again.score(images), strict=True):
                assert torch.equal(one, other)
        assert again.parameter_count == teacher.parameter_count
        assert not any(p.requires_grad for p in again.decoder.parameters())

    def test_the_folder_holds_what_was_announced_and_no_work(self, saved):
        assert sorted(contents(saved[1])) == [
            "learned_from.json",
            "questions.json",
            "symmetries.json",
            "teacher.json",
            "teacher.safetensors",
        ]

    def test_it_scores_residuals_and_hands_students_the_features(self, saved, tiny_store):
        teacher, _ = saved
        images = images_of(tiny_store, tiny_store.indices("test")[:4])
        with torch.no_grad():
            features = teacher.features(images)
            expected = teacher.likelihood(features - teacher.decoder(features))
            assert torch.equal(teacher.score(images).map, expected.map)
            assert not torch.equal(teacher.likelihood(features).map, expected.map)

    def test_fitted_again_it_is_the_same(self, saved, config, tiny_store, tmp_path):
        fit_teacher(config, tiny_store, tmp_path / "teacher")
        assert contents(tmp_path / "teacher") == contents(saved[1])


class TestLabelledDefects:
    @pytest.fixture(scope="class")
    def store(self, mvtec_folder, tmp_path_factory):
        """Two scratches and two particles are labelled."""
        config = DataConfig(
            format="mvtec", root=str(mvtec_folder), calibration_fraction=0.4, labelled_defects_per_type=2
        )
        return prepare_data(config, tmp_path_factory.mktemp("labelled") / "data")

    @pytest.mark.parametrize("method", ["none", "decoder"])
    def test_they_teach_a_head_that_is_saved(self, store, tiny_teacher_config, tmp_path, method):
        gradient = GradientConfig(method=method, decoder=DecoderConfig(epochs=1, hidden=8, batch_size=4))
        config = tiny_teacher_config.model_copy(update={"gradient": gradient})
        teacher = fit_teacher(config, store, tmp_path / "teacher")
        again = load_teacher(tmp_path / "teacher")
        assert teacher.likelihood.head is not None and again.likelihood.head is not None
        labelled, images = (images_of(store, i) for i in (store.indices("train", 1), store.indices("test")))
        with torch.no_grad():
            assert torch.equal(again.score(images).score, teacher.score(images).score)
            with_head = teacher.score(labelled).score
            teacher.likelihood.head = None
            assert (with_head > teacher.score(labelled).score).all()

    def test_without_them_there_is_no_head(self, teacher_dir):
        assert load_teacher(teacher_dir).likelihood.head is None


def test_more_directions_than_channels_are_refused(tiny_store, tiny_teacher_config, tmp_path):
    config = tiny_teacher_config.model_copy(update={"directions": 500})
    with pytest.raises(InputError, match=r"teacher\.directions=500"):
        fit_teacher(config, tiny_store, tmp_path / "teacher")


def test_spread_keeps_ends_and_count():
    indices = np.arange(100, 200)
    chosen = spread(indices, 10)
    assert len(chosen) == 10 and chosen[0] == 100 and chosen[-1] == 199
    assert (spread(indices, 500) == indices).all()


class TestQuestions:
    @pytest.fixture(scope="class")
    def asked(self, tiny_store, tiny_teacher_config, tmp_path_factory):
        """A teacher that asks for the surroundings too, whatever the evidence says of so small a set."""
        chosen = Choice({"place": 0.4, "context": 0.6}, {"place": 0.6, "context": 0.7}, 0.7, {}, {})
        config = tiny_teacher_config.model_copy(
            update={"questions": QuestionsConfig(ask=["context"], images=20)}
        )
        out = tmp_path_factory.mktemp("asked") / "teacher"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trial, "choose", lambda *_: chosen)
            patch.setattr(Choice, "sentences", lambda _: ["chosen by the test"])
            teacher = fit_teacher(config, tiny_store, out)
        return teacher, out

    def test_its_features_begin_with_the_answers(self, asked, tiny_store):
        teacher, _ = asked
        images = images_of(tiny_store, tiny_store.indices("test"))[:4]
        features = teacher.features(images)
        assert features.shape[1] == 1 + 8
        torch.testing.assert_close(features[:, 1:], teacher.project(images, 8), atol=1e-5, rtol=1e-4)

    def test_it_scores_the_same_after_loading_and_says_what_it_asks(self, asked, tiny_store):
        teacher, out = asked
        images = images_of(tiny_store, tiny_store.indices("test"))[:4]
        with torch.no_grad():
            torch.testing.assert_close(load_teacher(out).score(images).score, teacher.score(images).score)
        assert json.loads((out / "questions.json").read_text())["weights"] == {"place": 0.4, "context": 0.6}
        assert teacher_answers(out).names == ["place", "context"]

    def test_without_questions_the_record_says_so(self, teacher_dir):
        record = json.loads((teacher_dir / "questions.json").read_text())
        assert record["weights"] == {"place": 1.0}
        assert teacher_answers(teacher_dir) is None
