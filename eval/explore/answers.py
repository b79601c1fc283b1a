"""What the figures of an exploration mean, in words: one verdict a question, with the rule it follows."""

from dataclasses import replace

from eval.explore.answers_on_defects import describe_differences, describe_extent, describe_threshold
from eval.explore.container import Container
from eval.explore.findings import Answer, Exploration, Texture
from eval.explore.period import EXCESS, LASTING, PEAK, RISE, Grain
from eval.explore.statistics import STATISTICS
from eval.pages.wording import counted, percent
from wafer_data.imaging.levels import ORDINARY_SPAN


def answer_all(found: Exploration) -> Exploration:
    """The exploration with its answers filled in; those on defects only where there are any."""
    answers = [describe_texture(found), describe_alignment(found), describe_range(found)]
    if found.drift is not None:
        answers.append(describe_drift(found))
    if found.differences is not None:
        answers.append(describe_differences(found))
    if found.extent is not None:
        answers.append(describe_extent(found))
    if found.threshold is not None:
        answers.append(describe_threshold(found))
    return replace(found, answers=answers)


def describe_texture(found: Exploration) -> Answer:
    """Aligned object, periodic pattern or random texture."""
    texture = found.texture
    verdict: str = texture.kind
    if texture.pattern is not None and texture.pattern.periodic:
        verdict += f", period {texture.pattern.period_px:.1f} px"
    return Answer(
        "What is the dominant texture?",
        verdict,
        [*_kind(found), _repetition(texture), _grain(texture.grain), _radial(texture)],
        "An aligned object if normals correlate with each other at 0.5 or more on average. Otherwise a periodic "
        f"pattern if the autocorrelation, after its first fall, climbs by at least {RISE} to a peak, lies there at "
        f"least {EXCESS} above its mean over all directions at that distance, and keeps at least {percent(LASTING, 0)} "
        "of that lead at twice the distance. Otherwise random texture. Directions: 0° is horizontal, 90° vertical, "
        f"counter-clockwise. A peak of the radial spectrum stands out at {PEAK:.0f} times the trend around it.",
    )


def describe_alignment(found: Exploration) -> Answer:
    """Aligned, partly aligned or unaligned."""
    figures = found.alignment
    low, middle, high = figures.pair_quartiles
    sentences = [
        f"Two normals, shrunk to 64 px, correlate at {figures.correlation:.3f} on average over all pairs of "
        f"{counted(figures.images, 'image')}: that share of an image's contrast is common to all of them, the other "
        f"{percent(1 - figures.correlation)} is its own. Of {figures.pairs} random pairs half lie between "
        f"{low:.3f} and {high:.3f}, the middle one at {middle:.3f}."
    ]
    if figures.same_but_shifted:
        sentences.append(
            f"Shifting one of the two raises it to {figures.shifted_correlation:.3f} (median shift "
            f"{figures.shift_px:.0f} px): the images show the same thing at different places. Registering them before "
            "training would align them."
        )
    else:
        sentences.append(f"The best shift of one of the two brings it to {figures.shifted_correlation:.3f}.")
    sentences.append(
        {
            "aligned": "Every position has a look of its own. Flips, rotations and shifts of training images may "
            "destroy that; leave such augmentation off unless the object is symmetric.",
            "partly aligned": "Something is common to all images: an object, or only uneven light. The mean image "
            "shows which.",
            "unaligned": "No position has a look of its own, and the mean image says little.",
        }[figures.verdict]
    )
    return Answer(
        "Are the normal images aligned?",
        "unaligned, the same but shifted" if figures.same_but_shifted else figures.verdict,
        sentences,
        "Aligned from a mean correlation of 0.5 on, partly aligned from 0.1 on, otherwise unaligned; shifted if the "
        "best shift reaches 0.5 or more and gains at least 0.25.",
    )


def describe_range(found: Exploration) -> Answer:
    """How much of the files' range of values is used."""
    box = found.container
    used = (box.high - box.low) / (box.levels - 1)
    sentences = [
        f"Files are {box.kind}"
        + (" values in [0, 1], counted in 65536 levels" if box.kind == "float" else "")
        + f". Levels from {box.lowest} to {box.highest} of 0 to {box.levels - 1} occur "
        f"({percent(box.range_share)} of the range); the middle 99.8 % of the pixels lie between {box.low} and "
        f"{box.high} ({percent(used)}). Measured on {counted(box.files, 'training normal')} as they lie on disk."
    ]
    stretched = found.levels != (0.0, 1.0)
    if stretched:
        black, white = found.levels
        sentences.append(
            f"That is little, so all images are stretched alike: {percent(black, 2)} of the range becomes 0 and "
            f"{percent(white, 2)} becomes 1, for the models and for all else on this page."
        )
    sentences += _range_remarks(box)
    sentences.append(_sizes(box, found.data.size))
    return Answer(
        "How much of the intensity range is used?",
        f"{'narrow' if stretched else 'wide'}, {percent(used, 0)} of the range",
        sentences,
        f"Narrow if the middle 99.8 % of all training normals' pixels span less than {percent(ORDINARY_SPAN, 0)} of "
        "the range, measured on the resized images; otherwise wide.",
    )


