"""Weakly augmented crops: which image, which place, which zoom, as a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import DataConfig

DENSE = 0.9  # images with a larger labelled share are cropped anywhere
MOST_PLACES = 10_000  # pixels remembered for each class of an image


@dataclass
class Sample:
    """One plane as training sees it.

    Attributes
    ----------
    image
        (C, H, W) uint8.
    truth
        (H, W) uint8, class index 0..K-1 or `IGNORE`; None for an unlabelled plane.
    pseudo
        (H, W) uint8, the pseudo-mask of the stage before, once there is one.
    """

    image: Tensor
    truth: Tensor | None = None
    pseudo: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Crops with their labels.

    Attributes
    ----------
    images
        (B, C, H, W) float32 in [0, 1].
    truth, pseudo
        (B, H, W) uint8, `IGNORE` where unknown.
    inside
        (B, H, W) bool, false in the padding around images smaller than the crop.
    """

    images: Tensor
    truth: Tensor
    pseudo: Tensor
    inside: Tensor

    def parts(self) -> tuple[Tensor, ...]:
        """Return all tensors."""
        return self.images, self.truth, self.pseudo, self.inside

    def to(self, device: torch.device) -> Batch:
        """Move all tensors."""
        return Batch(*(part.to(device, non_blocking=True) for part in self.parts()))


def join(first: Batch, second: Batch) -> Batch:
    """Return the crops of both, in this order."""
    pairs = zip(first.parts(), second.parts(), strict=True)
    return Batch(*(torch.cat(pair) for pair in pairs))


class CropSampler:
    """Draws crops from samples, every image once before any comes again.

    Parameters
    ----------
    samples
        The planes to draw from.
    config
        Crop size (H, W), zoom, flips, class focus.
    seed
        With `step`, decides everything: the same pair gives the same batch.
    labelled
        Whether crops are placed by their labels, so that every one holds some; zooming out can
        lose a label of a single pixel.
    """

    def __init__(
        self, samples: Sequence[Sample], config: DataConfig, seed: int, labelled: bool
    ) -> None:
        self.samples = samples
        self.config = config
        self.seed = seed
        self.labelled = labelled
        self._places = [_class_places(sample.truth) if labelled else [] for sample in samples]
        self._dense = [_is_dense(sample.truth) for sample in samples]
        self._orders: dict[int, list[int]] = {}

    def batch(self, step: int, size: int, generator: torch.Generator) -> Batch:
        """Return the crops of a step; their number may be 0."""
        crops = [
            self._crop(self._sample_index(step * size + place), generator)
            for place in range(max(size, 1))
        ]
        images, truth, pseudo, inside = (
            torch.stack(parts)[:size] for parts in zip(*crops, strict=True)
        )
        return Batch(images, truth, pseudo, inside)

    def _sample_index(self, draw: int) -> int:
        epoch, place = divmod(draw, len(self.samples))
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._orders = {epoch: torch.randperm(len(self.samples), generator=generator).tolist()}
        return self._orders[epoch][place]

    def _crop(
        self, index: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sample = self.samples[index]
        low, high = self.config.scale
        zoom = low + (high - low) * _uniform(generator)
        height, width = self.config.crop
        window = max(1, round(height / zoom)), max(1, round(width / zoom))
        top, left = self._place(index, window, generator)
        flips = [
            axis
            for axis, wanted in ((-1, self.config.flip), (-2, self.config.flip_vertical))
            if _uniform(generator) < 0.5 and wanted
        ]
        unknown = torch.full(sample.image.shape[1:], IGNORE, dtype=torch.uint8)
        truth = unknown if sample.truth is None else sample.truth
        pseudo = unknown if sample.pseudo is None else sample.pseudo
        maps = torch.stack([truth, pseudo, torch.zeros_like(truth)])
        image = _cut(sample.image, top, left, window, fill=0).float() / 255
        maps = _cut(maps, top, left, window, fill=IGNORE).float()
        image, maps = image.flip(flips), maps.flip(flips)
        image = F.interpolate(
            image[None], self.config.crop, mode="bilinear", align_corners=False, antialias=zoom < 1
        )[0]
        maps = F.interpolate(maps[None], self.config.crop, mode="nearest-exact")[0].byte()
        return image.clamp(0, 1), maps[0], maps[1], maps[2] == 0

    def _place(
        self, index: int, window: tuple[int, int], generator: torch.Generator
    ) -> tuple[int, int]:
        """Choose top and left; a focused crop lies so that a pixel of a random class is in it."""
        height, width = self.samples[index].image.shape[1:]
        position = torch.rand(2, generator=generator)
        classes = self._places[index]
        focused = _uniform(generator) < self.config.class_focus or not self._dense[index]
        pixel: Tensor | None = None
        if focused and classes:
            pixels = classes[int(_uniform(generator) * len(classes))]
            pixel = pixels[int(_uniform(generator) * len(pixels))]
        places = (None, None) if pixel is None else (int(pixel[0]), int(pixel[1]))
        top, left = (
            _offset(float(position[axis]), extent, window[axis], places[axis])
            for axis, extent in enumerate((height, width))
        )
        return top, left


def step_generator(seed: int, stage: int, step: int, stream: int = 0) -> torch.Generator:
    """Return the random numbers of a step; nothing else has to be saved to resume."""
    return torch.Generator().manual_seed(((seed * 97 + stage) * 1_000_003 + step) * 13 + stream)


def _class_places(truth: Tensor | None) -> list[Tensor]:
    """Return, for each class present, some of its pixels as (n, 2) row and column."""
    if truth is None:
        return []
    places = []
    for value in truth.unique().tolist():
        if value != IGNORE:
            pixels = torch.nonzero(truth == value)
            places.append(pixels[:: len(pixels) // MOST_PLACES + 1])
    return places


def _is_dense(truth: Tensor | None) -> bool:
    return truth is not None and float((truth != IGNORE).float().mean()) > DENSE


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _offset(share: float, extent: int, side: int, pixel: int | None) -> int:
    """Top or left of a random window, which holds `pixel` if one is given.

    An image smaller than the window lies in its middle.
    """
    if extent <= side:
        return (extent - side) // 2
    low, high = 0, extent - side
    if pixel is not None:
        low, high = max(0, pixel - side + 1), min(pixel, high)
    return low + round(share * (high - low))


def _cut(planes: Tensor, top: int, left: int, window: tuple[int, int], fill: int) -> Tensor:
    """Return a window (C, *window) of planes (C, H, W), filled outside."""
    height, width = planes.shape[1:]
    bottom, right = top + window[0], left + window[1]
    part = planes[:, max(top, 0) : bottom, max(left, 0) : right]
    padding = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
    return F.pad(part, padding, value=fill)
