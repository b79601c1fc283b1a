"""What a bundle's classifier makes of the test images: the types of the flagged ones, against their folders' names."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eval.metrics import clopper_pearson
from eval.tool_run import as_taken, plain_inspector
from tool_side import Bundle
from tool_side.runtime.defect_type import DEFECT, DEFECTS
from wafer_data.errors import InputError
from wafer_data.progress import track
from wafer_data.store import ImageStore


@dataclass(frozen=True)
class TypeFound:
    """The test images of one folder.

    Attributes:
        type: Name of the folder, "good" for normal images. known: Whether the classifier knows it.
        images, flagged: How many there are, and how many got a type. said: How often which type was said.
        right: Share of the flagged whose most probable type is this one. covered: Share whose set holds it. Both None
            for a type that the classifier does not know, and where none was flagged.
        set_size: Mean size of the sets; None where none was flagged.
    """

    type: str
    known: bool
    images: int
    flagged: int
    said: dict[str, int]
    right: float | None
    covered: float | None
    set_size: float | None


@dataclass(frozen=True)
class FoundTypes:
    """All of them.

    Attributes:
        bundle: `Bundle.id`. learned: How the classifier was made, in words.
        rows: By folder. defects: Flagged defects of known types.
        right, covered: Of those, how many got their type, and how many have it in their set; each with the bounds of
            its share (Clopper and Pearson, 95 %), None without such defects.
        several: Flagged images with more than one defect.
        images: By place in the store, `DefectFinding.to_dict` of the strongest defect; for who lists errors.
    """

    bundle: str
    learned: list[str]
    rows: list[TypeFound]
    defects: int
    right: int
    covered: int
    right_interval: tuple[float, float] | None
    covered_interval: tuple[float, float] | None
    several: int
    images: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form without the images."""
        return {key: value for key, value in asdict(self).items() if key != "images"}


def find_types(store: ImageStore, bundle: Bundle, indices: np.ndarray) -> FoundTypes:
    """Inspect images with a bundle that holds a classifier.

    Args:
        store: The run's data. indices: Images of it.
        bundle: Of the run, or one that `waferroute classes learn` made of it.

    Raises:
        InputError: The bundle has no classifier.
    """
    if bundle.classes is None:
        raise InputError(f"bundle {bundle.path} has no classifier: `waferroute classes learn` makes one")
    inspector = plain_inspector(bundle, store)
    images, several = {}, 0
    for index in track(indices, "types of defects"):
        found = inspector.inspect(as_taken(store, int(index), bundle), recipe=inspector.recipes[0]).evidence
        if DEFECT in found:
            images[int(index)] = found[DEFECT]
            several += len(found[DEFECTS]) > 1
    of: dict[str, list[int]] = {}
    for index in indices:
        of.setdefault(store.records[index].type, []).append(int(index))
    rows = [_row(name, members, images, bundle.classes.types) for name, members in sorted(of.items())]
    known = [i for row in rows if row.known for i in of[row.type] if i in images]
    right = sum(_most_probable(images[i]) == store.records[i].type for i in known)
    covered = sum(store.records[i].type in images[i]["set"] for i in known)
    return FoundTypes(
        bundle=bundle.id,
        learned=list(bundle.classes.history),
        rows=rows,
        defects=len(known),
        right=right,
        covered=covered,
        right_interval=clopper_pearson(right, len(known)) if known else None,
        covered_interval=clopper_pearson(covered, len(known)) if known else None,
        several=several,
        images=images,
    )


def _row(
    name: str, members: list[int], images: dict[int, dict[str, Any]], types: tuple[str, ...]
) -> TypeFound:
    found = [images[i] for i in members if i in images]
    judged = found if name in types else []
    return TypeFound(
        type=name,
        known=name in types,
        images=len(members),
        flagged=len(found),
        said=dict(Counter(one["type"] for one in found).most_common()),
        right=_mean([_most_probable(one) == name for one in judged]),
        covered=_mean([name in one["set"] for one in judged]),
        set_size=_mean([len(one["set"]) for one in found]),
    )


def _most_probable(defect: dict[str, Any]) -> str:
    """The most probable known type, also of a defect that is called unknown."""
    chances = defect.get("probabilities") or {defect["type"]: 1.0}
    return str(max(chances, key=chances.__getitem__))


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None
