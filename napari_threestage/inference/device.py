"""Which device to compute on."""

from __future__ import annotations

import psutil
import torch

from napari_threestage.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ConfigError
        The name means nothing or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"Device '{name}' cannot be used ({str(error).splitlines()[0]}).",
            "Use --device auto or --device cpu; threestage doctor shows what there is.",
        ) from error
    return device


def default_threads() -> int:
    """Return the CPU threads to compute with: all cores but one, which the viewer keeps.

    Threads wait for each other many times a step, so that one core that is busy with something
    else makes all of them slow.
    """
    cores = psutil.cpu_count(logical=False) or torch.get_num_threads()
    return max(1, min(torch.get_num_threads(), cores - 1))


def describe_device(device: torch.device) -> str:
    """Return a device's name for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
