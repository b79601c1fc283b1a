"""What was found wrong with the data stands in the report, and in the one that is made again."""

import json
from pathlib import Path

from eval.evaluate import _data_problems


def test_lines_of_a_run(tmp_path: Path) -> None:
    assert _data_problems(tmp_path) == []
    (tmp_path / "data").mkdir()
    problem = {"path": "/d/a_mask.png", "problem": "empty mask", "detail": "it marks no pixel"}
    (tmp_path / "data" / "problems.json").write_text(json.dumps([problem] * 3))
    assert _data_problems(tmp_path) == [
        "3 masks mark no pixel: those images count without mask. First: /d/a_mask.png: it marks no pixel; all in "
        "data/problems.json"
    ]
