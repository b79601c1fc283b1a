"""Line defects: scratches (smooth, thin, bright or dark) and cracks (jagged, branching, dark)."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from wafer_data.synthetic.blend import add, contrast
from wafer_data.synthetic.colour import painted_in_colour

_FINE = 2  # lines are drawn this much finer than the image, then averaged: smooth edges, widths below a pixel
_INSIDE = 0.12  # a pixel belongs to the line from this share of the line's contrast on


@painted_in_colour()
def scratch(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A slightly bent line over 8-90 % of the shorter side, 0.3-1.6 % of it wide, fading in and out."""
    side = min(image.shape)
    length = side * math.exp(rng.uniform(math.log(0.08), math.log(0.9)))
    angle = rng.uniform(0, math.tau)
    along = np.array([math.cos(angle), math.sin(angle)])
    middle = rng.uniform(0.1, 0.9, 2) * image.shape[::-1]
    start, end = middle - along * length / 2, middle + along * length / 2
    bend = middle + along[::-1] * [-1, 1] * rng.normal(0, 0.12) * length
    steps = np.linspace(0, 1, 24)[:, None]
    path = (
        (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
    )  # quadratic Bezier curve
    strokes = _Strokes(image.shape)
    width = side * math.exp(rng.uniform(math.log(0.003), math.log(0.016)))
    # Pressure varies along the line: it fades at the ends and may break off in between.
    fade = np.minimum(1, 4 * np.minimum(steps[1:, 0], 1 - steps[:-1, 0]) + 0.25)
    strokes.draw(path, width, fade * np.clip(rng.normal(1, 0.25, len(fade)), 0.1, 1.3) / 1.3)
    sign = rng.choice([-1.0, 1.0])
    return strokes.add_to(image, sign * contrast(image, rng, 0.8), blur=rng.uniform(0, 0.6))


@painted_in_colour()
def crack(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A jagged dark line with up to three branches over 8-70 % of the shorter side, thinning out to its ends.

    Brightness beside it may differ, as where a crack cuts current off; that is left to `stain`.
    """
    side = min(image.shape)
    strokes = _Strokes(image.shape)
    length = side * math.exp(rng.uniform(math.log(0.08), math.log(0.7)))
    width = side * math.exp(rng.uniform(math.log(0.003), math.log(0.012)))
    angle = rng.uniform(0, math.tau)
    trunk = _jagged(rng, rng.uniform(0.15, 0.85, 2) * image.shape[::-1], angle, length)
    strokes.draw(trunk, width, np.linspace(1, 0.45, len(trunk) - 1))
    for _ in range(rng.integers(0, 4)):
        root = trunk[rng.integers(1, len(trunk))]
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
        branch = _jagged(rng, root, angle + turn, length * rng.uniform(0.15, 0.5))
        strokes.draw(branch, 0.75 * width, np.linspace(0.8, 0.35, len(branch) - 1))
    return strokes.add_to(image, -contrast(image, rng, 0.8), blur=rng.uniform(0, 0.4))


def _jagged(rng: np.random.Generator, start: np.ndarray, angle: float, length: float) -> np.ndarray:
    """A random walk of directed steps from `start`: (n, 2) points (x, y)."""
    count = max(4, int(length / 5))
    angles = angle + np.cumsum(rng.normal(0, 0.12, count)) + rng.normal(0, 0.35, count)
    steps = rng.uniform(0.5, 1.5, count) * length / count
    walk = np.cumsum(np.stack([np.cos(angles) * steps, np.sin(angles) * steps], axis=1), axis=0)
    return np.concatenate([start[None], start + walk])


class _Strokes:
    """A grey canvas (255: full contrast) finer than the image."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.canvas = Image.new("L", (shape[1] * _FINE, shape[0] * _FINE))
        self._pen = ImageDraw.Draw(self.canvas)

    def draw(self, path: np.ndarray, width: float, strength: np.ndarray) -> None:
        """Join the points, (n, 2) as (x, y) in image pixels, by lines `width` wide; strength (n - 1) in 0..1.

        The canvas draws whole fine pixels only: what a line is thinner than one, it loses in strength.
        """
        points = path * _FINE
        drawn = max(1, round(width * _FINE))
        scale = 255 * min(1.0, max(0.5, width * _FINE / drawn))
        for (x0, y0), (x1, y1), share in zip(points[:-1], points[1:], strength, strict=True):
            self._pen.line((x0, y0, x1, y1), fill=int(scale * share), width=drawn)

    def add_to(self, image: np.ndarray, height: float, blur: float) -> tuple[np.ndarray, np.ndarray]:
        """Add the canvas to the image, `height` grey levels of [0, 1] strong, blurred by `blur` pixels."""
        box = self.canvas.getbbox()
        if box is None:  # drawn outside the image altogether: touch its middle instead
            middle = (self.canvas.width // 2, self.canvas.height // 2)
            self._pen.ellipse((*middle, middle[0] + 2 * _FINE, middle[1] + 2 * _FINE), fill=255)
            box = self.canvas.getbbox()
            assert box is not None
        margin = 2  # image pixels, room for the blur
        left, top = max(0, box[0] // _FINE - margin), max(0, box[1] // _FINE - margin)
        right = min(image.shape[1], -(-box[2] // _FINE) + margin)
        bottom = min(image.shape[0], -(-box[3] // _FINE) + margin)
        part = self.canvas.crop((left * _FINE, top * _FINE, right * _FINE, bottom * _FINE))
        if blur > 0.1:
            part = part.filter(ImageFilter.GaussianBlur(blur * _FINE))
        profile = np.asarray(part.reduce(_FINE), dtype=np.float32) / np.float32(255)
        peak = max(float(profile.max()), 1 / 255)
        return add(image, np.float32(height / peak) * profile, profile > _INSIDE * peak, (top, left))
