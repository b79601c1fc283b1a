"""Defects that lie on the pattern: scratches, particles, films. Sizes are in pitches of the pattern."""

import math

import numpy as np

from wafer_data.micrograph.change import Change, View
from wafer_data.micrograph.geometry import place_in_view
from wafer_data.synthetic.noise import smooth_noise
from wafer_data.synthetic.spots import uneven_distance


def scratch(view: View, rng: np.random.Generator) -> Change:
    """A bent groove, 1.5 pitches to 80 % of the image long, 0.06-0.15 pitches wide: dark, with a bright ridge.

    It fades at its ends, and its depth varies along the way.
    """
    size, pitch = view.size, view.pitch
    length = math.exp(rng.uniform(math.log(1.5 * pitch), math.log(max(0.8 * size, 2 * pitch))))
    angle, bend = rng.uniform(0, math.pi), rng.normal(0, 0.08) * length
    width = np.float32(max(1.0, pitch * math.exp(rng.uniform(math.log(0.06), math.log(0.15)))))
    half = length / 2
    y = place_in_view(rng, 0, size - 1, half * abs(math.sin(angle)), size)
    x = place_in_view(rng, 0, size - 1, half * abs(math.cos(angle)), size)
    down, across = view.around(y, x)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along = (cos * across + sin * down) / np.float32(half)  # -1..1 from end to end
    aside = cos * down - sin * across - np.float32(bend) * (1 - along * along)
    wave = smooth_noise((1, 64), rng.uniform(6, 16), rng)[0]
    depth = np.interp(along, np.linspace(-1, 1, 64), 1 + 0.5 * wave).astype(np.float32)
    depth *= np.clip((1 - np.abs(along)) * np.float32(half / (0.8 * pitch)), 0, 1)
    side = np.float32(rng.choice([-1, 1]))
    groove = np.exp(-np.square(aside / width))
    ridge = np.exp(-np.square((aside - side * 1.9 * width) / (0.8 * width)))
    grey = depth * (np.float32(0.8) * ridge - np.float32(0.6) * groove)
    near = np.minimum(np.abs(aside), np.abs(aside - side * 1.9 * width))
    return Change(grey, (near < 1.3 * width) & (depth > 0.15))


def particle(view: View, rng: np.random.Generator) -> Change:
    """One to three specks, 0.25-0.8 pitches in radius, opaque: bright rim, one side lit, a shadow behind."""
    size, pitch = view.size, view.pitch
    cover = view.ideal.copy()
    footprint = np.zeros(cover.shape, dtype=bool)
    count = 1 + int(rng.choice(3, p=[0.7, 0.2, 0.1]))
    y, x = (place_in_view(rng, 0, size - 1, 0.9 * pitch, size) for _ in range(2))
    body, light = rng.uniform(0.45, 0.75), rng.uniform(0, math.tau)
    for number in range(count):
        radius = pitch * math.exp(rng.uniform(math.log(0.25), math.log(0.8 if number == 0 else 0.4)))
        if number:
            y, x = np.clip([y + rng.normal(0, 1.2 * pitch), x + rng.normal(0, 1.2 * pitch)], 0, size - 1)
        _speck(view, rng, cover, footprint, (float(y), float(x)), max(radius, 2.2), body, light)
    return Change(cover - view.ideal, footprint)


def residue(view: View, rng: np.random.Generator) -> Change:
    """A film left behind, 0.7-2.8 pitches in radius: lobed, smooth-edged, finely textured.

    It veils the pattern and is thicker in the recesses: between lines, in contact holes.
    """
    size, pitch = view.size, view.pitch
    radius = min(pitch * math.exp(rng.uniform(math.log(0.7), math.log(2.8))), 0.3 * size)
    y, x = (place_in_view(rng, 0, size - 1, radius, size) for _ in range(2))
    rows, columns = (_window(at, 1.7 * radius, size) for at in (y, x))
    down, across = view.around(y, x)
    down, across = down[rows], across[:, columns]
    ideal, distance = view.ideal[rows, columns], view.distance[rows, columns]
    thickness = 1 - uneven_distance(across, down, rng) / np.float32(radius)
    thickness += np.float32(0.8) * smooth_noise(ideal.shape, max(4.0, 0.8 * radius), rng)
    thickness += np.float32(0.3) * smooth_noise(ideal.shape, max(3.0, 0.3 * radius), rng)
    ramp = np.clip(thickness / np.float32(rng.uniform(0.3, 0.6)), 0, 1)
    profile = ramp * ramp * (3 - 2 * ramp)
    if not (profile > 0.5).any():  # the noise left nothing of it
        profile = np.maximum(profile, np.exp(-(np.square(down) + np.square(across)) / np.float32(radius**2)))
    tone = view.scene.layout.tone
    recess = np.clip(-distance if tone.inside > tone.outside else distance, 0, 1)
    texture = smooth_noise(ideal.shape, rng.uniform(2.5, 5), rng)
    level = np.float32(rng.uniform(0.5, 0.75) if rng.random() < 0.7 else rng.uniform(0.02, 0.1))
    veil = np.float32(rng.uniform(0.45, 0.8)) * (0.6 + 0.4 * recess)
    change = profile * veil * (level + np.float32(0.16) * texture - ideal)
    grey = np.zeros(view.ideal.shape, dtype=np.float32)
    footprint = np.zeros(view.ideal.shape, dtype=bool)
    grey[rows, columns], footprint[rows, columns] = change, profile > 0.2
    return Change(grey, footprint)


