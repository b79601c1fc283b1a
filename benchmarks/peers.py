"""waferroute beside anomalib's models: the same images, the same split, the same metrics, one thread of one machine.

    .venv/bin/python benchmarks/peers.py OUT --venv DIR --run mtd=RUN --run elpv=RUN
    .venv/bin/python benchmarks/peers.py OUT --venv DIR --case mtd=FOLDER --case elpv

The peers live in a virtual environment of their own (`--venv`, made on first use from `peers_requirements.txt`): they
pin other versions than waferroute does. `--run NAME=RUN` compares with a finished run folder without labels; `--case`
makes the run first (as `benchmarks/accuracy.py` does, under OUT/runs). The peers train on the normals that the run
records as training normals and are tested on its test images; calibration images stay unused. The published figures of
a case are looked up by its name.

EfficientAD and Dinomaly need weights that no package index carries. They run with random weights, which say
nothing about accuracy: their accuracy is left empty.

Writes OUT/peers.json and OUT/peers.md. What a peer has done is kept under OUT and not repeated. Where the time goes is
said with `--peers`, `--epochs`, `--patches` and `--coreset`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import command
from peers_table import markdown

from eval.metrics import PixelHistograms, bootstrap_interval, fnr_at_fpr, image_auroc
from eval.metrics.bootstrap import paired_bootstrap
from wafer_data import files
from wafer_data.errors import InputError
from wafer_data.mapped import new_mapped
from wafer_data.store import ImageStore

HERE = Path(__file__).resolve().parent
PEERS = ("patchcore", "padim", "stfpm", "efficientad", "dinomaly")
OWN = ("routed", "full", "lowres", "teacher")
STAGES = ("teacher", "intermediate", "target", "full", "lowres", "router")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BLOCK = 32


def environment(folder: Path) -> Path:
    """The peers' interpreter; its environment is made, or completed, if anomalib does not import there."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run(
        [python, "-c", "import anomalib, onnxruntime, safetensors"], capture_output=True
    ).returncode:
        install = ["-m", "pip", "install", "--quiet", "-r", str(HERE / "peers_requirements.txt")]
        subprocess.run([python, *install], check=True)
    return python


