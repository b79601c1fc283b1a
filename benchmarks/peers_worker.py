"""One step of one peer, in a process of its own: so its peak memory is its own. Runs in the peers' environment.

    VENV/bin/python benchmarks/peers_worker.py fit|judge|time FOLDER --peer NAME --images FILE.npy

`benchmarks/peers.py` starts it. FOLDER is the peer's own. `fit` trains on the images and writes model.safetensors;
`judge` scores the images, writes scores.npz and, where the model can be exported, model.onnx; `time` measures the
latency of single images. Each writes a JSON of its name with processor seconds or milliseconds, and the process's
peak memory. One thread throughout.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODEL, GRAPH, SCORES = "model.safetensors", "model.onnx", "scores.npz"
WARM_UP, MOST_SECONDS = 5, 60.0
MOST_BYTES = 16 * 2**30
M_MMAP_THRESHOLD = -3  # glibc's malloc.h


def give_back_large_blocks() -> None:
    """Tell glibc to return every block above 4 MB at once, when training.

    PatchCore's search takes and frees a large block a step and keeps a tiny one: with glibc's own choice the tiny ones
    pin the heap, which then grows by a block a step, to 20 GB. It costs time in page faults, so latencies are measured
    without it.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 4 * 2**20)


def peak_megabytes() -> float:
    """Most memory this process ever held (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def milliseconds(call: Callable[[np.ndarray], object], images: np.ndarray, runs: int) -> dict[str, Any]:
    """Times of single calls over the images in turn; for at most a minute of processor time, but at least ten calls.

    `cpu`: median of the processor time, which on one thread is what an idle machine would take; `p50`, `p99`, `mean`:
    of the clock, which also counts what other programs took.
    """
    times: list[tuple[float, float]] = []
    started = time.process_time()
    for i in range(runs + WARM_UP):
        image = images[i % len(images)][None]
        clock, processor = time.perf_counter(), time.process_time()
        call(image)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
        if len(times) >= WARM_UP + 10 and time.process_time() - started > MOST_SECONDS:
            break
    clocks, processors = 1e3 * np.array(times[WARM_UP:]).T
    p50, p99 = np.quantile(clocks, [0.5, 0.99])
    return {
        "cpu": float(np.median(processors)),
        "mean": float(clocks.mean()),
        "p50": float(p50),
        "p99": float(p99),
        "runs": len(clocks),
    }


def fit(folder: Path, name: str, images: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    """Train, and write the weights; a peer with random weights is written as it is built."""
    import torch
    from peers_models import PEERS, Settings
    from safetensors.torch import save_file

    give_back_large_blocks()
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    random.seed(settings["seed"])  # PaDiM draws its channels with it
    judge = PEERS[name].build()
    before, train, how = time.process_time(), PEERS[name].fit, None
    if train is not None:
        how = train(judge, images, Settings(**settings))
    seconds = time.process_time() - before  # one thread: what it takes on an idle core
    state = {key: value.detach().contiguous().clone() for key, value in judge.model.state_dict().items()}
    save_file(state, folder / MODEL)
    return {
        "seconds": seconds if train is not None else None,
        "how": how,
        "images": len(images) if train is not None else 0,
        "megabytes": (folder / MODEL).stat().st_size / 2**20,
        "parameters": sum(p.numel() for p in judge.model.parameters()),
        "random_weights": train is None,
        "title": PEERS[name].title,
        "note": PEERS[name].note,
    }


def load(folder: Path, name: str) -> Any:
    """The trained peer, ready to judge."""
    import torch
    from peers_models import PEERS
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    judge = PEERS[name].build()
    judge.model.load_state_dict(load_file(folder / MODEL))
    return judge.eval()


def judge(folder: Path, name: str, images: np.ndarray) -> dict[str, Any]:
    """Score the images (not with random weights) and export the graph."""
    import torch

    model, scored = load(folder, name), []
    with torch.inference_mode():
        if not json.loads((folder / "fit.json").read_text())["random_weights"]:
            scored = [model(torch.from_numpy(images[i : i + 8])) for i in range(0, len(images), 8)]
    if scored:
        scores, maps = (torch.cat(parts).float().numpy() for parts in zip(*scored, strict=True))
        np.savez(folder / SCORES, scores=scores, maps=maps)
    return {"images": sum(len(s) for s, _ in scored), "export": export(model, folder, images[:1])}


def export(model: Any, folder: Path, image: np.ndarray) -> str | None:
    """Write model.onnx and compare it with PyTorch on one image; the reason if that does not work."""
    import onnxruntime
    import torch

    try:
        with torch.inference_mode():
            torch.onnx.export(
                model, (torch.from_numpy(image),), str(folder / GRAPH), dynamo=False, opset_version=18,
                input_names=["image"], output_names=["score", "map"],
            )  # fmt: skip
            ours = model(torch.from_numpy(image))[0].numpy()
        theirs = onnxruntime.InferenceSession(folder / GRAPH, providers=["CPUExecutionProvider"])
        found = theirs.run(["score"], {"image": image})[0]
        if not np.allclose(found, ours, rtol=1e-2):
            raise RuntimeError(f"the graph says {found}, PyTorch {ours}")
    except Exception as error:  # whatever it is, it is a line of the table and not the end of the benchmark
        (folder / GRAPH).unlink(missing_ok=True)
        return f"{type(error).__name__}: {error}"[:300]
    return None


def measure(folder: Path, name: str, images: np.ndarray, engine: str, runs: int) -> dict[str, Any]:
    """Latency of one image at a time, one thread."""
    if engine == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        times = milliseconds(lambda image: session.run(None, {"image": image}), images, runs)
        return times | {"megabytes": (folder / GRAPH).stat().st_size / 2**20}
    import torch

    model = load(folder, name)
    with torch.inference_mode():
        return milliseconds(lambda image: model(torch.from_numpy(image)), images, runs)


def main() -> None:
    """Do the step and write its JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["fit", "judge", "time"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="of the training, JSON")
    parser.add_argument("--engine", choices=["torch", "onnx"], default="torch")
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))  # an error here, not a neighbour killed
    images = np.load(args.images, mmap_mode="r", allow_pickle=False)
    name = args.step
    if args.step == "fit":
        found = fit(args.folder, args.peer, np.array(images), json.loads(args.settings))
    elif args.step == "judge":
        found = judge(args.folder, args.peer, np.array(images))
    else:
        name = f"time_{args.engine}"
        found = measure(args.folder, args.peer, np.array(images[:100]), args.engine, args.runs)
    found["peak_megabytes"] = peak_megabytes()
    (args.folder / f"{name}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
