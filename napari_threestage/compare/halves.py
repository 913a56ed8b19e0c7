"""Two masks in one array: one before a divider, the other behind it (numpy only)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Index = tuple[int | slice, ...]


class Halves:
    """Fills an array with two masks, plane by plane as they are looked at.

    Parameters
    ----------
    values
        What is filled; of the shape of the masks.
    before, behind
        The masks; None: nothing.
    displayed
        The axes of a plane; the divider moves along the last of them.
    """

    def __init__(
        self,
        values: np.ndarray,
        before: np.ndarray | None,
        behind: np.ndarray | None,
        displayed: Sequence[int],
    ) -> None:
        self._values, self._before, self._behind = values, before, behind
        self._axis = displayed[-1]
        self._others = [axis for axis in range(values.ndim) if axis not in displayed]
        # Where the divider is in each plane; -1: not filled yet.
        self._places = np.full([values.shape[axis] for axis in self._others], -1)

    @property
    def length(self) -> int:
        """How far the divider can go."""
        return int(self._values.shape[self._axis])

    def move(self, place: int, plane: Mapping[int, int]) -> bool:
        """Let the divider of a plane be in front of a column; return whether anything changed.

        Parameters
        ----------
        plane
            Its index along each axis that is not displayed.
        """
        at = tuple(plane[axis] for axis in self._others)
        was = int(self._places[at])
        if place == was:
            return False
        self._places[at] = place
        if was < 0:
            self._fill(self._index(plane, 0, place), self._before)
            self._fill(self._index(plane, place, self.length), self._behind)
        elif place > was:
            self._fill(self._index(plane, was, place), self._before)
        else:
            self._fill(self._index(plane, place, was), self._behind)
        return True

    def _index(self, plane: Mapping[int, int], start: int, stop: int) -> Index:
        index: list[int | slice] = [slice(None)] * self._values.ndim
        for axis in self._others:
            index[axis] = plane[axis]
        index[self._axis] = slice(start, stop)
        return tuple(index)

    def _fill(self, index: Index, mask: np.ndarray | None) -> None:
        self._values[index] = 0 if mask is None else mask[index]
