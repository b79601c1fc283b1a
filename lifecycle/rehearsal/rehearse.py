"""One rehearsal from its start to its report."""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.rehearsal.images import GOOD, Camera, Library
from lifecycle.rehearsal.notices import as_text
from lifecycle.rehearsal.play import Rehearsal
from lifecycle.rehearsal.played_fab import PlayedFab, Size
from lifecycle.rehearsal.site import running
from lifecycle.rehearsal.timeline import TODAY_DAYS
from lifecycle.retraining.config import RetrainingConfig
from tool_side import Inspector
from wafer_data.errors import InputError
from wafer_data.files import write_bytes
from wafer_data.progress import track

_TRIED, _LEAST_PASS = 20, 0.5


def rehearse(
    bundle: Path,
    library: Library,
    size: Size,
    *,
    seed: int = 0,
    workers: int = 2,
    data: Path | None = None,
    retraining: RetrainingConfig | None = None,
) -> tuple[dict[str, Any], str]:
    """Play a fab and say what was noticed.

    Args:
        bundle: What the service serves.
        library: What its tools see.
        size: How much is played.
        seed: Of everything that is drawn.
        workers: Of the service.
        data: The service's folder, new; default a temporary one that is removed.
        retraining: Settings of a retraining: the process changes, drift asks, and a new version is learned.

    Returns:
        JSON-ready, and the same in words.

    Raises:
        InputError: The bundle cannot judge these images, the folder is not new, or the service fails.
    """
    _require_known(bundle, library)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waferroute-rehearsal-") as scratch:
        where = data if data is not None else Path(scratch) / "data"
        if where.exists() and any(where.iterdir()):
            raise InputError(f"{where} is not empty: a rehearsal begins with a new folder")
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        # which PASS images are audited is drawn with it: the same in every rehearsal of a seed
        write_bytes(where / "secret", hashlib.sha256(f"rehearsal {seed}".encode()).digest())
        with running(bundle.resolve(), where, workers) as site:
            fab = PlayedFab(site, bundle, library, size, seed, Path(scratch))
            try:
                played = Rehearsal(fab, retraining)
                for day in track(range(size.days), "days of the fab"):
                    played.day(day)
                figures = played.end()
            finally:
                fab.close()
    took = time.monotonic() - started
    kind = "SYNTHETIC micrographs" if library.synthetic else "recorded images"
    about = (
        f"{size.days} days, {size.tools} tools, {size.images_a_day} {kind} a day (a sample of what a fab inspects), "
        f"{workers} workers, {took:.0f} s"
    )
    found = {
        "synthetic": library.synthetic, "size": asdict(size), "seed": seed, "workers": workers, "seconds": took,
        "today_days": TODAY_DAYS, "events": [one.to_dict() for one in fab.notices],
        "whole": {**asdict(fab.line.whole), "usd": fab.line.whole.usd}, **figures,
    }  # fmt: skip
    text = as_text(fab.notices, fab.line.whole, about)
    alarms = figures["false_alarms_of_drift"]
    text += (
        f"\nfalse alarms of drift: {len(alarms)}; requests failed: {figures['requests_failed']}; wafers decided by two "
        f"versions: {figures['wafers_decided_by_two_versions']}; kept {figures['images_kept']} of "
        f"{figures['images_sent']} answered images"
    )
    return found, "\n".join([text, *(f"  {one}" for one in alarms)])


def _require_known(bundle: Path, library: Library) -> None:
    """The bundle must have learned such images: else all of them are REVIEW, and nothing can be rehearsed."""
    inspector = Inspector(bundle)
    recipe = inspector.recipes[0]
    images = library.images[GOOD][:_TRIED]
    rng = np.random.default_rng(0)
    results = [inspector.inspect(Camera().photograph(image, rng), recipe=recipe) for image in images]
    passed = sum(str(one.decision) == "PASS" for one in results)
    if passed < _LEAST_PASS * len(images):
        reasons = sorted({reason for one in results for reason in one.reasons})[:2]
        raise InputError(
            f"{bundle} passes {passed} of {len(images)} good images of the rehearsal ({'; '.join(reasons)}): it has "
            "not learned such images; train one with `waferroute micrographs` and configs/synthetic_small.yaml, or "
            "name a folder of its own images with --images"
        )
