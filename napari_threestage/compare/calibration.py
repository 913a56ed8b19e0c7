"""Whether a stage is as often right as it says: from counts of pixels by confidence.

The counts are (2, 256): pixels that are wrong and that are right, by their confidence 0..255.
Those of many images add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = 256
BINS = 10
THRESHOLDS = (*(k / 100 for k in range(50, 100, 5)), 0.99)

Counts = npt.NDArray[np.int64]


def count(right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.uint8]) -> Counts:
    """Return the counts of some pixels, given whether each is right."""
    codes = confidence.astype(np.int32) + LEVELS * right
    return np.bincount(codes.ravel(), minlength=2 * LEVELS).reshape(2, LEVELS)


def calibration(counts: Counts) -> dict[str, Any]:
    """Return the expected calibration error, and confidence and accuracy by bins of confidence.

    The error is the mean of how far accuracy and mean confidence of a bin are apart, weighted by
    its pixels; None without pixels.
    """
    bins = [_bin(counts, number) for number in range(BINS)]
    pixels = int(counts.sum())
    gaps = [
        one["pixels"] * abs(one["accuracy"] - one["confidence"]) for one in bins if one["pixels"]
    ]
    return {"ece": sum(gaps) / pixels if pixels else None, "bins": bins}


def kept(counts: Counts) -> list[dict[str, Any]]:
    """Return, for thresholds of confidence, what share of the pixels reaches it and is right."""
    confidence, pixels = np.arange(LEVELS) / (LEVELS - 1), int(counts.sum())
    found = []
    for threshold in THRESHOLDS:
        wrong, right = counts[:, confidence >= threshold].sum(1).tolist()
        reached = wrong + right
        found.append(
            {
                "threshold": threshold,
                "share": reached / pixels if pixels else 0.0,
                "accuracy": right / reached if reached else None,
            }
        )
    return found


def _bin(counts: Counts, number: int) -> dict[str, Any]:
    confidence = np.arange(LEVELS) / (LEVELS - 1)
    inside = np.minimum((confidence * BINS).astype(int), BINS - 1) == number
    wrong, right = counts[:, inside].sum(1).tolist()
    pixels = wrong + right
    total = float((counts[:, inside].sum(0) * confidence[inside]).sum())
    return {
        "low": number / BINS,
        "high": (number + 1) / BINS,
        "confidence": total / pixels if pixels else None,
        "accuracy": right / pixels if pixels else None,
        "pixels": pixels,
    }
