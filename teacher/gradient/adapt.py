"""Adapting a backbone to one surface: adapters are trained on synthetic anomalies, then merged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from teacher.backbones import Backbone
from teacher.gradient.anomaly_task import AnomalyTask
from teacher.gradient.config import GradientConfig
from teacher.gradient.examples import Examples, load
from teacher.gradient.lora import merge, with_adapters
from teacher.gradient.train import Adaptation, seeded, train
from training.batches import hold_out
from training.loop import Inputs, Part
from training.tensors import weights_digest
from wafer_data.errors import InputError
from wafer_data.files import sha256_json, write_json
from wafer_data.store import ImageStore

STANDARDISED_ON = 64
"""At most this many training normals set the mean and the standard deviation of each channel."""


def adapt_by_gradient(
    backbone: Backbone, store: ImageStore, config: GradientConfig, work_dir: Path
) -> Backbone:
    """The backbone after `config.method`: adapted with LoRA if that is asked for, otherwise as it was.

    Only training normals of `store` are read. A run that was killed goes on from its last epoch. The backbone is
    changed in place; the one returned has its architecture, is frozen, in evaluation mode and on the CPU.

    Args:
        work_dir: gets the sub-folder `lora` with the checkpoint, `losses.csv` and `lora.json`.

    Raises:
        InputError: peft is missing, no layer can be adapted, too few images, or a loss that is not finite.
    """
    if not config.uses_lora:
        return backbone
    lora, work = config.lora, work_dir / "lora"
    normals = store.indices("train", label=0)
    if len(normals) < 2:
        raise InputError(
            f"teacher.gradient.method={config.method}: {len(normals)} training normals, one to train on and one to "
            "decide when to stop are the least"
        )
    rows, held_out = hold_out(np.ones(len(normals), bool), lora.held_out, config.seed)
    key = _key(backbone, store, config)
    with seeded(config.seed):
        adapted = with_adapters(backbone, lora)
        task = AnomalyTask(adapted, backbone.channels, lora)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    some = normals[rows[:: -(-len(rows) // STANDARDISED_ON)]]
    task.to(device).standardise(_normals(store, some, lora.batch_size, device))

    def inputs(parts: list[Part]) -> Iterable[Inputs]:
        rows = [part.rows for part in parts]
        return load(
            Examples(store, normals, rows, parts[0].epoch, lora, backbone.map_size, config.seed), lora.workers
        )

    training = Adaptation(
        title="adapting the backbone",
        section="teacher.gradient.lora",
        module=task,
        inputs=inputs,
        rows=rows,
        held_out=held_out,
        config=lora,
        seed=config.seed,
        bf16=config.bf16,
        key=key,
    )
    history = train(training, work)
    adapters = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    write_json(
        work / "lora.json",
        {
            "modules": sorted(
                {name.split(".lora_")[0].removeprefix("base_model.model.") for name in adapters}
            ),
            "rank": lora.rank,
            "alpha": lora.alpha,
            "trained_parameters": sum(p.numel() for p in adapters.values()),
            "history": history,
        },
    )
    return merge(adapted)


def _normals(
    store: ImageStore, indices: np.ndarray, batch_size: int, device: torch.device
) -> Iterable[Tensor]:
    for start in range(0, len(indices), batch_size):
        yield torch.from_numpy(store.batch(indices[start : start + batch_size])).to(device)


def _key(backbone: Backbone, store: ImageStore, config: GradientConfig) -> str:
    return sha256_json(
        {
            "store": store.fingerprint,
            "backbone": weights_digest(backbone),
            "describe": backbone.describe(),
            "lora": config.lora.model_dump(mode="json", exclude={"workers"}),
            "seed": config.seed,
            "bf16": config.bf16,
            "version": 1,
        }
    )
