"""The losses of the method; every mean is over the pixels that count, an empty one is 0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255


def masked_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    pixel_weight: Tensor | None = None,
    class_weight: Tensor | None = None,
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
    """
    valid = target != IGNORE
    losses = F.cross_entropy(
        logits, target.long(), weight=class_weight, ignore_index=IGNORE, reduction="none"
    )
    if pixel_weight is not None:
        losses = losses * pixel_weight
    return losses.sum() / valid.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - mean soft Dice over the classes present in the batch's labelled pixels.

    Parameters
    ----------
    logits
        (B, K, H, W).
    target
        (B, H, W), class index or `IGNORE`.
    """
    valid = (target != IGNORE).unsqueeze(1)
    index = target.clamp(max=logits.shape[1] - 1).long().unsqueeze(1)
    truth = torch.zeros_like(logits).scatter_(1, index, 1) * valid
    probability = logits.softmax(1) * valid
    axes = (0, 2, 3)
    overlap, total = (probability * truth).sum(axes), (probability + truth).sum(axes)
    present = truth.sum(axes) > 0
    dice = (2 * overlap + 1) / (total + 1)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def consistency_ramp(step: int, steps: int, share: float) -> float:
    """Factor on λ1: grows as exp(-5 (1 - t)²) over the first `share` of the steps, then 1."""
    if share <= 0 or step >= share * steps:
        return 1.0
    return float(torch.exp(torch.tensor(-5.0 * (1 - step / (share * steps)) ** 2)))
