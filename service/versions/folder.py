"""The folder of versions: sealed bundles by name, and an append-only pointer that says which one decides.

    MODELS/vae-wafer-v1.2.0/bundle/...      as it was exported, verified before it is named by the pointer
    MODELS/vae-wafer-v1.2.0/version.json    state, parent, provenance, what the gate said
    MODELS/pointer.jsonl                    one line a switch: champion, previous, canary, who, why
    MODELS/verdicts/BUNDLE-ID.json          what a gate said of a bundle, also of one that never became a version
    MODELS/seen/WORKER.json                 which line each live worker has taken up

Workers follow the pointer; `promote` and `rollback` append a line and wait until every live worker has taken it up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from service.settings import require_data
from service.versions.names import FIRST, VersionName, change_between, parse_name
from tool_side import load_bundle
from wafer_data.errors import InputError
from wafer_data.files import copy_folder, new_directory, read_json, write_error, write_json

WARM = 5
"""So many versions stay loaded, the one in use among them."""

State = Literal["candidate", "archived"]
SILENT = "has not answered yet"
POINTER, SEEN, VERSION, VERDICTS = "pointer.jsonl", "seen", "version.json", "verdicts"


@dataclass(frozen=True)
class Registered:
    """One version.

    Attributes:
        name: `vae-wafer-v...`.
        bundle: Identity of the bundle: SHA-256 of its manifest.
        state: "archived" versions are not loaded and cannot be promoted.
        parent: The version it follows, or None.
        created_at: Unix time.
        gate: What the gate said of it: `passed` and reasons; None where no gate has looked.
        about: Git commit, data fingerprint, run, report and the like; JSON.
    """

    name: str
    bundle: str
    state: State
    parent: str | None
    created_at: float
    gate: Mapping[str, Any] | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Canary:
    """A candidate that decides a share of wafers.

    Attributes:
        rollout: Salt of the hash that draws them.
    """

    version: str
    share: float
    rollout: str


@dataclass(frozen=True)
class Pointer:
    """One line of the pointer.

    Attributes:
        seq: From 1.
        champion: The version that decides.
        previous: The one before, which `rollback` goes back to.
        canary: Who decides some wafers instead, or None.
        by: Who switched.
        reason: Why.
        at: Unix time.
    """

    seq: int
    champion: str
    previous: str | None
    canary: Canary | None
    by: str
    reason: str
    at: float


def versions_in(data: Path, public_key: str | Path | None = None) -> VersionFolder:
    """The versions of a service that has been started, or that one was pushed to.

    Raises:
        NotFoundError: There is no such data folder.
    """
    require_data(data)
    return VersionFolder(data / "models", public_key)


class VersionFolder:
    """A folder of versions. Processes may share it; only what is complete is ever seen.

    Args:
        path: The folder; it is made by the first version.
        public_key: Key that bundles must be signed with, or None.
    """

    def __init__(self, path: str | Path, public_key: str | Path | None = None) -> None:
        self.path, self.public_key = Path(path), public_key

    # --- versions ---------------------------------------------------------------------------------------------

    def versions(self) -> list[Registered]:
        """All versions, oldest name first."""
        found = []
        for folder in self.path.glob("vae-wafer-v*"):
            if (folder / VERSION).is_file():
                found.append(_registered(read_json(folder / VERSION), folder / VERSION))
        return sorted(found, key=lambda version: parse_name(version.name))

    def get(self, name: str) -> Registered:
        """One version by its name.

        Raises:
            InputError: There is none of that name.
        """
        whole = str(parse_name(name))
        known = {version.name: version for version in self.versions()}
        if whole not in known:
            raise InputError(f"{self.path} has no version {whole}; it has {', '.join(known) or 'none'}")
        return known[whole]

    def bundle(self, name: str) -> Path:
        """Where a version's bundle lies."""
        return self.path / name / "bundle"

    def push(
        self,
        bundle: str | Path,
        *,
        name: str | None = None,
        gate: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Registered:
        """Copy a bundle into the folder as a new version.

        Pushing the same bundle again gives the version that it has already. What a gate said of the bundle before it
        was pushed goes along.

        Args:
            bundle: Folder of a bundle; it is verified, with its signature where `public_key` was given.
            name: Default: the newest version's, raised as `service.versions.names` says.
            gate: What a gate said of it.
            about: Where it comes from.

        Raises:
            InputError: The bundle is refused, has another name already, or the name is another bundle's.
        """
        loaded = load_bundle(bundle, public_key=self.public_key)
        identity = loaded.id
        with self._locked():
            known = self.versions()
            same = next((v for v in known if v.bundle == identity), None)
            if same is not None:
                if name and str(parse_name(name)) != same.name:
                    raise InputError(
                        f"{bundle} is {same.name} already, and a bundle has one name: leave {name} out"
                    )
                return same
            gate = gate or self.verdict(identity)
            newest = known[-1] if known else None
            chosen = str(parse_name(name)) if name else str(self._next(newest, loaded.manifest))
            if (self.path / chosen).exists():
                raise InputError(f"{chosen} is the name of another bundle: give a new one")
            version = Registered(
                chosen,
                identity,
                "candidate",
                newest.name if newest else None,
                time.time(),
                gate,
                dict(about or {}),
            )
            with new_directory(self.path / chosen) as folder:
                copy_folder(Path(bundle), folder / "bundle")
                # what was copied is what was verified
                if load_bundle(folder / "bundle", public_key=self.public_key).id != identity:
                    raise InputError(f"{bundle} changed while it was copied: push it again")
                write_json(folder / VERSION, asdict(version))
        return version

    def archive(self, name: str) -> Registered:
        """Take a version out of use for good; its files stay.

        Raises:
            InputError: The pointer names it.
        """
        with self._locked():
            version = self.get(name)
            pointer = self.pointer()
            if pointer is not None and version.name in _named(pointer):
                raise InputError(
                    f"{version.name} is in use, or is what a rollback goes back to: not archived"
                )
            return self._write(replace(version, state="archived"))

    def set_gate(self, name: str, gate: Mapping[str, Any]) -> Registered:
        """Keep what a gate said of a version."""
        with self._locked():
            return self._write(replace(self.get(name), gate=dict(gate)))

    def keep_verdict(self, bundle_id: str, gate: Mapping[str, Any]) -> None:
        """Keep what a gate said of a bundle, whether it is a version or not: no other door leads round it.

        Args:
            bundle_id: `Bundle.id`.
            gate: `passed`, `reasons` and more.
        """
        with self._locked():
            write_json(self.path / VERDICTS / f"{bundle_id}.json", dict(gate))
            for version in self.versions():
                if version.bundle == bundle_id:
                    self._write(replace(version, gate=dict(gate)))

    def verdict(self, bundle_id: str) -> dict[str, Any] | None:
        """What `keep_verdict` kept of a bundle; None where no gate has looked."""
        path = self.path / VERDICTS / f"{bundle_id}.json"
        return dict(read_json(path)) if path.is_file() else None

    def warm(self) -> list[str]:
        """Names of the versions to hold loaded: those that the pointer names, then the newest, `WARM` in all."""
        pointer = self.pointer()
        names = _named(pointer) if pointer else []
        newest = [v.name for v in reversed(self.versions()) if v.state != "archived"]
        return [*names, *(n for n in newest if n not in names)][: max(WARM, len(names))]

    # --- pointer ------------------------------------------------------------------------------------------------

    def pointer(self) -> Pointer | None:
        """The last line; None before the first version was promoted.

        Raises:
            InputError: The file is damaged.
        """
        lines = self.history()
        return lines[-1] if lines else None

    def history(self) -> list[Pointer]:
        """All lines, oldest first. A last line without an end was never in force: its writer was killed."""
        try:
            data = (self.path / POINTER).read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{self.path / POINTER} cannot be read ({error.strerror})") from error
        complete = data[: data.rfind(b"\n") + 1].splitlines()
        return [_pointer(line, number, self.path / POINTER) for number, line in enumerate(complete, 1)]

    def point(self, champion: str, canary: Canary | None, *, by: str, reason: str) -> Pointer:
        """Append a line.

        Raises:
            InputError: A version is unknown or archived, or the line cannot be written.
        """
        with self._locked():
            return self._point(champion, canary, by=by, reason=reason)

    def promote(self, name: str, *, by: str, reason: str) -> Pointer:
        """Let a version decide.

        Raises:
            InputError: It is unknown or archived, does not load or verify, or its gate did not pass.
        """
        with self._locked():
            version = self.get(name)
            self.require_usable(version)
            return self._point(version.name, None, by=by, reason=reason)

    def start_canary(self, name: str, share: float, rollout: str, *, by: str, reason: str) -> Pointer:
        """Let a version decide a share of wafers.

        Raises:
            InputError: As for `promote`; also if nothing is in use yet, or the version itself is.
        """
        with self._locked():
            version, pointer = self.get(name), self.pointer()
            if pointer is None or pointer.champion == version.name:
                raise InputError(
                    f"{version.name} cannot be a canary: {'it is' if pointer else 'nothing is'} in use"
                )
            if not 0 < share < 1:
                raise InputError(f"a canary's share lies between 0 and 1, not at {share}")
            self.require_usable(version)
            canary = Canary(version.name, share, rollout)
            return self._point(pointer.champion, canary, by=by, reason=reason)

    def rollback(self, *, by: str, reason: str) -> Pointer:
        """Go back: end a canary, or else to the version before.

        Raises:
            InputError: There is nothing to go back to.
        """
        with self._locked():
            pointer = self.pointer()
            if pointer is None:
                raise InputError(f"{self.path} has no version in use: nothing to go back to")
            if pointer.canary is not None:
                return self._point(pointer.champion, None, by=by, reason=reason)
            if pointer.previous is None:
                raise InputError(f"{pointer.champion} is the first version in use: nothing to go back to")
            return self._point(pointer.previous, None, by=by, reason=reason)

    # --- who follows --------------------------------------------------------------------------------------------

    def take_up(self, worker: str, seq: int, problem: str | None = None) -> None:
        """A worker says which line it follows, and what kept it from following the newest one."""
        state = {"pid": os.getpid(), "seq": seq, "problem": problem, "at": time.time()}
        write_json(self.path / SEEN / f"{worker}.json", state)

    def leave(self, worker: str) -> None:
        """A worker ends."""
        (self.path / SEEN / f"{worker}.json").unlink(missing_ok=True)

    def behind(self, seq: int) -> dict[str, str]:
        """Live workers of this machine that have not taken up line `seq`, with what they say about it."""
        waiting = {}
        for path in sorted((self.path / SEEN).glob("*.json")):
            try:
                state = read_json(path)
                pid, seen, problem = int(state["pid"]), int(state["seq"]), state["problem"]
            except (InputError, KeyError, TypeError, ValueError):
                continue
            if not _is_alive(pid):
                path.unlink(missing_ok=True)
            elif seen < seq:
                waiting[path.stem] = problem or SILENT
        return waiting

    def wait(self, seq: int, seconds: float = 30.0) -> tuple[float, dict[str, str]]:
        """Wait until every live worker follows line `seq`, or says that it cannot.

        Returns:
            How many seconds that took, and which workers do not follow, with the reason.
        """
        started = time.monotonic()
        while waiting := self.behind(seq):
            if all(reason != SILENT for reason in waiting.values()) or time.monotonic() - started >= seconds:
                break
            time.sleep(0.05)
        return time.monotonic() - started, waiting

    # --- inside -------------------------------------------------------------------------------------------------

    def _next(self, newest: Registered | None, manifest: Mapping[str, Any]) -> VersionName:
        if newest is None:
            return FIRST
        old = read_json(self.bundle(newest.name) / "manifest.json")
        return parse_name(newest.name).next(change_between(old, manifest))

    def require_usable(self, version: Registered) -> None:
        """Make sure that a version may decide: every way to let one decide, and to give it to tools, comes by here.

        Raises:
            InputError: It is archived, its gate did not pass, or its bundle does not verify or is another one.
        """
        if version.state == "archived":
            raise InputError(f"{version.name} is archived: push it again under a new name")
        if version.gate is not None and not version.gate.get("passed"):
            reasons = "; ".join(str(r) for r in version.gate.get("reasons", [])) or "no reason given"
            raise InputError(f"{version.name} did not pass its gate ({reasons}): it cannot be promoted")
        loaded = load_bundle(self.bundle(version.name), public_key=self.public_key)
        if loaded.id != version.bundle:
            raise InputError(f"the bundle of {version.name} is not the one that was pushed")

    def _point(self, champion: str, canary: Canary | None, *, by: str, reason: str) -> Pointer:
        last = self.pointer()
        previous = last.champion if last and last.champion != champion else last.previous if last else None
        line = Pointer(last.seq + 1 if last else 1, champion, previous, canary, by, reason, time.time())
        path = self.path / POINTER
        try:
            with path.open("ab+") as file:
                file.seek(0)
                data = file.read()
                # what a killed writer left is not a line
                file.truncate(data.rfind(b"\n") + 1)
                file.write(json.dumps(asdict(line), ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(path, error) from error
        return line

    def _write(self, version: Registered) -> Registered:
        write_json(self.path / version.name / VERSION, asdict(version))
        return version

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _named(pointer: Pointer) -> list[str]:
    """Versions that must stay loaded, the most needed first."""
    names = [pointer.champion, pointer.canary.version if pointer.canary else None, pointer.previous]
    return [name for name in dict.fromkeys(names) if name is not None]


def _pointer(line: bytes, number: int, path: Path) -> Pointer:
    try:
        data = json.loads(line)
        canary = Canary(**data["canary"]) if data["canary"] is not None else None
        return Pointer(**{**data, "canary": canary})
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}, line {number} is damaged ({error}): restore the file from a backup"
        ) from error


def _registered(data: Any, path: Path) -> Registered:
    try:
        return Registered(**data)
    except TypeError as error:
        raise InputError(f"{path} is damaged ({error}): push the version again") from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
