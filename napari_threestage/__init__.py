"""Three-stage self-training: semantic segmentation with few labels (Ke et al., IEEE TIP 2022).

`adapt`, `load_segmenter` and `predict` are those of `napari_threestage.api`.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("napari-threestage")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__", "adapt", "load_segmenter", "predict"]


def __getattr__(name: str) -> Any:
    # Only when asked for: they need torch, which a process that shows napari must not load.
    if name in ("adapt", "load_segmenter", "predict"):
        return getattr(import_module("napari_threestage.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
