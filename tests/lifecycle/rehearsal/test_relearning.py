"""From drift to a version that decides, with a real training of seconds on what the rehearsal's own service saw.

The backbone has random weights and the gate is wide open: nothing here says how well a retraining works.
"""

from pathlib import Path

import numpy as np
import pytest

from lifecycle.rehearsal import timeline
from lifecycle.rehearsal.images import Library
from lifecycle.rehearsal.played_fab import Size
from lifecycle.rehearsal.rehearse import rehearse
from lifecycle.retraining.config import RetrainingConfig
from service.versions.folder import VersionFolder
from tests.lifecycle.retraining.conftest import tiny_settings
from tests.tool_side.conftest import square, wafer
from waferroute.retraining import STEPS

__all__ = ["tiny_settings"]
pytestmark = pytest.mark.end_to_end
WIDE_OPEN = {
    "auroc": 0.0, "fnr_at_fpr5": 1.0, "escape": 1.0, "false_alarm": 1.0, "worse": 1.0, "p99_ms": 60_000.0,
    "regressions": 10_000,
}  # fmt: skip


def test_drift_asks_and_the_candidate_goes_all_the_way(
    bundles: list[Path], tiny_settings: Path, tmp_path: Path
):
    images: dict[str, list[np.ndarray]] = {
        "good": [square(wafer(9000 + i)) for i in range(40)],
        "bright": [square(wafer(9100 + i, 0.4)) for i in range(6)],
        "dark": [square(wafer(9200 + i, -0.4)) for i in range(6)],
    }
    settings = RetrainingConfig.model_validate(
        {
            "work": "unused", "service": {"data": "unused-data"}, "frozen": ["unused"],
            "train": {"config": str(tiny_settings), "labels_per_type": 2},
            "extract": {"unreviewed": True, "lot_share": 1.0, "tool_share": 1.0, "most": 100},
            "checks": {"least_normal": 10, "gate_refused": 1.0, "duplicates": 1.0}, "gate": WIDE_OPEN,
        }
    )  # fmt: skip
    found, text = rehearse(
        bundles[0], Library(images, "dark", False), Size(days=18, tools=2, images_a_day=32),
        data=tmp_path / "data", retraining=settings,
    )  # fmt: skip
    learned = next(one for one in found["events"] if one["event"] == timeline.RETRAINING)
    assert [one["step"] for one in learned["figures"]["steps"]] == list(STEPS), text
    assert learned["noticed"] is not None, text
    assert VersionFolder(tmp_path / "data" / "models").pointer().champion == learned["figures"]["version"]
