"""Intervals and calibration against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage.compare.bootstrap import BLOCK, Bootstrap, margins
from napari_threestage.compare.calibration import calibration, count, kept


def matrices(n_images: int) -> np.ndarray:
    """Confusion matrices (n, 2, 4, 4) of two columns on the same truth.

    Images are easy and hard alike for both, the second is a little better; class 3 is in four
    images, class 4 in none.
    """
    rng, held = np.random.default_rng(0), np.array([1, 1, 1, 0])
    found = np.zeros((n_images, 2, 4, 4), int)
    for image in range(n_images):
        wrong = rng.uniform(0.05, 0.6)
        truth = rng.integers(50, 500, 4) * (held if image < 4 else [1, 1, 0, 0])
        for column, share in enumerate((wrong, wrong * 0.85)):
            for k in range(3):
                odds = np.full(4, share / 3)
                odds[k] = 1 - share
                found[image, column, k] = rng.multinomial(truth[k], odds)
    return found


def loop_scores(total: np.ndarray) -> tuple[float, list[float | None], float]:
    """mIoU, IoU and accuracy of a confusion matrix, from their definitions."""
    iou = [
        float(total[k, k] / (total[k].sum() + total[:, k].sum() - total[k, k]))
        if total[k].sum()
        else None
        for k in range(len(total))
    ]
    return (
        float(np.mean([one for one in iou if one is not None])),
        iou,
        float(np.trace(total) / total.sum()),
    )


def loop_draws(tables: np.ndarray, times: int) -> dict[str, list[list[float]]]:
    """Scores of draws of images with replacement, one draw after the other."""
    rng, found = np.random.default_rng(99), {"miou": [], "gain": [], "accuracy": [], "iou": []}
    for _ in range(times):
        total = tables[rng.integers(0, len(tables), len(tables))].sum(0)
        (one, iou, accuracy), (other, _, _) = loop_scores(total[0]), loop_scores(total[1])
        for name, value in {"miou": one, "gain": other - one, "accuracy": accuracy}.items():
            found[name].append(value)
        found["iou"].append(iou[0])
    return {name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in found.items()}


def test_intervals_are_those_of_drawing_images_one_draw_after_the_other() -> None:
    tables = matrices(12)
    bootstrap, loop = Bootstrap(margins(tables)), loop_draws(tables, 3000)
    miou, iou, accuracy = loop_scores(tables.sum(0)[0])
    found = {
        "miou": bootstrap.miou(0),
        "gain": bootstrap.miou(1, 0),
        "accuracy": bootstrap.accuracy(0),
        "iou": bootstrap.iou(0, 0),
    }
    better = loop_scores(tables.sum(0)[1])[0]
    expected = {"miou": miou, "gain": better - miou, "accuracy": accuracy, "iou": iou[0]}
    for name, interval in found.items():
        assert interval is not None and interval.low is not None and interval.high is not None
        assert interval.value == pytest.approx(expected[name])
        width = loop[name][1] - loop[name][0]
        assert [interval.low, interval.high] == pytest.approx(loop[name], abs=0.12 * width)
    # Paired: both columns share most of what differs between images.
    apart = found["miou"].high - found["miou"].low
    assert 0 < found["gain"].high - found["gain"].low < apart / 2


def test_few_images_allow_no_interval_and_absent_classes_no_score() -> None:
    few, enough = (Bootstrap(margins(matrices(n))) for n in (4, 5))
    assert few.miou(0).value > 0 and (few.miou(0).low, few.miou(1, 0).high) == (None, None)
    assert enough.miou(0).low is not None
    rare = enough.iou(0, 2)  # four images hold it
    assert rare is not None and rare.value > 0 and rare.low is None
    assert enough.iou(0, 3) is None and enough.iou(1, 3, 0) is None


def test_draws_depend_on_the_seed_alone_and_not_on_how_many_fit_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tallies = margins(matrices(9))
    whole, other = Bootstrap(tallies, seed=3).miou(0), Bootstrap(tallies, seed=4).miou(0)
    monkeypatch.setattr("napari_threestage.compare.bootstrap.BLOCK", 100)
    assert BLOCK > 100 and Bootstrap(tallies, seed=3).miou(0) == whole != other


def loop_ece(confidence: list[float], right: list[bool]) -> float:
    """Expected calibration error pixel by pixel."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for one, is_right in zip(confidence, right, strict=True):
        bins[min(int(one * 10), 9)].append((one, is_right))
    gaps = [
        len(one) * abs(sum(r for _, r in one) / len(one) - sum(c for c, _ in one) / len(one))
        for one in bins
        if one
    ]
    return sum(gaps) / len(right)


def test_calibration_is_that_of_single_pixels_and_adds_up() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.integers(30, 256, (2, 30, 40), np.uint8)
    right = rng.random(confidence.shape) * 255 < confidence**1.02
    counts = sum(count(r, c) for r, c in zip(right, confidence, strict=True))
    found = calibration(counts)
    sure = (confidence.ravel() / 255).tolist()
    assert found["ece"] == pytest.approx(loop_ece(sure, right.ravel().tolist()))
    assert sum(one["pixels"] for one in found["bins"]) == right.size
    assert found["bins"][0] == {  # nobody is so unsure
        "low": 0.0, "high": 0.1, "confidence": None, "accuracy": None, "pixels": 0,
    }  # fmt: skip
    thresholds = kept(counts)
    assert [one["threshold"] for one in thresholds[:2]] == [0.5, 0.55]
    assert [one["threshold"] for one in thresholds[-2:]] == [0.95, 0.99]
    for one in thresholds:
        reached = confidence / 255 >= one["threshold"]
        assert one["share"] == pytest.approx(reached.mean())
        assert one["accuracy"] == pytest.approx(right[reached].mean())


def test_no_pixels_give_no_calibration() -> None:
    counts = np.zeros((2, 256), np.int64)
    assert calibration(counts)["ece"] is None
    assert {(one["share"], one["accuracy"]) for one in kept(counts)} == {(0.0, None)}
