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
CONTRAST = 0.1  # variance of how much likeness counts, as a share of the mean squared difference
FAINTEST = 1e-6  # mean squared difference below which there is nothing to tell pixels apart by


def crf_loss(logits: Tensor, images: Tensor, unlabelled: Tensor, shown: Tensor) -> Tensor:
    """Add up how much neighbours that look alike are given different classes.

    A pair of pixels weighs exp(-d² / 2 σ² - c² / 2 γ²), d being their distance in space and c² the
    mean squared difference of their channels. γ² is a share of the mean of c² over the crop, so
    that borders of little contrast are borders, too.

    Parameters
    ----------
    logits
        (B, K, H, W).
    images
        (B, C, H, W), what the student sees.
    unlabelled
        (B, H, W) bool.  A pair of labelled pixels does not count.
    shown
        (B, H, W) bool.  Other pixels, in padding, from outside the frame or under a Cutout box,
        have no pairs.

    Returns
    -------
    torch.Tensor
        The sum over all pixels, 0-dimensional.

    References
    ----------
    Obukhov et al., *Gated CRF loss for weakly supervised semantic image segmentation*, 2019, with
    the contrast of Rother et al., *GrabCut*, SIGGRAPH 2004.
    """
    probability = logits.float().softmax(1)
    known = probability.detach()
    message = torch.zeros_like(known)  # to each pixel, what its neighbours say
    weights = known.new_zeros(())
    for here, there, weight in _pairs(images.float(), unlabelled, shown):
        message[here] += weight * known[there]
        message[there] += weight * known[here]
        weights += 2 * weight.sum()
    agreement = (probability * message).sum()
    # Each pair is in it twice, and its neighbours, held fixed here, would have the same gradient.
    loss: Tensor = weights + agreement.detach() - 2 * agreement
    return loss


@torch.no_grad()
def _pairs(
    images: Tensor, unlabelled: Tensor, shown: Tensor
) -> Iterator[tuple[Part, Part, Tensor]]:
    """Give, shift by shift, where both pixels of all pairs are, and the weights (B, 1, h, w)."""
    unlabelled, shown = unlabelled.unsqueeze(1), shown.unsqueeze(1)
    sharpness = 1 / (2 * CONTRAST * _mean_difference(images, shown).clamp(min=FAINTEST))
    for y, x in _shifts():
        here, there = _places(y, x)
        counts = shown[here] & shown[there] & (unlabelled[here] | unlabelled[there])
        nearness = -(y * y + x * x) / (2 * NEAR**2)
        likeness = -_difference(images, here, there) * sharpness
        yield here, there, torch.exp(nearness + likeness) * counts


def _mean_difference(images: Tensor, shown: Tensor) -> Tensor:
    """Return the mean squared difference (B, 1, 1, 1) of all pairs of shown pixels."""
    total, number = images.new_zeros(()), images.new_zeros(())
    for shift in _shifts():
        here, there = _places(*shift)
        counts = shown[here] & shown[there]
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
