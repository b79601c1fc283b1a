"""The runtime needs numpy, onnxruntime, Pillow and the standard library: shown in a fresh interpreter."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
TRAINING_ONLY = ("torch", "pydantic", "scipy", "sklearn", "cv2", "onnx", "rich", "pandas", "matplotlib")

SCRIPT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("not on the tool: " + name)
sys.meta_path.insert(0, Refuse())
import tool_side
assert "onnxruntime" not in sys.modules, "import tool_side must be cheap"
import router, router.gate, router.policy
from tool_side.runtime.inspect_files import run_inspect
status = run_inspect({bundle!r}, [{image!r}], json_output=True, heatmaps={maps!r})
loaded = sorted(name for name in {blocked!r} if name in sys.modules)
assert not loaded, loaded
sys.exit(status)
"""


def test_inspect_runs_where_nothing_of_the_training_side_can_be_imported(
    bundle: Path, tmp_path: Path, wafer: Callable[..., np.ndarray]
) -> None:
    image, maps = tmp_path / "wafer.png", tmp_path / "maps"
    Image.fromarray(wafer(3, 0.4)).save(image)
    script = SCRIPT.format(blocked=TRAINING_ONLY, bundle=str(bundle), image=str(image), maps=str(maps))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decision"] == "REJECT"
    assert (maps / "wafer.png.heatmap.png").is_file()


def test_the_public_names_are_there_and_others_are_not() -> None:
    import tool_side

    assert {name: getattr(tool_side, name).__name__ for name in tool_side.__all__} == {
        "Bundle": "Bundle",
        "Inspection": "Inspection",
        "Inspector": "Inspector",
        "load_bundle": "load_bundle",
    }
    with pytest.raises(AttributeError, match="Spector"):
        _ = tool_side.Spector
