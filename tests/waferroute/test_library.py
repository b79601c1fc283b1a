"""The library: the examples of docs/api.md, and what its functions take and refuse."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import waferroute
from distill.config import DistillConfig, PoolConfig, StageConfig
from likelihood import LikelihoodConfig
from teacher import TeacherConfig
from teacher.questions.config import QuestionsConfig
from tests.conftest import synthetic_wafer, tiny_distill_config
from wafer_data.errors import ConfigurationError, InputError
from waferroute import library

RATES = {"escalation_target": 0.2, "escalation_budget": [0.05, 0.5], "flag_rate": 0.1}
PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def small_models(monkeypatch, tiny_teacher_config):
    """The library with defaults that fit in seconds; the backbone stays the real one."""
    students = tiny_distill_config()

    class SmallTeacher(TeacherConfig):
        map_size: int = 16
        directions: int = 8
        likelihood: LikelihoodConfig = tiny_teacher_config.likelihood
        questions: QuestionsConfig = tiny_teacher_config.questions

    class SmallDistill(DistillConfig):
        pool: PoolConfig = students.pool
        intermediate: StageConfig = students.intermediate
        target: StageConfig = students.target
        full: StageConfig = students.full
        lowres: StageConfig = students.lowres

    monkeypatch.setattr(library, "TeacherConfig", SmallTeacher)
    monkeypatch.setattr(library, "DistillConfig", SmallDistill)


def test_the_examples_of_the_documentation_run(
    small_models, mvtec_folder, tiny_weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mvtec_folder, "wafers")
    shutil.copy(tiny_weights, "tiny.safetensors")
    Image.fromarray(synthetic_wafer(np.random.default_rng(5))).save("wafer.png")
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(examples) == 5
    for example in examples:
        assert len([line for line in example.splitlines() if line.strip()]) <= 11, example
        exec(compile(example, str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    assert "REVIEW" in said and "lowres" in said
    assert Path("runs/first/bundle/manifest.json").is_file()


SMALL: dict = {
    "map_size": 8,
    "likelihood": {
        "latent": 4,
        "extra_coordinates": 0,
        "latent_grid": 2,
        "levels": [{"grid": 4, "mean_grid": 4}],
        "folds": 3,
        "prototypes": 8,
    },
    "questions": {"ask": []},
}


class Maps(nn.Module):
    """Two feature maps of one small network, by name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 8, 5, 8, 2)
        self.second = nn.Conv2d(8, 12, 3, 2, 1)

    def forward(self, image):
        fine = self.first(image).relu()
        return {"fine": fine, "coarse": self.second(fine).relu()}


class Says(nn.Module):
    """What becomes of the maps of a layer."""

    def __init__(self, after) -> None:
        super().__init__()
        self.layer, self.after = nn.Conv2d(3, 8, 9, 16), after

    def forward(self, image):
        return self.after(self.layer(image))


@pytest.mark.parametrize("form", [Path, str])
def test_weights_are_named_by_text_or_path(form, tiny_store, tiny_weights, tmp_path):
    settings = {**SMALL, "directions": 8, "weights": form(tiny_weights)}
    assert waferroute.fit_teacher("test_efficientnet", tiny_store, tmp_path, **settings).directions == 8