def describe_drift(found: Exploration) -> Answer:
    """Whether test normals resemble training normals."""
    drift = found.drift
    assert drift is not None
    label = STATISTICS[drift.name].label
    sentences = [
        f"Of the {len(STATISTICS)} figures below, the {label} differs most: in {percent(drift.auroc)} of all pairs the "
        f"test normal has the higher value ({drift.test} test, {drift.train} training normals; 50 % would be none). "
        f"By chance alone the most different figure reaches {percent(drift.chance)} or its mirror image in 1 of 20 "
        "shuffles."
    ]
    if drift.differs:
        sentences.append(
            "Normals of the test do not come from quite the same source as those of training; part of what a model "
            "calls anomalous there may be this difference."
        )
    return Answer(
        "Do test normals look like training normals?",
        "they differ" if drift.differs else "no difference found",
        sentences,
        "They differ if the most different figure exceeds what 19 of 20 shuffles reach.",
    )


def _kind(found: Exploration) -> list[str]:
    if found.texture.kind != "aligned object":
        return []
    return [
        "The same object lies at the same place in all images (mean correlation "
        f"{found.alignment.correlation:.3f}); the mean image shows it. What follows includes its structure."
    ]


def _repetition(texture: Texture) -> str:
    pattern = texture.pattern
    if pattern is None:
        return "The autocorrelation has no second peak at all: nothing repeats."
    where = f"{pattern.period_px:.1f} px in direction {pattern.direction:.0f}°"
    if pattern.periodic:
        return (
            f"It repeats every {where}: shifted by that much, an image correlates with itself at {pattern.height:.2f}, "
            f"after a fall to {pattern.height - pattern.rise:.2f} in between; "
            f"{percent(pattern.second_excess / pattern.excess, 0)} of its lead over other directions is left at twice "
            "the distance."
        )
    if pattern.rise >= RISE:
        return (
            f"There is a preferred spacing of {where} (correlation {pattern.height:.2f} after a fall to "
            f"{pattern.height - pattern.rise:.2f}), but no lasting order: its lead over the mean of all directions is "
            f"{pattern.excess:.2f}, and {pattern.second_excess:.2f} at twice the distance."
        )
    return (
        f"Nothing repeats: after its first fall the autocorrelation climbs by {pattern.rise:.3f} at most "
        f"(at {where})."
    )


def _grain(grain: Grain) -> str:
    if grain.longest_px is not None and grain.longest_px < 1.5:
        return "Neighbouring pixels are all but independent, as in white noise."
    longest, shortest = (
        f"more than {grain.limit_px:.0f} px" if length is None else f"{length:.1f} px"
        for length in (grain.longest_px, grain.shortest_px)
    )
    return (
        f"Pixels go together (correlation above 1/e) over {longest} in direction {grain.longest_direction:.0f}° and "
        f"over {shortest} in direction {grain.shortest_direction:.0f}°."
    )


def _radial(texture: Texture) -> str:
    peak = texture.radial_peak
    where = f"{peak.cycles} cycles an image ({peak.period_px:.1f} px)"
    if peak.stands_out:
        return f"The radial power spectrum peaks at {where}, {peak.ratio:.1f} times the trend around it."
    return f"The radial power spectrum has no peak; its highest, at {where}, is {peak.ratio:.2f} times the trend."


def _range_remarks(box: Container) -> list[str]:
    remarks = []
    if box.kind == "16 bit" and box.bits_needed < 16:
        remarks.append(
            f"The highest value needs only {box.bits_needed} of 16 bits: a camera of that depth, most likely."
        )
    if box.kind != "float" and box.idle_low_bits:
        remarks.append(
            f"The lowest {counted(box.idle_low_bits, 'bit')} of every pixel are zero: the depth is "
            f"{box.bits_needed - box.idle_low_bits} bits."
        )
    for share, end in ((box.black_share, "lowest"), (box.white_share, "highest")):
        if share >= 0.001:
            remarks.append(
                f"{percent(share, 2)} of the pixels have the {end} possible value: detail is lost there."
            )
    if len(box.kinds) > 1:
        mixture = ", ".join(f"{count} of {kind}" for kind, count in sorted(box.kinds.items()))
        remarks.append(f"The files are a mixture ({mixture}); check that they come from the same source.")
    return remarks


def _sizes(box: Container, size: int) -> str:
    if box.width[0] == box.width[2] and box.height[0] == box.height[2]:
        sides = f"All files are {box.width[0]} x {box.height[0]} px"
        if box.width[0] == box.height[0] == size:
            return sides + ", the size they are stored in."
    else:
        sides = (
            f"Files are {box.width[0]} to {box.width[2]} px wide (median {box.width[1]}) and {box.height[0]} to "
            f"{box.height[2]} px high (median {box.height[1]})"
        )
    return (
        f"{sides}; models see them resized to {size} x {size} px, both sides alike, and so does all else on this page: "
        "its distances and directions are those of the resized images."
    )
