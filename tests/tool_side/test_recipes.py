"""Bundles of several recipes: made, inspected with, and refused when tampered with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from router.recipe_names import check_recipe_name
from tool_side.bundle.load import load_bundle
from tool_side.bundle.verify import run_verify
from tool_side.export.recipe import run_recipe_add
from tool_side.runtime.inspect_files import run_inspect
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

Wafer = Callable[..., np.ndarray]


def darker(image: np.ndarray) -> np.ndarray:
    """The second recipe's images: the same texture at 70 % of the brightness, every 8th column black."""
    changed = (0.7 * image).astype(np.uint8)
    changed[:, ::8] = 20
    return changed


@pytest.fixture(scope="module")
def second_images(wafer: Wafer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second")
    for seed in range(120):
        Image.fromarray(darker(wafer(seed))).save(folder / f"{seed:03d}.png")
    return folder


@pytest.fixture(scope="module")
def both(bundle: Path, second_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "both"
    assert run_recipe_add(bundle, "dark", [second_images], out, first_name="bright") == 0
    return out


class TestAdding:
    def test_the_bundle_holds_both_and_verifies(self, both: Path, bundle: Path) -> None:
        assert tuple(load_bundle(both).recipes) == ("bright", "dark")
        assert (both / "policy.json").read_bytes() == (bundle / "policy.json").read_bytes()
        for name in ("policy.json", "certificate.json", "monitor.json"):
            assert (both / "recipes" / "dark" / name).is_file()
        assert run_verify(both) == 0

    def test_the_certificate_speaks_of_the_images_that_the_gate_was_not_fitted_on(self, both: Path) -> None:
        certificate = read_json(both / "recipes" / "dark" / "certificate.json")
        assert certificate["sample"]["normals"] + certificate["gate"]["refused"] == 60
        assert certificate["fnr"]["status"] == "unknown"

    def test_a_third_recipe_and_a_name_that_is_taken(
        self, both: Path, second_images: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="already holds a recipe called dark"):
            run_recipe_add(both, "dark", [second_images], tmp_path / "x")
        with pytest.raises(InputError, match="already called bright"):
            run_recipe_add(both, "third", [second_images], tmp_path / "x", first_name="other")
        assert run_recipe_add(both, "third", [second_images], tmp_path / "three") == 0
        three = load_bundle(tmp_path / "three")
        assert tuple(three.recipes) == ("bright", "dark", "third")
        assert three.parent == load_bundle(both).id and load_bundle(both).parent is not None

    def test_too_few_images_are_refused_with_the_number_needed(
        self, bundle: Path, second_images: Path, tmp_path: Path
    ) -> None:
        few = sorted(second_images.iterdir())[:20]
        with pytest.raises(InputError, match="60 are needed"):
            run_recipe_add(bundle, "dark", few, tmp_path / "x")
        with pytest.raises(InputError, match=r"too few .* Give twice that many images"):
            rare = {"escalation_target": 0.01, "escalation_budget": [0.001, 0.01], "flag_rate": 0.01}
            run_recipe_add(bundle, "dark", [second_images], tmp_path / "x", settings=rare)
        assert not (tmp_path / "x").exists()

    def test_enough_to_calibrate_but_not_to_know_another_recipe_by(
        self, bundle: Path, second_images: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="60 are needed"):
            run_recipe_add(bundle, "dark", sorted(second_images.iterdir())[:50], tmp_path / "x")

    def test_a_file_that_is_there_twice_counts_once(
        self, bundle: Path, second_images: Path, tmp_path: Path
    ) -> None:
        few = sorted(second_images.iterdir())[:20]
        with pytest.raises(InputError, match="20 images are too few"):
            run_recipe_add(bundle, "dark", [*few, *few, *few], tmp_path / "x")

    def test_nothing_that_exists_is_replaced(self, bundle: Path, second_images: Path, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("keep")
        for target in (tmp_path, bundle):
            with pytest.raises(InputError, match="exists, and a bundle never changes"):
                run_recipe_add(bundle, "dark", [second_images], target)

    def test_an_unknown_setting(self, bundle: Path, second_images: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"router\.flagrate"):
            run_recipe_add(bundle, "dark", [second_images], tmp_path / "x", settings={"flagrate": 0.1})

    @pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "x" * 65, 3])
    def test_names_that_are_no_folder(self, name: object) -> None:
        with pytest.raises(InputError, match="recipe name"):
            check_recipe_name(name)


class TestInspecting:
    def test_each_recipe_passes_its_own_normals(self, both: Path, wafer: Wafer) -> None:
        inspector = Inspector(both)
        for name, make in (("bright", lambda i: i), ("dark", darker)):
            found = [inspector.inspect(make(wafer(seed)), recipe=name) for seed in range(900, 930)]
            assert sum(r.decision == "PASS" for r in found) >= 25
            assert {r.to_dict()["recipe"] for r in found} == {name}

    def test_an_image_of_another_recipe_is_review_and_told_which(self, both: Path, wafer: Wafer) -> None:
        found = Inspector(both).inspect(darker(wafer(901)), recipe="bright")
        assert (found.decision, found.route) == ("REVIEW", "none")
        assert "it looks like an image of the recipe dark" in found.reasons

    @pytest.mark.parametrize(
        ("name", "words"), [(None, "holds several: bright, dark"), ("x", "unknown recipe 'x'")]
    )
    def test_no_or_an_unknown_recipe_is_review(
        self, both: Path, wafer: Wafer, name: str | None, words: str
    ) -> None:
        found = Inspector(both).inspect(wafer(1), recipe=name)
        assert (found.decision, found.judged, found.unreadable) == ("REVIEW", False, False)
        assert words in found.reasons[0]

    def test_an_image_of_another_size_than_its_own_recipe_s_is_review(self, both: Path, wafer: Wafer) -> None:
        """Whichever recipe it is: a thumbnail would be enlarged and scored."""
        inspector, small = Inspector(both), np.ascontiguousarray(darker(wafer(901))[::2, ::2])
        found = inspector.inspect(small, recipe="dark")
        assert (found.decision, found.route) == ("REVIEW", "none")
        assert "128 x 128 pixels (height x width), trained on 256 x 256" in found.reasons[0]
        assert load_bundle(both).sizes["dark"].problem(256, 256) is None

    def test_sizes_of_recipes_that_are_none_are_refused(self, both: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(both, copy)
        manifest = read_json(copy / "manifest.json")
        for sizes in ({"blue": manifest["recipes"]["sizes"]["dark"]}, {"dark": {"height": [1, 2]}}, 3):
            manifest["recipes"]["sizes"] = sizes
            write_json(copy / "manifest.json", manifest)
            with pytest.raises(InputError, match="size"):
                load_bundle(copy)
        del manifest["recipes"]["sizes"]  # as bundles of older versions
        write_json(copy / "manifest.json", manifest)
        assert load_bundle(copy).sizes == {}

    def test_a_bundle_of_one_recipe_needs_no_name(self, inspector: Inspector, wafer: Wafer) -> None:
        assert inspector.recipes == ("default",)
        alone, named = inspector.inspect(wafer(3)), inspector.inspect(wafer(3), recipe="default")
        assert (alone.decision, alone.score) == (named.decision, named.score)
        assert "recipe" not in alone.to_dict()
        assert inspector.inspect(wafer(3), recipe="other").decision == "REVIEW"

    def test_the_folder_can_name_the_recipe(
        self, both: Path, wafer: Wafer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name, image in (("bright", wafer(5)), ("dark", darker(wafer(5))), ("elsewhere", wafer(5))):
            (tmp_path / name).mkdir()
            Image.fromarray(image).save(tmp_path / name / "a.png")
        assert run_inspect(both, [tmp_path], json_output=True, recipe_from_folder=True) == 3
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["recipe"] for row in rows] == ["bright", "dark", "elsewhere"]
        assert [row["route"] == "none" for row in rows] == [False, False, True]


class TestTampering:
    @pytest.mark.parametrize(
        ("section", "words"),
        [
            ({"first": "bright"}, "first and further"),
            ({"first": "bright", "further": "dark"}, "list of names"),
            ({"first": "dark", "further": ["dark"]}, "twice"),
            ({"first": "bright", "further": ["../x"]}, "recipe name"),
            ({"first": "bright", "further": ["dark", "more"]}, "lists no recipes/more/policy.json"),
        ],
    )
    def test_a_malformed_section_is_refused(
        self, both: Path, tmp_path: Path, section: object, words: str
    ) -> None:
        copy = self._copy(both, tmp_path)
        manifest = read_json(copy / "manifest.json")
        write_json(copy / "manifest.json", manifest | {"recipes": section})
        with pytest.raises(InputError, match=words):
            load_bundle(copy)

    def test_a_changed_policy_of_a_further_recipe_is_refused(self, both: Path, tmp_path: Path) -> None:
        copy = self._copy(both, tmp_path)
        path = copy / "recipes" / "dark" / "policy.json"
        path.write_text(path.read_text().replace("1", "2", 1))
        with pytest.raises(InputError, match="was changed after the export"):
            load_bundle(copy)

    def test_no_path_but_that_of_a_recipe_may_leave_the_folder(self, both: Path, tmp_path: Path) -> None:
        for path in (
            "recipes/../policy.json",
            "recipes/dark/other.json",
            "recipes/dark/../../x",
            "sub/policy.json",
        ):
            copy = self._copy(both, tmp_path / path.replace("/", "_"))
            manifest = read_json(copy / "manifest.json")
            manifest["files"][path] = {"sha256": "0", "bytes": 1}
            write_json(copy / "manifest.json", manifest)
            with pytest.raises(InputError, match="not a plain file name"):
                load_bundle(copy)

    @staticmethod
    def _copy(source: Path, folder: Path) -> Path:
        import shutil

        return Path(shutil.copytree(source, folder / "copy"))
