"""The ready-made configurations, which every installation brings: `waferroute run quickstart` needs no file."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")  # in a wheel; in a checkout


def shipped_configs() -> dict[str, Path]:
    """Find the ready-made configurations.

    Returns:
        The file of each, by its name without `.yaml`, sorted.
    """
    for folder in _FOLDERS:
        if (folder / "quickstart.yaml").is_file():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def config_file(given: str | Path) -> Path:
    """Find the file that a command line means.

    Args:
        given: A path, or a ready-made configuration by its name (`quickstart`) or as the documents write it
            (`configs/quickstart.yaml`). A file of that path comes first, so that one's own configuration of the same
            name is what is read.

    Returns:
        The path. It need not exist: whoever reads it says so.
    """
    path = Path(given)
    if path.is_file() or path.parent not in (Path(), Path("configs")) or path.suffix not in ("", ".yaml"):
        return path
    return shipped_configs().get(path.stem, path)
