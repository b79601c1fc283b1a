"""An exploration as a whole, on small synthetic data sets: what is written, what the page says, what is refused."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval.explore.run
from eval.config import EvalConfig
from eval.explore import explore_data, measure, require_replaceable
from eval.explore.sample import evenly
from eval.pages.theme import STAND_INS
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.store import ImageStore, prepare_data

VOID = {"meta", "img", "br", "link", "hr", "input"}
QUICK = EvalConfig(bootstrap=100)


class Page(HTMLParser):
    """Collects text and the attributes that could point outside; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).replace("\xa0", " ").split())

    def handle_starttag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def explored(run_dir: Path, config: DataConfig, **more) -> tuple[dict, Page, Path]:
    """Prepare and explore; the content of explore.json, the page, the folder."""
    if not (run_dir / "data").exists():
        prepare_data(config, run_dir / "data")
    out = run_dir / "explore"
    content = explore_data(run_dir, out, QUICK, config, **more)
    return content, Page((out / "explore.html").read_text(encoding="utf-8")), out


@pytest.fixture(scope="module")
def whole(mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    config = DataConfig(format="mvtec", root=str(mvtec_folder), calibration_fraction=0.4).at_size(96)
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return explored(run_dir, config, config_text="data: {name: <mine>}")


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the plots, which take most of the time and which `whole` has."""
    monkeypatch.setattr(eval.explore.run, "draw_plots", lambda found: {})


@pytest.fixture
def normals(mvtec_folder: Path) -> DataConfig:
    """The good images alone, as a plain folder."""
    return DataConfig(format="folder", root=str(mvtec_folder / "train/good")).at_size(64)


def verdicts(content: dict) -> dict[str, str]:
    return {answer["question"]: answer["verdict"] for answer in content["answers"]}


class TestWhatIsFound:
    def test_in_the_synthetic_lines_of_the_fixture(self, whole):
        content, _, _ = whole
        found = verdicts(content)
        # Vertical lines 12 px apart, of a random phase in each image; see `synthetic_wafer`.
        assert found["What is the dominant texture?"].startswith("periodic pattern, period 12.0 px")
        assert content["texture"]["pattern"]["direction"] == pytest.approx(0, abs=1)
        assert content["texture"]["radial_peak"]["cycles"] == 8
        assert found["Are the normal images aligned?"] == "unaligned, the same but shifted"
        assert found["Do test normals look like training normals?"] == "no difference found"
        # Scratches are darker, particles brighter than anything in a normal image; both stand out locally.
        lines = {line["name"]: line for line in content["differences"]}
        assert lines["maximum"]["auroc"] > 0.5 > lines["minimum"]["auroc"]
        assert lines["local_contrast"]["auroc"] == content["threshold"]["strength"] == 1.0

    def test_areas_are_those_of_the_masks(self, whole, mvtec_folder):
        content, _, _ = whole
        for name in ("scratch", "particle"):
            paths = sorted((mvtec_folder / "ground_truth" / name).glob("*.png"))
            areas = [np.mean(np.asarray(Image.open(path)) > 0) for path in paths]
            assert content["extent"]["types"][name]["area_quartiles"][1] == pytest.approx(np.median(areas))
        assert content["extent"]["types"]["particle"]["component_quartiles"] == [1, 1, 1]

    def test_the_same_seed_finds_the_same(self, whole, without_plots):
        content, _, out = whole
        config = DataConfig(format="mvtec", root="unused").at_size(96)
        again = explore_data(
            out.parent, out.parent / "again", QUICK, config, config_text="data: {name: <mine>}"
        )
        for one in (content, again):
            one["provenance"].pop("created", None)
        assert again == content
        other = explore_data(out.parent, out.parent / "other", EvalConfig(bootstrap=100, seed=1), config)
        assert other["normals_shown"] != content["normals_shown"]

    def test_a_shift_of_the_test_images_is_noticed(self, mvtec_folder, tmp_path, without_plots):
        root = tmp_path / "drifted"
        shutil.copytree(mvtec_folder, root)
        for path in (root / "test/good").iterdir():
            Image.fromarray((np.asarray(Image.open(path)) * 0.8).astype(np.uint8)).save(path)
        content, page, _ = explored(tmp_path / "run", DataConfig(format="mvtec", root=str(root)).at_size(64))
        assert verdicts(content)["Do test normals look like training normals?"] == "they differ"
        assert "do not come from quite the same source" in page.text

    def test_twelve_bit_images_are_told_and_stretched(self, mvtec_folder, tmp_path, without_plots):
        root = tmp_path / "deep"
        root.mkdir()
        for path in (mvtec_folder / "train/good").iterdir():
            deep = np.asarray(Image.open(path)).astype(np.uint16) * 16
            Image.fromarray(deep).save(root / path.name)
        config = DataConfig(format="folder", root=str(root)).at_size(64)
        content, page, out = explored(tmp_path / "run", config)
        assert content["container"]["bits_needed"] == 12 and content["container"]["idle_low_bits"] == 4
        assert content["levels"][1] < 0.1
        assert verdicts(content)["How much of the intensity range is used?"].startswith("narrow")
        assert "needs only 12 of 16 bits" in page.text and "all images are stretched alike" in page.text
        assert np.asarray(Image.open(out / "pictures/normals.png")).std() > 30

    def test_of_many_images_an_evenly_spaced_part_is_read_and_the_page_says_so(
        self, whole, tmp_path, without_plots, monkeypatch
    ):
        run_dir, read = whole[2].parent, []
        grey = ImageStore.pixels
        monkeypatch.setattr(
            ImageStore, "pixels", lambda store, index: read.append(index) or grey(store, index)
        )
        monkeypatch.setattr(measure, "evenly", lambda indices, count=6: evenly(indices, min(count, 6)))
        config = DataConfig(format="mvtec", root="unused").at_size(96)
        content = explore_data(run_dir, tmp_path / "out", QUICK, config)
        assert content["data"]["normals_read"] == content["data"]["compared_normals"] == 6
        assert (
            len(read) == 6 + 6 + 12 + 16 + 12
        )  # training, test, defects; then the pictures of normals and defects
        page = Page((tmp_path / "out/explore.html").read_text(encoding="utf-8"))
        assert "Over 6 training normals, evenly spaced among 29" in page.text


class TestWhatIsWritten:
    def test_the_page_refers_to_nothing_outside_itself(self, whole):
        _, page, out = whole
        html = (out / "explore.html").read_text(encoding="utf-8")
        assert "http" not in html and "<script" not in html and "@import" not in html
        assert re.findall(r"url\((?!#)", html) == []
        assert all(address.startswith(("#", "data:image/")) for address in page.addresses)
        assert sum(address.startswith("data:image/") for address in page.addresses) == 16 + 12 + 4

    def test_it_suits_phones_the_dark_and_paper(self, whole):
        html = (whole[2] / "explore.html").read_text(encoding="utf-8")
        for rule in ('name="viewport"', "prefers-color-scheme: dark", "max-width: 640px", "@media print"):
            assert rule in html
        assert not any(colour in html for colour in STAND_INS.values())

    def test_it_says_that_no_threshold_may_be_taken_from_it(self, whole):
        _, page, _ = whole
        assert "Nothing on this page was fitted, chosen or calibrated" in page.text
        assert "no threshold, and no choice of a model, may be taken from it" in page.text
        assert "picked as the best on the very images it is judged on" in page.text

    def test_every_figure_of_the_tables_is_in_the_json(self, whole):
        content, page, _ = whole
        for line in content["differences"]:
            assert f"{line['auroc']:.3f}" in page.text and f"{line['cliffs_delta']:+.3f}" in page.text
            assert "{:.3f} to {:.3f}".format(*line["auroc_interval"]) in page.text
        for answer in content["answers"]:
            for sentence in answer["sentences"]:
                assert " ".join(sentence.replace("\xa0", " ").split()) in page.text
        for shown in content["normals_shown"] + content["defects_shown"]:
            assert shown["path"] in page.text

    def test_the_json_is_what_is_returned(self, whole):
        content, _, out = whole
        written = json.loads((out / "explore.json").read_text(encoding="utf-8"))
        written["provenance"].pop("created", None)
        assert written == {**content, "provenance": {**content["provenance"]}} and written["schema"] == 1

    def test_the_configuration_is_shown_as_text(self, whole):
        assert "data: {name: <mine>}" in whole[1].text

    def test_pictures_are_png_files(self, whole):
        names = {path.name for path in (whole[2] / "pictures").iterdir()}
        assert names == {f"{name}.png" for name in ("normals", "defects")} | {
            f"{name}-image.png" for name in ("mean", "deviation", "spectrum", "correlation")
        } | {
            f"{name}-plot.png"
            for name in ("intensity", "contrast", "spectrum", "correlation", "differences", "extent")
        }
        for name in names:
            with Image.open(whole[2] / "pictures" / name) as picture:
                picture.load()
                assert picture.format == "PNG"

    def test_plots_on_file_have_no_stand_in_colour(self, whole):
        pixels = np.asarray(Image.open(whole[2] / "pictures/differences-plot.png").convert("RGB"))
        stand_ins = {tuple(bytes.fromhex(colour[1:])) for colour in STAND_INS.values()}
        found = {tuple(int(value) for value in pixel) for pixel in np.unique(pixels.reshape(-1, 3), axis=0)}
        assert not stand_ins & found


class TestWhatIsMissing:
    def test_without_defects_the_page_says_so_and_leaves_them_out(self, normals, tmp_path):
        content, page, out = explored(tmp_path / "run", normals)
        assert all(content[key] is None for key in ("differences", "threshold", "extent", "contrasts"))
        assert len(content["answers"]) == 4 and content["defects_shown"] == []
        assert "There is no defect in this data set" in page.text
        assert "Would thresholding work?" not in page.text and "Defects against normals" not in page.text
        assert not (out / "pictures/defects.png").exists()

    def test_without_masks_the_extent_is_not_known(self, mvtec_folder, tmp_path, without_plots):
        config = DataConfig(
            format="folder",
            root=str(mvtec_folder / "train/good"),
            defects=str(mvtec_folder / "test/scratch"),
        ).at_size(64)
        content, page, _ = explored(tmp_path / "run", config)
        assert verdicts(content)["Are defects local or global?"] == "not known, no masks"
        assert content["contrasts"]["shares"].keys() == {"normal", "defect"}
        assert "So few defects carry no certain statement" in page.text

    def test_without_normal_test_images_defects_are_compared_with_all_normals(
        self, mvtec_folder, tmp_path, without_plots
    ):
        root = tmp_path / "bare"
        shutil.copytree(mvtec_folder, root)
        shutil.rmtree(root / "test/good")
        content, page, _ = explored(tmp_path / "run", DataConfig(format="mvtec", root=str(root)).at_size(64))
        assert content["drift"] is None and content["data"]["compared_with"] == "all"
        assert content["data"]["compared_normals"] == 48
        assert "normals of all splits" in page.text

    def test_a_single_defect_in_the_smallest_images(self, mvtec_folder, tmp_path):
        (tmp_path / "one").mkdir()
        shutil.copy(mvtec_folder / "test/scratch/000.png", tmp_path / "one")
        config = DataConfig(
            format="folder",
            root=str(mvtec_folder / "train/good"),
            defects=str(tmp_path / "one"),
        ).at_size(16)
        content, page, _ = explored(tmp_path / "run", config)
        assert content["data"]["types"] == {"defect": 1}
        assert "1 defect with" in page.text


class TestWhatIsRefused:
    @pytest.fixture
    def ready(self, whole, tmp_path) -> Path:
        shutil.copytree(whole[2].parent / "data", tmp_path / "run/data")
        return tmp_path / "run"

    def test_a_folder_that_holds_something_else(self, ready, normals, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis/chapter.txt").write_text("years of work")
        with pytest.raises(InputError, match=r"not of an exploration \(chapter\.txt\).*--out DIR"):
            explore_data(ready, tmp_path / "thesis", QUICK, normals)
        assert (tmp_path / "thesis/chapter.txt").read_text() == "years of work"
        with pytest.raises(InputError, match="is not a folder"):
            require_replaceable(tmp_path / "thesis/chapter.txt")

    def test_missing_data(self, normals, tmp_path):
        with pytest.raises(InputError, match=r"split\.json does not exist"):
            explore_data(tmp_path, tmp_path / "explore", QUICK, normals)
        assert list(tmp_path.iterdir()) == []

    def test_a_failure_leaves_the_earlier_exploration(
        self, ready, normals, tmp_path, without_plots, monkeypatch
    ):
        out = tmp_path / "out"
        explore_data(ready, out, QUICK, normals)
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

        def fail(*_args, **_more):
            raise KeyboardInterrupt

        monkeypatch.setattr(eval.explore.run, "render_page", fail)
        with pytest.raises(KeyboardInterrupt):
            explore_data(ready, out, QUICK, normals)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
