"""`waferroute inspect`: inputs, outputs and exit status."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tool_side.runtime import inspect_files as inspect_command
from tool_side.runtime.heatmap import overlay
from tool_side.runtime.inspect_files import expand_inputs, run_inspect
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError

Wafer = Callable[..., np.ndarray]


@pytest.fixture
def folder(tmp_path: Path, wafer: Wafer) -> Path:
    """Two good wafers and one defective one in a sub-folder, beside things that are no images."""
    images = tmp_path / "images"
    (images / "lot 2").mkdir(parents=True)
    Image.fromarray(wafer(1)).save(images / "b.png")
    Image.fromarray(wafer(2)).save(images / "a.PNG")
    Image.fromarray(wafer(3, 0.4)).save(images / "lot 2" / "a.png")
    (images / "notes.txt").write_text("no image")
    (images / ".hidden.png").write_text("no image")
    return images


def run(bundle: Path, *inputs: Path, **options: object) -> tuple[int, str]:
    out = io.StringIO()
    status = run_inspect(bundle, inputs, out=out, **options)  # type: ignore[arg-type]
    return status, out.getvalue()


def test_json_lines_hold_one_object_an_image(bundle: Path, folder: Path, inspector: Inspector) -> None:
    status, text = run(bundle, folder, json_output=True)
    rows = [json.loads(line) for line in text.splitlines()]
    assert status == 0
    assert [row["source"] for row in rows] == [
        str(folder / name) for name in ("a.PNG", "b.png", "lot 2/a.png")
    ]
    for row in rows:
        direct = inspector.inspect(row["source"]).to_dict()
        assert {key: row[key] for key in row if key != "seconds"} == {
            key: direct[key] for key in direct if key != "seconds"
        }
    assert rows[2]["decision"] == "REJECT"


def test_the_table_names_decision_route_and_image_and_counts(bundle: Path, folder: Path) -> None:
    status, text = run(bundle, folder)
    lines = text.splitlines()
    assert status == 0
    assert lines[0].split() == ["decision", "route", "score", "ms", "image"]
    assert lines[3].startswith("REJECT   full")
    assert "lot 2/a.png" in lines[3]
    assert "3 images, 2 PASS, 0 REVIEW, 1 REJECT" in lines[-1]


def test_images_that_cannot_be_judged_give_status_3_and_do_not_stop_the_rest(
    bundle: Path, folder: Path, bad_images: dict[str, Path]
) -> None:
    status, text = run(bundle, bad_images["text"], bad_images["truncated"], folder, json_output=True)
    rows = [json.loads(line) for line in text.splitlines()]
    assert status == 3
    assert [row["decision"] for row in rows] == ["REVIEW", "REVIEW", "PASS", "PASS", "REJECT"]
    assert "not an image" in rows[0]["reasons"][0]
    status, text = run(bundle, bad_images["text"])
    assert status == 3
    assert "1 could not be judged" in text


def test_heat_maps_are_written_for_what_a_model_saw(
    bundle: Path, folder: Path, bad_images: dict[str, Path], inspector: Inspector, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    run(bundle, folder, bad_images["black"], heatmaps=out)
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert written == ["a.PNG.heatmap.png", "b.png.heatmap.png", "lot 2/a.png.heatmap.png"]
    result = inspector.inspect(folder / "lot 2" / "a.png", keep_image=True)
    assert result.map is not None and result.image is not None
    with Image.open(out / "lot 2" / "a.png.heatmap.png") as picture:
        assert np.array_equal(np.asarray(picture), overlay(result.image, result.map, 0.2))


def test_heat_maps_of_images_with_the_same_name_do_not_replace_each_other(folder: Path) -> None:
    files = list(expand_inputs([folder / "b.png", folder / "b.png", folder]))
    names = [str(file.heatmap) for file in files]
    assert names[:2] == ["b.png.heatmap.png", "b.png-2.heatmap.png"]
    assert len(set(names)) == len(names) == 5


def test_earlier_heat_maps_are_not_inspected(bundle: Path, folder: Path) -> None:
    run(bundle, folder, heatmaps=folder)
    assert len(list(expand_inputs([folder]))) == 3


def test_inputs_that_do_not_exist_stop_before_anything_is_judged(
    bundle: Path, folder: Path, tmp_path: Path
) -> None:
    for inputs, words in (
        ([folder, tmp_path / "nowhere.png"], "no such file or folder"),
        ([folder.parent / "images" / "notes.txt", tmp_path / "none"], "no such file"),
        ([], "no image given"),
    ):
        out = io.StringIO()
        with pytest.raises(InputError, match=words):
            run_inspect(bundle, inputs, out=out)
        assert out.getvalue() == ""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no image in this folder \(\.png"):
        run(bundle, tmp_path / "empty")


def test_a_folder_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(inspect_command.os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        list(expand_inputs([folder]))


def test_ctrl_c_keeps_what_was_printed_and_returns_130(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect, seen = Inspector.inspect, []

    def interrupted(self: Inspector, image: Path, **options: bool) -> object:
        if seen:
            raise KeyboardInterrupt
        seen.append(image)
        return inspect(self, image, **options)

    monkeypatch.setattr(Inspector, "inspect", interrupted)
    status, text = run(bundle, folder)
    assert status == 130
    assert "1 of 3 images" in text.splitlines()[-1]
    assert "interrupted" in text.splitlines()[-1]


def test_odd_file_names_do_not_break_the_table(bundle: Path, tmp_path: Path, wafer: Wafer) -> None:
    name = tmp_path / "line\nbreak \udcff.png"
    Image.fromarray(wafer(1)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(name)
    status, text = run(bundle, name)
    assert status == 0
    assert len(text.splitlines()) == 3
    assert r"line\nbreak \udcff.png" in text
    text.encode("utf-8")
    assert json.loads(run(bundle, name, json_output=True)[1])["source"] == str(name)


def test_a_link_that_leads_into_itself_is_named(folder: Path) -> None:
    (folder / "lot 3").symlink_to(folder / "lot 3")
    with pytest.raises(InputError, match=r"lot 3.* cannot be read"):
        list(expand_inputs([folder]))


def test_pictures_of_other_formats_in_a_folder_are_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("x.webp", "y.WEBP", "z.gif", "notes.md"):
        (folder / name).write_bytes(b"x")
    assert len(list(expand_inputs([folder]))) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: not looked at: 1 .gif, 2 .webp (formats that are not read)"
    ]


def test_a_link_to_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "lot 3").symlink_to(folder.parent / "not mounted")
    with pytest.raises(InputError, match=r"lot 3.*leads nowhere"):
        list(expand_inputs([folder]))


def test_a_refused_bundle_is_said_before_any_folder_is_searched(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_command, "expand_inputs", lambda inputs: pytest.fail("searched"))
    with pytest.raises(InputError, match="no such folder"):
        run_inspect(tmp_path / "no bundle", [tmp_path])


def test_one_that_is_named_as_an_image_is_one_bad_image(bundle: Path, folder: Path) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    status, text = run(bundle, folder)
    assert status == 3 and len(text.splitlines()) == 6
    assert "loop.png  (the image cannot be read" in text


def test_pipes_and_empty_files_are_bad_images_and_no_repeats(bundle: Path, folder: Path) -> None:
    for name in ("pipe 1.png", "pipe 2.png"):
        os.mkfifo(folder / name)
    for name in ("empty 1.png", "empty 2.png"):
        (folder / name).touch()
    status, text = run(bundle, folder)
    assert status == 3
    assert text.count("not a regular file") == text.count("empty file") == 2
    assert "the same bytes" not in text


def test_heat_maps_need_a_folder(bundle: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="heat maps need a folder"):
        run(bundle, folder, heatmaps=folder / "b.png")
