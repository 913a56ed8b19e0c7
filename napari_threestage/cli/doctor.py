"""``doctor``: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import psutil
from rich.markup import escape

from napari_threestage import __version__
from napari_threestage.cli.output import add_command, out, plain_table, print_json

FOR_PROGRAMS = ("advice", "devices", "default_device")  # advice is shown below the table
PACKAGES = ("torch", "torchvision", "napari", "zarr", "numpy", "scikit-image")


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    for name in ("doctor", "info"):
        add_command(
            commands,
            name,
            show,
            "show versions, devices and memory, and what is missing",
            f"threestage {name}",
        )


def show(options: Any) -> None:
    """Print what was found."""
    found = examine()
    if options.json:
        print_json(found)
        return
    rows = [(name, str(value)) for name, value in found.items() if name not in FOR_PROGRAMS]
    out.print(plain_table(("", "found"), rows))
    for advice in found["advice"]:
        out.print(f"[yellow]note:[/] {escape(advice)}")
    if not found["advice"]:
        out.print("Nothing is missing.")


def examine() -> dict[str, Any]:
    """Return versions, devices, memory, Qt and display, with advice for what is missing."""
    import torch

    from napari_threestage.inference.device import default_device, list_devices

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    qt = next((name for name in ("PyQt6", "PySide6") if find_spec(name)), None)
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(".")
    found: dict[str, Any] = {
        "napari-threestage": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "GPU": ", ".join(cuda) or ("Apple MPS" if torch.backends.mps.is_available() else "none"),
        "CPU cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "memory": f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
        "disk": f"{disk.free / 1e9:.1f} GB free here",
        "Qt": qt or "none",
        "display": display or "none",
    }
    found["advice"] = _advice(found, torch)
    found["devices"] = list_devices()
    found["default_device"] = default_device()
    return found


def _advice(found: dict[str, Any], torch: Any) -> list[str]:
    advice = []
    if found["GPU"] == "none":
        advice.append("No GPU: training runs on the CPU; the preset 'quick' is made for that.")
        if shutil.which("nvidia-smi") and torch.version.cuda is None:
            advice.append("This torch has no CUDA: pip install --force-reinstall torch torchvision")
    if found["Qt"] == "none":
        advice.append('No Qt, so napari has no window: pip install "napari-threestage[all]"')
    if found["display"] == "none" and platform.system() == "Linux":
        advice.append("No display: the command line works, a napari window needs one.")
    return advice


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
