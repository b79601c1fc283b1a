"""Step 2: are the extracted images fit to be learned from? Every doubt is named; one that is serious stops here.

What the guards of step 1 promised is looked at again on the files and against what people have said since.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lifecycle.gate.scored import labelled_images
from lifecycle.retraining.extract import FOLDER as EXTRACT
from lifecycle.retraining.extract import MANIFEST
from lifecycle.retraining.plan import Plan
from router.gate import QualityGate
from router.gate_figures import measure_image
from service.feedback import known_defective
from service.store.tables import inspections
from tool_side import load_bundle
from wafer_data.errors import DataError
from wafer_data.files import read_json, write_json
from wafer_data.imaging.read import UnreadableImage, read_image, to_square
from wafer_data.progress import track

FOLDER, RESULT = "validate", "validation.json"
_NAMED = 10


def validate(plan: Plan) -> dict[str, Any]:
    """Do the step; `validate/validation.json` holds what was found, also where it stops.

    Raises:
        DataError: With everything that speaks against training on these images.
    """
    manifest = read_json(plan.folder / EXTRACT / MANIFEST)
    gate, colour = _production_gate(plan)
    pixels: dict[str, list[str]] = defaultdict(list)
    problems: list[str] = []
    refused = 0
    normal = [one for one in manifest["images"] if one["file"].startswith("data/train/")]
    for one in track(manifest["images"], "validating images"):
        path = plan.folder / EXTRACT / "images" / one["file"]
        digest, reasons, problem = _look(path, one["sha256"], gate, colour)
        if problem is not None:
            problems.append(f"{one['file']}: {problem}")
            continue
        pixels[digest].append(one["file"])
        refused += bool(reasons) and one["file"].startswith("data/train/")
    for one in manifest["regression"]:
        digest, _, problem = _look(plan.regression / one["file"], one["sha256"], None, colour)
        if problem is not None:
            problems.append(f"regression/{one['file']}: {problem}")
        else:
            pixels[digest].append(f"regression/{one['file']}")
    for image in labelled_images(*plan.config.frozen):
        digest, _, problem = _look(image.path, None, None, colour)
        if problem is None:
            pixels[digest].append(f"frozen/{image.name}")
    problems += _leaks(pixels)
    problems += _contamination(plan, {one["sha256"]: one["file"] for one in normal})
    problems += _amounts(plan, normal, refused, pixels)
    content = {
        "passed": not problems,
        "problems": problems,
        "normal": len(normal),
        "tools": sorted({str(one["tool"]) for one in normal}),
        "lots": len({one["lot"] for one in normal}),
        "refused_by_productions_gate": refused,
    }
    write_json(plan.folder / FOLDER / RESULT, content)
    if problems:
        shown = "\n- ".join(problems[:_NAMED])
        more = f"\n- and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise DataError(f"the extracted images are not fit to be trained on:\n- {shown}{more}")
    return content


def _look(
    path: Path, sha: str | None, gate: QualityGate | None, colour: bool
) -> tuple[str, list[str], str | None]:
    """An image's pixels as a digest, why the quality gate refuses it, and what is wrong with the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return "", [], f"cannot be read ({error.strerror})"
    if sha is not None and hashlib.sha256(data).hexdigest() != sha:
        return "", [], "changed since it was extracted"
    try:
        image = read_image(data, colour=colour)
        square = to_square(image)
    except UnreadableImage as error:
        return "", [], str(error)
    if (image == image[0, 0]).all():
        return "", [], "constant, it shows nothing"
    digest = hashlib.sha256(f"{image.dtype}{image.shape}".encode() + image.tobytes()).hexdigest()
    return digest, [] if gate is None else gate.reasons(measure_image(square)), None


def _production_gate(plan: Plan) -> tuple[QualityGate | None, bool]:
    """Production's ranges of brightness, contrast, sharpness and its recipe's look: those of its calibration.

    And whether its models see images in colour.
    """
    if plan.production is None:
        return None, False
    bundle = load_bundle(plan.versions().bundle(plan.production), public_key=plan.config.service.public_key)
    recipe = plan.config.extract.recipe
    policy = bundle.recipes.get(recipe, bundle.policy) if recipe else bundle.policy
    return policy.gate, bundle.preprocessing.colour


def _leaks(pixels: dict[str, list[str]]) -> list[str]:
    """The same picture on both sides of an evaluation, whatever file holds it."""
    found = []
    for files in pixels.values():
        learned = [name for name in files if name.startswith("data/train/") or _is_learned_defect(name)]
        judged = [name for name in files if name.startswith(("recent/", "regression/", "frozen/"))]
        if learned and judged:
            found.append(
                f"{learned[0]} is trained on and is the same picture as {judged[0]}, which evaluates"
            )
        labels = {name.split("/")[-2] == "good" for name in files}
        if len(labels) > 1:
            found.append(f"{files[0]} and {files[-1]} are the same picture, called good and defective")
    return found


def _is_learned_defect(name: str) -> bool:
    return name.startswith("data/test/") and not name.startswith("data/test/good/")


def _contamination(plan: Plan, normal: dict[str, str]) -> list[str]:
    """Normal images of which people, or another node, have said otherwise since the extraction."""
    found = []
    with plan.database().read() as connection:
        bad = known_defective(connection)
        query = sa.select(inspections.c.image_sha256).where(
            sa.or_(inspections.c.decision != "PASS", inspections.c.verdict.in_(("defect", "unsure")))
        )
        bad |= set(connection.execute(query).scalars())
    for sha in sorted(bad & set(normal)):
        found.append(
            f"{normal[sha]} is not known to be normal any more (a verdict, an escape or another decision since): "
            "`waferroute retrain CONFIG --step extract --force` extracts anew"
        )
    return found


def _amounts(
    plan: Plan, normal: list[dict[str, Any]], refused: int, pixels: dict[str, list[str]]
) -> list[str]:
    settings, found = plan.config.checks, []
    if len(normal) < settings.least_normal:
        found.append(
            f"{len(normal)} normal images, fewer than checks.least_normal={settings.least_normal}: audit more PASS "
            "images, take more days, or see extract.unreviewed"
        )
    tools = Counter(one["tool"] for one in normal)
    if len(tools) < settings.least_tools:
        found.append(
            f"normal images of {len(tools)} tools, fewer than checks.least_tools={settings.least_tools}"
        )
    again = sum(
        max(0, sum(name.startswith("data/train/") for name in files) - 1) for files in pixels.values()
    )
    for number, share, what in (
        (
            refused,
            settings.gate_refused,
            "are refused by production's quality gate: other levels than it knows",
        ),
        (again, settings.duplicates, "have the same pixels as another"),
    ):
        if normal and number > share * len(normal):
            found.append(f"{number} of {len(normal)} normal images {what} (at most {share:.1%})")
    return found
