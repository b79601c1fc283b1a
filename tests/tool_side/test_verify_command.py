"""`waferroute verify`: a bundle that is not what was exported, or runs differently here, is refused with the reason."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tool_side.bundle import check_pattern
from tool_side.bundle.check_pattern import encoded_pattern, pattern, record_check
from tool_side.bundle.load import SCHEMA
from tool_side.bundle.verify import run_verify
from wafer_data.errors import InputError
from waferroute.cli import main

Edit = Callable[[dict], object]
PATTERN_START = "0861c0554f55f5f8"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle with a recorded check, as an export leaves it."""
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    record_check(folder)
    return folder


def edit(folder: Path, name: str, change: Edit) -> None:
    """Change a JSON file, and the manifest so that it agrees."""
    content = json.loads((folder / name).read_text())
    change(content)
    data = json.dumps(content).encode()
    (folder / name).write_bytes(data)
    if name != "manifest.json":
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        edit(folder, "manifest.json", lambda manifest: manifest["files"].update({name: entry}))


def refusal(folder: Path) -> tuple[str, dict[str, Any]]:
    """The reason and the JSON result of a refused bundle."""
    out = io.StringIO()
    with pytest.raises(InputError) as caught:
        run_verify(folder, json_output=True, out=out)
    found = json.loads(out.getvalue())
    assert found["ok"] is False and str(caught.value) == f"bundle {folder} refused: {found['reason']}"
    return found["reason"], found


def test_a_whole_bundle_passes_every_check(copy: Path) -> None:
    out = io.StringIO()
    assert run_verify(copy, out=out) == 0
    lines = out.getvalue().splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    for words in ("manifest.json", "lowres.onnx", "policy.json", "model full", "as at the export"):
        assert any(words in line and line.startswith("ok") for line in lines), words
    found = json.loads(verified(copy))
    assert found["ok"] is True and found["reason"] is None
    assert {check["name"] for check in found["checks"]} >= {"full.onnx", "certificate.json", "test pattern"}


def verified(folder: Path) -> str:
    out = io.StringIO()
    assert run_verify(folder, json_output=True, out=out) == 0
    return out.getvalue()


@pytest.mark.parametrize(
    "name", ["lowres.onnx", "full.onnx", "full_decoder.onnx", "policy.json", "certificate.json"]
)
class TestFiles:
    def test_missing(self, copy: Path, name: str) -> None:
        (copy / name).unlink()
        assert refusal(copy)[0] == f"{name}: is missing"

    def test_changed(self, copy: Path, name: str) -> None:
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        assert refusal(copy)[0] == f"{name}: was changed after the export (its sha256 differs)"

    def test_truncated(self, copy: Path, name: str) -> None:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-3])
        assert (
            refusal(copy)[0]
            == f"{name}: has {len(data) - 3} bytes instead of {len(data)}: truncated or changed"
        )


@pytest.mark.parametrize(
    ("name", "known"), [("manifest.json", SCHEMA), ("policy.json", 1), ("certificate.json", 1)]
)
class TestSchemas:
    def test_newer(self, copy: Path, name: str, known: int) -> None:
        edit(copy, name, lambda content: content.update(schema=known + 1))
        advice = "update waferroute on this computer"
        assert refusal(copy)[0] == f"{name}: schema {known + 1}, this version reads {known}: {advice}"

    def test_older(self, copy: Path, name: str, known: int) -> None:
        edit(copy, name, lambda content: content.update(schema=known - 1))
        assert (
            refusal(copy)[0]
            == f"{name}: schema {known - 1}, this version reads {known}: export the bundle again"
        )

    def test_none(self, copy: Path, name: str, known: int) -> None:
        edit(copy, name, lambda content: content.pop("schema"))
        assert (
            f"this version reads {known}" in refusal(copy)[0] or "not a bundle's manifest" in refusal(copy)[0]
        )


