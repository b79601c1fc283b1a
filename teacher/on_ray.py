"""The teacher's features computed on a Ray cluster, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teacher.backbones import rebuild
from teacher.config import TeacherConfig
from teacher.model import Teacher
from teacher.normal_features import Elsewhere
from teacher.project import project_images
from training.tensors import load_weights, save_tensors
from wafer_data.files import read_json, write_json
from wafer_data.imaging.planes import stacked
from wafer_data.shards.on_ray import cluster, on_ray
from wafer_data.store import ImageStore
from wafer_data.symmetric_copies import Change, in_folds

WEIGHTS, ABOUT = "weights.safetensors", "about.json"


@dataclass(frozen=True)
class FeaturePass:
    """Which features: of the training normals of a prepared data set, or of them and their copies.

    Attributes:
        data: Its folder, which every worker must reach.
        teacher: Folder that `hand_out` wrote, likewise.
        config: Of the teacher.
        changes: The copies; empty: the images as they are.
    """

    data: Path
    teacher: Path
    config: TeacherConfig
    changes: tuple[Change, ...] = ()

    def worker(self) -> Callable[[np.ndarray], dict[str, Any]]:
        """What a worker does with a block of positions; called once in each."""
        folds = math.lcm(self.config.likelihood.folds, self.config.questions.folds)
        store, teacher = ImageStore.open(self.data).tiles(folds), _taken(self.teacher)
        image_at = images_of(store, self.changes, self.config.likelihood.folds)

        def work(positions: np.ndarray) -> dict[str, Any]:
            size, found = self.config.batch_size, []
            for start in range(0, len(positions), size):
                images = stacked(image_at(int(place)) for place in positions[start : start + size])
                features = project_images(teacher, torch.from_numpy(images), self.config)
                found.append(features.float().half().cpu().numpy())
            return {"features": np.concatenate(found).view(np.uint16)}

        return work

    def elsewhere(self) -> Elsewhere | None:
        """What `NormalFeatures` computes with on the cluster; None where there is none."""
        address = cluster()
        if address is None:
            return None

        def computed(blocks: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
            for number, row in on_ray(address, self.worker, blocks, gpu=True):
                yield number, np.asarray(row["features"]).view(np.float16)

        return computed


def images_of(store: ImageStore, changes: Sequence[Change], folds: int) -> Callable[[int], np.ndarray]:
    """Position -> image as the models see it: of the training normals, or of the normals and their copies in folds."""
    normals = store.indices("train", label=0)
    if not changes:
        return lambda place: store.pixels(int(normals[place]))
    order = list(in_folds(len(normals), len(changes), folds))

    def copy_at(place: int) -> np.ndarray:
        image, copy = order[place]
        return changes[copy].of(store.pixels(int(normals[image])))

    return copy_at


def hand_out(teacher: Teacher, folder: Path) -> None:
    """Write what workers need of a teacher whose likelihood is yet to be fitted."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(teacher.state_dict(), folder / WEIGHTS)
    backbone = teacher.backbone
    about = {
        "backbone": backbone.describe(),
        "map_size": backbone.map_size,
        "directions": teacher.directions,
        "image_channels": teacher.image_channels,
    }
    write_json(folder / ABOUT, about)


def _taken(folder: Path) -> Teacher:
    about = read_json(folder / ABOUT)
    backbone = rebuild(about["backbone"], about["map_size"])
    teacher = Teacher(backbone, about["directions"], image_channels=about["image_channels"])
    load_weights(teacher, folder / WEIGHTS)
    return teacher.to("cuda" if torch.cuda.is_available() else "cpu").eval()
