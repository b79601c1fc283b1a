"""The images that a defect list names: where they lie, and what the inspector says of each."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from router.decision import REVIEW
from tool_side.runtime.inspection import Inspection
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.pages import read_page
from wafer_data.imaging.read import UnreadableImage
from wafer_map.klarf import ImageEntry
from waferroute.klarf_bins import image_size_of


class ImageJudge:
    """Inspects the images that a list names, each once."""

    def __init__(self, inspector: Inspector, folder: Path, recipe: str | None) -> None:
        self.inspector, self.folder, self.recipe = inspector, folder, recipe
        self._pages: tuple[Path, bytes] | None = None
        self.last: Path | bytes | None = None

    def __call__(self, entry: ImageEntry) -> Inspection:
        """The inspection of one entry; one that could not be read is REVIEW with the reason."""
        self.last = None
        if entry.file is None:
            return _unjudged("?", "the list names no image file")
        path = find_image(self.folder, entry.file)
        if path is None:
            return _unjudged(entry.file, f"{entry.file} is not in {self.folder}")
        if path.suffix.lower() in (".tif", ".tiff") and entry.number:
            try:
                page = read_page(self._bytes(path), entry.number, self.inspector.preprocessing, str(path))
            except UnreadableImage as error:
                return _unjudged(str(path), f"the image cannot be read: {error.reason}")
            self.last = page
            return self.inspector.inspect(page, recipe=self.recipe)
        self.last = path
        return self.inspector.inspect(path, recipe=self.recipe)

    def size(self) -> tuple[int, int]:
        """(width, height) of the last image."""
        side = self.inspector.preprocessing.image_size
        return (side, side) if self.last is None else image_size_of(self.last, side)

    def _bytes(self, path: Path) -> bytes:
        """A file of several pages is read once for all of them."""
        if self._pages is None or self._pages[0] != path:
            try:
                self._pages = (path, path.read_bytes())
            except OSError as error:
                raise UnreadableImage(str(path), f"cannot be read ({error.strerror})") from error
        return self._pages[1]


def find_image(folder: Path, name: str) -> Path | None:
    """The file that a list calls `name`: below `folder` as it is written, or by its last part; None if neither is.

    Names may have the separators and drives of another system. Nothing outside `folder` is ever read.
    """
    parts = [part for part in PureWindowsPath(name).parts if part not in ("/", "\\", ".")]
    parts = [part for part in parts if not part.endswith((":\\", ":/", ":")) and not part.startswith("\\\\")]
    if not parts or ".." in parts or "\x00" in name:
        return None
    for candidate in (folder.joinpath(*parts), folder / parts[-1]):
        try:
            if candidate.is_file() and candidate.resolve().is_relative_to(folder.resolve()):
                return candidate
        except OSError:  # longer than any name may be, or in a folder that may not be read
            continue
    return None


def _unjudged(source: str, reason: str) -> Inspection:
    return Inspection(source=source, decision=REVIEW, reasons=(reason,), unreadable=True)
