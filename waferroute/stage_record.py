"""What a stage leaves behind besides its result: what the result was made from, and what it consisted of."""

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wafer_data.errors import InputError
from wafer_data.files import read_json, sha256_file, sha256_json, write_json

SCHEMA = 1
RECORD_NAME = "stage.json"
# Larger files that kept both size and time of change are taken as unchanged: reading the pixels of a data set
# of half a million images again would take minutes in every command.
ALWAYS_HASHED_BYTES = 256 * 2**20


@dataclass(frozen=True)
class OutputFile:
    """A result file.

    Attributes:
        sha256: Of its bytes.
        bytes: Its size.
        mtime_ns: Time of change, nanoseconds.
    """

    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class StageRecord:
    """State of a stage in a run folder.

    Attributes:
        depends: What the result follows from (version, settings, inputs, sources, code), as JSON.
        outputs: By path relative to the stage's folder; None while the stage has begun but not ended.
        seconds: Duration of the attempt that ended.
        failed: Whether an attempt that has not ended was given up with an error, rather than interrupted.
        before: While it has not ended: the record of the result that stays in the folder until then, if one does.
    """

    depends: dict[str, Any]
    outputs: dict[str, OutputFile] | None = None
    seconds: float = 0.0
    failed: bool = False
    before: "StageRecord | None" = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything the result follows from."""
        return sha256_json(self.depends)

    @property
    def finished(self) -> "StageRecord | None":
        """The record of the result in the folder; None if there is none."""
        return self if self.outputs is not None else self.before

    def write(self, path: Path, stage: str) -> None:
        """Write the record whole or not at all."""
        write_json(path, {"schema": SCHEMA, "stage": stage, **self._content()})

    @classmethod
    def read(cls, path: Path) -> "StageRecord | None":
        """The record at `path`; None if there is none or it was damaged (the stage is then done again)."""
        try:
            content = read_json(path)
            return cls._of(content) if content["schema"] == SCHEMA else None
        except (InputError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _content(self) -> dict[str, Any]:
        ended = self.outputs is not None
        content: dict[str, Any] = {
            "status": "done" if ended else "failed" if self.failed else "begun",
            "fingerprint": self.fingerprint,
            "depends": self.depends,
            "seconds": round(self.seconds, 3),
            "outputs": None
            if self.outputs is None
            else {name: asdict(output) for name, output in self.outputs.items()},
        }
        return content if self.before is None else content | {"before": self.before._content()}

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> "StageRecord | None":
        outputs = content["outputs"]
        if outputs is not None:
            outputs = {name: OutputFile(**output) for name, output in outputs.items()}
        before = content.get("before")
        record = cls(
            dict(content["depends"]),
            outputs,
            float(content["seconds"]),
            content.get("status") == "failed",
            None if before is None else cls._of(before),
        )
        return record if record.fingerprint == content.get("fingerprint") else None


def take_stock(folder: Path, record_path: Path, logs: Sequence[str]) -> dict[str, OutputFile]:
    """Every result file below `folder`, without the record itself, hidden files and logs.

    Args:
        logs: Patterns of paths relative to `folder`; a pattern also covers everything below a folder it
            matches.
    """
    found = {}
    for root, folders, names in os.walk(folder):
        here = Path(root).relative_to(folder)
        folders[:] = sorted(name for name in folders if not _passed_over(here / name, logs))
        for name in sorted(names):
            path = folder / here / name
            if path == record_path or _passed_over(here / name, logs) or not path.is_file():
                continue
            status = path.stat()
            found[(here / name).as_posix()] = OutputFile(
                sha256_file(path), status.st_size, status.st_mtime_ns
            )
    return found


def first_damage(folder: Path, outputs: Mapping[str, OutputFile]) -> str | None:
    """Why the result files are not those of the record any more, in words; None if they are."""
    for name, expected in outputs.items():
        path = folder / name
        try:
            status = path.stat()
        except OSError:
            return f"{path} is gone"
        same_look = (status.st_size, status.st_mtime_ns) == (expected.bytes, expected.mtime_ns)
        if same_look and status.st_size > ALWAYS_HASHED_BYTES:
            continue
        if status.st_size != expected.bytes or sha256_file(path) != expected.sha256:
            return f"{path} was changed"
    return None


def digest(outputs: Mapping[str, OutputFile]) -> str:
    """One hash over the names and contents of all result files."""
    return sha256_json({name: output.sha256 for name, output in outputs.items()})


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In words, the first things in which two `depends` differ."""
    before, after = _flat(old), _flat(new)
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    settings = [key.removeprefix("settings.") for key in keys if key.startswith("settings.")]
    if settings:
        return f"{', '.join(settings[:3])}{' ...' if len(settings) > 3 else ''} changed"
    if "version" in keys:
        return f"it was made by waferroute {old.get('version')}"
    inputs = [key.removeprefix("inputs.") for key in keys if key.startswith("inputs.")]
    if inputs:
        return f"the result of {' and '.join(inputs)} changed"
    code = [key.removeprefix("code.") for key in keys if key.startswith("code.")]
    if code:
        return f"the program's code in {', '.join(code[:3])}{' ...' if len(code) > 3 else ''} changed"
    return "the image files changed" if "sources" in keys else "what it depends on changed"


def _passed_over(relative: Path, logs: Sequence[str]) -> bool:
    name = relative.as_posix()
    return relative.name.startswith(".") or any(fnmatch.fnmatchcase(name, pattern) for pattern in logs)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            flat.update(_flat(entry, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = entry
    return flat
