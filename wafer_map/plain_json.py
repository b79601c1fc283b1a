"""JSON files that people write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wafer_data.errors import ConfigurationError
from wafer_data.files import read_json


def read_plain_json(path: str | Path) -> Any:
    """The parsed content of a JSON file in which no object has a key twice: of two, the last would win unseen.

    Raises:
        InputError: it is missing, unreadable or not JSON. ConfigurationError: a key stands twice; names it.
    """
    content = read_json(path)

    def each_once(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ConfigurationError(
                    f"{path}: the key {key!r} stands twice in one object: keep one of them"
                )
            seen.add(key)

    if Path(path).is_file():  # a pipe cannot be read twice
        json.loads(Path(path).read_bytes(), object_pairs_hook=each_once)
    return content
