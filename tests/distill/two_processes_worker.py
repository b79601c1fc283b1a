"""What each process of `test_two_processes.py` runs, started by `accelerate launch`; leaves its results in a folder."""

import json
import sys
from pathlib import Path

from accelerate import PartialState

from distill.stages import run_stage
from tests.conftest import tiny_distill_config
from tests.distill.toy import normalised_model, plain_model, toy_task, train
from training.tensors import save_tensors
from wafer_data.store import ImageStore

EVERYTHING = {"ema": 0.9, "early_stopping": 2, "held_out": 0.3, "gradient_accumulation": 2, "epochs": 4}


def main(out: Path, run_dir: Path) -> None:
    """Train the toy without and with batch normalisation, then one stage of a run."""
    rank = PartialState(cpu=True).process_index
    plain = plain_model()
    task = toy_task(plain, images=24, epochs=3)
    train(task, out / "plain")
    save_tensors(plain.state_dict(), out / f"plain-{rank}.safetensors")
    (out / f"asked-{rank}.json").write_text(json.dumps([rows.tolist() for rows in task.pool.asked]))
    normalised = normalised_model()
    rows = train(toy_task(normalised, **EVERYTHING), out / "everything")
    save_tensors(normalised.state_dict(), out / f"everything-{rank}.safetensors")
    (out / f"rows-{rank}.json").write_text(json.dumps(rows))
    run_stage("lowres", tiny_distill_config(), run_dir, ImageStore.open(run_dir / "data"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
