"""The stage `pretrain`: from the ready weights to those that the fab's own images have changed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from teacher.backbones import Backbone, build_backbone
from teacher.config import TeacherConfig
from teacher.pretrain.images import ArchiveImages, Images
from teacher.pretrain.task import MaskedDistillation
from training.checkpoints import FORMAT, forget_other_work
from training.loop import Settings, Training, train
from training.tensors import load_weights, save_tensors, weights_digest
from training.tracking import write_history
from wafer_data.errors import DataError, InputError
from wafer_data.files import read_json, sha256_json, write_json
from wafer_data.store import ImageStore

WEIGHTS, ABOUT = "backbone.safetensors", "backbone.json"
STANDARDISED_ON = 64


def pretrain(config: TeacherConfig, store: ImageStore, out_dir: Path) -> None:
    """Continue the backbone's pretraining and write its weights, backbone.json and losses.csv into `out_dir`.

    Only training images of the run and of the archives are read. A run that was killed goes on from its last
    checkpoint. Runs under `accelerate launch` in several processes; the images are then divided between them.

    Raises:
        InputError: no weights, no images, or a loss that is not finite.
    """
    if store.channels != 1:
        raise InputError(
            "teacher.pretrain does not go with data.colour=true: it pretrains on grey images; set "
            "teacher.pretrain.enabled=false, or data.colour=false"
        )
    settings, seed, work = config.pretrain, config.seed, out_dir / "checkpoint"
    backbone = build_backbone(config)
    accelerator = Accelerator(
        mixed_precision="bf16" if settings.bf16 and _has_bf16() else "no",
        # what comes after a transformer's last hidden layer has no part in its features
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    with accelerator.main_process_first():  # the others find the archives decoded
        archives = [
            ArchiveImages(location, out_dir / "checkpoint-archives" / f"{number:03d}", store.size)
            for number, location in enumerate(settings.archives)
        ]
    images = Images(store.tiles(config.likelihood.folds), archives)
    rows, held_out = _hold_out(len(images), settings.held_out, seed)
    key = sha256_json([images.key, weights_digest(backbone), settings.model_dump(mode="json"), seed, 1])
    if accelerator.is_main_process:
        forget_other_work(work, f"{key} {FORMAT}")
    accelerator.wait_for_everyone()
    torch.manual_seed(seed)
    task = MaskedDistillation(backbone, settings, len(images.kinds))
    some = rows[:: -(-len(rows) // STANDARDISED_ON)]
    task.standardise(torch.from_numpy(images.grey(int(row))[None, None]) for row in some)
    task.to(accelerator.device)
    started, seen = time.monotonic(), 0

    def epoch_done(epoch: int, row: dict[str, float]) -> None:
        nonlocal seen
        seen += min(len(rows), settings.images_per_epoch)
        row["images_per_second"] = seen / (time.monotonic() - started)

    history = train(
        Training(
            title="pretraining",
            section="teacher.pretrain",
            remedy=f"lower teacher.pretrain.learning_rate={settings.learning_rate}, or set bf16=false there,",
            task=task,
            inputs=lambda parts: images.inputs(parts, settings, seed),
            steps_of=lambda epoch: _steps(rows, settings.images_per_epoch, settings.batch_size, seed, epoch),
            settings=Settings.of(settings),
            held_out=held_out,
        ),
        work / "state",
        accelerator,
        epoch_done,
    )
    if not accelerator.is_main_process:
        return
    write_history(out_dir / "losses.csv", history)
    save_tensors(task.backbone.cpu().state_dict(), out_dir / WEIGHTS)
    about = {"backbone": task.backbone.describe(), "images": len(images), "own": len(store.indices("train"))}
    write_json(
        out_dir / ABOUT, about | {"archives": settings.archives, "kinds": images.kinds, "history": history}
    )


def pretrained_backbone(config: TeacherConfig, folder: Path) -> Backbone:
    """The configured backbone with the weights that `pretrain` wrote, frozen, in evaluation mode.

    Raises:
        InputError: they are missing, broken, or of another architecture.
    """
    backbone = build_backbone(config)
    if read_json(folder / ABOUT).get("backbone") != _plain(backbone):
        raise DataError(f"{folder} holds the weights of another backbone: run the stage `pretrain` again")
    load_weights(backbone, folder / WEIGHTS)
    return backbone.requires_grad_(False).eval()


def _plain(backbone: Backbone) -> object:
    import json

    return json.loads(json.dumps(backbone.describe(), default=str))


def _hold_out(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if count < 20:
        raise DataError(f"{count} images are too few to pretrain on: give teacher.pretrain.archives")
    order = np.random.default_rng((seed, 22)).permutation(count)
    held = min(512, max(1, round(share * count)))
    return np.sort(order[held:]), np.sort(order[:held])


def _steps(rows: np.ndarray, most: int, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    order = np.random.default_rng((seed, 23, epoch)).permutation(rows)[:most]
    size = min(batch, len(order))
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def _has_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