class Case:
    """The images of one finished run, laid out for processes that know nothing of waferroute."""

    def __init__(self, name: str, run: Path, out: Path) -> None:
        self.name, self.run, self.folder = name, run, out / name
        self.store = ImageStore.open(run / "data")
        self.test = self.store.indices("test")
        records = [self.store.records[i] for i in self.test]
        self.labels = np.array([record.label for record in records])
        self.paths = [record.path for record in records]
        self.report: dict[str, Any] = files.read_json(run / "report" / "report.json")
        if self.report["data"]["labelled_defects"]:
            raise InputError(
                f"{run} was trained with labelled defects: the peers take none; give a run without"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.train_images = self._save("train", self.store.indices("train", 0))
        self.test_images = self._save("test", self.test)
        self.test_labels = self.folder / "labels.npy"
        np.save(self.test_labels, self.labels)

    def _save(self, name: str, indices: np.ndarray) -> Path:
        path = self.folder / f"{name}.npy"
        size = self.store.size
        shape = (len(indices), 1, size, size)
        array = new_mapped(path, np.float32, shape)
        for start in range(0, len(indices), BLOCK):
            array[start : start + BLOCK] = self.store.batch(indices[start : start + BLOCK])
        array.flush()
        return path

    def figures(self, scores: np.ndarray, maps: np.ndarray) -> dict[str, Any]:
        """Accuracy on the test images; scores (N,), maps (N, S, S)."""
        return {
            "image_auroc": image_auroc(self.labels, scores),
            "image_auroc_interval": bootstrap_interval(image_auroc, self.labels, scores),
            "fnr_at_fpr5": fnr_at_fpr(self.labels, scores),
            "pixel_auroc": self._pixel_auroc(maps),
        }

    def _pixel_auroc(self, maps: np.ndarray) -> float | None:
        """Defects without a mask say nothing about pixels and are left out, as in waferroute's own evaluation."""
        histograms, masked = PixelHistograms(), False
        clear = np.zeros((self.store.size, self.store.size), bool)
        for index, label, heat in zip(self.test, self.labels, maps, strict=True):
            mask = self.store.mask(int(index)) if label else clear
            if mask is not None:
                histograms.update(heat, mask)
                masked |= bool(label)
        return histograms.auroc() if masked else None

    def own_scores(self) -> np.ndarray:
        """Routed scores of the run, (N,); an image that the gate refused counts as the most anomalous."""
        rows = files.read_json(self.run / "report" / "predictions.json")["images"]
        scores = {row["path"]: row["routed_score"] for row in rows}
        return np.array([np.inf if scores[path] is None else scores[path] for path in self.paths])

    def clean(self) -> None:
        """Remove the images; they can be made again."""
        for path in (self.train_images, self.test_images, self.test_labels):
            path.unlink()


def run_peer(case: Case, name: str, python: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All steps of one peer that are not done yet; what the table shows of it, or why there is nothing to show."""
    settings = {"patches": args.patches, "coreset": args.coreset, "epochs": args.epochs, "seed": args.seed}
    folder = case.folder / name
    done = folder / "figures.json"
    wanted = {"settings": settings, "data": case.store.fingerprint}
    if done.is_file() and (found := files.read_json(done)).get("wanted") == wanted:
        return found
    folder.mkdir(exist_ok=True)

    def step(step: str, images: Path, *more: str) -> dict[str, Any]:
        written = folder / (f"{step}_{more[-1]}.json" if step == "time" else f"{step}.json")
        arguments = [step, str(folder), "--peer", name, "--images", str(images), *more]
        subprocess.run(
            [python, HERE / "peers_worker.py", *arguments], check=True, env=os.environ | ONE_THREAD
        )
        return files.read_json(written)

    try:
        found = {"wanted": wanted, "fit": step("fit", case.train_images, "--settings", json.dumps(settings))}
        found["torch"] = step("time", case.test_images, "--engine", "torch")
        found["judge"] = step("judge", case.test_images)
        if found["judge"]["export"] is None:
            found["onnx"] = step("time", case.test_images, "--engine", "onnx")
    except subprocess.CalledProcessError as error:
        return {"failed": f"{name}: a step ended with exit code {error.returncode}"}
    if (folder / "scores.npz").is_file():
        with np.load(folder / "scores.npz", allow_pickle=False) as content:
            scores, maps = content["scores"].astype(float), content["maps"]
        found |= case.figures(scores, maps)
        (folder / "scores.npz").unlink()  # 0.25 MB an image
        np.savez(folder / "image_scores.npz", scores=scores)
    (folder / "model.onnx").unlink(missing_ok=True)
    (folder / "model.safetensors").unlink()
    files.write_json(done, found)
    return found


def compare(case: Case, name: str) -> dict[str, list[float]]:
    """How far the routed AUROC of *this* run is ahead of the peer's, whose figures may be of an earlier call."""
    path = case.folder / name / "image_scores.npz"
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as content:
        theirs = content["scores"]
    found = paired_bootstrap({"auroc": image_auroc}, case.labels, case.own_scores(), theirs)["auroc"]
    return {"routed_ahead_by": [found.difference, found.low, found.high]}


def run_own(case: Case, name: str) -> dict[str, Any]:
    """Time and memory of the run's bundle."""
    out = case.folder / f"{name}.json"
    arguments = [case.run / "bundle", case.test_images, case.test_labels, out]
    subprocess.run(
        [sys.executable, HERE / "peers_own.py", *arguments], check=True, env=os.environ | ONE_THREAD
    )
    return files.read_json(out)


def run_case(case: Case, python: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Waferroute before and after the peers, so that a drift of the machine's speed shows."""
    before = run_own(case, "own_before")
    peers = {name: run_peer(case, name, python, args) for name in args.peers.split(",")}
    after = run_own(case, "own_after")
    for key, peer in peers.items():
        if "failed" not in peer:
            peer |= compare(case, key)
    own = {name: case.report["models"][name] for name in OWN if name in case.report["models"]}
    interval = bootstrap_interval(image_auroc, case.labels, case.own_scores())
    case.clean()
    return {
        "data": case.report["data"],
        "own": own,
        "own_training_seconds": sum(
            files.read_json(case.run / stage / "stage.json")["seconds"] for stage in STAGES
        ),
        "routed_interval": interval,
        "own_time": [before, after],
        "peers": peers,
    }


def runs_of(args: argparse.Namespace) -> dict[str, Path]:
    """The run folder of each case, made if need be."""
    found = {name: Path(folder) for name, _, folder in (text.partition("=") for text in args.run)}
    for text in args.case:
        name = text.partition("=")[0]
        if name not in found:
            arguments = command(text, args.out / "runs", 0)
            subprocess.run([sys.executable, "-m", "waferroute", *arguments], check=True)
            found[name] = args.out / "runs" / f"{name}-0"
    return found


def main() -> None:
    """Run every case and write the table after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--venv", type=Path, required=True, help="the peers' virtual environment")
    parser.add_argument("--run", action="append", default=[], help="NAME=RUN, a finished run")
    parser.add_argument("--case", action="append", default=[], help="NAME=FOLDER in MVTec AD layout, or elpv")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--patches", type=int, default=60_000, help="into PatchCore's coreset search")
    parser.add_argument(
        "--coreset", type=float, default=0.01, help="share of all patches that PatchCore keeps"
    )
    parser.add_argument("--epochs", type=int, default=8, help="of STFPM")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.run and not args.case:
        parser.error("give at least one --run NAME=RUN or --case NAME=FOLDER")
    if unknown := set(args.peers.split(",")) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    python, found = environment(args.venv), {}
    for name, run in runs_of(args).items():
        found[name] = run_case(Case(name, run, args.out), python, args)
        files.write_json(args.out / "peers.json", found)
        files.write_text(args.out / "peers.md", markdown(found))
    print((args.out / "peers.md").read_text())


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
