"""Batch norm that stays as it is, and how one takes the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable


class BatchNormOf(nn.BatchNorm2d):
    """A batch norm that takes over, not copies, weights and statistics of another.

    Parameters
    ----------
    norm
        The layer to replace.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self.train(norm.training)


class FrozenBatchNorm(BatchNormOf):
    """A batch norm that learns nothing: the gradient passes through, scaled; no map is kept.

    torch's own keeps its input for the gradient and computes that in another memory layout.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenBatchNorm:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not (torch.is_grad_enabled() and features.requires_grad):
            return super().forward(features)
        normalised: Tensor = _Normalise.apply(
            features, self.running_mean, self.running_var, self.weight, self.bias, self.eps
        )
        return normalised

    @torch.no_grad()
    def rebase(self, mean: Tensor, variance: Tensor) -> None:
        """Do the same with other statistics: factor and offset make up for the difference.

        Parameters
        ----------
        mean, variance
            (C,) each.
        """
        assert self.running_mean is not None and self.running_var is not None
        factor = self.weight / (self.running_var + self.eps).sqrt()
        self.bias.add_(factor * (mean - self.running_mean))
        self.weight.copy_(factor * (variance + self.eps).sqrt())
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)


class _Normalise(torch.autograd.Function):
    """Batch norm with given statistics; its gradient is one as well, with the mean 0."""

    @staticmethod
    def forward(
        context: Any,
        features: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> Tensor:
        context.save_for_backward(variance, weight)
        context.eps = eps
        return F.batch_norm(features, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        variance, weight = context.saved_tensors
        zero = torch.zeros_like(variance)
        scaled = F.batch_norm(gradient, zero, variance, weight, zero, eps=context.eps)
        return scaled, None, None, None, None, None


def live_batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms whose statistics are not frozen, those of several processes too."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, FrozenBatchNorm)
    ]


def frozen_batch_norms(network: nn.Module) -> list[FrozenBatchNorm]:
    """Return the batch norms that are frozen."""
    return [module for module in network.modules() if isinstance(module, FrozenBatchNorm)]


def freeze_batch_norm(network: nn.Module) -> None:
    """Let every batch norm of a network stay as it is, in place."""
    replace_batch_norm(network, FrozenBatchNorm)


def replace_batch_norm(
    network: nn.Module, replacement: Callable[[nn.BatchNorm2d], nn.Module]
) -> None:
    """Put another layer in the place of every batch norm of a network."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, replacement(child))
