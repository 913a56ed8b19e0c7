"""Which numbers to compute with: half precision on a GPU, else where the recipe says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from napari_threestage.config import Config


def choose_precision(config: Config, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in; losses and weights stay float32.

    The same on every call for one machine, so that a run that is resumed goes on as it began.
    """
    if config.precision != "auto":
        chosen: torch.dtype = getattr(torch, config.precision)
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    return torch.float32


def autocast(
    precision: torch.dtype, device: torch.device, cache: bool | None = None
) -> torch.autocast:
    """Return the context in which networks compute with this precision.

    Parameters
    ----------
    cache
        Whether weights stay in this precision until its end; None: as torch would.
    """
    half = precision != torch.float32
    inner = precision if half else torch.bfloat16
    return torch.autocast(device.type, inner, enabled=half, cache_enabled=cache)


def tune(device: torch.device) -> None:
    """Let a CUDA device choose its fastest ways; crops all have one size."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
