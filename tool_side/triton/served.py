"""The runtime of the tool with students that somebody else runs: an inference server, where and how it likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tool_side.bundle.load import MODEL_NAMES
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.session import StudentOutput

Student = Callable[[np.ndarray], StudentOutput]
"""What `tool_side.runtime.session.StudentGraph` is: an image, float32 (S, S) in [0, 1], to the raw outputs."""


def served_inspector(bundle: str | Path, students: Mapping[str, Student]) -> Inspector:
    """An inspector on `bundle` that asks `students` ("lowres" and "full") instead of running the bundle's graphs.

    Everything else is the runtime's own: reading, quality gate, recipes, policy, and that an image whose
    student fails is REVIEW. The bundle is verified, and its graphs are loaded and run once, before they are
    let go.

    Raises:
        InputError: For a bundle that is refused or does not run.
    """
    inspector = Inspector(bundle)
    inspector.students = {name: students[name] for name in MODEL_NAMES}
    return inspector
