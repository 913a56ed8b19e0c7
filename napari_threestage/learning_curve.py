"""How a score grows with the labels, as a law: error = a + b n^-c with a, b >= 0 and 0 < c <= 2.

A law drawn through a few points says much that nobody knows.  So there is none where the points are
few, lie close together or contradict it, and none goes beyond twice the labels that were tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

LEAST_POINTS, LEAST_AMOUNTS, LEAST_SPAN = 4, 3, 2.0
APART = 1.05  # factor from which on two amounts of labels differ
BEYOND = 2.0  # times the most labels
EXPLAINED = 0.5  # share of the scores' variance, at least
WIDEST = 0.3  # of what twice the labels may bring
POWERS = np.linspace(0.02, 2, 100)  # the c that are tried
PARAMETERS = 3
REPLICATES, PLACES = 500, 25
BAND = (2.5, 97.5)  # percentiles


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Scores by the amount of labels, from the fewest that were tried to twice the most.

    Attributes
    ----------
    values, low, high
        The law, and the bounds of a band that holds 95 % of what it may be.
    now
        The law at the most labels that were tried.
    """

    amounts: Numbers
    values: Numbers
    low: Numbers
    high: Numbers
    now: float

    @property
    def twice(self) -> tuple[float, float, float]:
        """The law at twice as many, and its bounds."""
        return float(self.values[-1]), float(self.low[-1]), float(self.high[-1])


def fit_curve(
    amounts: Numbers, scores: Numbers, resampled: Numbers | None = None, seed: int = 0
) -> tuple[LearningCurve | None, str]:
    """Fit the law by least squares, or say why there is none.

    The band is that of laws through other images and other runs: scores on resampled images, plus
    differences between runs as large as those that the law leaves.

    Parameters
    ----------
    amounts, scores
        Labels (above 0) and scores (0..1) of the runs.
    resampled
        The scores on resampled images, (draws, runs), the same images for all runs.
    """
    reason = _why_none(amounts, scores)
    if reason:
        return None, reason
    most = float(amounts.max())
    relative = amounts / most
    law = _fit(relative, 1 - scores[np.newaxis])
    left = 1 - scores - _errors(law, relative)[0]
    if np.var(left) > (1 - EXPLAINED) * np.var(scores):
        return None, "from run to run mIoU differs more than with the labels"
    places = np.geomspace(relative.min(), BEYOND, PLACES)
    best = _errors(law, places)[0]
    laws = _fit(relative, _replicates(1 - scores, left, resampled, seed))
    low, high = np.percentile(_errors(laws, places), BAND, axis=0)
    best, low, high = np.clip([best, np.minimum(low, best), np.maximum(high, best)], 0, 1)
    now = 1 - float(_errors(law, np.ones(1))[0, 0])
    curve = LearningCurve(places * most, 1 - best, 1 - high, 1 - low, now)
    if high[-1] - low[-1] > WIDEST:
        bounds = f"{100 - 100 * high[-1]:.0f} and {100 - 100 * low[-1]:.0f} %"
        return None, f"with twice the labels mIoU could be anything between {bounds}"
    return curve, ""


def _why_none(amounts: Numbers, scores: Numbers) -> str:
    """Return why no law is drawn through these points; empty where one may be."""
    count = len(amounts)
    if count < LEAST_POINTS:
        there = f"there {'is' if count == 1 else 'are'} {count}"
        return (
            f"it takes {LEAST_POINTS} runs of the same preset, stages and steps as the latest one, "
            f"and {there}"
        )
    if _different(amounts) < LEAST_AMOUNTS or amounts.max() < LEAST_SPAN * amounts.min():
        return (
            f"it takes runs with {LEAST_AMOUNTS} different amounts of labels, the most at least "
            f"{LEAST_SPAN:g} times the fewest"
        )
    if not np.ptp(scores) or np.corrcoef(np.log(amounts), scores)[0, 1] <= 0:
        return "more labels have not brought a higher mIoU so far"
    return ""


def _different(amounts: Numbers) -> int:
    """Return how many amounts there are that differ."""
    count, last = 0, 0.0
    for amount in np.sort(amounts):
        if amount > APART * last:
            count, last = count + 1, float(amount)
    return count


def _fit(relative: Numbers, errors: Numbers) -> Numbers:
    """Return a, b and c of the law closest to each row of errors, (rows, 3).

    For each c that is tried the law is linear in a and b: its best ones are known, not searched.
    """
    bases = relative ** -POWERS[:, np.newaxis]
    means, level = bases.mean(1), errors.mean(1, keepdims=True)
    centred = bases - means[:, np.newaxis]
    b = errors @ centred.T / (centred**2).sum(1)
    a = level - b * means
    through_zero = errors @ bases.T / (bases**2).sum(1)
    a, b = np.maximum(a, 0), np.where(a < 0, through_zero, b)
    a, b = np.where(b < 0, level, a), np.maximum(b, 0)
    left = errors[:, np.newaxis] - a[..., np.newaxis] - b[..., np.newaxis] * bases
    best = (left**2).sum(-1).argmin(1)
    rows = np.arange(len(errors))
    return np.stack([a[rows, best], b[rows, best], POWERS[best]], 1)


def _errors(laws: Numbers, relative: Numbers) -> Numbers:
    """Return the error of each law (rows, 3) at each place, (rows, places)."""
    a, b, c = laws.T[..., np.newaxis]
    errors: Numbers = a + b * relative**-c
    return errors


def _replicates(errors: Numbers, left: Numbers, resampled: Numbers | None, seed: int) -> Numbers:
    """Return errors as other images and other runs would have had them, (replicates, runs)."""
    drawn, count = np.random.default_rng(seed), len(errors)
    # The law has followed the runs' own differences with its three numbers; and how large these
    # are is hardly known from a few runs, which Student's t makes up for.
    spread = np.sqrt((left**2).sum() / max(1, count - PARAMETERS))
    replicates = errors - left + spread * drawn.standard_t(count - 2, (REPLICATES, count))
    if resampled is not None:
        moved = 1 - resampled - errors
        replicates = replicates + moved[drawn.integers(0, len(moved), REPLICATES)]
    clipped: Numbers = np.clip(replicates, 0, 1)
    return clipped
