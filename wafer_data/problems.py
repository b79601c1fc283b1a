"""What was found wrong with a data set and did not stop it: said in one line a kind, and kept in problems.json."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import TypedDict

from wafer_data.listing import printable


class Problem(TypedDict):
    """One line of problems.json: the file, the kind of problem, and what exactly was seen."""

    path: str
    problem: str
    detail: str


# What a kind means for the user, behind the number of its lines.
_MEANING = {
    "unreadable": "images cannot be read and are left out",
    "wrong size": "images have another size than data.expected_size and are left out",
    "constant": "images are constant and are left out",
    "bad mask": "images with a mask that cannot be used are left out",
    "empty mask": "masks mark no pixel: those images count without mask",
    "mask covers most": "masks cover more than half of their image (inverted?): those images count without mask",
    "no mask": "defects have no mask although others of their type do: pixel figures leave them out",
    "masks not found": "folders of masks fit no image: those images count without mask",
    "mask without image": "masks fit no image and are not used",
    "one mask for several images": "masks fit several images each and are used for none",
    "mask beside its image": "masks lie beside their images; they are used as masks and not as images",
    "same name": "pictures have the name of another one beside them: if they show the same (a JPEG of a PNG), it "
    "may lie in training, calibration and test",
    "named as a mask": "pictures are named as the mask of an image beside them and show none: they are used as neither",
    "duplicate": "images have the pixels of another one and are left out",
    "repeated in the test": "test images have the pixels of another test image: they count twice",
    "conflicting labels": "pictures lie in the test under several labels: no figure can be right on them",
    "passed over": "files or folders of operating systems and network storage hold pictures and are passed over",
    "folder not used": "folders of images have no place in the layout and are not used",
    "annotations": "folders hold annotations (labelme, VOC, YOLO) that are not read: masks are images",
    "link passed over": "linked folders lead to a folder that is searched under another name",
    "other format": "folders hold pictures, videos or archives of formats that are not read",
    "normals by another name": "folders count as normal images by their name",
    "normals named as defects": "folders count as normal images although their name says defective",
    "beside the normals": "folders lie beside one whose name says normal, and count as normal images, too",
    "two names for normals": "folders are taken for a defect type although their name says normal",
    "no normal test image": "set without a normal image in its test: false alarms cannot be measured",
    "mixed bit depths": "mixture of bit depths: what is white to one image is dim to another",
    "brightness": "normal images are far brighter or darker than the others",
    "grey among colour": "set of grey and coloured images: what the models learn of colour, the grey ones do not show",
    "shrunk": "set of large images: small defects are lost when they are shrunk",
    "tiled": "set of large images: they are looked at in overlapping tiles",
    "tiles of parts": "set of tiles cut from larger parts: whole parts train or calibrate",
    "tiles of few parts": "set of tiles cut from few parts: each trains and calibrates, so thresholds promise too much",
    "odd size": "training images have another size than nearly all: the tool will take sizes in between, too "
    "(data.expected_size leaves them out)",
    "another size": "images differ in size or aspect ratio from the training images: the tool gives REVIEW to such",
}


def lines(problems: Iterable[Problem], where: str = "data/problems.json") -> list[str]:
    """One line for each kind: how many there are, what it means, and the first of them.

    Args:
        problems: in the order in which they were found.
        where: the file that holds all of them.
    """
    kinds: dict[str, list[Problem]] = collections.defaultdict(list)
    for problem in problems:
        kinds[problem["problem"]].append(problem)
    found = []
    for kind, members in kinds.items():
        meaning, first = _MEANING.get(kind, kind), members[0]
        rest = f"; all in {where}" if len(members) > 1 else ""
        found.append(printable(f"{len(members)} {meaning}. First: {first['path']}: {first['detail']}{rest}"))
    return found
