"""What shards are called in the folders that are made of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from wafer_data.files import sha256_json


def shard_names(paths: Sequence[str]) -> list[str]:
    """A name for each shard of an archive, fit for a file name and unique.

    It is the path without suffix, its separators and odd characters replaced. Paths that come to the same name
    (`x/a` and `x-a`, any two without an ASCII letter) have a hash of the path behind it, all of them: what lies under
    the bare name from before might be either's.

    Args:
        paths: of all shards, relative to the archive, each once.
    """
    stems = [path.rpartition(".")[0] for path in paths]
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", stem) for stem in stems]
    shared = Counter(names)
    return [
        name if shared[name] == 1 else f"{name}-{sha256_json(stem)[:16]}"
        for name, stem in zip(names, stems, strict=True)
    ]
