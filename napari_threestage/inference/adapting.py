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
from napari_threestage.segmenter_info import FORMAT, SHARE
from napari_threestage.training.batch_norm import live_batch_norms
from napari_threestage.training.clean_statistics import gather_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from napari_threestage.inference.predict import Windows
    from napari_threestage.segmenter_info import SegmenterInfo
    from napari_threestage.store import ImageArray

SIDE = 128  # of the windows that are looked at, at most; smaller ones hold much padding
LEAST = 64  # to which the borders of smaller images go on, or maps would be of one place
MOST_BYTES = 2**28  # of all windows; those of many channels or of images made smaller are large
BATCH = 8  # windows whose mean and variance are taken together

T = TypeVar("T")


def check_adaptable(segmenter: Segmenter, share: float) -> None:
    """Raise `ConfigError` for a share that is none, and for a network without batch norm."""
    if not 0 < share <= 1:
        raise ConfigError(f"A share of {share:g} makes no sense.", "Give one above 0 and up to 1.")
    if not live_batch_norms(segmenter.network):
        raise ConfigError(
            "This segmenter cannot be adapted: its network has no batch norm.",
            "Import some of the images into a project and train with them.",
        )


def adapted(
    segmenter: Segmenter,
    windows: Sequence[np.ndarray],
    share: float = SHARE,
    obey: Callable[[], None] = lambda: None,
) -> Segmenter:
    """Return a segmenter with batch norm statistics between its own and those of windows.

    Parameters
    ----------
    segmenter
        It stays as it is.
    windows
        Of each image (n, C, h, w) uint8, from `draw_windows`.
    share
        Above 0, where all statistics would stay its own, up to 1, where all are those of the
        windows.
    obey
        Called before every batch of windows; raises to end.

    Raises
    ------
    ConfigError
        There are no windows, the share is none, or the network has no batch norm.
    """
    check_adaptable(segmenter, share)
    if not windows:
        raise ConfigError("There are no images to adapt to.", "Name some.")
    network, device = copy.deepcopy(segmenter.network), segmenter.device
    norms = live_batch_norms(network)
    own = [(norm.running_mean, norm.running_var) for norm in copy.deepcopy(norms)]
    batches = (_as_images(batch, device) for batch in _mixed(windows))
    seen = network.magnified(segmenter.info.magnify)  # of the same batch norms
    gather_statistics(seen, batches, torch.float32, device, obey)
    for norm, before in zip(norms, own, strict=True):
        for now, old in zip((norm.running_mean, norm.running_var), before, strict=True):
            if now is not None and old is not None:
                now.lerp_(old, 1 - share)
    return Segmenter(network, _described(segmenter.info, share), device)


def _described(info: SegmenterInfo, share: float) -> SegmenterInfo:
    """Note the adaptation; the scores on the card were those of another segmenter."""
    card = info.card
    if card is not None:
        training = {name: value for name, value in card.training.items() if name != "scores"}
        card = replace(card, training=training)
    return replace(info, adapted=[*info.adapted, share], card=card, format=FORMAT)


def some_of(images: Sequence[T], rng: np.random.Generator) -> list[T]:
    """Return all images, or as many at random as there are windows, in their order."""
    return [images[place] for place in sorted(rng.permutation(len(images))[:STATISTICS_CROPS])]


def draw_windows(
    segmenter: Segmenter, image: ImageArray, n_images: int, rng: np.random.Generator
) -> np.ndarray:
    """Return windows of an image, its share of those that are wanted, (n, C, h, w) uint8.

    They lie at random places of all planes; h and w are `SIDE` as the network sees them, or those
    of a smaller image, but at least `LEAST`.

    Parameters
    ----------
    segmenter
        Whose channels and normalisation count.
    image
        Any dtype, axes a subset of ``tczyx``.
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
    side, least = (round(length / segmenter.info.magnify) for length in (SIDE, LEAST))
    most = max(1, MOST_BYTES // (side**2 * segmenter.info.n_channels))
    count = -(-min(STATISTICS_CROPS, most) // n_images)
    drawn = (planes[rng.integers(len(planes))] for _ in range(count))
    return np.stack([_window(plane, side, least, rng) for plane in drawn])


def _window(plane: Windows, side: int, least: int, rng: np.random.Generator) -> np.ndarray:
    top, left = (int(rng.integers(max(1, length - side + 1))) for length in plane.size)
    values = plane.to_bytes(plane.read(slice(top, top + side), slice(left, left + side)))
    missing = [(0, max(0, least - length)) for length in values.shape[1:]]
    return np.pad(values, [(0, 0), *missing], mode="edge")


def _mixed(windows: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield batches of windows of one shape, from different images where there are several."""
    for shape in sorted({one.shape[1:] for one in windows}):
        alike = np.concatenate([one for one in windows if one.shape[1:] == shape])
        alike = alike[np.random.default_rng(0).permutation(len(alike))]
        yield from np.array_split(alike, -(-len(alike) // BATCH))


def _as_images(windows: np.ndarray, device: torch.device) -> Tensor:
    images = torch.from_numpy(windows).to(device)
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)
