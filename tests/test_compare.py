"""Scores against an independent computation with plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_threestage.compare import Confusion

NAMES = ["background", "nucleus", "membrane", "never"]


def by_loops(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float | None]:
    """IoU by name, straight from its definition."""
    pairs = [
        (t, p)
        for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True)
        if t and p
    ]
    found: dict[str, float | None] = {}
    for value, name in enumerate(NAMES, start=1):
        both = sum(t == value and p == value for t, p in pairs)
        either = sum(t == value or p == value for t, p in pairs)
        found[name] = both / either if any(t == value for t, _ in pairs) else None
    return found


def masks(seed: int, dtype: str, top: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, top, (2, 3, 9, 11))
    return truth.astype(dtype), rng.permutation(prediction).astype(dtype) + np.array(1, dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_equal_those_of_plain_loops(dtype: str, seed: int) -> None:
    truth, prediction = masks(seed, dtype)
    confusion = Confusion(NAMES)
    for plane_truth, plane in zip(truth, prediction, strict=True):  # summed over masks
        confusion.add(plane_truth, plane)
    scores = confusion.scores()
    expected = by_loops(truth, prediction)
    assert scores.iou == pytest.approx(expected)
    assert scores.miou == pytest.approx(np.mean([v for v in expected.values() if v is not None]))
    assert scores.accuracy == pytest.approx((truth == prediction)[truth > 0].mean())
    assert scores.pixels == (truth > 0).sum()
    assert scores.absent == ("never",)


def test_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, prediction = masks(3, "uint8")
    confusion = Confusion(NAMES)
    confusion.add(truth, prediction)
    counted = truth > 0
    matrix = metrics.confusion_matrix(truth[counted], prediction[counted], labels=[1, 2, 3, 4])
    np.testing.assert_array_equal(confusion.matrix, matrix)


def test_a_class_that_the_truth_does_not_hold_has_no_score_but_counts_as_wrong() -> None:
    confusion = Confusion(NAMES)
    confusion.add(np.array([1, 1, 1, 2]), np.array([1, 1, 4, 2]))
    scores = confusion.scores()
    assert scores.absent == ("membrane", "never")
    assert scores.iou == {"background": 2 / 3, "nucleus": 1.0, "membrane": None, "never": None}
    assert scores.miou == pytest.approx(5 / 6) and scores.accuracy == 0.75


def test_pixels_that_are_not_labelled_or_not_predicted_do_not_count() -> None:
    confusion = Confusion(NAMES)
    confusion.add(np.array([0, 0, 1, 2]), np.array([1, 2, 1, 0]))
    scores = confusion.scores()
    assert (scores.pixels, scores.accuracy, scores.miou) == (1, 1.0, 1.0)


@pytest.mark.parametrize("labels", [[], [0, 0]])
def test_nothing_to_compare_gives_no_scores(labels: list[int]) -> None:
    confusion = Confusion(NAMES)
    confusion.add(np.array(labels, np.uint8), np.array(labels, np.uint8) + 1)
    scores = confusion.scores()
    assert (scores.miou, scores.accuracy, scores.pixels) == (None, None, 0)
    assert scores.absent == tuple(NAMES)
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["absent"] == NAMES
