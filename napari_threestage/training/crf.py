"""A dense CRF as a loss: what lets a few strokes of a brush reach the borders of things.

Strokes say nothing of outlines, so that a network trained on them alone may paint anything there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import EllipsisType

    from torch import Tensor

    Part = tuple[EllipsisType, slice, slice]

REACH = 5  # pixels to each side that count as neighbours
NEAR = 6.0  # standard deviation of how much nearness counts, in pixels
CONTRAST = 0.1  # γ², as a share of the mean squared difference of neighbours
FAINTEST = 1e-6  # mean squared difference below which there is nothing to tell pixels apart by


def crf_loss(logits: Tensor, images: Tensor, unlabelled: Tensor, paired: Tensor) -> Tensor:
    """Add up how much neighbours that look alike are given different classes.

    A pair of pixels weighs exp(-d² / 2 `NEAR`² - c² / 2 γ²), d being their distance in space and
    c² the mean squared difference of their channels.  γ² is `CONTRAST` times the mean of c² over
    the crop, so that borders of little contrast are borders, too.

    Parameters
    ----------
    logits
        (B, K, H, W).
    images
        (B, C, H, W), what the student sees.
    unlabelled
        (B, H, W) bool.  A pair of labelled pixels does not count.
    paired
        (B, H, W) bool.  Other pixels have no pairs.

    Returns
    -------
    torch.Tensor
        The sum over all pixels of their pairs, 0-dimensional; each pair is in it twice.

    References
    ----------
    Obukhov et al., *Gated CRF loss for weakly supervised semantic image segmentation*, 2019, who
    count a pair once for each of its unlabelled pixels and have the same γ for all images; that it
    depends on the image is from Rother et al., *GrabCut*, SIGGRAPH 2004.
    """
    probability = logits.float().softmax(1)
    fixed = probability.detach().contiguous()  # shifts of channels-last maps take twice as long
    message = torch.zeros_like(fixed)  # to each pixel, what its neighbours say
    total = fixed.new_zeros(())
    for here, there, weight in _pairs(images.float().contiguous(), unlabelled, paired):
        message[here] += weight * fixed[there]
        message[there] += weight * fixed[here]
        total += 2 * weight.sum()
    agreement = (probability * message).sum()
    # The value is total - agreement.  Its gradient goes through both pixels of a pair, that of
    # `agreement` with fixed neighbours through one of them: half of it.
    loss: Tensor = total + agreement.detach() - 2 * agreement
    return loss


@torch.no_grad()
def _pairs(
    images: Tensor, unlabelled: Tensor, paired: Tensor
) -> Iterator[tuple[Part, Part, Tensor]]:
    """Give, shift by shift, where both pixels of all pairs are, and the weights (B, 1, h, w)."""
    unlabelled, paired = unlabelled.unsqueeze(1), paired.unsqueeze(1)
    sharpness = 1 / (2 * CONTRAST * _mean_difference(images, paired).clamp(min=FAINTEST))
    for y, x in _shifts():
        here, there = _places(y, x)
        counts = paired[here] & paired[there] & (unlabelled[here] | unlabelled[there])
        nearness = -(y * y + x * x) / (2 * NEAR**2)
        likeness = -_difference(images, here, there) * sharpness
        yield here, there, torch.exp(nearness + likeness) * counts


def _mean_difference(images: Tensor, paired: Tensor) -> Tensor:
    """Return the mean squared difference (B, 1, 1, 1) of all pairs."""
    total, number = images.new_zeros(()), images.new_zeros(())
    for shift in _shifts():
        here, there = _places(*shift)
        counts = paired[here] & paired[there]
        total = total + (_difference(images, here, there) * counts).sum((1, 2, 3), keepdim=True)
        number = number + counts.sum((1, 2, 3), keepdim=True)
    return total / number.clamp(min=1)


def _difference(images: Tensor, here: Part, there: Part) -> Tensor:
    return (images[here] - images[there]).square_().mean(1, keepdim=True)


def _shifts() -> Iterator[tuple[int, int]]:
    """Give half of all shifts, as the others are the same pairs."""
    for y in range(REACH + 1):
        for x in range(-REACH, REACH + 1):
            if (y, x) > (0, 0):
                yield y, x


def _places(y: int, x: int) -> tuple[Part, Part]:
    """Return where the pixels are that have a neighbour at this shift, and where these are."""
    left, right = max(0, -x), max(0, x)
    rows, shifted_rows = slice(None, -y or None), slice(y, None)
    columns, shifted_columns = slice(left, -right or None), slice(right, -left or None)
    return (..., rows, columns), (..., shifted_rows, shifted_columns)
