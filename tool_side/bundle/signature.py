"""Who made a bundle: an ed25519 signature (RFC 8032) over the bytes of its manifest.

The manifest holds the sha256 of every other file, so its signature covers them all; a folder with a file more or
less than the manifest lists is refused too. The keys are the user's own: the private one stays where bundles are
exported, the public one goes to every tool. The package `cryptography` is needed only where a bundle is signed or a
signature is checked.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wafer_data.errors import InputError, MissingPackageError, NotFoundError, SignatureError
from wafer_data.files import read_json, write_error, write_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig.json"
PRIVATE_KEY, PUBLIC_KEY = "private.pem", "public.pem"
SCHEMA = 1
ALGORITHM = "ed25519"

# A signature made here for another purpose, or by another program with the same key, is none for a bundle.
_PURPOSE = b"waferroute bundle manifest, signature schema 1\n"


def make_keys(folder: str | Path) -> tuple[Path, Path]:
    """Write a new key pair, `private.pem` (readable by its owner only) and `public.pem`; return both paths.

    Raises:
        InputError: If one of them is there already: a key that signed bundles must not be lost.
    """
    serialization, ed25519 = _cryptography()
    folder = Path(folder)
    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists: name another folder, or move the old keys to a safe place")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    open_one = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(private, secret, 0o600)
    try:
        _write_new(public, open_one, 0o644)
    except InputError:
        private.unlink(missing_ok=True)
        raise
    return private, public


def sign(manifest: bytes, private_key: str | Path) -> dict[str, Any]:
    """The content of the signature file for these bytes.

    Raises:
        InputError: If the key cannot be used.
    """
    key = _private_key(Path(private_key))
    return {
        "schema": SCHEMA,
        "algorithm": ALGORITHM,
        "key": _identity(key.public_key()),
        "signature": base64.b64encode(key.sign(_PURPOSE + manifest)).decode(),
    }


def write_signature(folder: Path, manifest: bytes, private_key: str | Path) -> dict[str, Any]:
    """Sign `manifest`, the bytes of the manifest in `folder`, beside it; an older signature is replaced."""
    content = sign(manifest, private_key)
    write_json(folder / SIGNATURE, content)
    return content


def check_signature(folder: Path, manifest: bytes, public_key: str | Path) -> str:
    """The identity of `public_key`, which signed `manifest`.

    Raises:
        InputError: With the reason, unless it did.
    """
    key = _public_key(Path(public_key))
    if not (folder / SIGNATURE).is_file():
        raise SignatureError(
            f"it is not signed (no {SIGNATURE}), and a signature by {public_key} is asked for"
        )
    content = read_json(folder / SIGNATURE)
    if not isinstance(content, dict) or set(content) != {"schema", "algorithm", "key", "signature"}:
        raise SignatureError(f"{SIGNATURE} is not a signature file: sign the bundle again")
    if content["schema"] != SCHEMA or content["algorithm"] != ALGORITHM:
        raise SignatureError(
            f"{SIGNATURE} has schema {content['schema']!r} and algorithm {content['algorithm']!r}, this version reads "
            f"{SCHEMA} and {ALGORITHM}: sign the bundle again, or update waferroute on this computer"
        )
    if content["key"] != _identity(key):
        raise SignatureError(
            f"it was signed with the key {content['key']}, not with that of {public_key} ({_identity(key)})"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(content["signature"], validate=True), _PURPOSE + manifest)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise SignatureError(
            "the signature does not fit the manifest: it was changed after signing"
        ) from error
    return _identity(key)


def foreign_files(folder: Path, listed: Collection[str]) -> list[str]:
    """What lies in a bundle's folder, or below it, and is neither listed, nor the manifest, nor the signature."""
    known = {*listed, "manifest.json", SIGNATURE}
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted({path.relative_to(folder).as_posix() for path in found} - known)


def signer(folder: Path) -> str | None:
    """Identity of the key that a bundle says it was signed with, unchecked; None if it is not signed."""
    if not (folder / SIGNATURE).is_file():
        return None
    content = read_json(folder / SIGNATURE)
    return str(content.get("key")) if isinstance(content, dict) else "unknown"


def _identity(key: Ed25519PublicKey) -> str:
    """First 16 hexadecimal digits of the public key's SHA-256: enough to tell keys apart, short enough to read."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private_key(path: Path) -> Ed25519PrivateKey:
    serialization, ed25519 = _cryptography()
    data = _read(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a private key without passphrase in PEM form ({error}); `waferroute keys` makes one"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"{path} is no ed25519 key; `waferroute keys` makes one")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    serialization, ed25519 = _cryptography()
    data = _read(path)
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError as error:
        hint = ": it is a private key, which has no place on a tool" if b"PRIVATE KEY" in data else ""
        raise InputError(f"{path} is not a public key in PEM form{hint}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError(f"{path} is no ed25519 key; `waferroute keys` makes one")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such key file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet; it never exists with wider permissions than `mode`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise write_error(path, error) from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "signatures need the package cryptography, which is not installed here: "
            'pip install "waferroute[sign]"'
        ) from error
    return serialization, ed25519