class TestOwnBackbone:
    def test_a_class_is_as_good_as_an_instance(self, tiny_store, tmp_path):
        by_class = waferroute.fit_teacher(Maps, tiny_store, tmp_path / "a", **SMALL)
        by_instance = waferroute.fit_teacher(Maps(), tiny_store, tmp_path / "b", **SMALL)
        assert by_class.directions == 20  # of 8 + 12 channels, all
        images = torch.from_numpy(tiny_store.batch([0, 1, 2]))
        assert torch.equal(by_class.score(images).score, by_instance.score(images).score)
        loaded = waferroute.load_teacher(tmp_path / "a" / "teacher")
        assert torch.equal(loaded.score(images).score, by_class.score(images).score)

    def test_files_hold_no_code(self, tiny_store, tmp_path, monkeypatch):
        from teacher import module_backbone

        waferroute.fit_teacher(Maps, tiny_store, tmp_path, **SMALL)
        monkeypatch.setattr(module_backbone, "_REGISTERED", {})
        with pytest.raises(
            InputError, match=r"Maps, and files hold no code: call waferroute.register_backbone"
        ):
            waferroute.load_teacher(tmp_path / "teacher")

    @pytest.mark.parametrize(
        ("network", "message"),
        [
            (
                nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                "leave out its pooling",
            ),
            (nn.Conv2d(5, 4, 3), "takes 5 channels"),
            (nn.Conv2d, "cannot be made without arguments"),
            (lambda images: images, "<lambda> is no torch.nn.Module but of type function"),
            (np.ndarray, "ndarray is no torch.nn.Module"),
            (Says(lambda maps: maps * float("nan")), "Says: .* of a black image are not finite"),
            (Says(lambda maps: (maps - maps.mean()).log()), "Says: .* are not finite"),
            (Says(lambda maps: maps * 0), "Says: .* are the same, so they tell nothing"),
            (Says(lambda maps: maps * 0 + 0.1), "Says: .* are the same, so they tell nothing"),
            (Says(lambda maps: maps.mean((2, 3), keepdim=True)), "Says: .* the same at every place"),
            (Says(lambda maps: maps.long()), "Says returned values of type torch.int64"),
            (Says(lambda maps: maps[:1]), "Says returned maps of 1 images when given 2"),
            (Says(lambda maps: []), "Says returned no feature map"),
            (
                Says(lambda maps: maps @ torch.ones(3, 3)),
                r"Says fails on \(2, 3, 256, 256\) images.*RuntimeError",
            ),
        ],
    )
    def test_what_is_no_backbone_is_refused(self, network, message, tiny_store, tmp_path):
        with pytest.raises(InputError, match=message):
            waferroute.fit_teacher(network, tiny_store, tmp_path)

    @pytest.mark.parametrize("type_", [torch.float16, torch.bfloat16, torch.float64])
    def test_a_network_of_other_floats_is_as_good(self, type_, tiny_store, tmp_path):
        network = Maps().to(type_)
        found = waferroute.fit_teacher(network, tiny_store, tmp_path, **SMALL)
        assert {tensor.dtype for tensor in found.backbone.parameters()} == {torch.float32}
        assert network.first.weight.dtype == type_
        images = torch.from_numpy(tiny_store.batch([0, 1]))
        loaded = waferroute.load_teacher(tmp_path / "teacher")
        assert torch.equal(loaded.score(images).score, found.score(images).score)

    def test_a_teacher_is_loaded_whatever_weights_its_class_begins_with(
        self, tiny_store, tmp_path, monkeypatch
    ):
        waferroute.fit_teacher(Maps, tiny_store, tmp_path, **SMALL)
        empty = Maps()
        for parameter in empty.parameters():
            nn.init.zeros_(parameter)
        waferroute.register_backbone(empty)
        assert waferroute.load_teacher(tmp_path / "teacher").backbone.net.first.weight.abs().max() > 0

    def test_the_network_given_stays_as_it_was(self, tiny_store, tmp_path):
        network = Maps().train()
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        waferroute.fit_teacher(network, tiny_store, tmp_path, **SMALL)
        assert network.training and all(parameter.requires_grad for parameter in network.parameters())
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class TestOpenImages:
    @pytest.fixture
    def wafers(self) -> np.ndarray:
        rng = np.random.default_rng(1)
        return np.stack([synthetic_wafer(rng, size=64) for _ in range(48)])

    def test_a_loader_gives_what_a_folder_gives(self, wafers, tmp_path):
        (tmp_path / "files").mkdir()
        for index, image in enumerate(wafers):
            Image.fromarray(image).save(tmp_path / "files" / f"{index:07d}.png")
        folder = waferroute.open_images(tmp_path / "files", tmp_path / "a")
        loader = waferroute.open_images(np.split(wafers, 4), tmp_path / "b")
        sixteen = waferroute.open_images([wafers.astype(np.uint16) * 257], tmp_path / "c")
        assert np.array_equal(loader.batch(range(48)), folder.batch(range(48)))
        # stored with 16 bits, they are resized without rounding to 8
        assert np.allclose(sixteen.batch(range(48)), folder.batch(range(48)), atol=1 / 255)
        for store in (loader, sixteen):
            assert [r.split for r in store.records] == [r.split for r in folder.records]

    def test_labels_divide_normal_from_defective(self, wafers, tmp_path):
        labels = [0] * 44 + [1, 2, 1, 1]
        pairs = waferroute.open_images([(wafers, torch.tensor(labels))], tmp_path / "a").counts()
        named = waferroute.open_images([{"image": wafers, "label": labels}], tmp_path / "b").counts()
        assert pairs == named and pairs["test_defect"] == 4

    @pytest.mark.parametrize(
        ("batches", "message"),
        [
            ([np.full((2, 64, 64), 3.0)], "leave out the standardisation"),
            ([np.zeros((2, 5, 64, 64))], r"shape \(2, 5, 64, 64\)"),
            ([(np.zeros((2, 64, 64)), [0])], "2 images has 1 labels"),
            ([{"picture": 1}], "no `image`, only picture"),
            ([(np.zeros((2, 64, 64)), [1, 1])], "no normal image"),
            ([], "no normal image"),
        ],
    )
    def test_what_is_no_image_is_refused(self, batches, message, tmp_path):
        with pytest.raises(InputError, match=message):
            waferroute.open_images(batches, tmp_path)

    def test_a_wrong_setting_is_named(self, wafers, tmp_path):
        with pytest.raises(ConfigurationError, match="calibration_fracton"):
            waferroute.open_images([wafers], tmp_path, calibration_fracton=0.3)


