"""What a novelty assessment found: what `novelty.json` says and the page draws."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from eval.novelty.leave_one_out import LeaveOneOut
from eval.novelty.settings import REPORTED_TODAY_DAYS, NoveltySettings
from eval.novelty.simulate import TimeToDetection
from eval.provenance import Provenance

SCHEMA = 1


@dataclass(frozen=True)
class Novelty:
    """The whole assessment.

    Attributes:
        trained_with_labels: Labelled defects in the run's own training.
    """

    data: str
    settings: NoveltySettings
    held_out: LeaveOneOut
    times: TimeToDetection
    trained_with_labels: int
    synthetic: bool
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """The content of `novelty.json`."""
        content: dict[str, Any] = _finite(asdict(self))
        content["provenance"].pop("config_text")
        today = {"days": REPORTED_TODAY_DAYS, "source": "as reported by the fab, not measured here"}
        return {"schema": SCHEMA, "reported_today": today, **content}


def _finite(content: Any) -> Any:
    """The same with None for what JSON cannot hold."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
