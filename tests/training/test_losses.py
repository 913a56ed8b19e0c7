"""The losses against values worked out by hand, and what does not count in their means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from napari_threestage.training.losses import (
    IGNORE,
    consistency_ramp,
    dice_loss,
    masked_cross_entropy,
)

# Three pixels of two classes.  Logits (0, ln 3) are probabilities 1/4 and 3/4.
LOGITS = torch.tensor([[[[0.0, 0.0, 0.0]], [[math.log(3), 0.0, math.log(3)]]]])
QUARTER, HALF, THREE_QUARTERS = (-math.log(share) for share in (1 / 4, 1 / 2, 3 / 4))


def labels(*values: int) -> Tensor:
    return torch.tensor([[values]], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ((1, 0, 0), (THREE_QUARTERS + HALF + QUARTER) / 3),
        ((1, IGNORE, 0), (THREE_QUARTERS + QUARTER) / 2),
        ((IGNORE, IGNORE, 0), QUARTER),
        ((IGNORE, IGNORE, IGNORE), 0.0),
    ],
)
def test_cross_entropy_is_the_mean_over_the_pixels_that_count(
    target: tuple[int, ...], expected: float
) -> None:
    assert float(masked_cross_entropy(LOGITS, labels(*target))) == pytest.approx(expected)


def test_the_mean_runs_over_the_batch_and_not_over_images() -> None:
    logits = LOGITS.repeat(2, 1, 1, 1)
    target = torch.cat([labels(1, 1, 1), labels(0, IGNORE, IGNORE)])
    expected = (2 * THREE_QUARTERS + HALF + QUARTER) / 4
    assert float(masked_cross_entropy(logits, target)) == pytest.approx(expected)


def test_pixel_weights_are_divided_by_the_number_of_valid_pixels() -> None:
    weight = torch.tensor([[[0.0, 0.5, 1.0]]])
    loss = masked_cross_entropy(LOGITS, labels(1, 0, 0), pixel_weight=weight)
    assert float(loss) == pytest.approx((0 * THREE_QUARTERS + 0.5 * HALF + 1 * QUARTER) / 3)


def test_weights_of_ignored_pixels_do_not_count() -> None:
    weight = torch.tensor([[[1.0, 1.0, 0.5]]])
    loss = masked_cross_entropy(LOGITS, labels(IGNORE, 0, 0), pixel_weight=weight)
    assert float(loss) == pytest.approx((HALF + 0.5 * QUARTER) / 2)


def test_class_weights_scale_each_pixel_but_not_the_divisor() -> None:
    loss = masked_cross_entropy(LOGITS, labels(1, 0, 0), class_weight=torch.tensor([1.5, 0.5]))
    assert float(loss) == pytest.approx((0.5 * THREE_QUARTERS + 1.5 * HALF + 1.5 * QUARTER) / 3)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_without_labels_gives_zero_and_no_gradient(weighted: bool) -> None:
    logits = LOGITS.clone().requires_grad_()
    target = labels(IGNORE, IGNORE, IGNORE)
    loss = masked_cross_entropy(
        logits,
        target,
        pixel_weight=torch.zeros(1, 1, 3) if weighted else None,
        class_weight=torch.zeros(2) if weighted else None,
    )
    (loss + dice_loss(logits, target)).backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(LOGITS))


def test_the_gradient_is_probability_minus_truth_over_the_valid_pixels() -> None:
    logits = LOGITS.clone().requires_grad_()
    masked_cross_entropy(logits, labels(1, IGNORE, 0)).backward()
    expected = torch.tensor([[[[0.25, 0.0, 0.25 - 1]], [[0.75 - 1, 0.0, 0.75]]]]) / 2
    torch.testing.assert_close(logits.grad, expected)


def test_huge_logits_stay_finite() -> None:
    loss = masked_cross_entropy(LOGITS * 1e4, labels(0, 1, 0))
    assert float(loss) == pytest.approx((2 * 1e4 * math.log(3) + HALF) / 3)


def test_dice_of_two_classes_by_hand() -> None:
    # Class 0: p = 1/4, 1/2 and truth at the second pixel; class 1: p = 3/4, 1/2, the first one.
    zero = (2 * 1 / 2 + 1) / (1 / 4 + 1 / 2 + 1 + 1)
    one = (2 * 3 / 4 + 1) / (3 / 4 + 1 / 2 + 1 + 1)
    loss = dice_loss(LOGITS, labels(1, 0, IGNORE))
    assert float(loss) == pytest.approx(((1 - zero) + (1 - one)) / 2)


def test_dice_leaves_absent_classes_out_of_its_mean() -> None:
    one = (2 * (3 / 4 + 1 / 2) + 1) / (3 / 4 + 1 / 2 + 2 + 1)
    assert float(dice_loss(LOGITS, labels(1, 1, IGNORE))) == pytest.approx(1 - one)


def test_dice_of_a_perfect_prediction_is_nothing() -> None:
    target = labels(1, 0, 1)
    logits = torch.stack([target == 0, target == 1], 1) * 60.0
    assert float(dice_loss(logits, target)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("step", "share", "expected"),
    [
        (0, 0.5, math.exp(-5)),
        (25, 0.5, math.exp(-5 * 0.25)),
        (40, 0.5, math.exp(-5 * 0.04)),
        (50, 0.5, 1.0),
        (99, 0.5, 1.0),
        (0, 0.0, 1.0),
        (50, 1.0, math.exp(-5 * 0.25)),
    ],
)
def test_the_ramp_grows_over_its_share_of_the_steps(
    step: int, share: float, expected: float
) -> None:
    assert consistency_ramp(step, 100, share) == pytest.approx(expected)
