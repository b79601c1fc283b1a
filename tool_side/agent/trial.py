"""Does a bundle load and inspect at all? Tried in a process of its own: one that crashes takes nothing with it.

python -P -m tool_side.agent.trial BUNDLE [PUBLIC_KEY]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tool_side import Inspector
from wafer_data.errors import InputError
from wafer_data.own_code import child_command, child_environment

SECONDS = 60.0


def try_bundle(
    bundle: str | Path, public_key: str | Path | None = None, seconds: float = SECONDS
) -> str | None:
    """Load a bundle in a child process and inspect one image with it.

    Args:
        bundle: Its folder.
        public_key: Key that it must be signed with, or None.
        seconds: After so long it counts as failed.

    Returns:
        What is wrong with it, in words; None if nothing is.
    """
    command = child_command("tool_side.agent.trial", str(bundle))
    if public_key is not None:
        command.append(str(public_key))
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        return f"it does not load within {seconds:.0f} s"
    except OSError as error:
        return f"it could not be tried ({error.strerror})"
    if ended.returncode == 0:
        return None
    if ended.returncode < 0:
        return f"loading it crashes the process (signal {-ended.returncode})"
    lines = ended.stderr.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"loading it ends with status {ended.returncode}"


def main(arguments: list[str]) -> int:
    """Exit status 0 if the bundle works, 2 with a message if not."""
    bundle, *key = arguments
    try:
        inspector = Inspector(bundle, public_key=key[0] if key else None)
        size, inspector.source_size = inspector.preprocessing.image_size, None  # noise is of no recipe's size
        grey = np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)
        result = inspector.inspect(grey, recipe=inspector.recipes[0])
        failed = [reason for reason in result.reasons if reason.startswith("a model ")]
        if failed:
            raise InputError(failed[0])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
