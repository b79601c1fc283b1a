"""Two slots for bundles, and a link to the one in use; a switch is one rename.

    DIR/slot-a/bundle/    DIR/slot-b/bundle/    DIR/current -> slot-a

What inspects on the tool reads DIR/current/bundle. The slot in use is never written to.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from tool_side.agent.sources import Source
from tool_side.agent.trial import try_bundle
from tool_side.bundle.load import MANIFEST, load_bundle
from tool_side.bundle.signature import SIGNATURE, check_signature
from wafer_data.errors import BundleError, InputError
from wafer_data.files import new_directory, read_json, write_error, write_json

SLOTS = ("slot-a", "slot-b")
CURRENT, ABOUT, BUNDLE = "current", "about.json", "bundle"
_MOST_MANIFEST, _MOST_SIGNATURE = 16 << 20, 64 << 10


class Slots:
    """The bundles of one tool.

    Args:
        path: Folder; made if there is none.
        public_key: Key that every bundle must be signed with.
    """

    def __init__(self, path: str | Path, public_key: str | Path) -> None:
        self.path, self.public_key = Path(path), public_key

    def current(self) -> str | None:
        """The slot in use; None before the first bundle."""
        try:
            name = str((self.path / CURRENT).readlink())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self.path / CURRENT} is not the agent's link ({error.strerror})") from error
        return name if name in SLOTS else None

    def bundle(self, slot: str) -> Path:
        """Where a slot's bundle lies."""
        return self.path / slot / BUNDLE

    def about(self, slot: str) -> dict[str, str]:
        """`version` and `bundle` of what a slot holds; empty if it holds nothing whole."""
        try:
            found = read_json(self.path / slot / ABOUT)
            return {key: str(found[key]) for key in ("version", "bundle")}
        except (InputError, KeyError, TypeError):
            return {}

    def problem(self, slot: str) -> str | None:
        """What is wrong with the bytes of a slot's bundle; None if they are what was signed."""
        try:
            found = load_bundle(self.bundle(slot), public_key=self.public_key)
        except InputError as error:
            return str(error)
        known = self.about(slot).get("bundle")
        return None if found.id == known else f"{slot} holds the bundle {found.id}, not {known}"

    def install(self, source: Source, version: str, bundle: str | None) -> str:
        """Fetch a bundle into the slot that is not in use, check it, try it, and switch to it.

        Whatever fails, the slot in use stays as it is and in use.

        Args:
            source: Its files.
            version: What to call it; "" takes the bundle's id.
            bundle: `Bundle.id` that it must have; None takes what was signed.

        Returns:
            The slot.

        Raises:
            BundleError: The bundle is not what it should be, or does not run here.
            InputError: It cannot be fetched or written.
        """
        slot = SLOTS[1] if self.current() == SLOTS[0] else SLOTS[0]
        if bundle is None or self.about(slot).get("bundle") != bundle or self.problem(slot) is not None:
            with new_directory(self.path / slot) as folder:
                identity = self._fetch(source, folder / BUNDLE)
                if bundle not in (None, identity):
                    raise BundleError(f"the server sent the bundle {identity} instead of {bundle}")
                write_json(folder / ABOUT, {"version": version or identity, "bundle": identity})
        refused = try_bundle(self.bundle(slot), self.public_key)
        if refused is not None:
            raise BundleError(refused)
        self.switch(slot)
        return slot

    def switch(self, slot: str) -> None:
        """Use a slot from now on: one rename, so that there is always one in use."""
        fresh = self.path / f".{CURRENT}.{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            fresh.symlink_to(slot)
            fresh.replace(self.path / CURRENT)
        except OSError as error:
            raise write_error(self.path / CURRENT, error) from error

    def _fetch(self, source: Source, folder: Path) -> str:
        """The manifest first: its signature says which files there are and how large they may be."""
        folder.mkdir()
        manifest = source.read(MANIFEST, _MOST_MANIFEST)
        _write(folder / MANIFEST, manifest)
        _write(folder / SIGNATURE, source.read(SIGNATURE, _MOST_SIGNATURE))
        check_signature(folder, manifest, self.public_key)
        for name, entry in json.loads(manifest)["files"].items():
            target = folder / name
            if not target.resolve().is_relative_to(folder.resolve()):
                raise BundleError(f"{name} would lie outside the bundle")
            _write(target, source.read(name, int(entry["bytes"])))
        return load_bundle(folder, public_key=self.public_key).id


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
