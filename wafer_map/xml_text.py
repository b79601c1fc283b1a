"""Names that people and tools gave, as text that XML can hold."""

from __future__ import annotations

import re

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def xml_text(name: str) -> str:
    """The name with a replacement character for each one that no XML document may hold."""
    return _NO_XML.sub("\ufffd", name)
