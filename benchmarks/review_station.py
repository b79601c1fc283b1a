"""An inspector's path in a real browser: how long the page itself takes for a verdict.

    .venv/bin/python benchmarks/review_station.py runs/synthetic/bundle

A worker is started and every image that it is sent goes to the review (a rule of the site). Chromium opens the review
station, somebody logs in by keyboard and judges one image after the other by keyboard: good, defect, not sure.
The page's own time of a verdict begins with the key and ends when the next image is on the screen (loaded,
and two frames painted); the verdict is in the database before. The person takes no time to think, so nothing can be
loaded ahead while he does: with `--think 1` he takes a second. Without an image folder synthetic images are used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from service_images import add_images, read_images
from service_worker import Worker

from service.client import Client
from service.manage import Manager

NAME, PASSWORD = "inspector", "a password for one benchmark"
RULES = '[[rule]]\nname = "everything is looked at"\nthen = "review"\n'
KEYS = "gdgug"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
# Runs before the page's own script: notes when a verdict's key was pressed and when another image is on the screen.
_CLOCK = """(() => {
  const log = window.verdictTimes = [];
  let pressed = null, shown = null;
  const task = (image) => (image.src.match(/review[/]([0-9]+)[/]image/) || [])[1];
  addEventListener("keydown", (event) => {
    if (/^[gdu]$/.test(event.key)) { pressed = performance.now(); shown = task(document.getElementById("image")); }
  }, true);
  document.addEventListener("load", (event) => {
    if (event.target.id !== "image" || pressed === null) return;
    const now = task(event.target);
    if (now === undefined || now === shown) return;
    const began = pressed; pressed = null;
    requestAnimationFrame(() => requestAnimationFrame(() => log.push(performance.now() - began)));
  }, true);
})();"""


def judge(bundle: Path, images: Sequence[bytes], folder: Path, *, count: int, think: float) -> dict[str, Any]:
    """Let `count` images be judged. Returns the page's own milliseconds a verdict and what is in the database."""
    from playwright.sync_api import sync_playwright

    data = folder / "data"
    (folder / "rules.toml").write_text(RULES)
    worker = Worker(bundle, data, more=("--rules", str(folder / "rules.toml")))
    worker.start()
    try:
        Manager(data).add_user(NAME, "inspector", PASSWORD)
        with Client(worker.url, worker.key(), timeout=60) as client:
            # one more than are judged, so that after the last verdict another image appears
            for i in range(count + 1):
                client.inspect(images[i % len(images)], wafer_id=f"W{i // 25}", inspection_point=i, lot="L1")
        _wait_for_tasks(data, count + 1)
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=chromium(), args=FLAGS)
            times = _by_keyboard(browser, worker.url, count, think)
            version = browser.version
            browser.close()
    finally:
        worker.stop()
    with closing(sqlite3.connect(data / "waferroute.db")) as connection:
        said = Counter(row[0] for row in connection.execute("SELECT verdict FROM reviews"))
        judged = connection.execute("SELECT COUNT(DISTINCT inspection_id) FROM reviews").fetchone()[0]
    return {
        "verdicts": len(times), "in_the_database": judged, "said": dict(said), "think_s": think,
        "page_ms": {f"p{q}": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)},
        "slowest_ms": round(max(times), 1), "over_1_s": sum(took > 1000 for took in times),
        "chromium": version, "load_average": os.getloadavg()[0],
    }  # fmt: skip


def chromium() -> str | None:
    """The browser of the system; Playwright's own cannot be installed without its download site."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def _by_keyboard(browser: Any, url: str, count: int, think: float) -> list[float]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(_CLOCK)
    page.goto(f"{url}/review")
    page.focus("#name")
    page.keyboard.type(NAME)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#station:not([hidden])")
    _until(page, "document.querySelector('#image').complete")
    for number in range(count):
        time.sleep(think)
        page.keyboard.press(KEYS[number % len(KEYS)])
        _until(page, f"window.verdictTimes.length > {number}")
    times: list[float] = page.evaluate("window.verdictTimes")
    return times


def _until(page: Any, expression: str) -> None:
    """Ask until it is true. Playwright's own way compiles text in the page, which the page's policy forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression):
        if time.monotonic() > deadline:
            raise SystemExit(f"error: the page does not go on: {page.inner_text('main')[:500]}")
        time.sleep(0.005)


def _wait_for_tasks(data: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(data / "waferroute.db")) as connection:
            if connection.execute("SELECT COUNT(*) FROM review_tasks").fetchone()[0] >= count:
                return
        time.sleep(0.2)
    raise SystemExit("error: the images do not get into the queue")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="bundle to serve")
    add_images(parser)
    parser.add_argument("--images", type=int, default=100, help="how many are judged (default: 100)")
    parser.add_argument("--think", type=float, default=0.0, help="seconds before each verdict (default: 0)")
    args = parser.parse_args()
    if chromium() is None:
        raise SystemExit("error: there is no Chromium here (Debian: apt-get install chromium)")
    images = read_images(args.images_in)
    with tempfile.TemporaryDirectory() as folder:
        found = judge(args.bundle, images, Path(folder), count=args.images, think=args.think)
    print(json.dumps(found, indent=2))
    raise SystemExit(found["in_the_database"] != args.images)


if __name__ == "__main__":
    main()
