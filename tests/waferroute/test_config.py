"""Loading, merging and printing configurations."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from wafer_data.errors import ConfigurationError
from waferroute.config import RunConfig, load_config, resolved, to_yaml
from waferroute.config_fields import list_fields
from waferroute.fixed_values import REASONS, reason_for
from waferroute.shipped_configs import shipped_configs

CONFIGS = Path(__file__).parents[2] / "configs"
GOOD = "run:\n  dir: runs/x\ndata:\n  format: elpv\n"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.yaml"
    path.write_text(GOOD)
    return path


def test_overrides_win_over_the_file_and_the_last_one_over_the_first(plain):
    config = load_config(plain, ["run.dir=a", "run.dir=b", "router.escalation_target=0.07"])
    assert config.run_dir == Path("b")
    assert config.router.escalation_target == 0.07


def test_numbers_may_be_written_as_in_yaml(plain):
    config = load_config(plain, ["distill.full.learning_rate=1e-3", "distill.full.ema=0"])
    assert config.distill.full.learning_rate == 1e-3
    assert config.distill.full.ema == 0


@pytest.mark.parametrize("name", ["2024", "no", "a: b", "[x", "1e3", "x # y"])
def test_text_stays_as_typed_where_only_text_is_taken(plain, name):
    assert load_config(plain, [f"data.name={name}"]).data.name == name


def test_null_is_still_null_where_it_is_taken(plain):
    assert load_config(plain, ["data.name=null"]).data.name is None
    assert load_config(plain, ["data.name='null'"]).data.name == "null"


def test_values_may_refer_to_other_keys(plain):
    assert load_config(plain, ["data.name=${run.dir}-cells"]).data.name == "runs/x-cells"


def test_one_key_of_a_section_leaves_its_other_defaults_alone(plain):
    before, after = load_config(plain), load_config(plain, ["distill.full.epochs=1"])
    assert after.distill.full.epochs == 1
    assert after.distill.full.model_copy(update={"epochs": before.distill.full.epochs}) == before.distill.full


class TestSeed:
    def test_of_the_run_reaches_every_section_that_sets_none(self, plain):
        config = load_config(plain, ["run.seed=7", "eval.seed=3"])
        assert (config.data.seed, config.distill.seed, config.eval.seed) == (7, 7, 3)

    def test_can_be_changed_for_a_resolved_configuration(self, plain, tmp_path):
        again = tmp_path / "resolved.yaml"
        again.write_text(to_yaml(load_config(plain, ["run.seed=7", "eval.seed=3"])))
        config = load_config(again, ["run.seed=8"])
        assert (config.data.seed, config.distill.seed, config.eval.seed) == (8, 8, 3)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
class TestShippedConfigurations:
    def overrides(self, path: Path) -> list[str]:
        return ["data.root=images"] if "???" in path.read_text() else []

    def test_are_valid(self, path):
        assert isinstance(load_config(path, self.overrides(path)), RunConfig)

    def test_survive_being_resolved_and_loaded_again(self, path, tmp_path):
        config = load_config(path, self.overrides(path))
        again = tmp_path / "config.yaml"
        again.write_text(to_yaml(config), encoding="utf-8")
        assert load_config(again) == config
        assert yaml.safe_load(to_yaml(config)) == resolved(config)

    def test_say_how_to_run_them_and_explain_each_key(self, path):
        header, _, body = path.read_text().partition("\nrun:\n")
        assert f"configs/{path.name}" in header
        keys = [
            line for line in body.splitlines() if line.startswith("  ") and not line.rstrip().endswith(":")
        ]
        assert [line for line in keys if " # " not in line] == []


def test_there_are_the_four_shipped_configurations():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} >= {"quickstart", "mvtec", "folder", "gpu_large"}


def test_every_key_is_documented():
    undocumented = [field.key for field in list_fields(RunConfig) if not field.description]
    assert not undocumented


def test_documented_defaults_are_those_of_a_run(plain):
    config = resolved(load_config(plain))
    for field in list_fields(RunConfig):
        value = config
        for key in field.key.split("."):
            value = value.get(key, "left out") if isinstance(value, dict) else "left out"
        if reason_for(field.key):
            assert value == "left out", field.key
        elif not field.required and not field.key.endswith("seed"):
            assert value == field.default, field.key


class TestConstants:
    """What nobody should turn is no setting (`fixed_values`)."""

    def test_are_more_than_half_of_all_values(self):
        keys = [field.key for field in list_fields(RunConfig)]
        assert sum(reason_for(key) is None for key in keys) <= 150
        assert [p for p in REASONS if not any(fnmatchcase(key, p) for key in keys)] == []

    def test_given_another_value_are_refused_with_value_reason_and_place(self, plain):
        with pytest.raises(
            ConfigurationError, match=r"override 'distill.full.kl_weight=2'.*always 1.0 .*the ELBO"
        ):
            load_config(plain, ["distill.full.kl_weight=2"])
        plain.write_text(GOOD + "eval:\n  pca_components: 3\n")
        with pytest.raises(
            ConfigurationError, match=r"plain.yaml: eval.pca_components is no setting, leave it out"
        ):
            load_config(plain)

    def test_given_their_own_value_do_no_harm(self, plain):
        """Resolved configurations of earlier versions name them all."""
        config = load_config(plain)
        old = plain.with_name("old.yaml")
        old.write_text(yaml.safe_dump(config.model_dump(mode="json")))
        assert load_config(old) == config

    def test_the_target_has_the_network_that_it_fine_tunes(self, plain):
        config = load_config(plain, ["distill.intermediate.student.width=2.0"])
        assert config.distill.target.student == config.distill.intermediate.student
        assert config.distill.target.student.width == 2
        for override in ("distill.target.student.width=2.0", "distill.target.student=null"):
            with pytest.raises(ConfigurationError, match=r"set distill.intermediate.student"):
                load_config(plain, [override])

    def test_an_error_is_said_once(self, plain):
        with pytest.raises(ConfigurationError) as caught:
            load_config(plain, ["distill.intermediate.student.width=-1"])
        assert len(str(caught.value).splitlines()) == 1

    def test_a_study_changes_them_in_python_and_its_record_says_so(self, plain):
        config = load_config(plain)
        full = config.distill.full.model_copy(update={"kl_weight": 0.5})
        changed = config.model_copy(update={"distill": config.distill.model_copy(update={"full": full})})
        assert resolved(changed)["distill"]["full"]["kl_weight"] == 0.5


class TestReadyMadeByName:
    def test_a_name_is_enough(self):
        assert load_config("quickstart") == load_config(CONFIGS / "quickstart.yaml")
        assert load_config("mvtec", ["data.root=DIR"]).data.format == "mvtec"

    def test_the_path_of_the_documents_works_anywhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert load_config("configs/quickstart.yaml").data.format == "elpv"

    def test_all_of_the_folder_are_known(self):
        assert set(shipped_configs()) == {path.stem for path in (CONFIGS).glob("*.yaml")}

    def test_a_file_of_that_name_comes_first(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "quickstart").write_text("run:\n  dir: mine\ndata:\n  format: elpv\n")
        assert load_config("quickstart").run.dir == "mine"

    def test_a_wrong_name_lists_the_right_ones(self):
        with pytest.raises(
            ConfigurationError, match=r"quickstrat does not exist; ready-made ones: .*quickstart"
        ):
            load_config("quickstrat")

    def test_a_path_is_never_taken_for_a_name(self):
        with pytest.raises(ConfigurationError, match="does not exist"):
            load_config("nowhere/quickstart.yaml")
