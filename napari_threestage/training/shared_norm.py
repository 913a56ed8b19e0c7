"""Batch norm whose statistics are those of all processes, however many there are."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from napari_threestage.training.batch_norm import BatchNormOf, replace_batch_norm


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
    """Let every batch norm that learns take its statistics over all processes, in place.

    On CUDA torch has a layer for that; for the CPU there is none.
    """

    def shared(norm: nn.BatchNorm2d) -> nn.Module:
        if not norm.training:
            return norm
        if device.type != "cuda":
            return SharedBatchNorm(norm)
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
        return converted

    replace_batch_norm(network, shared)


class SharedBatchNorm(BatchNormOf):
    """Batch norm over the pixels of all processes."""

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
