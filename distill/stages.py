"""The stages: who teaches, who learns, on what, with which losses.

Each of intermediate, target, full and lowres is one `StageConfig` run through the same three phases: imitation of
its teacher's features, the closed-form fit of the likelihood on the training normals, and (where asked) the ELBO
phase. A finished stage is one folder, written as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from distill.augmentation import Augmentation, choose_augmentation
from distill.config import STAGES, DistillConfig, StageConfig
from distill.elbo_phase import train_elbo
from distill.imitation import ImitationTask, imitate
from distill.pool import Pool, open_pool
from distill.targets import CACHE, Targets, load_model, open_targets, weights_file
from likelihood.answers import PAINTED, SMALLEST, Answers, attach_answers
from likelihood.labels import fit_with_labels
from student_vae import StudentVAE, save_student
from teacher.model import teacher_answers
from teacher.symmetry_record import loosely_placed
from training.checkpoints import FORMAT, forget_other_work
from training.tracking import LossLog, WandbRun
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, sha256_file, sha256_json, write_json, write_text
from wafer_data.learned_from import LearnedFrom, require_unseen
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.symmetric_copies import SAME, Change, changes_from, normals_and_copies, within

STANDARD_IMAGES = 256
"""Training normals, at most, whose cells say what an ordinary answer to painted defects is."""
ENOUGH_FOR_PAINT = 200
"""Training normals from which on students learn painted defects from the paint itself. On 40 images a student that
did so told 0.70 of real defects from normals, its teacher 0.98; on 600 0.86 and 0.64 (docs/LOG.md)."""
TURNED = 0.3
"""Share of the copies turned by any angle, enlarged or shrunk, where a cell's look counts and not its place alone."""
FEW_NORMALS = 200
"""With fewer training normals, and where no place counts, all copies are: a teacher knows its few images by heart, and
what it answers for them as they lie is not what it answers for others (docs/LOG.md)."""

OnEpoch = Callable[[int, dict[str, float]], None]