class TestContents:
    def test_all_that_is_wrong_with_the_files_is_said_at_once(self, copy: Path) -> None:
        (copy / "lowres.onnx").unlink()
        (copy / "full.onnx").write_bytes(b"")
        reason, found = refusal(copy)
        assert "lowres.onnx: is missing" in reason and "full.onnx: has 0 bytes" in reason
        states = {check["name"]: check["status"] for check in found["checks"]}
        assert states["policy.json"] == "ok"

    def test_what_is_not_a_bundle(self, tmp_path: Path, bundle: Path) -> None:
        assert refusal(tmp_path / "nowhere")[0] == "bundle: there is no such folder"
        assert "no manifest.json in it" in refusal(tmp_path)[0]
        (tmp_path / "manifest.json").write_text('{"schema": 1')
        assert "not valid JSON" in refusal(tmp_path)[0]
        (tmp_path / "manifest.json").write_text("[]")
        assert "not a bundle's manifest" in refusal(tmp_path)[0]

    def test_parts_that_do_not_belong_together(self, copy: Path) -> None:
        edit(copy, "policy.json", lambda policy: policy.update(escalate_above=9.0))
        assert "thresholds in manifest.json are not those of policy.json" in refusal(copy)[0]

    def test_a_graph_that_does_not_load(self, copy: Path) -> None:
        (copy / "full.onnx").write_bytes(b"no graph")
        entry = {"sha256": hashlib.sha256(b"no graph").hexdigest(), "bytes": 8}
        edit(copy, "manifest.json", lambda manifest: manifest["files"].update({"full.onnx": entry}))
        assert "graph full.onnx cannot be loaded" in refusal(copy)[0]

    def test_other_files_are_mentioned(self, copy: Path) -> None:
        (copy / "notes.txt").touch()
        assert "not part of the bundle and not used: notes.txt" in verified(copy)

    def test_other_versions_are_mentioned(self, copy: Path) -> None:
        versions = {"package_versions": {"onnxruntime": "1.0.0"}}
        edit(copy, "manifest.json", lambda manifest: manifest["provenance"].update(versions))
        assert "exported with 1.0.0" in verified(copy)


class TestPattern:
    def test_a_computer_that_computes_something_else_is_found(self, copy: Path) -> None:
        def change(manifest: dict) -> None:
            manifest["check"]["full_score"] *= 1.01

        edit(copy, "manifest.json", change)
        reason = refusal(copy)[0]
        assert "test pattern: this computer computes something else: full_score is" in reason

    def test_another_decision_too(self, copy: Path) -> None:
        edit(
            copy, "manifest.json", lambda manifest: manifest["check"].update(decision="PASS", route="lowres")
        )
        assert "decision is REVIEW here and was PASS" in refusal(copy)[0]

    def test_rounding_is_no_difference(self, copy: Path) -> None:
        def change(manifest: dict) -> None:
            manifest["check"]["full_score"] *= 1 + 1e-5

        edit(copy, "manifest.json", change)
        verified(copy)

    def test_a_bundle_without_a_record_is_not_refused(self, bundle: Path) -> None:
        assert "the export recorded none to compare with" in verified(bundle)

    def test_it_is_the_same_everywhere(self) -> None:
        """The bytes are part of the bundle's format: another pattern would make every bundle fail."""
        assert hashlib.sha256(pattern().astype("<u2").tobytes()).hexdigest().startswith(PATTERN_START)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded_pattern()))), pattern())

    @pytest.mark.parametrize("white", [1.0, 0.3, 0.01])
    def test_any_range_of_grey_levels_shows_some_of_it(self, white: float) -> None:
        visible = np.clip(pattern() / 65535 / white, 0, 1)
        assert visible.std() > 0.1

    def test_a_pattern_that_cannot_be_inspected_is_no_check(
        self, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(check_pattern, "encoded_pattern", lambda size, colour: b"no image")
        with pytest.raises(InputError, match="test pattern cannot be inspected here"):
            record_check(copy)


def test_the_command(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(copy)]) == 0
    (copy / "lowres.onnx").unlink()
    assert main(["verify", str(copy), "--json"]) == 2
    said = capsys.readouterr()
    assert said.err == f"error: bundle {copy} refused: lowres.onnx: is missing\n"
