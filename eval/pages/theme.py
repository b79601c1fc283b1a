"""Names, colours and strokes of everything the report draws.

Plots are inline SVG whose colours are CSS variables, so that one drawing serves light, dark and print.
matplotlib only knows colours, not variables: each variable therefore has a stand-in colour that `svg.to_svg`
replaces.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """How a model is called and drawn; `dash` is a matplotlib dash pattern, () for a solid line."""

    label: str
    role: str
    variable: str
    light: str
    dark: str
    width: float = 1.3
    dash: tuple[float, ...] = ()


SERIES: dict[str, Series] = {
    "routed": Series(
        "Routed", "low-resolution first, full only where needed", "m-routed", "#0f766e", "#3ecfbf", 2.6
    ),
    "full": Series("Full student", "compact VAE at full resolution", "m-full", "#2f62b0", "#82aef5", 1.9),
    "lowres": Series(
        "Low-res student", "compact VAE at low resolution", "m-lowres", "#b45f06", "#f2ab4e", 1.9
    ),
    "target": Series(
        "Target", "intermediate, tuned for this line", "m-target", "#687a1f", "#b3cb5e", 1.3, (6, 1.5)
    ),
    "intermediate": Series(
        "Intermediate",
        "first distillation of the teacher",
        "m-intermediate",
        "#9d3a6d",
        "#ec8fbf",
        1.3,
        (6, 1.5),
    ),
    "teacher": Series(
        "Teacher", "pretrained backbone, adapted to normals", "m-teacher", "#6d4a9c", "#bd9cec", 1.5, (3, 1.5)
    ),
    "pca": Series("PCA", "baseline: reconstruction error", "m-pca", "#7b8391", "#9aa4b3", 1.2, (1, 1.2)),
    "gabor_lbp_ocsvm": Series(
        "Gabor + LBP",
        "baseline: texture rules, one-class SVM",
        "m-gabor",
        "#4d5563",
        "#c3c9d3",
        1.2,
        (4, 1.5, 1, 1.5),
    ),
    "pixel_vae": Series(
        "Pixel VAE", "baseline: plain VAE, pixel error", "m-pixel", "#8d6a48", "#cfab86", 1.2, (2, 1)
    ),
}
"""In the order of the tables: the product first, its makers, the baselines last."""

NORMAL = ("normal", "#5f7c99", "#88a8c8")
DEFECT = ("defect", "#c2452d", "#ff8f70")
INK, MUTED, GRID = (
    ("ink", "#1d232b", "#e4e8ee"),
    ("muted", "#5c6672", "#a0aab6"),
    ("grid", "#dfe3e8", "#363d47"),
)
PAPER = ("paper", "#ffffff", "#1b2027")

_ALL: list[tuple[str, str, str]] = [
    INK,
    MUTED,
    GRID,
    PAPER,
    NORMAL,
    DEFECT,
    *((series.variable, series.light, series.dark) for series in SERIES.values()),
]

STAND_INS: dict[str, str] = {name: f"#0a0b{index:02x}" for index, (name, _, _) in enumerate(_ALL)}
"""Colour to give to matplotlib for each CSS variable."""


def css_variables(dark: bool) -> str:
    """Declarations of all colours, for the inside of a CSS rule."""
    return " ".join(f"--{name}: {night if dark else day};" for name, day, night in _ALL)


def coloured(css: str) -> str:
    """A style sheet with the colours of both modes put in its two places."""
    return css.replace("/* light */", css_variables(dark=False)).replace(
        "/* dark */", css_variables(dark=True)
    )