class TrunkFeatures(nn.Module):
    """A student's features as a module of their own, which is what imitation trains (and DDP wraps)."""

    def __init__(self, student: StudentVAE) -> None:
        super().__init__()
        self.trunk = student.trunk
        self._prepare = student.prepare

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, 256, 256) in [0, 1] -> (B, d, map, map)."""
        return self.trunk(self._prepare(image))


def run_stage(name: str, config: DistillConfig, run_dir: Path, store: ImageStore) -> None:
    """Train stage `name` and write its folder `run_dir / name`.

    Works in one process or under `accelerate launch`. Interrupted, it goes on from its last checkpoint.

    Raises:
        InputError: unknown stage, missing teacher, a teacher of another map size, or one that learned from images that
            are to calibrate.
    """
    if name not in STAGES:
        raise InputError(f"no stage called {name}; stages are {', '.join(STAGES)}")
    asked = teacher_answers(run_dir / "teacher")
    loose = asked is None and loosely_placed(run_dir / "teacher")
    stage = config.stage_of(name, asked is not None, loose)
    taught_by = [
        run_dir / model for model in dict.fromkeys(("teacher", stage.teacher, stage.start_from)) if model
    ]
    learned = LearnedFrom.of(store, require_unseen(taught_by, store))
    store = store.tiles(stage.student.likelihood.folds)
    cache = run_dir / CACHE
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    augmentation = choose_augmentation(config.pool, run_dir / "teacher")
    bf16 = config.mixed_precision == "bf16"
    normals = len(store.indices("train", label=0))
    with accelerator.main_process_first():
        pool = open_pool(
            cache,
            store,
            config.pool_of(stage),
            config.seed,
            augmentation.config,
            augmentation.foreign,
            warped=_turned(asked, normals),
        )
        targets = open_targets(cache, run_dir, stage.teacher, pool, config.cache_gb, accelerator.device, bf16)
        from_paint = normals >= ENOUGH_FOR_PAINT
        imitated = [] if asked is None else asked.names[1:]
        # what a student in between made of an answer would be imitated with its faults
        answer_targets = None
        if set(imitated) - ({PAINTED} if from_paint else set()) and stage.teacher != "teacher":
            answer_targets = open_targets(
                cache, run_dir, "teacher", pool, config.cache_gb, accelerator.device, bf16
            )
    # after whatever loading a model for the caches drew from the generator
    set_seed(config.seed)
    student = _new_student(name, stage, targets, run_dir, store.channels)
    # inside the stage's folder: whoever clears that to start afresh clears the unfinished work with it
    work = run_dir / name / "checkpoint"
    if accelerator.is_main_process:
        forget_other_work(work, _work_key(name, stage, config.seed, run_dir, pool))
    accelerator.wait_for_everyone()
    log = LossLog(work / "losses.csv")
    tracker = WandbRun(
        config.wandb if accelerator.is_main_process else "disabled", name, run_dir, stage.model_dump()
    )

    def record(phase: str, epoch: int, losses: dict[str, float]) -> None:
        log.add(phase, epoch, **losses)
        tracker.log({f"{phase}/{k}": v for k, v in losses.items()} | {"epoch": epoch})

    answers = student.likelihood.answers
    task = ImitationTask(
        name,
        TrunkFeatures(student),
        pool,
        targets,
        stage,
        config.seed,
        student.channels + len(imitated),
        dict(zip(answers.names, answers.weights, strict=True)) if answers is not None else {},
        answer_targets,
        from_paint,
        config.compile,
    )
    imitate(
        task, accelerator, work / "state", config.checkpoint_epochs, lambda e, v: record("imitation", e, v)
    )
    if accelerator.is_main_process:
        finish = student.to(accelerator.device).eval()
        painted = _painted_channel(finish)
        odds = _standardise(finish, painted, store) if painted is not None and from_paint else None
        complete = _fit_and_decode(
            finish,
            store,
            pool,
            stage,
            config.seed,
            _changes_of_the_fit(augmentation, answers, normals),
            loose,
            lambda e, v: record("elbo", e, v),
            work / "elbo",
        )
        with new_directory(run_dir / name) as folder:
            save_student(
                complete.cpu(), folder, {"stage": name, "teacher": stage.teacher, "painted_odds": odds}
            )
            write_json(folder / "augmentation.json", augmentation.to_dict())
            learned.write(folder)
            write_text(folder / "losses.csv", (work / "losses.csv").read_text())
    tracker.finish()
    accelerator.wait_for_everyone()
    accelerator.free_memory()


def _new_student(
    name: str, stage: StageConfig, targets: Targets, run_dir: Path, image_channels: int
) -> StudentVAE:
    available, side = targets.shape[1], targets.shape[2]
    if side % stage.student.map_size:
        raise InputError(
            f"distill.{name}.student.map_size={stage.student.map_size} must divide {side}, the map of its teacher "
            f"{stage.teacher}"
        )
    answers = teacher_answers(run_dir / "teacher")
    # only what its likelihood looks at: a small trunk that imitates more of its teacher imitates all of it worse
    directions = available - (answers.count if answers is not None else 0)
    imitated = stage.student.likelihood.channels_used(directions)
    coordinates = stage.student.likelihood.coordinates
    student = StudentVAE(
        stage.student,
        imitated,
        coordinates,
        has_decoder=False,
        answers=answers,
        image_channels=image_channels,
    )
    if stage.start_from:
        start = load_model(run_dir, stage.start_from)
        assert isinstance(start, StudentVAE)
        student.trunk.load_state_dict(start.trunk.state_dict())
        odds = read_json(run_dir / stage.start_from / "student.json").get("painted_odds")
        channel = _painted_channel(student)
        if odds is not None and channel is not None:
            _to_odds(student, channel, *odds)
    return student


def _turned(asked: Answers | None, normals: int) -> float:
    """Share of the copies that are turned by any angle."""
    if asked is None:
        return 0.0
    return 1.0 if normals < FEW_NORMALS and not asked.asks_place else TURNED


def _painted_channel(student: StudentVAE) -> int | None:
    """Which channel answers to painted defects; None: that is not asked."""
    answers = student.likelihood.answers
    return answers.names.index(PAINTED) - 1 if answers is not None and PAINTED in answers.names else None


def _work_key(name: str, stage: StageConfig, seed: int, run_dir: Path, pool: Pool) -> str:
    """What unfinished work depends on: settings, pool, and the models that it learns and starts from."""
    models = [weights_file(run_dir, m) for m in (stage.teacher, stage.start_from) if m]
    parts = {
        "stage": stage.model_dump(mode="json"),
        "name": name,
        "seed": seed,
        "pool": pool.key,
        "models": [sha256_file(m) for m in models],
        "checkpoints": FORMAT,
    }
    return sha256_json(parts)


def _changes_of_the_fit(augmentation: Augmentation, answers: Answers | None, normals: int) -> list[Change]:
    """Ways round in which the likelihood is to see each normal: one, where no score depends on places."""
    if answers is not None and not answers.asks_place:
        return [SAME]
    return within(changes_from(augmentation.exact), normals)


@torch.no_grad()
def _standardise(student: StudentVAE, channel: int, store: ImageStore) -> tuple[float, float]:
    """Bring one answer, log odds so far, to standard deviations of normal cells, in the trunk's last layer.

    Returns:
        Mean and standard deviation of the log odds, for `_to_odds`.
    """
    chosen = spread(store.indices("train", label=0), STANDARD_IMAGES)
    head, device = student.trunk.head, next(student.parameters()).device
    cells = torch.cat(
        [
            student.features(torch.from_numpy(store.batch(chosen[start : start + 32])).to(device))[:, channel]
            for start in range(0, len(chosen), 32)
        ]
    )
    assert head.bias is not None
    centre, scale = cells.mean(), cells.std().clamp_min(SMALLEST)
    head.weight[channel] /= scale
    head.bias[channel] = (head.bias[channel] - centre) / scale
    return float(centre), float(scale)


@torch.no_grad()
def _to_odds(student: StudentVAE, channel: int, centre: float, scale: float) -> None:
    """The reverse, for a stage that goes on with another's trunk."""
    head = student.trunk.head
    assert head.bias is not None
    head.weight[channel] *= scale
    head.bias[channel] = head.bias[channel] * scale + centre


