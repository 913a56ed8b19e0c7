"""Blocks that are computed again for the gradient instead of being remembered."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


def recomputed(block: nn.Module, features: Any) -> Tensor:
    """Return what a block does; of all that it computes only the result is kept.

    Batch norm takes its running statistics from the first time only.
    """
    result: Tensor = checkpoint(
        block,
        features,
        use_reentrant=False,
        preserve_rng_state=False,  # no block draws random numbers
        context_fn=lambda: (nullcontext(), _statistics_kept(block)),
    )
    return result


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm) and part.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