def stain(view: View, rng: np.random.Generator) -> Change:
    """A drop's dried trace, 8-22 % of the image in radius: rings of light and dark, as a thin film gives.

    The grey follows cos(2 pi m(t)) of a film whose thickness falls from its middle to the rim by 1-2.5
    interference orders.
    """
    size = view.size
    radius = max(1.2 * view.pitch, size * math.exp(rng.uniform(math.log(0.08), math.log(0.22))))
    radius = min(radius, 0.35 * size)
    y, x = (place_in_view(rng, 0, size - 1, 0.7 * radius, size) for _ in range(2))
    rows, columns = (_window(at, 1.5 * radius, size) for at in (y, x))
    down, across = view.around(y, x)
    far = _oval(down[rows], across[:, columns], radius, rng, stretch=1.5, lumps=0.2)
    thickness = np.clip(1 - far * far, 0, None)
    orders, phase = np.float32(rng.uniform(1, 2.5)), np.float32(rng.uniform(0, math.tau))
    fringes = np.cos(np.float32(math.tau) * orders * thickness + phase)
    profile = np.clip((1 - far) / np.float32(0.35), 0, 1)
    grey = np.zeros(view.ideal.shape, dtype=np.float32)
    footprint = np.zeros(view.ideal.shape, dtype=bool)
    tint = np.float32(rng.uniform(-0.5, 0.5))
    grey[rows, columns] = np.float32(0.2) * profile * (fringes + tint)
    footprint[rows, columns] = profile > 0.15
    return Change(grey, footprint)


def _speck(
    view: View,
    rng: np.random.Generator,
    cover: np.ndarray,
    footprint: np.ndarray,
    place: tuple[float, float],
    radius: float,
    body: float,
    light: float,
) -> None:
    """Draw one speck over `cover` and add it to `footprint`, both (S, S)."""
    rows, columns = (_window(at, 2.6 * radius + 2, view.size) for at in place)
    down, across = (part.copy() for part in view.around(*place))
    down, across = down[rows], across[:, columns]
    reach = _oval(down, across, radius, rng, stretch=1.7, lumps=0.3)
    inside = (1 - reach) * np.float32(radius)  # about the distance to the outline, pixels
    lit = (math.cos(light) * across + math.sin(light) * down) / np.float32(radius)
    grey = np.float32(body) + np.float32(0.13) * lit + np.float32(0.28) * np.exp(-np.abs(inside) / 1.5)
    shade = np.exp(-np.square(np.maximum(reach - 1, 0) / 0.35)) * np.clip(-lit, 0, 1)
    part = cover[rows, columns]
    part -= (np.float32(0.12) * shade * (part > 0.05)).astype(np.float32)
    alpha = np.clip(inside + np.float32(0.5), 0, 1)
    part += alpha * (grey - part)
    footprint[rows, columns] |= (inside > -0.5) | (shade > 0.25)


def _oval(
    down: np.ndarray,
    across: np.ndarray,
    radius: float,
    rng: np.random.Generator,
    stretch: float,
    lumps: float,
) -> np.ndarray:
    """Distance from the middle in units of the outline's.

    An ellipse, up to `stretch` times as long as wide, dented by noise of strength `lumps`.
    """
    turn, ratio = rng.uniform(0, math.pi), np.float32(rng.uniform(1, stretch))
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    u, v = cos * across + sin * down, ratio * (cos * down - sin * across)
    far = np.sqrt(u * u + v * v) / np.float32(radius)
    return far + np.float32(lumps) * smooth_noise(far.shape, max(3.0, 0.9 * radius), rng)


def _window(middle: float, reach: float, size: int) -> slice:
    return slice(max(0, math.floor(middle - reach)), min(size, math.ceil(middle + reach) + 1))
