"""Pretraining in two processes, as `accelerate launch` starts them, learns what one process learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from teacher.config import TeacherConfig
from teacher.pretrain.run import pretrain
from tests.distill.test_two_processes import LAUNCH
from wafer_data.store import ImageStore

SETTINGS = {"enabled": True, "epochs": 2, "batch_size": 8, "images_per_epoch": 16, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    """A small vision transformer: what comes after its last hidden layer gets no gradient."""
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    AutoModel.from_config(
        AutoConfig.for_model("dinov2", patch_size=32, image_size=256, **sizes)
    ).save_pretrained(folder)
    more = {"gradient_checkpointing": True, "gradient_accumulation": 1}
    return {
        "backbone": "transformers",
        "model": str(folder),
        "map_size": 8,
        "directions": 8,
        "pretrain": {**SETTINGS, **more},
    }


def test_the_weights_are_those_of_one_process(config, tiny_data, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    worker = ["-m", "tests.teacher.pretrain_worker", str(file), str(tiny_data), str(tmp_path / "two")]
    done = subprocess.run(
        [sys.executable, *LAUNCH, *worker],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr
    pretrain(TeacherConfig(**config), ImageStore.open(tiny_data), tmp_path / "one")
    one, two = (load_file(tmp_path / name / "backbone.safetensors") for name in ("one", "two"))
    start = load_file(Path(config["model"]) / "model.safetensors")
    # transformers may call a weight otherwise in its file than in its module
    known = [name for name in start if f"net.{name}" in one]
    learned = [name for name in known if not (one[f"net.{name}"] == start[name]).all()]
    assert len(learned) > 10
    # AdamW blows a gradient that is zero but for rounding (a bias of attention's keys) up to a whole step
    apart = torch.cat([two[name].sub(tensor).abs().flatten() > 1e-4 for name, tensor in one.items()])
    assert apart.float().mean() < 0.05
    histories = [
        json.loads((tmp_path / name / "backbone.json").read_text())["history"] for name in ("one", "two")
    ]
    for alone, together in zip(*histories, strict=True):
        for name in ("loss", "masked", "visible", "held_out_loss"):
            assert together[name] == pytest.approx(alone[name], rel=1e-3), name
