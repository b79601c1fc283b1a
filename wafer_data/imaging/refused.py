"""The exception of an image that cannot be used, and the one in which the parts of the reader say why."""

from wafer_data.errors import DataError


class UnreadableImage(DataError):  # noqa: N818 (the name says what it is)
    """An image that cannot be used. `reason` is the short cause; the message also names the file."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.reason = reason


class Refused(Exception):  # noqa: N818
    """Why a file is not read; whoever knows the file's name makes an `UnreadableImage` of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def damaged(detail: str) -> Refused:
    """A file that is not whole."""
    return Refused(f"truncated or damaged: {detail}")


def unsupported(found: str, advice: str = "save it as 8-bit or 16-bit grey") -> Refused:
    """A sound file of a kind that is not read."""
    return Refused(f"unsupported: {found}; {advice}")
