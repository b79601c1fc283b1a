"""Where a bundle comes from: a server that is asked, or a folder that somebody carried here. Standard library only."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from wafer_data.errors import InputError

TIMEOUT_S = 30.0


class UnreachableError(InputError):
    """The server does not answer: nothing is wrong with any version, the tool goes on."""


class Source(Protocol):
    """Gives the files of a bundle."""

    def read(self, name: str, most: int) -> bytes:
        """A file of at most `most` bytes; raises InputError if it cannot be had or is larger."""


class Folder:
    """A bundle's folder, for example on a USB stick."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self, name: str, most: int) -> bytes:
        """See :class:`Source`."""
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise InputError(f"{self.path / name} cannot be read ({error.strerror})") from error
        return _checked(data, most, name)


class Server:
    """The service, asked as one tool.

    Args:
        url: Its address, such as https://inspection.fab:8443.
        tool: Id of this tool.
        key: The tool's key.
        layer: That it inspects, "" for none.
        ca: File of the site's certificate authority, for https.
    """

    def __init__(
        self, url: str, tool: str, key: str, *, layer: str = "", ca: str | Path | None = None
    ) -> None:
        if not _is_address(url):
            raise InputError(f"{url} is no address of a server: write http:// or https://, a name, and :PORT")
        self.tool, self.layer = tool, layer
        self._base, self._key = f"{url.rstrip('/')}/api/v1/fleet/{quote(tool, safe='')}", key
        try:
            self._context = ssl.create_default_context(cafile=ca) if url.startswith("https://") else None
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"{ca} is no file of certificates ({error})") from error

    def meant(self) -> dict[str, Any]:
        """The version meant for this tool: `version` and `bundle`, both None if there is none."""
        found = self._send(f"?{urlencode({'layer': self.layer})}", 64 << 10)
        try:
            answer = json.loads(found)
            if not all(answer[key] is None or isinstance(answer[key], str) for key in ("version", "bundle")):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise UnreachableError(
                "the server's answer is not understood: is it a waferroute service?"
            ) from error
        return dict(answer)

    def report(self, **state: Any) -> None:
        """Tell how this tool does."""
        self._send("", 64 << 10, json.dumps({**state, "layer": self.layer}).encode())

    def files(self, version: str) -> Source:
        """The files of a version's bundle."""
        return _Files(self, version)

    def _send(self, path: str, most: int, body: bytes | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self._base + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._context) as answer:
                data: bytes = answer.read(most + 1)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode("utf-8", "replace")
            raise UnreachableError(f"the server answers {error.code}: {_detail(said)}") from error
        except (OSError, ValueError) as error:  # http.client's errors on the way are OSError or ValueError
            raise UnreachableError(f"the server does not answer ({error})") from error
        except (
            Exception
        ) as error:  # http.client.HTTPException: an answer that is no HTTP, or one that breaks off
            raise UnreachableError(f"the server's answer breaks off ({error!r})") from error
        return _checked(data, most, path or "the answer")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
        )
    except ValueError:  # a bracket that is not closed, a port that is no number
        return False


class _Files:
    def __init__(self, server: Server, version: str) -> None:
        self._server, self._version = server, version

    def read(self, name: str, most: int) -> bytes:
        return self._server._send(f"/files/{quote(self._version, safe='')}/{quote(name)}", most)


def _checked(data: bytes, most: int, name: str) -> bytes:
    if len(data) > most:
        raise InputError(f"{name} is larger than {most} bytes: not what was signed")
    return data


def _detail(said: str) -> str:
    try:
        return str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        return said[:200]