def test_distill_refuses_the_teacher_of_another_run(tiny_store, tmp_path):
    waferroute.fit_teacher(Maps, tiny_store, tmp_path / "a", **SMALL)
    other = waferroute.fit_teacher(nn.Conv2d(3, 20, 9, 16), tiny_store, tmp_path / "b", **SMALL)
    with pytest.raises(InputError, match="holds another teacher"):
        waferroute.distill(other, tiny_store, tmp_path / "a")


class TestDistillSettings:
    """What `distill` makes of its settings; no stage is run."""

    @pytest.fixture
    def asked(self, tiny_store, tmp_path, monkeypatch):
        teacher = waferroute.fit_teacher(Maps, tiny_store, tmp_path, **SMALL)
        seen: list[DistillConfig] = []
        monkeypatch.setattr("distill.stages.run_stage", lambda name, config, run, images: seen.append(config))
        monkeypatch.setattr("student_vae.load_student", lambda folder: folder)

        def ask(**settings) -> DistillConfig:
            waferroute.distill(teacher, tiny_store, tmp_path, **settings)
            return seen[-1]

        return ask

    def test_the_target_has_the_shape_of_the_intermediate_model(self, asked):
        config = asked(intermediate={"student": {"width": 0.5}}, epochs=1)
        assert config.target.student == config.intermediate.student
        assert config.target.student.width == 0.5 and config.target.start_from == "intermediate"
        whole = StageConfig(student=config.intermediate.student.model_copy(update={"width": 0.75}))
        assert asked(intermediate=whole).target.student.width == 0.75

    def test_another_shape_asked_for_by_name_is_still_refused(self, asked):
        with pytest.raises(ConfigurationError, match="to be the same as"):
            asked(target={"student": {"width": 0.5}})


class TestAnotherSplit:
    """Opened again with another seed, the images that calibrate are partly those that taught the models."""

    @pytest.fixture
    def opened_again(self, tiny_run, mvtec_folder, tmp_path):
        for name in ("teacher", "full", "lowres"):
            shutil.copytree(tiny_run / name, tmp_path / name)

        def opened(seed: int):
            return waferroute.open_images(mvtec_folder, tmp_path, calibration_fraction=0.4, seed=seed)

        return opened

    def test_certifies_no_students(self, opened_again, tmp_path):
        with pytest.raises(InputError, match=r"taught the model in .*Call fit_teacher and distill again"):
            waferroute.calibrate(opened_again(1), tmp_path, **RATES)
        assert not (tmp_path / "router").exists()
        waferroute.calibrate(opened_again(0), tmp_path, **RATES)

    def test_is_not_taught_by_the_teacher_of_the_first(self, opened_again, tmp_path):
        teacher = waferroute.load_teacher(tmp_path / "teacher")
        with pytest.raises(InputError, match=r"taught the model in .*teacher"):
            waferroute.distill(teacher, opened_again(1), tmp_path)
        assert not (tmp_path / "cache").exists()

    def test_is_not_compared_with_models_of_an_earlier_version(self, opened_again, tmp_path):
        for name in ("full", "lowres"):
            (tmp_path / name / "learned_from.json").unlink()
        waferroute.calibrate(opened_again(1), tmp_path, **RATES)
