"""Colours that can be told apart: ten chosen by hand, then always the one farthest from all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (70, 110, 180),
    (240, 140, 40),
    (60, 160, 80),
    (210, 60, 70),
    (150, 100, 190),
    (140, 90, 70),
    (230, 120, 190),
    (190, 190, 60),
    (40, 180, 190),
    (130, 130, 130),
)
"""Colours that colour-blind people can tell apart."""

LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Those of lines and points: Okabe and Ito, Color universal design, 2008; without its yellow,
which white paper swallows, and its black, which is the colour of text."""

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def new_color(used: Iterable[Color]) -> Color:
    """Return the next colour of the palette that is not used, or the one farthest from all used."""
    taken = list(used)
    for color in PALETTE:
        if color not in taken:
            return color
    colors, places = _candidates()
    others = _oklab(np.array(taken))
    squares = (places**2).sum(1)[:, None] + (others**2).sum(1) - 2 * places @ others.T
    red, green, blue = (int(part) for part in colors[int(squares.min(axis=1).argmax())])
    return red, green, blue


@cache
def _candidates() -> tuple[np.ndarray, np.ndarray]:
    """Return colours neither nearly black nor nearly white, and where they lie in OKLab."""
    levels = np.linspace(0, 255, 10, dtype=int)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    places = _oklab(colors)
    kept = (places[:, 0] > 0.35) & (places[:, 0] < 0.9)
    return colors[kept], places[kept]


def _oklab(colors: np.ndarray) -> np.ndarray:
    """Return sRGB colours in OKLab, where distances follow what the eye sees."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    places: np.ndarray = np.cbrt(linear @ _TO_CONES.T) @ _TO_OKLAB.T
    return places
