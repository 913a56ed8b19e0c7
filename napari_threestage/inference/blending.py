"""What overlapping tiles of a band add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_threestage.inference.grid import Span


@dataclass(frozen=True)
class Wanted:
    """What is to be found out.

    Attributes
    ----------
    probabilities
        Those of all classes as well.
    empty
        The value of places without anything: where a whole cell has it, nothing is predicted.
        None: everything is predicted.
    """

    probabilities: bool = False
    empty: float | None = None


class Band(NamedTuple):
    """What was predicted for some rows of a plane.

    Attributes
    ----------
    rows
        Which.
    mask
        (h, W) uint8: classes from 1; 0 where nothing was predicted.
    confidence
        (h, W) uint8: the probability of the class, 0..255.
    probabilities
        (K, h, W) uint8, where they are wanted.
    """

    rows: slice
    mask: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None


class BandSum:
    """What the tiles of a band add up to.

    Attributes
    ----------
    below
        (K, falling, W): what they say of the first rows of the next band.
    """

    def __init__(
        self, row: Span, columns: Sequence[Span], above: Tensor | None, wanted: Wanted
    ) -> None:
        self._row, self._above, self._wanted = row, above, wanted
        self._left: Tensor | None = None
        self._width = columns[-1].cell.stop
        self._mask = np.zeros((row.length, self._width), np.uint8)
        self._confidence = np.zeros_like(self._mask)
        self._all: np.ndarray | None = None
        self.below: Tensor | None = None

    @torch.inference_mode()
    def add(self, column: Span, probabilities: Tensor | None) -> None:
        """Add the next tile; its cell is finished by that."""
        if probabilities is None:
            self._left = None
            return
        if self._wanted.empty is not None:
            # How much of a pixel's weight was predicted: neighbours may have been left out.
            ones = torch.ones_like(probabilities[:1])
            probabilities = torch.cat([probabilities, ones])
        weighted = self._weighted(column, probabilities)
        if self._left is not None:
            weighted[:, :, : column.rising] += self._left
        self._left = weighted[:, :, column.length :]
        cell = weighted[:, :, : column.length]
        if self._above is not None:
            cell[:, : self._row.rising] += self._above[:, :, column.cell]
        self._keep_below(column, cell)
        self._finish(column, cell[:, : self._row.length])

    def band(self) -> Band:
        """Return what was found, once all tiles are there."""
        return Band(self._row.cell, self._mask, self._confidence, self._all)

    def _weighted(self, column: Span, probabilities: Tensor) -> Tensor:
        for span, shape in ((self._row, (1, -1, 1)), (column, (1, 1, -1))):
            if span.rising or span.falling:
                weights = torch.from_numpy(span.weights).to(probabilities.device)
                probabilities = probabilities * weights.view(shape)
        return probabilities

    def _keep_below(self, column: Span, cell: Tensor) -> None:
        if not self._row.falling:
            return
        if self.below is None:
            self.below = cell.new_zeros(len(cell), self._row.falling, self._width)
        self.below[:, :, column.cell] = cell[:, self._row.length :]

    def _finish(self, column: Span, cell: Tensor) -> None:
        if self._wanted.empty is not None:
            cell = cell[:-1] / cell[-1:]
        best, label = cell.max(0)
        self._mask[:, column.cell] = as_bytes(label + 1)
        self._confidence[:, column.cell] = as_bytes(best * 255)
        if self._wanted.probabilities:
            if self._all is None:
                self._all = np.zeros((len(cell), *self._mask.shape), np.uint8)
            self._all[:, :, column.cell] = as_bytes(cell * 255)


def as_bytes(values: Tensor) -> np.ndarray:
    """Return whole numbers, or numbers to round, as uint8 in main memory."""
    rounded = values.round() if values.is_floating_point() else values
    found: np.ndarray = rounded.to(torch.uint8).cpu().numpy()
    return found
