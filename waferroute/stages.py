"""The stages of a run: who reads whose results, and which part of the configuration each depends on.

The work itself lives in the packages; they are imported when a stage runs.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.config import STAGES as STUDENT_STAGES
from wafer_data.files import sha256_json
from waferroute import stage_efforts
from waferroute.config import RunConfig
from waferroute.pipeline import Stage

if TYPE_CHECKING:
    from wafer_data.store import ImageStore

DATA, PRETRAIN, TEACHER, REPORT, BUNDLE = "data", "pretrain", "teacher", "report", "bundle"
# What does the work of each stage; what only checks its input is left out.
_MODELS = ("wafer_data", "training", "likelihood", "student_vae", "teacher")
_DECIDING = (*_MODELS, "distill", "router", "tool_side", "classify", "wafer_map")

# Tracking and unfinished training states; losing them does not undo a stage.
LOGS = ("*.csv", "wandb", "checkpoint*", "logs")


# Keys that change how a stage works but not what comes out of it.
_WITHOUT_EFFECT = {"wandb", "checkpoint_epochs", "keep_cache", "cache_gb", "compile", "offline"}


def all_stages(command_tail: str = "CONFIG", *, pretrain: bool = False) -> list[Stage[RunConfig]]:
    """Every stage, in order.

    Args:
        command_tail: What follows a stage's command in messages: configuration and overrides.
        pretrain: Whether the backbone is pretrained on the images first.
    """
    return [
        Stage(
            "data",
            DATA,
            settings=data_settings,
            function=_data,
            sources=image_listing,
            packages=("wafer_data",),
            effort=stage_efforts.data,
            # an archive is prepared in place, part by part
            replaces=lambda config: config.data.format != "shards",
            command=f"waferroute data {command_tail}",
        ),
        *([_pretraining(command_tail)] if pretrain else []),
        Stage(
            "adapt",
            TEACHER,
            inputs=("data", "pretrain") if pretrain else ("data",),
            settings=teacher_settings,
            function=_adapt,
            packages=_MODELS,
            effort=stage_efforts.adapt,
            replaces=_always,
            logs=LOGS,
            command=f"waferroute adapt {command_tail}",
        ),
        *(_student(name, command_tail) for name in STUDENT_STAGES),
        Stage(
            "calibrate",
            "router",
            inputs=("data", "full", "lowres"),
            settings=lambda config: {"router": config.router.model_dump(mode="json")},
            function=_calibrate,
            packages=_DECIDING,
            effort=stage_efforts.calibrate,
            replaces=_always,
            command=f"waferroute calibrate {command_tail}",
        ),
        Stage(
            "export",
            BUNDLE,
            inputs=("data", "full", "lowres", "calibrate"),
            settings=bundle_settings,
            function=_export,
            packages=_DECIDING,
            effort=stage_efforts.export,
            replaces=_always,
            # Beside the bundle: the folder is copied to tools as it is, and lists its own files.
            record="bundle.stage.json",
            command=f"waferroute export {command_tail}",
        ),
        Stage(
            "evaluate",
            REPORT,
            inputs=("data", "adapt", *STUDENT_STAGES, "calibrate", "export"),
            settings=lambda config: {"eval": config.eval.model_dump(mode="json")},
            function=_evaluate,
            packages=(*_DECIDING, "eval"),
            effort=stage_efforts.evaluate,
            replaces=_always,
            command=f"waferroute evaluate {command_tail}",
        ),
    ]


def image_listing(config: RunConfig) -> str:
    """Hash over path, size and time of change of every image and mask that the configuration finds."""
    from wafer_data.sources import find_images

    if config.data.format == "shards":
        from wafer_data.shards import open_archive

        return sha256_json([[shard.name, shard.identity] for shard in open_archive(config.data.root or "")])
    rows = []
    for candidate in find_images(config.data):
        looks: list[Any] = [candidate.side, candidate.label, candidate.type]
        for path in (candidate.path, candidate.mask):
            looks += [str(path), *_look(path)]
        rows.append(looks)
    return sha256_json(rows)


def data_settings(config: RunConfig) -> dict[str, Any]:
    """The `data` section and the form in which the data are stored."""
    from wafer_data.store import SCHEMA

    section = config.data.model_dump(mode="json")
    if not config.data.labelled_defects_per_type:  # what it divides is not there
        section.pop("calibration_defect_fraction")
    return {"data": section, "schema": SCHEMA}


def student_settings(config: RunConfig, name: str) -> dict[str, Any]:
    """The part of the `distill` section that stage `name` depends on: its own key and those shared by all."""
    section = config.distill.model_dump(mode="json")
    others = (set(STUDENT_STAGES) - {name}) | _WITHOUT_EFFECT
    return {"distill": {key: value for key, value in section.items() if key not in others}}


def teacher_settings(config: RunConfig) -> dict[str, Any]:
    """The part of the `teacher` section that the adapted teacher depends on, and what is measured with it."""
    from teacher.symmetry_record import SCHEMA

    section = config.teacher.model_dump(mode="json")
    kept = {key: value for key, value in section.items() if key not in _WITHOUT_EFFECT}
    return {"teacher": kept, "symmetries": SCHEMA}


def pretrain_settings(config: RunConfig) -> dict[str, Any]:
    """What the pretrained weights depend on: the backbone that they start from, and how it is trained on."""
    section = config.teacher.model_dump(mode="json")
    return {
        "pretrain": {
            key: section[key] for key in ("backbone", "model", "weights", "layers", "seed", "pretrain")
        }
    }


def bundle_settings(config: RunConfig) -> dict[str, Any]:
    """The parts of the configuration that decide what is in the bundle; the manifest states their hash."""
    sections = config.model_dump(mode="json", include={"data", "teacher", "distill", "router", "export"})
    return {
        section: {key: value for key, value in values.items() if key not in _WITHOUT_EFFECT}
        for section, values in sections.items()
    }


# What each student stage may learn from; a change there makes it learn again.
_STUDENT_INPUTS = {
    "intermediate": ("data", "adapt"),
    "target": ("data", "adapt", "intermediate"),
    "full": ("data", "adapt", "intermediate", "target"),
    "lowres": ("data", "adapt", "intermediate", "target"),
}


def _pretraining(command_tail: str) -> Stage[RunConfig]:
    """The optional stage before `adapt`."""
    return Stage(
        "pretrain",
        PRETRAIN,
        inputs=("data",),
        settings=pretrain_settings,
        function=_pretrain,
        packages=_MODELS,
        logs=LOGS,
        command=f"waferroute pretrain {command_tail}",
    )


def _student(name: str, command_tail: str) -> Stage[RunConfig]:
    def train(config: RunConfig, run_dir: Path) -> None:
        from distill.stages import run_stage

        run_stage(name, config.distill, run_dir, _store(run_dir))

    return Stage(
        name,
        name,
        inputs=_STUDENT_INPUTS[name],
        settings=lambda config: student_settings(config, name),
        function=train,
        packages=(*_MODELS, "distill"),
        effort=partial(stage_efforts.student, name),
        replaces=_always,
        logs=LOGS,
        command=f"waferroute distill {command_tail}",
    )


def _always(config: RunConfig) -> bool:
    return True


def _look(path: Path | None) -> tuple[int, int]:
    try:
        status = path.stat() if path is not None else None
    except OSError:  # listed but not there: reading the data will say so
        status = None
    return (status.st_size, status.st_mtime_ns) if status else (-1, -1)


def _store(run_dir: Path) -> "ImageStore":
    from wafer_data.store import ImageStore

    return ImageStore.open(run_dir / DATA)


def _data(config: RunConfig, run_dir: Path) -> None:
    from wafer_data.store import prepare_data

    prepare_data(config.data, run_dir / DATA)


def _pretrain(config: RunConfig, run_dir: Path) -> None:
    from teacher.pretrain.run import pretrain

    pretrain(config.teacher, _store(run_dir), run_dir / PRETRAIN)


def _adapt(config: RunConfig, run_dir: Path) -> None:
    from router.samples import require_enough
    from teacher.fit import fit_teacher

    store = _store(run_dir)
    # before hours of training, not after: can the calibration images carry the rates asked for?
    require_enough(store.counts()["calibration_normal"], config.router)
    pretrained = run_dir / PRETRAIN if config.teacher.pretrain.enabled else None
    fit_teacher(config.teacher, store, run_dir / TEACHER, pretrained)


def _calibrate(config: RunConfig, run_dir: Path) -> None:
    from distill.calibration import calibrate_run
    from distill.targets import drop_cache

    calibrate_run(run_dir, _store(run_dir), config.router, config.data.same_part)
    if not config.distill.keep_cache:  # every student that could use it is trained
        drop_cache(run_dir)


def _export(config: RunConfig, run_dir: Path) -> None:
    from distill.calibration import synthetic_anomaly
    from tool_side.export.write import export_bundle
    from waferroute.classes import learn_labelled

    identity = sha256_json(bundle_settings(config))
    export_bundle(run_dir, run_dir / BUNDLE, identity, paint=synthetic_anomaly, int8=config.export.int8)
    learn_labelled(run_dir / BUNDLE, _store(run_dir))


def _evaluate(config: RunConfig, run_dir: Path) -> None:
    from eval.report import evaluate_run

    evaluate_run(run_dir, config.eval)
