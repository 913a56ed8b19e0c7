"""Weak augmentation: which image, which place, which zoom, as a pure function of the step.

What is drawn here are windows; `crops` cuts them out, all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_threestage.labels import is_labelled_in_part
from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import DataConfig

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
class Windows:
    """Which part of which image becomes each crop.

    Attributes
    ----------
    sample, top, left, height, width
        (B,) int64.  A window may reach over the borders of its image.
    flips
        (B, 3) bool: upside down, left to right, and then rows and columns swapped.
    """

    sample: Tensor
    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flips: Tensor

    def __len__(self) -> int:
        return len(self.sample)

    def parts(self) -> tuple[Tensor, ...]:
        """Return all tensors."""
        return self.sample, self.top, self.left, self.height, self.width, self.flips

    def part(self, index: Tensor) -> Windows:
        """Return some of them, by their places (n,)."""
        return Windows(*(part[index] for part in self.parts()))


def join(first: Windows, second: Windows) -> Windows:
    """Return the windows of both, in this order."""
    pairs = zip(first.parts(), second.parts(), strict=True)
    return Windows(*(torch.cat(pair) for pair in pairs))


class CropSampler:
    """Draws windows of samples, every image once before any comes again.

    Parameters
    ----------
    samples
        All planes.
    config
        Crop size (H, W), zoom, flips, class focus.
    seed
        With `step`, decides everything: the same pair gives the same batch.
    labelled
        Whether only labelled planes are drawn, and windows placed by their labels, so that every
        one holds some; zooming out can lose a label of a single pixel.
    """

    def __init__(
        self, samples: Sequence[Sample], config: DataConfig, seed: int, labelled: bool
    ) -> None:
        self.samples = samples
        self.config = config
        self.seed = seed
        wanted = range(len(samples))
        self._drawn = [i for i in wanted if samples[i].truth is not None or not labelled]
        truths = {i: samples[i].truth if labelled else None for i in self._drawn}
        self._places = {i: _class_places(truth) for i, truth in truths.items()}
        self._sparse = {i: is_sparse(truth) for i, truth in truths.items()}
        self._orders: dict[int, list[int]] = {}

    def windows(self, step: int, size: int, generator: torch.Generator) -> Windows:
        """Return the windows of a step; their number may be 0."""
        drawn = [
            self._window(self._sample_index(step * size + place), generator)
            for place in range(max(size, 1))
        ]
        table = torch.tensor(drawn)[:size]
        sample, top, left, height, width, *_ = table.unbind(1)
        return Windows(sample, top, left, height, width, table[:, 5:].bool())

    def _sample_index(self, draw: int) -> int:
        epoch, place = divmod(draw, len(self._drawn))
        orders = self._orders  # another thread may go on to the next epoch
        if epoch not in orders:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self._drawn), generator=generator).tolist()
            self._orders = orders = {epoch: [self._drawn[number] for number in order]}
        return orders[epoch][place]

    def _window(self, index: int, generator: torch.Generator) -> tuple[int, ...]:
        """Draw sample, top, left, height, width and the three flips."""
        low, high = self.config.scale
        zoom = low + (high - low) * _uniform(generator)
        height, width = (max(1, round(side / zoom)) for side in self.config.crop)
        top, left = self._place(index, (height, width), generator)
        horizontal = _uniform(generator) < 0.5 and self.config.flip
        vertical = _uniform(generator) < 0.5 and self.config.flip_vertical
        transposed = self.config.transpose and _uniform(generator) < 0.5
        return index, top, left, height, width, vertical, horizontal, transposed

    def _place(
        self, index: int, window: tuple[int, int], generator: torch.Generator
    ) -> tuple[int, int]:
        """Choose top and left; a focused crop lies so that a pixel of a random class is in it."""
        height, width = self.samples[index].image.shape[1:]
        position = torch.rand(2, generator=generator)
        classes = self._places[index]
        focused = _uniform(generator) < self.config.class_focus or self._sparse[index]
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


def stage_seed(seed: int, stage: int) -> int:
    """Return the seed of what a run draws once for a stage."""
    return seed * 97 + stage


def step_generator(seed: int, stage: int, step: int, stream: int = 0) -> torch.Generator:
    """Return the random numbers of a step; nothing else has to be saved to resume."""
    return torch.Generator().manual_seed((stage_seed(seed, stage) * 1_000_003 + step) * 13 + stream)


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


def is_sparse(truth: Tensor | None) -> bool:
    """Whether a plane (H, W) has labels, but on parts of it only."""
    if truth is None:
        return False
    return is_labelled_in_part(int((truth != IGNORE).sum()), truth.numel())


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
