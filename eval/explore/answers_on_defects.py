"""What the figures on defects mean, in words."""

from eval.explore.differences import Difference
from eval.explore.extent import GLOBAL, LOCAL, TypeExtent
from eval.explore.findings import Answer, Exploration
from eval.explore.statistics import STATISTICS
from eval.pages.wording import bounds, counted, metric, percent, percent_bounds

FEW = 20
"""Defects below which intervals by bootstrap are too narrow to be trusted."""

NEARLY, PARTLY = 0.95, 0.8
"""Lower bounds of the AUROC from which on a threshold is said to do, and to do in part."""

LITTLE, MODERATE = 0.33, 0.474
"""Cliff's deltas up to which a difference is called little, and moderate: Romano et al., "Appropriate statistics
for ordinal level data", 2006."""

_TOLD = 3  # the most different figures are told in words, all are in the table


def describe_differences(found: Exploration) -> Answer:
    """In which figures defects differ from normals."""
    assert found.differences is not None
    clear = sorted((line for line in found.differences if is_clear(line)), key=lambda line: -line.strength)
    unclear = [STATISTICS[line.name].label for line in found.differences if not is_clear(line)]
    sentences = [_difference(line) for line in clear[:_TOLD]]
    if len(clear) > _TOLD:
        rest = ", ".join(f"{STATISTICS[line.name].label} ({_way(line)})" for line in clear[_TOLD:])
        sentences.append(f"Less so: {rest}.")
    if unclear:
        sentences.append(f"No clear difference in: {', '.join(unclear)}.")
    sentences.append(_compared(found))
    verdict = "in no single figure"
    if clear:
        verdict = f"{_size(clear[0])}, most in the {STATISTICS[clear[0].name].label} ({_way(clear[0])})"
    return Answer(
        "How do defects differ from normals?",
        verdict,
        sentences,
        "A difference is clear if the 95 % interval of the AUROC leaves out 0.5. With "
        f"{len(STATISTICS)} figures at once, one that leaves it out by a hair may be chance. It is little up to a "
        f"Cliff's delta of {LITTLE}, moderate up to {MODERATE}, strong beyond.",
    )


def describe_extent(found: Exploration) -> Answer:
    """Local or global."""
    assert found.extent is not None
    rule = (
        f"Local if the median area is at most {percent(LOCAL, 0)} of the image, global from {percent(GLOBAL, 0)} on, "
        "otherwise mixed. Areas and pieces are counted on the masks at the size of the stored images."
    )
    whole, kinds = found.extent.together, found.extent.types
    if whole.area_quartiles is None or whole.side_px is None or whole.component_quartiles is None:
        return Answer(
            "Are defects local or global?",
            "not known, no masks",
            [
                "None of the defects has a mask, so their extent was not measured. The MVTec layout takes masks as "
                "ground_truth/<type>/<name>_mask.png; a few of each type would do for this."
            ],
            rule,
        )
    low, middle, high = whole.area_quartiles
    pieces = whole.component_quartiles
    sentences = [
        f"The median defect covers {_area(middle)} of its image (quartiles {_area(low)} and {_area(high)}; masks of "
        f"{whole.masks} of {counted(whole.defects, 'defect')}), as much as a square of {whole.side_px:.0f} px at "
        f"{found.data.size} px, or of {64 * middle**0.5:.1f} px in an image shrunk to 64 px. It has "
        f"{counted(round(pieces[1]), 'piece')} (quartiles {pieces[0]:.0f} and {pieces[2]:.0f})."
    ]
    sizes = [
        (kind.area_quartiles[1], name, kind)
        for name, kind in kinds.items()
        if kind.area_quartiles is not None
    ]
    if len(sizes) > 1:
        sentences.append(f"{_type(*min(sizes)[1:], 'Smallest')} {_type(*max(sizes)[1:], 'Largest')}")
    return Answer("Are defects local or global?", found.extent.reach or "", sentences, rule)


def describe_threshold(found: Exploration) -> Answer:
    """Whether a threshold on a single figure would separate defects from normals."""
    best = found.threshold
    assert best is not None
    label, count = STATISTICS[best.name].label, len(STATISTICS)
    verdict = "no"
    if best.strength > best.chance and best.strength_interval[0] >= PARTLY:
        verdict = "nearly" if best.strength_interval[0] >= NEARLY else "in part"
    sentences = [
        f"The best of {count} figures is the {label}: calling images defective {best.side} a threshold has an AUROC of "
        f"{metric(best.strength)} ({bounds(best.strength_interval)}) and misses {percent(best.missed_at_5)} of the "
        f"defects ({percent_bounds(best.missed_at_5_interval)}) when 5 % of the normals are stopped. This is the bar "
        "that a trained model has to clear.",
        "It was picked as the best on the very images it is judged on, so these figures are too good: take them as an "
        f"upper bound. Without any difference between defects and normals the best of {count} would still reach "
        f"{metric(best.chance)} or more in 1 of 20 cases.",
    ]
    if len(best.per_type) > 1:
        lines = sorted(best.per_type.items(), key=lambda item: -item[1][0])
        (top, top_line), (last, last_line) = lines[0], lines[-1]
        sentences.append(
            f"It sees {top} best (AUROC {metric(top_line[0])}, {bounds(top_line[1])}) and {last} least "
            f"({metric(last_line[0])}, {bounds(last_line[1])})."
        )
    return Answer(
        "Would thresholding work?",
        verdict,
        sentences,
        f"Nearly if the lower bound of the AUROC is at least {NEARLY}, in part from {PARTLY} on; no otherwise, or if "
        "the best figure does not exceed chance.",
    )


def is_clear(line: Difference) -> bool:
    """Whether the interval of the AUROC leaves out 0.5."""
    low, high = line.auroc_interval
    return low > 0.5 or high < 0.5


def _difference(line: Difference) -> str:
    label, way = STATISTICS[line.name].label, _way(line)
    return (
        f"{label[0].upper()}{label[1:]} is {way} in defects: AUROC {metric(line.auroc)} "
        f"({bounds(line.auroc_interval)}), Cliff's delta {line.cliffs_delta:+.3f}."
    )


def _way(line: Difference) -> str:
    return "higher" if line.auroc > 0.5 else "lower"


def _size(line: Difference) -> str:
    delta = abs(line.cliffs_delta)
    return "a little" if delta <= LITTLE else "moderately" if delta <= MODERATE else "strongly"


def _compared(found: Exploration) -> str:
    source = (
        "normals of the test set"
        if found.data.compared_with == "test"
        else "normals of all splits (the test holds too few)"
    )
    said = (
        f"Compared: {counted(found.data.defects_read, 'defect')} with {found.data.compared_normals} {source}."
    )
    if found.data.defects_read < FEW:
        said += " So few defects carry no certain statement; the intervals are narrower than they should be."
    return said


def _type(name: str, kind: TypeExtent, which: str) -> str:
    assert kind.area_quartiles is not None
    low, middle, high = kind.area_quartiles
    return f"{which}: {name}, median {_area(middle)} (quartiles {_area(low)} and {_area(high)})."


def _area(share: float) -> str:
    return percent(share, 2 if share < 0.01 else 1)
