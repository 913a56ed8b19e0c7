"""Runs of equal pixels, and the objects that they make up.

A mask of 20,000 x 20,000 pixels has far fewer runs than pixels, so that finding its objects needs
little more memory than the mask itself; labelling its pixels would need eight times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 2**22  # pixels looked at together


@dataclass(frozen=True)
class Runs:
    """Runs along x of the pixels that are not 0, in the order of the pixels.

    Attributes
    ----------
    shape
        Of the array (y, x) or (z, y, x).
    row
        Number of each run's row; rows of further planes count on.
    start, stop
        From which column to before which.
    value
        What its pixels hold.
    """

    shape: tuple[int, ...]
    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    value: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Pixels of each run."""
        lengths: np.ndarray = self.stop - self.start
        return lengths

    def index_at(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return the run that holds each of these pixels, none of which is 0."""
        keys = _keys(self.row, self.start, self.shape[-1])
        wanted = _keys(row, column, self.shape[-1])
        found: np.ndarray = np.searchsorted(keys, wanted, side="right") - 1
        return found

    def paint(self, values: np.ndarray, first: int, last: int) -> np.ndarray:
        """Return the rows from `first` to before `last` with a value for each run, else 0."""
        low, high = np.searchsorted(self.row, (first, last))
        lengths = self.length[low:high]
        begin = (self.row[low:high] - np.int64(first)) * self.shape[-1] + self.start[low:high]
        canvas = np.zeros((last - first) * self.shape[-1], values.dtype)
        canvas[ranges(begin, lengths)] = np.repeat(values[low:high], lengths)
        return canvas.reshape(-1, self.shape[-1])


@dataclass(frozen=True)
class Objects:
    """Connected pixels of one value, numbered from 1 by their first pixels.

    Attributes
    ----------
    number
        Of the object that each run belongs to.
    value
        What the pixels of each object hold.
    """

    runs: Runs
    number: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    def areas(self) -> np.ndarray:
        """Return the pixels of each object."""
        counts = np.bincount(self.number, self.runs.length, len(self) + 1)[1:]
        areas: np.ndarray = counts.astype(np.int64)
        return areas

    def boxes(self) -> np.ndarray:
        """Return the box of each object, a row of lowest places and those behind the highest."""
        low, high = (np.empty((len(self), len(self.runs.shape)), np.int64) for _ in range(2))
        order = np.argsort(self.number, kind="stable")
        if len(self):
            heads = np.searchsorted(self.number[order], np.arange(1, len(self) + 1))
            for axis, (first, behind) in enumerate(self._places()):
                low[:, axis] = np.minimum.reduceat(first[order], heads)
                high[:, axis] = np.maximum.reduceat(behind[order], heads)
        return np.hstack([low, high])

    def centroids(self) -> np.ndarray:
        """Return the mean place of the pixels of each object, one row each."""
        means = np.empty((len(self), len(self.runs.shape)))
        areas = self.areas()
        for axis, (first, behind) in enumerate(self._places()):
            weights = (first + behind - 1) / 2 * self.runs.length
            means[:, axis] = np.bincount(self.number, weights, len(self) + 1)[1:] / areas
        return means

    def _places(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give, for each axis, where each run begins and what is behind its end."""
        height = self.runs.shape[-2]
        if len(self.runs.shape) == 3:
            yield self.runs.row // height, self.runs.row // height + 1
        yield self.runs.row % height, self.runs.row % height + 1
        yield self.runs.start, self.runs.stop


def find_runs(labels: np.ndarray) -> Runs:
    """Find the runs of an array (y, x) or (z, y, x)."""
    rows = labels.reshape(-1, labels.shape[-1])
    step = max(1, _BLOCK // labels.shape[-1])
    parts = [_runs_of(rows[at : at + step], at) for at in range(0, len(rows), step)]
    row, start, stop, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Runs(labels.shape, row, start, stop, value)


def connect(runs: Runs, corners: bool = True) -> Objects:
    """Put runs together that touch along an edge, or at a corner as well."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(runs.row)
    if not count:
        return Objects(runs, np.zeros(0, np.int32), runs.value)
    pairs = [_touching(runs, step, corners) for step in _steps(runs.shape, corners)]
    one, other = (np.concatenate(part) for part in zip(*pairs, strict=True))
    graph = coo_matrix((np.ones(len(one), bool), (one, other)), (count, count))
    _, groups = connected_components(graph, directed=False)
    _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    number = (place[groups] + 1).astype(np.int32)
    return Objects(runs, number, runs.value[np.sort(first)])


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the numbers of all ranges one behind the other."""
    behind = np.cumsum(lengths)
    total = int(behind[-1]) if len(behind) else 0
    numbers: np.ndarray = np.arange(total) + np.repeat(starts - (behind - lengths), lengths)
    return numbers


def _runs_of(rows: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
    """Return row, start, stop and value of the runs of some rows, of which one has a number."""
    changes = np.ones(rows.shape, bool)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=changes[:, 1:])
    row, start = np.nonzero(changes)
    stop = np.append(start[1:], 0)
    stop[stop == 0] = rows.shape[1]
    value = rows[row, start]
    kept = value != 0
    places = (one[kept].astype(np.int32) for one in (row + first, start, stop))
    return (*places, value[kept])


def _keys(row: np.ndarray, column: np.ndarray, width: int) -> np.ndarray:
    """Return one number for each place, in the order of the pixels, with gaps between the rows."""
    keys: np.ndarray = row * np.int64(width + 2) + column
    return keys


def _steps(shape: tuple[int, ...], corners: bool) -> list[tuple[int, int]]:
    """Return which rows before a row it may touch: how many planes and how many rows back."""
    if len(shape) == 2:
        return [(0, 1)]
    return [(0, 1), (1, 0), (1, 1), (1, -1)] if corners else [(0, 1), (1, 0)]


def _touching(runs: Runs, step: tuple[int, int], corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of runs of one value that touch, the second so many rows before."""
    planes, rows = step
    (height, width), reach = runs.shape[-2:], int(corners)
    here = np.flatnonzero(
        (runs.row // height >= planes)
        & (runs.row % height >= rows)
        & (runs.row % height < height + min(rows, 0))
    )
    there = runs.row[here] - planes * height - rows
    behind, begin = (_keys(runs.row, one, width) for one in (runs.stop, runs.start))
    low = np.searchsorted(behind, _keys(there, runs.start[here] - reach, width), side="right")
    high = np.searchsorted(begin, _keys(there, runs.stop[here] + reach, width), side="left")
    counts = np.maximum(high - low, 0)
    one, other = np.repeat(here, counts), ranges(low, counts)
    same = runs.value[one] == runs.value[other]
    return one[same], other[same]
