"""KLARF, the results file that inspection tools and yield systems exchange: read, fill in, write.

Versions 1.1, 1.2 (lengths in micrometres) and 1.8 (nanometres) become the same `KlarfFile`, in micrometres. Nothing
in a file is ever executed. `fill` returns the bytes of the file that was read, with the cells of classes, bins and
scores replaced and every other byte in place. What is not read: other versions, and the contents of records that
waferroute does not need (they are kept as text and written back).
"""

from wafer_map.klarf.fill import DefectResult, fill
from wafer_map.klarf.model import Defect, ImageEntry, KlarfFile, WaferResult
from wafer_map.klarf.read import parse_klarf, read_klarf
from wafer_map.klarf.write import write_12, write_18

__all__ = [
    "Defect",
    "DefectResult",
    "ImageEntry",
    "KlarfFile",
    "WaferResult",
    "fill",
    "parse_klarf",
    "read_klarf",
    "write_12",
    "write_18",
]
