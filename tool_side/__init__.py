"""What leaves for the inspection tool: the bundle, and the torch-free runtime that judges images with it.

`from tool_side import Inspector; Inspector("bundle").inspect("wafer.png")`. On the tool numpy, onnxruntime
and Pillow are enough; only :mod:`tool_side.export.write`, which writes bundles, needs the training side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tool_side.bundle.load import Bundle as Bundle
    from tool_side.bundle.load import load_bundle as load_bundle
    from tool_side.runtime.inspection import Inspection as Inspection
    from tool_side.runtime.inspector import Inspector as Inspector

__all__ = ["Bundle", "Inspection", "Inspector", "load_bundle"]

_HOMES = {
    "Bundle": "tool_side.bundle.load",
    "Inspection": "tool_side.runtime.inspection",
    "Inspector": "tool_side.runtime.inspector",
    "load_bundle": "tool_side.bundle.load",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that `import tool_side` costs nothing and does not load onnxruntime.
    if name not in _HOMES:
        raise AttributeError(f"module 'tool_side' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
