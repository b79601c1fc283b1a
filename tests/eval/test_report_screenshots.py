"""The page in a real browser: nothing runs off a phone, the dark is dark, nothing is fetched, it prints."""

import io
import os
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from eval.report.page import render_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = os.environ.get("WAFERROUTE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium found; set WAFERROUTE_CHROMIUM to one to look at the page in it"
)
PHONE = 390


def browse(*arguments: str) -> str:
    """Run the browser once and return what it prints."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
    done = subprocess.run([BROWSER, *options, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.fixture(scope="module")
def page(evaluation, extras, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("shots") / "report.html"
    path.write_text(render_report(evaluation, extras), encoding="utf-8")
    return path


def shot(page: Path, name: str, width: int, height: int, *more: str) -> np.ndarray:
    out = page.with_name(name)
    browse(f"--screenshot={out}", f"--window-size={width},{height}", *more, page.as_uri())
    return np.asarray(Image.open(io.BytesIO(out.read_bytes())).convert("RGB")).astype(int)


def framed(page: Path, width: int) -> Path:
    """A page that holds the report in a frame of a phone's width: a window of its own cannot be so narrow."""
    frame = page.with_name(f"frame_{width}.html")
    measure = (
        "const d = f.contentDocument.documentElement; document.title = 'done';"
        "document.body.append('width ' + d.scrollWidth + ' height ' + d.scrollHeight);"
    )
    frame.write_text(
        f'<body style="margin:0"><iframe id="f" src="{page.name}" style="border:0;width:{width}px;height:900px" '
        f'onload="{measure}"></iframe>',
        encoding="utf-8",
    )
    return frame


def test_on_a_desk_it_is_light_and_not_blank(page):
    image = shot(page, "desk.png", 1200, 1600)
    assert image.shape == (1600, 1200, 3)
    assert image[5:40, 5:40].mean() > 230
    assert (image.min(axis=2) < 90).mean() > 0.01  # letters


def test_in_the_dark_it_is_dark(page):
    image = shot(page, "dark.png", 1200, 1600, "--blink-settings=preferredColorScheme=0")
    assert image[5:40, 5:40].mean() < 45
    assert np.median(image.mean(axis=2)) < 60
    assert (image.max(axis=2) > 180).mean() > 0.01  # letters


@pytest.mark.parametrize("width", [PHONE, 768])
def test_nothing_runs_off_the_side(page, width):
    dom = browse(
        "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
        "--dump-dom",
        framed(page, width).as_uri(),
    )
    told = dom.split("width ")[-1].split()
    assert int(told[0]) == width and int(told[2].split("<")[0]) > 3000


def test_on_a_phone_it_is_not_blank(page):
    image = shot(framed(page, PHONE), "phone.png", 520, 900, "--allow-file-access-from-files")[:, :PHONE]
    assert (image.min(axis=2) < 90).mean() > 0.02
    # The margins are kept free: nothing touches the edge.
    assert np.ptp(image[:, PHONE - 4 :].mean(axis=2)) < 12


def test_nothing_is_fetched(page):
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.read_bytes() if self.path == "/report.html" else b"")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        # Every other host is mapped to one that does not exist; this server sees what the page asks of its own.
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        address = f"http://127.0.0.1:{server.server_port}/report.html"
        dom = browse(rules, "--virtual-time-budget=3000", "--dump-dom", address)
    finally:
        server.shutdown()
    assert "How this was made" in dom
    assert [path for path in asked if path not in ("/report.html", "/favicon.ico")] == []


def test_it_prints_on_several_sheets(page):
    out = page.with_name("report.pdf")
    browse(f"--print-to-pdf={out}", "--no-pdf-header-footer", page.as_uri())
    content = out.read_bytes()
    assert content.startswith(b"%PDF")
    sheets = content.count(b"/Type /Page\n") + content.count(b"/Type /Page ")
    assert 4 <= sheets <= 20
