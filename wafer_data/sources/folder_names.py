"""Sub-folders of normal images whose names say that not all of their images are normal."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from pathlib import Path

from wafer_data.errors import DataError
from wafer_data.listing import NORMAL_NAMES, alike
from wafer_data.problems import Problem

_DEFECT_NAMES = {
    "bad", "ng", "n.g.", "nok", "n.o.k.", "not_ok", "not-ok", "notok", "ko", "nio", "n.i.o.", "defect", "defects",
    "defective", "defectives", "defected", "faulty", "fault", "faults", "fail", "failed", "fails", "reject", "rejects",
    "rejected", "scrap", "anomaly", "anomalies", "anomalous", "abnormal", "broken", "damaged", "bad_images",
    "ng_images", "defect_images", "schlecht", "schlechtteil", "schlechtteile", "ausschuss", "fehler", "defekt",
    "defekte", "mauvais", "malo", "defecto", "defectos", "不良", "不良品", "不合格", "异常", "缺陷", "불량", "비정상",
}  # fmt: skip
"""How people call their folder of defective images, in the form of `alike`."""


def check_folder_names(images: Iterable[Path], root: Path, problems: list[Problem]) -> None:
    """Look at the names of the sub-folders that hold images which all count as normal.

    Args:
        images: found below `root`.
        root: data.root.
        problems: grows by what may be meant otherwise.

    Raises:
        DataError: one folder holds sub-folders of both names: the defects would be trained as normal.
    """
    inside: dict[Path, set[str]] = collections.defaultdict(set)
    for folder in {image.parent for image in images}:
        for child in (folder, *folder.parents):
            if child == root:
                break
            inside[child.parent].add(child.name)
    for folder, names in sorted(inside.items()):
        good = sorted(name for name in names if alike(name) in NORMAL_NAMES)
        bad = sorted(name for name in names if alike(name) in _DEFECT_NAMES)
        if good and bad:
            raise DataError(
                f"{folder} holds the folders {', '.join(good)} and {', '.join(bad)}, and all of their images would "
                f"count as normal: use data.root={folder / good[0]} data.defects={folder / bad[0]}, or "
                "data.format=mvtec for the folders train/good and test/<type>"
            )
        for name in bad:
            detail = "its images train as normal; data.defects names a folder of defects"
            problems.append(
                Problem(path=str(folder / name), problem="normals named as defects", detail=detail)
            )
        for name in sorted(names.difference(good)) if good else ():
            detail = f"beside {good[0]}; its images train as normal, too"
            problems.append(Problem(path=str(folder / name), problem="beside the normals", detail=detail))
