"""What became of each pixel from one mask to the next.

Masks are integers of one shape: 1..C, 0 = no class there.  A pixel without a class in either mask
is not compared.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Mask = npt.NDArray[np.integer]
Codes = npt.NDArray[np.uint8]

PART = 2**22  # pixels looked at together: counting needs many times their memory


class Change(IntEnum):
    """What became of a pixel with regard to one class."""

    GAINED = 1
    LOST = 2


class Judged(IntEnum):
    """What a change did, by the ground truth."""

    CORRECTED = 1
    WORSENED = 2
    UNDECIDED = 3  # still wrong, or no ground truth there


def changed(before: Mask, after: Mask) -> npt.NDArray[np.bool_]:
    """Return where two masks have different classes."""
    different: npt.NDArray[np.bool_] = (before != after) & (before > 0) & (after > 0)
    return different


def changed_to(before: Mask, after: Mask) -> Codes:
    """Return the class that each changed pixel has now; 0 where nothing changed."""
    return np.asarray(np.where(changed(before, after), after, 0), np.uint8)


def gained_lost(before: Mask, after: Mask, index: int) -> Codes:
    """Return where a class was gained or lost, as `Change`; 0 elsewhere."""
    codes = np.zeros(before.shape, np.uint8)
    different = changed(before, after)
    codes[different & (after == index)] = Change.GAINED
    codes[different & (before == index)] = Change.LOST
    return codes


def judged(before: Mask, after: Mask, truth: Mask) -> Codes:
    """Return what each change did by the ground truth (0 = not labelled), as `Judged`."""
    different = changed(before, after)
    codes = np.where(different, np.uint8(Judged.UNDECIDED), np.uint8(0))
    codes[different & (truth > 0) & (after == truth)] = Judged.CORRECTED
    codes[different & (truth > 0) & (before == truth)] = Judged.WORSENED
    return codes


def disagreement(masks: Sequence[Mask]) -> Codes:
    """Return how many classes more than one the masks name for each pixel: 0 = they agree."""
    ordered = np.sort(np.stack(masks), axis=0)
    steps = (ordered[1:] != ordered[:-1]) & (ordered[:-1] > 0)
    return np.asarray(steps.sum(0), np.uint8)


def transitions(before: Mask, after: Mask, n_classes: int) -> npt.NDArray[np.int64]:
    """Return how many pixels went from each class (rows) to each class (columns), (C, C)."""
    counts = np.zeros(n_classes * n_classes, np.int64)
    for one, other in parts(before, after):
        both = (one > 0) & (other > 0)
        pairs = (one[both].astype(np.int64) - 1) * n_classes + other[both] - 1
        counts += np.bincount(pairs, minlength=len(counts))
    return counts.reshape(n_classes, n_classes)


def parts(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield arrays of one shape bit by bit, flat."""
    flat = [array.reshape(-1) for array in arrays]
    for begin in range(0, len(flat[0]), PART):
        yield [array[begin : begin + PART] for array in flat]