def _fit_and_decode(
    student: StudentVAE,
    store: ImageStore,
    pool: Pool,
    stage: StageConfig,
    seed: int,
    changes: list[Change],
    loose: bool,
    on_epoch: OnEpoch,
    work: Path,
) -> StudentVAE:
    """Likelihood (fitted to normals with all `changes`) and ELBO phase of a student whose trunk is trained."""
    device = next(student.parameters()).device
    config = stage.student.likelihood

    @torch.no_grad()
    def features_of(indices: np.ndarray, changes: list[Change]) -> Iterator[Tensor]:
        for images in normals_and_copies(store, indices, changes, config.folds):
            yield student.features(torch.from_numpy(images).to(device)).cpu()

    answers = student.likelihood.answers
    count = student.likelihood.answer_count
    normals, defects = (store.indices("train", label=label) for label in (0, 1))
    fit = fit_with_labels(
        lambda: (part[:, count:] for part in features_of(normals, changes)),
        (part[:, count:] for part in features_of(defects, [SAME])),
        config.for_images(len(normals), len(changes), loose),
        seed,
    )
    likelihood = fit.likelihood
    if answers is not None:
        answers = Answers(**answers.describe())
        attach_answers(likelihood, answers, fit.normal_scores, features_of(normals, [SAME]))
    set_seed(seed)
    complete = StudentVAE(
        stage.student,
        student.channels,
        likelihood.coordinates,
        has_decoder=stage.elbo_epochs > 0,
        has_head=likelihood.head is not None,
        prototypes=likelihood.prototype_count,
        answers=answers,
        image_channels=student.image_channels,
    )
    complete.trunk.load_state_dict(student.trunk.state_dict())
    complete.likelihood.load_state_dict(likelihood.state_dict())
    complete = complete.to(device).eval()
    if stage.elbo_epochs:
        train_elbo(complete, pool, stage, seed, on_epoch, work)
    return complete
