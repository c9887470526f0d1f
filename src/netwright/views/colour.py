"""Colour scales that are even to the eye: straight lines in OKLab (Ottosson 2020), lightness telling the
value, so that they also hold in grey and for readers who do not tell red from green."""

from __future__ import annotations

import math
from collections.abc import Sequence

Lab = tuple[float, float, float]

# Lightness, and chroma and hue (degrees) along the way; yellow is light and blue dark by nature.
_SEQUENTIAL = (
    (0.27, 0.07, 290.0),
    (0.42, 0.11, 265.0),
    (0.60, 0.10, 200.0),
    (0.77, 0.13, 145.0),
    (0.94, 0.14, 105.0),
)
_LOW, _MIDDLE, _HIGH = (0.45, 0.13, 255.0), (0.95, 0.005, 90.0), (0.55, 0.14, 50.0)
CLASSES = (  # Okabe and Ito (2008), without black; told apart under every common colour blindness
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f",
)  # fmt: skip


def sequential(part: float) -> str:
    """`#rrggbb` of 0 (dark) to 1 (light)."""
    return _hex(_along([_lab(*stop) for stop in _SEQUENTIAL], part))


def diverging(part: float) -> str:
    """`#rrggbb` of -1 (blue) over 0 (pale) to 1 (orange)."""
    stops = [_lab(*stop) for stop in (_LOW, _MIDDLE, _HIGH)]
    return _hex(_along(stops, (part + 1) / 2))


def of_class(number: int) -> str:
    """A colour for a class; the second eight are lighter, the third darker, then they come again."""
    plain = CLASSES[number % len(CLASSES)]
    turn = number // len(CLASSES) % 3
    if turn == 0:
        return plain
    towards, part = (255, 0.55) if turn == 1 else (0, 0.45)
    mixed = (int(plain[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(v + part * (towards - v)):02x}" for v in mixed)


def _along(stops: Sequence[Lab], part: float) -> Lab:
    place = min(1.0, max(0.0, part)) * (len(stops) - 1)
    k = min(int(place), len(stops) - 2)
    rest = place - k
    a, b = stops[k], stops[k + 1]
    return a[0] + rest * (b[0] - a[0]), a[1] + rest * (b[1] - a[1]), a[2] + rest * (b[2] - a[2])


def _lab(light: float, chroma: float, hue: float) -> Lab:
    angle = math.radians(hue)
    return light, chroma * math.cos(angle), chroma * math.sin(angle)


def _hex(lab: Lab) -> str:
    light, a, b = lab
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(v)):02x}" for v in linear)


def _gamma(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
