"""The photometric operations of RandAugment on batches of images in [0, 1].

Each takes images (B, C, H, W) and levels (B,) in -0.9..0.9 whose size is the strength and whose
sign is a direction where the operation has one.  Ranges are those of the paper's script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_threestage.training.placing import to_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def identity(images: Tensor, level: Tensor) -> Tensor:
    """Change nothing."""
    return images


def autocontrast(images: Tensor, level: Tensor) -> Tensor:
    """Stretch every channel to [0, 1]."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretched = (images - low) / (high - low).clamp(min=1e-6)
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor, level: Tensor) -> Tensor:
    """Make every channel's histogram of 256 values flat."""
    values = (images * 255).round().long().flatten(2)
    counts = images.new_zeros(*values.shape[:2], 256).scatter_add_(
        2, values, images.new_ones(()).expand_as(values)
    )
    below = counts.cumsum(2) - counts
    rest = values.shape[2] - counts.gather(2, values.amax(2, keepdim=True))
    flat = (below / rest.clamp(min=1)).clamp(max=1).gather(2, values)
    return torch.where(rest > 0, flat, images.flatten(2)).view_as(images)  # one value stays


def solarize(images: Tensor, level: Tensor) -> Tensor:
    """Invert what is brighter than a threshold that sinks from 1 to 0.1 with the level."""
    return torch.where(images > 1 - _column(level.abs()), 1 - images, images)


def posterize(images: Tensor, level: Tensor) -> Tensor:
    """Keep 4 bits at low levels and 1 bit at the highest."""
    steps = 2.0 ** (4 - (4 * _column(level.abs())).floor())
    return ((images * 256).clamp(max=255) * steps / 256).floor() / steps


def color(images: Tensor, level: Tensor) -> Tensor:
    """Blend with the grey image, or away from it."""
    channels = images.shape[1]
    weights = torch.tensor(LUMA if channels == 3 else (1 / channels,) * channels)
    weights = to_device(weights.to(images.dtype), images.device)
    grey = (images * weights.view(1, -1, 1, 1)).sum(1, keepdim=True)
    return _blend(grey.expand_as(images), images, level)


def contrast(images: Tensor, level: Tensor) -> Tensor:
    """Blend with the image's mean, or away from it."""
    return _blend(images.mean((1, 2, 3), keepdim=True).expand_as(images), images, level)


def brightness(images: Tensor, level: Tensor) -> Tensor:
    """Blend with black, or away from it."""
    return _blend(torch.zeros_like(images), images, level)


def sharpness(images: Tensor, level: Tensor) -> Tensor:
    """Blend with a smoothed image, or away from it."""
    channels = images.shape[1]
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=images.dtype) / 13
    kernel = to_device(kernel, images.device)
    smooth = F.conv2d(
        F.pad(images, (1, 1, 1, 1), mode="replicate"),
        kernel.expand(channels, 1, 3, 3),
        groups=channels,
    )
    return _blend(smooth, images, level)


PHOTOMETRIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    operation.__name__: operation
    for operation in (
        identity,
        autocontrast,
        equalize,
        solarize,
        posterize,
        color,
        contrast,
        brightness,
        sharpness,
    )
}


def _column(level: Tensor) -> Tensor:
    return level.view(-1, 1, 1, 1)


def _blend(degenerate: Tensor, images: Tensor, level: Tensor) -> Tensor:
    """Interpolate with factor 0.28 to 1.72: PIL's enhancement, symmetric about the image itself."""
    factor = 1 + 0.8 * _column(level)
    return (degenerate + factor * (images - degenerate)).clamp(0, 1)
