"""A segmenter for images of another kind than it has learned from, without labels of them.

Another microscope, stain or preparation shifts what the network's maps hold, and batch norm then
divides by the wrong means and variances.  Those of the new images need no labels (Li et al.,
Revisiting Batch Normalization For Practical Domain Adaptation, 2016); a mixture of old and new ones
keeps most of what is won where the images differ, and costs little where they do not
(Schneider et al., Improving robustness against common corruptions by covariate shift adaptation,
NeurIPS 2020).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from napari_threestage.errors import ConfigError
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.sections import STATISTICS_CROPS
from napari_threestage.training.batch_norm import live_batch_norms
from napari_threestage.training.clean_statistics import CleanStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_threestage.inference.predict import Windows
    from napari_threestage.store import ImageArray

SIDE = 64  # of the windows that are looked at; larger ones gave the same
BATCH = 8  # windows whose mean and variance are taken together

T = TypeVar("T")


def adapted(
    segmenter: Segmenter,
    windows: np.ndarray,
    share: float = 0.5,
    obey: Callable[[], None] = lambda: None,
) -> Segmenter:
    """Return a segmenter with batch norm statistics between its own and those of windows.

    Parameters
    ----------
    segmenter
        It stays as it is.
    windows
        (N, C, h, w) uint8, of `draw_windows` for several images, mixed.
    share
        0: its own statistics, 1: those of the windows.
    obey
        Called before every batch of windows; raises to end.

    Raises
    ------
    ConfigError
        There are no windows, the share is none, or the network has no batch norm.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"A share of {share:g} makes no sense.", "Give one above 0 and up to 1.")
    if not len(windows):
        raise ConfigError("There are no images to adapt to.", "Name some.")
    network = copy.deepcopy(segmenter.network)
    norms = live_batch_norms(network)
    if not norms:
        raise ConfigError(
            "This segmenter cannot be adapted: its network has no batch norm.",
            "Import some of the images into a project and train with them.",
        )
    own = [(norm.running_mean, norm.running_var) for norm in copy.deepcopy(norms)]
    batches = WindowBatches(windows, segmenter.device)
    CleanStatistics(batches, torch.float32, segmenter.device).recompute(network, obey)
    for norm, before in zip(norms, own, strict=True):
        for now, old in zip((norm.running_mean, norm.running_var), before, strict=True):
            if now is not None and old is not None:
                now.lerp_(old, 1 - share)
    info = replace(segmenter.info, adapted=[*segmenter.info.adapted, share])
    return Segmenter(network, info, segmenter.device)


def some_of(images: Sequence[T], rng: np.random.Generator) -> list[T]:
    """Return all images, or as many at random as there are windows, in their order."""
    return [images[place] for place in sorted(rng.permutation(len(images))[:STATISTICS_CROPS])]


def draw_windows(
    segmenter: Segmenter, image: ImageArray, n_images: int, rng: np.random.Generator
) -> np.ndarray:
    """Return windows of an image, its share of those that are wanted, (n, C, `SIDE`, `SIDE`) uint8.

    Parameters
    ----------
    segmenter
        Whose channels and normalisation count.
    image
        Any dtype, axes a subset of ``tczyx``; only the windows are read, at random places.
    n_images
        How many images give windows.
    rng
        Decides where.

    Raises
    ------
    ImageFileError
        The image has other channels, or its pixels cannot be read.
    """
    planes = [*segmenter.planes(image)]
    count = -(-STATISTICS_CROPS // n_images)
    return np.stack([_window(planes[rng.integers(len(planes))], rng) for _ in range(count)])


def _window(plane: Windows, rng: np.random.Generator) -> np.ndarray:
    """Read a window; where the plane is shorter, its border goes on."""
    top, left = (int(rng.integers(max(1, length - SIDE + 1))) for length in plane.size)
    values = plane.to_bytes(plane.read(slice(top, top + SIDE), slice(left, left + SIDE)))
    missing = [(0, SIDE - length) for length in values.shape[1:]]
    return np.pad(values, [(0, 0), *missing], mode="edge")


class WindowBatches:
    """Windows in an order of their own, `BATCH` at a time, from the start again after the last.

    Parameters
    ----------
    windows
        (N, C, h, w) uint8.
    device
        Where they are wanted.
    """

    size = BATCH

    def __init__(self, windows: np.ndarray, device: torch.device) -> None:
        self._windows = windows[np.random.default_rng(0).permutation(len(windows))]
        self._device = device

    def __call__(self, number: int) -> Tensor:
        """Return a batch, (B, C, h, w) float32 in [0, 1]."""
        places = np.arange(number * BATCH, (number + 1) * BATCH) % len(self._windows)
        images = torch.from_numpy(self._windows[places]).to(self._device)
        return images.to(torch.float32, memory_format=torch.channels_last).div_(255)
