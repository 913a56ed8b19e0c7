"""Tiles of a plane: what each is for, what the network sees of it, how neighbours are blended."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """A tile along one axis.

    Attributes
    ----------
    cell
        Of the plane, what is finished with this tile; cells cover the plane once.
    support
        Of the plane, what the tile counts for: its cell and what it shares with the next tile.
    window
        Of the plane, what the network sees: the support and a halo, so that no pixel of the support
        is near a border that the image lacks.
    rising, falling
        How many pixels of the support it shares with the tile before and with the next one.
    """

    cell: slice
    support: slice
    window: slice
    rising: int
    falling: int

    @property
    def inner(self) -> slice:
        """Of the window, the support."""
        first = self.window.start
        return slice(self.support.start - first, self.support.stop - first)

    @property
    def length(self) -> int:
        """Pixels of the cell."""
        return int(self.cell.stop - self.cell.start)

    @property
    def shape(self) -> tuple[int, slice]:
        """What tiles that are predicted together have in common."""
        return self.window.stop - self.window.start, self.inner

    @property
    def weights(self) -> np.ndarray:
        """How much each pixel of the support counts; those of all tiles add up to 1."""
        weights = np.ones(self.support.stop - self.support.start, np.float32)
        weights[: self.rising] = _ramp(self.rising)
        if self.falling:
            weights[-self.falling :] = 1 - _ramp(self.falling)
        return weights


def spans(size: int, tile: int, blend: int, halo: int) -> list[Span]:
    """Return the tiles along an axis of this size.

    Parameters
    ----------
    size, tile
        Pixels of the axis and of a cell; what fits into one cell is one tile.
    blend
        Pixels over which a tile passes into the next, at most a cell.
    halo
        Pixels around the support that the network sees as well.
    """
    if size <= tile:
        whole = slice(0, size)
        return [Span(whole, whole, whole, 0, 0)]
    found, rising = [], 0
    for start in range(0, size, tile):
        stop = min(start + tile, size)
        end = min(stop + min(blend, tile), size)
        window = slice(max(start - halo, 0), min(end + halo, size))
        found.append(Span(slice(start, stop), slice(start, end), window, rising, end - stop))
        rising = end - stop
    return found


def _ramp(length: int) -> np.ndarray:
    ramp: np.ndarray = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / max(length, 1)
    return ramp
