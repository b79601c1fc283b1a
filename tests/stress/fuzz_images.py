"""Feed the image reader damaged files; it must return an image or refuse, soon, and never do anything else.

    .venv/bin/python tests/stress/fuzz_images.py --examples 100000
    .venv/bin/python tests/stress/fuzz_images.py --examples 100000 --bundle runs/quickstart/bundle

Small synthetic pictures in all formats, depths and colour modes are changed at random: bytes flipped, replaced,
put in, taken out, repeated, blanked, cut off; every tenth example starts from what is no image here: pictures of
other formats, archives, text, noise. With --bundle every example is also judged, and what the reader refuses must be
REVIEW. Prints what became of them and the slowest. A crash of a decoder ends the process; an example that takes
longer than a minute ends it with a traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import re
import struct
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tool_side import Inspector
from wafer_data.imaging.read import UnreadableImage, read_grey

TELLING = [struct.pack(code, value) for code in ["<I", ">I"] for value in (0, 1, 2**16, 2**31 - 1, 2**32 - 1)]
TELLING += [b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xff", b"\x00\x00"]


def originals() -> list[bytes]:
    """Sound files to start from."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (24, 30), dtype=np.uint8)
    four = rng.integers(0, 256, (24, 30, 4), dtype=np.uint8)
    pictures = [
        Image.fromarray(grey),
        Image.fromarray(grey).convert("1"),
        Image.fromarray(grey.astype(np.uint16) * 257),
        Image.fromarray(grey.astype(np.int32)),
        Image.fromarray(grey.astype(np.float32) / 255),
        Image.fromarray(np.ascontiguousarray(four[:, :, :2])),
        Image.fromarray(np.ascontiguousarray(four[:, :, :3])),
        Image.fromarray(four),
        Image.fromarray(four, "CMYK"),
        Image.fromarray(np.ascontiguousarray(four[:, :, :3])).quantize(16),
    ]
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("BMP", {}),
    ]
    kinds += [
        ("TIFF", {"compression": name})
        for name in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ]
    kinds += [("TIFF", {"big_tiff": True}), ("TIFF", {"save_all": True, "append_images": [pictures[0]]})]
    found = []
    for image_format, options in kinds:
        for picture in pictures:
            buffer = io.BytesIO()
            try:
                picture.save(buffer, image_format, **options)
            except (OSError, ValueError, RuntimeError):  # the format has no such pictures
                continue
            found.append(buffer.getvalue())
    return found


def strangers() -> list[bytes]:
    """Contents that must never be read as an image, changed or not."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 30), dtype=np.uint8))
    found = []
    for image_format in ("GIF", "WEBP", "PPM", "TGA", "ICO", "PDF", "EPS"):
        buffer = io.BytesIO()
        picture.save(buffer, image_format)
        found.append(buffer.getvalue())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("wafer.png", b"no picture")
    return [
        *(*found, archive.getvalue(), b"wafer 7, slot 3\n" * 20, b"%PDF-1.7\n", b"\x7fELF" + bytes(200)),
        random.Random(1).randbytes(2000),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to five changes."""
    for _ in range(rng.randint(1, 5)):
        place, length = rng.randrange(len(data) + 1), rng.choice([1, 2, 4, 16, 64, 300])
        start, piece, end = data[:place], data[place : place + length], data[place + length :]
        kind = rng.randrange(7)
        if kind == 0 and piece:
            data = start + bytes([piece[0] ^ (1 << rng.randrange(8))]) + piece[1:] + end
        elif kind == 1:
            new = rng.choice(TELLING)
            data = start + new + data[place + len(new) :]
        elif kind == 2:
            data = start + rng.randbytes(length) + piece + end
        elif kind == 3:
            data = start + end
        elif kind == 4:
            data = start + piece * rng.randint(2, 50) + end
        elif kind == 5:
            data = start + bytes(len(piece)) + end
        elif rng.random() < 0.2:
            data = start
    return data


def main() -> int:
    """Try the examples and print what became of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", type=Path, help="also judge every example with this bundle")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rng, files, foreign = random.Random(args.seed), originals(), strangers()
    inspector = Inspector(args.bundle) if args.bundle else None
    decisions: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    for number in range(args.examples):
        if number % 200 == 0:
            faulthandler.dump_traceback_later(60, exit=True)
        stranger = rng.random() < 0.1
        data = mutate(rng.choice(foreign if stranger else files), rng)
        started = time.perf_counter()
        try:
            grey = read_grey(data)
            assert (
                grey.ndim == 2 and grey.dtype in (np.uint8, np.uint16, np.float32) and np.isfinite(grey).all()
            )
            assert not stranger, f"read as an image: {data[:40]!r}"
            outcome = "read"
        except UnreadableImage as error:
            outcome = re.split(r"[(:]| values | integers ", error.reason)[0].strip()
        if inspector is not None:
            decision = inspector.inspect(data).decision
            decisions[decision] += 1
            assert outcome == "read" or decision == "REVIEW", (outcome, decision)
        outcomes[outcome] += 1
        slowest = max(slowest, (time.perf_counter() - started, outcome))
    print(
        json.dumps(
            {
                "files": len(files),
                "examples": args.examples,
                "outcomes": outcomes,
                "decisions": decisions,
                "slowest_s": slowest,
            },
            indent=2,
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
