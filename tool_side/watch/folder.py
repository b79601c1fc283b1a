"""Which files of a watched folder are new: found by looking often, cheaply, also with 100 000 files in it.

No notification service of an operating system is used: they lose events under load and say nothing on network
drives. A folder whose modification time stands still has neither got nor lost a name, so it is not listed
again; and where it is, new names are found without asking for each file. Now and then every file is asked for
its size, time and inode, which finds those that were overwritten or replaced under an old name.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tool_side.runtime.inspect_files import is_image_name
from tool_side.watch.done import Done, FileState
from wafer_data.listing import LEADS_NOWHERE, is_other_format, is_system_folder, leads_nowhere

_LOG = logging.getLogger(__name__)
# A share of the time that looking may take, so that a slow drive does not keep a core busy.
_QUICK_SHARE, _THOROUGH_SHARE = 0.1, 0.05
_THOROUGH_EVERY_S = 1.0
# A file that arrives while its folder is listed may leave the folder's time as it was: some file systems count
# in steps of two seconds. So a folder that changed this recently is listed again.
_RECENT_NS = 2_500_000_000


class _Folder:
    """What one folder looked like when it was last listed.

    Attributes:
        mtime_ns: None if it is not to be relied on.
    """

    def __init__(self) -> None:
        self.mtime_ns: int | None = None
        self.names: set[str] = set()
        self.folders: list[str] = []


class WatchedFolder:
    """Finds image files below `root` (sub-folders too, hidden ones not) that `done` does not know.

    Symbolic links are followed; a folder that is reached in several ways is searched in one, without links if
    there is such a way. Folders of the system (`wafer_data.listing`) are passed over.

    Attributes:
        clock: Seconds, monotonic.
        left_out: Sub-folders that could not be read at the last thorough look or since, and links to folders that are
            not there; each is said once.
    """

    def __init__(self, root: Path, done: Done, clock: Callable[[], float] = time.monotonic) -> None:
        # Not resolved: a link that is pointed elsewhere is still the same place to the user.
        self.root = os.path.abspath(root)  # noqa: PTH100
        self._done, self._clock = done, clock
        self._known: dict[str, _Folder] = {}
        self._quick_due = self._thorough_due = float("-inf")
        self.left_out: set[str] = set()
        self._left_out_before: set[str] = set()
        self._other_formats: set[str] = set()

    def new_files(self) -> list[str]:
        """Paths that have no result yet, or whose file was replaced or changed since; often empty.

        Raises:
            OSError: When the root cannot be read; a sub-folder that cannot be is left out this time.
        """
        started = self._clock()
        thorough = started >= self._thorough_due
        if not thorough and started < self._quick_due:
            return []
        found = list(self._look(thorough))
        ended = self._clock()
        self._quick_due = ended + (ended - started) / _QUICK_SHARE
        if thorough:
            self._quick_due = ended
            self._thorough_due = ended + max(_THOROUGH_EVERY_S, (ended - started) / _THOROUGH_SHARE)
        return found

    def _look(self, thorough: bool) -> Iterator[str]:
        pending, links, seen = [self.root], list[str](), set[tuple[int, int]]()
        if thorough:
            self._left_out_before, self.left_out = self.left_out, set()
        while pending or links:
            folder = pending.pop() if pending else links.pop(0)
            try:
                status = Path(folder).stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                known = self._known.setdefault(folder, _Folder())
                mtime_ns = status.st_mtime_ns
                if thorough or known.mtime_ns != mtime_ns:
                    known.mtime_ns = None if mtime_ns > time.time_ns() - _RECENT_NS else mtime_ns
                    yield from self._all(folder, known) if thorough else self._new_names(folder, known)
                for path in known.folders:
                    (links if os.path.islink(path) else pending).append(path)  # noqa: PTH114
                links.sort()
            except OSError as error:
                self._known.pop(folder, None)
                if folder == self.root:
                    raise
                if not isinstance(error, FileNotFoundError):  # else it was removed while it was looked at
                    self._leave_out(folder, error.strerror)

    def _new_names(self, folder: str, known: _Folder) -> Iterator[str]:
        names = set(os.listdir(folder))  # noqa: PTH208 (ten times as fast as a Path for each of 100 000 names)
        before, known.names = known.names, names
        for name in names - before:
            path = os.path.join(folder, name)  # noqa: PTH118
            if is_image_name(name) and Path(path).is_file():  # a pipe of that name is not waited for
                yield path
                continue
            if _is_folder(name, path):  # also one that is called like an image
                known.folders.append(path)
            else:
                self._say_format(name, path)
        if len(names) < len(before | names):
            known.folders = [path for path in known.folders if os.path.basename(path) in names]  # noqa: PTH119

    def _all(self, folder: str, known: _Folder) -> Iterator[str]:
        known.names, known.folders = set(), []
        with os.scandir(folder) as entries:
            for entry in entries:
                known.names.add(entry.name)
                if is_image_name(entry.name) and not _may_be_folder(entry):
                    if self._is_new(entry):
                        yield entry.path
                elif _is_folder(entry.name, entry.path):
                    known.folders.append(entry.path)
                elif is_image_name(entry.name):
                    if self._is_new(entry):  # a link to a file
                        yield entry.path
                elif leads_nowhere(entry) and not is_system_folder(entry.name):
                    self._leave_out(entry.path, LEADS_NOWHERE)
                else:
                    self._say_format(entry.name, entry.path)

    def _leave_out(self, folder: str, why: str | None) -> None:
        if folder not in self.left_out | self._left_out_before:
            _LOG.warning("%s cannot be read (%s): its images are not inspected until it can", folder, why)
        self.left_out.add(folder)

    def _say_format(self, name: str, path: str) -> None:
        """Of the first file of each format that is not read: an image that nobody looked at did not pass."""
        if not is_other_format(name):
            return
        suffix = Path(name).suffix.lower()
        if suffix not in self._other_formats:
            self._other_formats.add(suffix)
            _LOG.warning("%s: not looked at, like all %s files (a format that is not read)", path, suffix)

    def _is_new(self, entry: os.DirEntry[str]) -> bool:
        try:
            # On Windows a listing's own figures lack the inode.
            status = entry.stat() if os.name == "posix" else Path(entry.path).stat()
        except OSError:  # gone already, or a link to nowhere
            return False
        return not self._done.is_same_file(entry.path, FileState.of(status)) and entry.is_file()


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """What the listing itself says; asks for no file."""
    return entry.is_symlink() or entry.is_dir(follow_symlinks=False)


def _is_folder(name: str, path: str) -> bool:
    return not is_system_folder(name) and Path(path).is_dir()
