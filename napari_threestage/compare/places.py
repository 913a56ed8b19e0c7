"""Where in an image something is strongest: the window to look at first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARE = 0.25  # of the longer side of an image, for the side of a window
LEAST, MOST = 48, 512  # pixels


@dataclass(frozen=True)
class Place:
    """A window of one plane of an image.

    Attributes
    ----------
    plane
        Indices of the axes before y and x; empty for a plain image.
    rows, columns
        Start and stop along y and x, in pixels of the full resolution.
    """

    plane: tuple[int, ...]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def slices(self) -> tuple[int | slice, ...]:
        """Index of the window in an array of the shape of the image's masks."""
        return (*self.plane, slice(*self.rows), slice(*self.columns))

    @property
    def center(self) -> tuple[float, ...]:
        """Its middle, in pixels, an entry for each axis."""
        middles = ((start + stop - 1) / 2 for start, stop in (self.rows, self.columns))
        return (*map(float, self.plane), *middles)

    def to_dict(self) -> dict[str, Any]:
        """Return the window as JSON holds it."""
        return {
            "plane": list(self.plane),
            "rows": list(self.rows),
            "columns": list(self.columns),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Place:
        """Read what `to_dict` gave; KeyError, TypeError or ValueError when it is something else."""
        (top, bottom), (left, right) = content["rows"], content["columns"]
        plane = tuple(int(index) for index in content["plane"])
        return cls(plane, (int(top), int(bottom)), (int(left), int(right)))


def strongest(values: np.ndarray, side: int | None = None) -> tuple[Place, float]:
    """Return the window with the largest mean, and that mean.

    Windows lie on a grid of a quarter of their side, so that large images are quick.

    Parameters
    ----------
    values
        (…, H, W), at least 0: bool, or any numbers.
    side
        Of the window, in pixels; a quarter of the image's longer side if not given.
    """
    height, width = values.shape[-2:]
    if side is None:
        side = int(np.clip(round(SHARE * max(height, width)), LEAST, MOST))
    tall, wide = min(side, height), min(side, width)
    best: tuple[float, Place] | None = None
    for plane in np.ndindex(*values.shape[:-2]):
        mean, top, left = _strongest_in(values[plane], tall, wide)
        if best is None or mean > best[0]:
            best = mean, Place(tuple(plane), (top, top + tall), (left, left + wide))
    assert best is not None  # an image has a plane
    return best[1], best[0]


def _strongest_in(plane: np.ndarray, tall: int, wide: int) -> tuple[float, int, int]:
    """Return the largest mean of a window, and the window's first row and column."""
    tops, lefts = _starts(plane.shape[0], tall), _starts(plane.shape[1], wide)
    by_row, rows = _running(plane, tops, tall, 0)
    total, columns = _running(by_row, lefts, wide, 1)
    top, bottom = (np.searchsorted(rows, edge) for edge in (tops, tops + tall))
    left, right = (np.searchsorted(columns, edge) for edge in (lefts, lefts + wide))
    strip = total[bottom] - total[top]
    sums = strip[:, right] - strip[:, left]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[row, column]) / (tall * wide), int(tops[row]), int(lefts[column])


def _running(
    values: np.ndarray, starts: np.ndarray, part: int, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of all before each edge of a window along an axis, and the edges."""
    edges = np.unique([starts, starts + part])
    across = np.moveaxis(values, axis, 0)
    # Piece by piece: at once, all of a large image would become numbers of eight bytes.
    parts = [across[start:stop].sum(0, dtype=np.float64) for start, stop in pairwise(edges)]
    sums = np.moveaxis(np.stack(parts), 0, axis)
    return np.insert(np.cumsum(sums, axis), 0, 0, axis), edges


def _starts(size: int, part: int) -> np.ndarray:
    """Return where windows of a side begin, the last one at the end of the image."""
    return np.unique(np.append(np.arange(0, size - part + 1, max(1, part // 4)), size - part))
