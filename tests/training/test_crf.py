"""The dense CRF against every pair counted one by one, and what has no part in it."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from napari_threestage.training.crf import CONTRAST, NEAR, REACH, crf_loss


def scene(height: int = 9, width: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, images, unlabelled and paired, by chance."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, height, width, generator=generator)
    images = torch.rand(2, 2, height, width, generator=generator)
    unlabelled = torch.rand(2, height, width, generator=generator) < 0.6
    paired = torch.rand(2, height, width, generator=generator) < 0.8
    return logits, images, unlabelled, paired


def one_by_one(logits: Tensor, images: Tensor, unlabelled: Tensor, paired: Tensor) -> Tensor:
    total = logits.new_zeros(())
    for crop in range(len(logits)):
        probability, image = logits[crop].softmax(0), images[crop]
        pixels = [place for place in product(*map(range, image.shape[1:])) if paired[crop][place]]
        pairs = [
            (one, other, (image[:, *one] - image[:, *other]).square().mean())
            for one, other in product(pixels, pixels)
            if one != other and max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= REACH
        ]
        mean = torch.stack([colour for *_, colour in pairs]).mean()
        for one, other, colour in pairs:
            if unlabelled[crop][one] or unlabelled[crop][other]:
                away = (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
                weight = torch.exp(-away / (2 * NEAR**2) - colour / (2 * CONTRAST * mean))
                agreement = (probability[:, *one] * probability[:, *other]).sum()
                total = total + weight * (1 - agreement)
    return total


def test_each_pair_within_reach_counts_by_nearness_and_likeness() -> None:
    logits, *rest = scene()
    expected = float(one_by_one(logits, *rest))
    assert float(crf_loss(logits, *rest)) == pytest.approx(expected, rel=1e-5)  # sums of float32


def test_the_gradient_is_that_of_all_pairs() -> None:
    logits, *rest = scene()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    crf_loss(ours, *rest).backward()
    one_by_one(theirs, *rest).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_pixels_without_pairs_have_no_part() -> None:
    logits, images, unlabelled, paired = scene()
    before = crf_loss(logits, images, unlabelled, paired)
    hidden = ~paired.unsqueeze(1)
    changed = crf_loss(
        logits.masked_fill(hidden, 5.0), images.masked_fill(hidden, 0.5), unlabelled, paired
    )
    torch.testing.assert_close(changed, before)


def test_labels_leave_nothing_to_say() -> None:
    logits, images, unlabelled, paired = scene()
    assert float(crf_loss(logits, images, torch.zeros_like(unlabelled), paired)) == 0


def test_a_picture_of_little_contrast_has_the_same_borders() -> None:
    logits, images, unlabelled, paired = scene()
    before = crf_loss(logits, images, unlabelled, paired)
    torch.testing.assert_close(crf_loss(logits, images / 50, unlabelled, paired), before)


def test_a_blank_picture_and_one_of_a_pixel_have_a_finite_loss() -> None:
    logits, images, unlabelled, paired = scene()
    assert bool(crf_loss(logits, torch.zeros_like(images), unlabelled, paired).isfinite())
    one = [part[..., :1, :1] for part in (logits, images, unlabelled, torch.ones_like(paired))]
    assert float(crf_loss(*one)) == 0


def test_a_pixel_without_a_label_is_drawn_to_the_class_of_those_that_look_like_it() -> None:
    image = torch.zeros(1, 1, 4, 8)
    image[..., 4:] = 1.0  # two halves; the left is of class 0 and the right of class 1
    logits = torch.full((1, 2, 4, 8), -3.0)
    logits[:, 0, :, :4] = logits[:, 1, :, 4:] = 3.0
    logits[:, :, 1, 3] = 0.0  # undecided, in the left half and beside the right one
    logits.requires_grad_()
    everywhere = torch.ones(1, 4, 8, dtype=torch.bool)
    crf_loss(logits, image, everywhere, everywhere).backward()
    assert logits.grad is not None
    to_left, to_right = (-logits.grad[0, :, 1, 3]).tolist()
    assert to_left > 0.5 > 0 > to_right
