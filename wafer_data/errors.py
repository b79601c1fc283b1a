"""What the user's input can be wrong in, and what to do about it: one exception, and its kinds.

The command line treats all kinds alike. A program that uses the library can tell them apart by class, and a service
by `kind`, which stays the same between versions.
"""

from __future__ import annotations

from typing import ClassVar


class InputError(Exception):
    """Something the user gave (a file, a folder, a setting, a full disk) stops the work.

    The message says what was wrong, where, and what to do. The command line prints it after `error: ` and
    exits with status 2, without a traceback; a bug in the program is never reported this way.
    """

    kind: ClassVar[str] = "input"


class ConfigurationError(InputError):
    """A setting, an option or a combination of them is not allowed."""

    kind = "configuration"


class NotFoundError(InputError):
    """A file or folder that was named is not there."""

    kind = "not_found"


class DataError(InputError):
    """Images or labels cannot be used for what they were given for: damaged, too few, contradictory."""

    kind = "data"


class IdentityError(InputError):
    """What an image is said to be (lot, wafer, time, ...) is malformed."""

    kind = "identity"


class BundleError(InputError):
    """A bundle is refused: damaged, of another schema, or it does not run here."""

    kind = "bundle"


class SignatureError(BundleError):
    """A bundle is not signed by the key that was asked for."""

    kind = "signature"


class RecipeError(InputError):
    """A recipe is not known, or its name cannot be used."""

    kind = "recipe"


class PolicyError(InputError):
    """A routing policy or its quality gate is malformed or holds impossible numbers."""

    kind = "policy"


class WriteError(InputError):
    """A file cannot be written: the disk is full, permission is missing, something is in its place."""

    kind = "write"


class BusyError(InputError):
    """Another process is at work on the same files."""

    kind = "busy"


class MissingPackageError(InputError):
    """A package that this work needs is not installed."""

    kind = "missing_package"
