"""The losses of the method; every mean is over the pixels that count, an empty one is 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

IGNORE = 255


def masked_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    pixel_weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    count: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy over the pixels whose target is a class: d_s and d_c of eq. 1 to 3.

    Parameters
    ----------
    logits
        (B, K, H, W).
    target
        (B, H, W), class index 0..K-1, or `IGNORE`: not labelled, padding or moved out of the frame.
    pixel_weight
        (B, H, W) in [0, 1].  The sum is still divided by the number of pixels that count, not by
        the sum of weights, so that a few confident pixels make a small gradient.
    class_weight
        (K,), mean 1.
    count
        What to divide the sum by, where `logits` are only a part of those that the mean is over.
    """
    count = count_valid(target) if count is None else count
    losses = F.cross_entropy(
        logits, target.long(), weight=class_weight, ignore_index=IGNORE, reduction="none"
    )
    if pixel_weight is not None:
        losses = losses * pixel_weight
    mean: Tensor = losses.sum() / count.clamp(min=1)
    return mean


def soft_distance(logits: Tensor, target: Tensor, kind: str) -> Tensor:
    """Distance of each pixel's answer to probabilities, (B, H, W).

    Parameters
    ----------
    logits
        (B, K, H, W).
    target
        (B, K, H, W) probabilities.
    kind
        ``soft``: cross-entropy; ``squared``: squared differences, summed over the classes.
    """
    if kind == "squared":
        return (logits.softmax(1) - target).square().sum(1)
    return -(target * logits.log_softmax(1)).sum(1)


def count_valid(target: Tensor) -> Tensor:
    """Return the number of pixels whose target is a class."""
    return (target != IGNORE).sum()


def dice_loss(
    logits: Tensor, target: Tensor, total: Callable[[Tensor], Tensor] = lambda value: value
) -> Tensor:
    """1 - mean soft Dice over the classes present in the batch's labelled pixels.

    Parameters
    ----------
    logits
        (B, K, H, W).
    target
        (B, H, W), class index or `IGNORE`.
    total
        Adds up sums (3, K) over all parts of the batch, where `logits` are only one.
    """
    valid = (target != IGNORE).unsqueeze(1)
    index = target.clamp(max=logits.shape[1] - 1).long().unsqueeze(1)
    truth = torch.zeros_like(logits).scatter_(1, index, 1) * valid
    probability = logits.softmax(1) * valid
    sums = [part.sum((0, 2, 3)) for part in (probability * truth, probability + truth, truth)]
    overlap, both, pixels = total(torch.stack(sums))
    present = pixels > 0
    dice = (2 * overlap + 1) / (both + 1)
    loss: Tensor = ((1 - dice) * present).sum() / present.sum().clamp(min=1)
    return loss


def class_weights(truths: Sequence[Tensor], n_classes: int, power: float) -> Tensor:
    """Return weights (K,) as a power of the inverse share of labelled pixels, mean 1.

    Parameters
    ----------
    truths
        (H, W) uint8 each, class index or `IGNORE`.
    """
    values = torch.cat([truth.flatten() for truth in truths])
    counts = torch.bincount(values[values != IGNORE].long(), minlength=n_classes).float()
    share = counts.clamp(min=1) / counts.sum()
    weight = share.pow(-power) * (counts > 0)
    return weight * (counts > 0).sum() / weight.sum()


def consistency_ramp(step: int, steps: int, share: float) -> float:
    """Factor on λ1: grows as exp(-5 (1 - t)²) over the first `share` of the steps, then 1."""
    if share <= 0 or step >= share * steps:
        return 1.0
    return float(torch.exp(torch.tensor(-5.0 * (1 - step / (share * steps)) ** 2)))
