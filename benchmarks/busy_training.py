"""How long do the steps of a training take beside other work, by number of threads and by how threads wait?

    .venv/bin/python benchmarks/busy_training.py --neighbours 2

Steps of the default full student on noise (what the images show does not change the time), each setting in processes
of its own, the settings in turn, beside `--neighbours` processes that do nothing but count. Prints one line a setting:
the median and the 90th percentile of a step's wall time, and the processor time that it took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SETTINGS = [
    {"threads": threads, "OMP_WAIT_POLICY": policy}
    for threads in (1, 2)
    for policy in ("ACTIVE", "", "PASSIVE")
]
COUNTING = "while True: pass"


def steps(count: int, batch: int) -> list[tuple[float, float]]:
    """Wall and processor seconds of each step."""
    import torch

    from student_vae import StudentConfig, StudentVAE

    torch.manual_seed(0)
    config = StudentConfig()
    trunk = StudentVAE(config, 48, config.likelihood.coordinates, has_decoder=False).trunk.train()
    trunk = trunk.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(trunk.parameters())
    images = torch.randn(batch, 1, 256, 256)
    found = []
    for _ in range(count + 2):
        wall, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        trunk(images).square().mean().backward()
        optimizer.step()
        found.append((time.perf_counter() - wall, time.process_time() - used))
    return found[2:]


def main() -> None:
    """Measure all settings and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--neighbours", type=int, default=1, help="processes that keep a core busy (default: 1)"
    )
    parser.add_argument("--steps", type=int, default=8, help="steps a process (default: 8)")
    parser.add_argument("--rounds", type=int, default=2, help="processes a setting (default: 2)")
    parser.add_argument("--batch", type=int, default=16, help="images a step (default: 16)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(steps(args.steps, args.batch)))
        return
    neighbours = [subprocess.Popen([sys.executable, "-c", COUNTING]) for _ in range(args.neighbours)]
    rows: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(SETTINGS))}
    try:
        for _ in range(args.rounds):
            for number, setting in enumerate(SETTINGS):
                environment = os.environ | {"OMP_NUM_THREADS": str(setting["threads"])}
                environment.pop("OMP_WAIT_POLICY", None)
                if setting["OMP_WAIT_POLICY"]:
                    environment["OMP_WAIT_POLICY"] = str(setting["OMP_WAIT_POLICY"])
                command = [
                    sys.executable,
                    __file__,
                    "--child",
                    "--steps",
                    str(args.steps),
                    "--batch",
                    str(args.batch),
                ]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                rows[number] += [(wall, used) for wall, used in json.loads(done.stdout.splitlines()[-1])]
    finally:
        for neighbour in neighbours:
            neighbour.kill()
    print(f"{args.neighbours} neighbours on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ms a step")
    for number, setting in enumerate(SETTINGS):
        wall, used = ([1e3 * value for value in column] for column in zip(*rows[number], strict=True))
        tenth = statistics.quantiles(wall, n=10)[-1]
        print(
            f"{setting['threads']} thread(s), waiting {setting['OMP_WAIT_POLICY'] or 'default':7}: "
            f"median {statistics.median(wall):6.0f}, 90 % {tenth:6.0f}, processor {statistics.median(used):6.0f}"
        )


if __name__ == "__main__":
    main()
