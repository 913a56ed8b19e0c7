"""Virtual adversarial training: the small change of an image that misleads a network most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

TRY = 1e-2  # length of the change that the direction is found with, in grey values of a pixel


def worst_change(
    network: nn.Module,
    images: Tensor,
    target: Tensor,
    begin: Tensor,
    radius: float,
) -> Tensor:
    """Return what to add to images so that a network's answer changes most (Miyato et al., 2018).

    One step of the power method finds the direction.  The length follows the image's own edges, as
    French et al. (BMVC 2020) do for segmentation, so that flat images are changed less.

    Parameters
    ----------
    network
        In evaluation mode: (B, C, H, W) in [0, 1] -> logits.
    images
        (B, C, H, W).
    target
        (B, K, H, W) what it says of them now, as probabilities.
    begin
        (B, C, H, W) a random direction.
    radius
        Length of the change as a share of the length of the image's gradient.
    """
    change = (begin * TRY).requires_grad_()
    with torch.enable_grad():
        answer = network(images + change).float().log_softmax(1)
        distance = -(target * answer).sum(1).mean()
        (direction,) = torch.autograd.grad(distance, change)
    length = direction.flatten(1).norm(dim=1).clamp(min=1e-12)
    wanted = radius * _length_of_edges(images)
    worst: Tensor = direction * (wanted / length).view(-1, 1, 1, 1)
    return worst


def _length_of_edges(images: Tensor) -> Tensor:
    """Return (B,) the norm of the image's gradient, by central differences."""
    down = (images[:, :, 2:] - images[:, :, :-2]) / 2
    right = (images[:, :, :, 2:] - images[:, :, :, :-2]) / 2
    return (down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))).sqrt()
