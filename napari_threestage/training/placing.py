"""Moving tensors to the device without making the host wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on a device; a copy that is not `non_blocking` would wait."""
    return tensor.to(device, non_blocking=True)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host in memory that a CUDA device copies from by itself."""
    return tensor.pin_memory() if device.type == "cuda" else tensor
