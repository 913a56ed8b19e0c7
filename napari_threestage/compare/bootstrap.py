"""How sure scores are: 95 % intervals by a bootstrap over images.

Pixels of one image are wrong together, so images are drawn, not pixels: as many as there are, with
replacement, two thousand times.  The middle 95 % of the scores of what was drawn are the interval.
Columns are scored on the same draws, so that their difference is paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

RESAMPLES = 2000
CONFIDENCE = 95  # percent
LEAST_IMAGES = 5  # of fewer, an interval would only look like one
BLOCK = 2**22  # numbers that drawing takes at a time

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A score with the bounds of its 95 % interval; None where too few images allow none."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the interval as JSON holds it."""
        return {"value": self.value, "low": self.low, "high": self.high}


def margins(confusion: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return all of confusion matrices (…, C, C) that scores need, (…, 3, C).

    Pixels of each class that are right, that the truth gives it, and that the mask gives it.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    sums = (right, confusion.sum(-1), confusion.sum(-2))
    return np.stack(sums, -2).astype(np.int64)


@dataclass(frozen=True)
class _Scores:
    """Scores of many sets of images: (…), (…, C) and (…); NaN for what the truth does not hold."""

    miou: Floats
    iou: Floats
    accuracy: Floats


class Bootstrap:
    """Scores of several columns on the same images.

    Parameters
    ----------
    tallies
        Of each image and column what `margins` returns, (n, K, 3, C), n > 0.  An image may count
        other pixels for another column only if their difference is of no interest.
    """

    def __init__(
        self, tallies: npt.NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES
    ) -> None:
        self._tallies = tallies
        self._all = _scores(tallies.sum(0))
        self._holders = (tallies[:, :, 1] > 0).any(1).sum(0)  # images with each class, (C,)
        self._drawn = self._draw(seed, resamples) if len(tallies) >= LEAST_IMAGES else None

    @property
    def drawn_miou(self) -> Floats | None:
        """MIoU of each draw and column, (B, K); None where too few images allow no draws."""
        return None if self._drawn is None else self._drawn.miou

    def miou(self, column: int, before: int | None = None) -> Interval:
        """Return mIoU of a column, or what it is more than that of the one before."""
        return self._interval("miou", column, before)

    def accuracy(self, column: int) -> Interval:
        """Return the share of right pixels."""
        return self._interval("accuracy", column)

    def iou(self, column: int, index: int, before: int | None = None) -> Interval | None:
        """Return IoU of a class (from 0), or its difference; None where no image holds it."""
        if not self._holders[index]:
            return None
        return self._interval("iou", column, before, index)

    def _interval(
        self, name: str, column: int, before: int | None = None, index: int | None = None
    ) -> Interval:
        place = (..., column) if index is None else (..., column, index)
        earlier = (..., before) if index is None else (..., before, index)

        def values(scores: _Scores) -> Floats:
            of_name = getattr(scores, name)
            return cast("Floats", of_name[place] - (0 if before is None else of_name[earlier]))

        value = float(values(self._all))
        if self._drawn is None or (index is not None and self._holders[index] < LEAST_IMAGES):
            return Interval(value)
        drawn = values(self._drawn)
        # A draw without any image that holds a class says nothing of the class.
        rest = (100 - CONFIDENCE) / 2
        low, high = np.percentile(drawn[np.isfinite(drawn)], [rest, 100 - rest])
        return Interval(value, float(low), float(high))

    def _draw(self, seed: int, resamples: int) -> _Scores:
        """Return the scores of each draw of images, (B, K) and (B, K, C)."""
        n, *shape = self._tallies.shape
        flat = self._tallies.reshape(n, -1).astype(np.float64)
        weights = _weights(np.random.default_rng(seed), resamples, n, max(flat.shape))
        found = [_scores((block @ flat).reshape(-1, *shape)) for block in weights]
        parts = ([getattr(one, name) for one in found] for name in ("miou", "iou", "accuracy"))
        return _Scores(*map(np.concatenate, parts))


def _weights(rng: np.random.Generator, resamples: int, n: int, width: int) -> Iterator[Floats]:
    """Yield how often each draw has each image, (b, n), so many draws at a time as fit."""
    size = max(1, BLOCK // width)
    for begin in range(0, resamples, size):
        rows = min(size, resamples - begin)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _scores(tallies: npt.NDArray[Any]) -> _Scores:
    """Return the scores of sums of tallies (…, 3, C)."""
    right, truth, mask = np.moveaxis(tallies, -2, 0).astype(np.float64)
    held = truth > 0
    iou = np.divide(right, truth + mask - right, out=np.full(right.shape, np.nan), where=held)
    pixels = truth.sum(-1)
    nothing = np.full(pixels.shape, np.nan)
    some = pixels > 0
    miou = np.divide(np.nansum(iou, -1), held.sum(-1), out=nothing.copy(), where=some)
    return _Scores(miou, iou, np.divide(right.sum(-1), pixels, out=nothing, where=some))
