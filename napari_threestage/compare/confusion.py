"""How good masks are: scores from one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Scores:
    """Scores over all pixels counted; None where no pixel allows a score.

    Attributes
    ----------
    miou
        Mean IoU over the classes that the ground truth holds.
    iou
        IoU by class name; None for classes that the ground truth does not hold.
    accuracy
        Share of right pixels.
    pixels
        Number of labelled pixels compared.
    absent
        Names of the classes that the ground truth does not hold; they are not in the mean.
    """

    miou: float | None
    iou: dict[str, float | None]
    accuracy: float | None
    pixels: int
    absent: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON holds them."""
        return {
            "miou": self.miou,
            "iou": self.iou,
            "accuracy": self.accuracy,
            "pixels": self.pixels,
            "absent": list(self.absent),
        }


class Confusion:
    """A confusion matrix (C, C) over as many masks as are added; rows are the truth.

    Parameters
    ----------
    classes
        Names of the classes 1..C in order.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.matrix = np.zeros((len(classes), len(classes)), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count a mask.

        Parameters
        ----------
        truth, prediction
            Integers of one shape; 1..C, 0 = not labelled: such pixels do not count.
        """
        n = len(self.classes)
        counted = (truth > 0) & (prediction > 0)
        pairs = (truth[counted].astype(np.int64) - 1) * n + prediction[counted] - 1
        self.matrix += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def scores(self) -> Scores:
        """Return the scores of all that was counted."""
        right = np.diag(self.matrix)
        truth, predicted = self.matrix.sum(1), self.matrix.sum(0)
        union = truth + predicted - right
        iou: dict[str, float | None] = {
            name: float(right[k] / union[k]) if truth[k] else None
            for k, name in enumerate(self.classes)
        }
        present = [value for value in iou.values() if value is not None]
        pixels = int(self.matrix.sum())
        return Scores(
            miou=float(np.mean(present)) if present else None,
            iou=iou,
            accuracy=float(right.sum() / pixels) if pixels else None,
            pixels=pixels,
            absent=tuple(name for name, value in iou.items() if value is None),
        )
