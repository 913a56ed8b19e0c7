"""Three-stage self-training: semantic segmentation with few labels (Ke et al., IEEE TIP 2022)."""

from importlib.metadata import PackageNotFoundError, version

from napari_threestage.api import load_segmenter, predict

try:
    __version__ = version("napari-threestage")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__", "load_segmenter", "predict"]
