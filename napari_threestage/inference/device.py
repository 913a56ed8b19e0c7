"""Which device to compute on."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def list_devices() -> list[dict[str, Any]]:
    """Return the devices there are, the CPU first: id, name, and cores or bytes of memory."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count()
    devices: list[dict[str, Any]] = [{"id": "cpu", "name": _cpu_name(), "cores": cores}]
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        devices.append(
            {"id": f"cuda:{number}", "name": found.name, "memory": int(found.total_memory)}
        )
    if torch.backends.mps.is_available():
        # Its memory is that of the whole machine.
        memory = int(psutil.virtual_memory().total)
        devices.append({"id": "mps", "name": "Apple GPU", "memory": memory})
    return devices


def default_device() -> str:
    """Return the id, as in `list_devices`, of the device that ``auto`` takes."""
    device = choose_device()
    return "cuda:0" if device.type == "cuda" else device.type


def free_memory_of(device: torch.device) -> int | None:
    """Return the bytes that are free on a CUDA device; None: it computes in main memory."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def _cpu_name() -> str:
    with suppress(OSError):  # only Linux has the file; there, the other two tell the kind alone
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "CPU"


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
