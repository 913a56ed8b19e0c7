"""Batch norm whose statistics are those of all processes, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Sum(torch.autograd.Function):
    """What one process adds changes the sum in all of them, so their gradients add up too."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        dist.all_reduce(summed)
        return summed


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; gradients go through."""
    summed: Tensor = _Sum.apply(value)
    return summed


def share_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Let every batch norm of a network take its statistics over all processes, in place.

    On CUDA torch has a layer for that; for the CPU there is none.
    """
    for parent, name, norm in list(_norms(network)):
        if device.type == "cuda":
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
        else:
            shared = SharedBatchNorm(norm)
        shared.train(norm.training)
        setattr(parent, name, shared)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the pixels of all processes.

    Parameters
    ----------
    norm
        The layer to replace; weights and statistics are taken over, not copied.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training:
            return super().forward(features)
        values, axes, shape = features.float(), (0, 2, 3), (1, -1, 1, 1)
        pixels = values.new_full((1,), values.numel() // values.shape[1])
        total = sum_over_processes(torch.cat([values.sum(axes), pixels]))
        mean, count = total[:-1] / total[-1], total[-1].detach()
        # A second sum, for the mean of squares less the square of the mean would lose all digits.
        centred = values - mean.view(shape)
        variance = sum_over_processes(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach(), count)
        scale = self.weight * (variance + self.eps).rsqrt()
        result: Tensor = (centred * scale.view(shape) + self.bias.view(shape)).to(features.dtype)
        return result

    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        momentum = self.momentum or 0.0
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def _norms(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.BatchNorm2d]]:
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                yield parent, name, child
