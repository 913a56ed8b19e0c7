"""The operators A and B: RandAugment, Cutout and mixing, drawn once and applied to a whole batch.

`draw_operator` draws a `StrongOperator`; its `image` is A and its `labels` is the exact B, which
repeats only the geometry and the mixing.  All geometric operations of a sample compose into one
matrix and one warp.  Parameters are drawn on the CPU from a given generator, so that a step is a
pure function of its seed, and the host knows which samples need which photometric operation without
asking the device: applying an operator never waits for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_threestage.training.losses import IGNORE
from napari_threestage.training.photometry import PHOTOMETRIC
from napari_threestage.training.placing import to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.config import AugmentConfig

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
PHOTOMETRY = tuple(name for name in PHOTOMETRIC if name != "identity")
HOST = torch.device("cpu")
MIXUP = 0.1  # both parameters of the distribution of MixUp's shares
GREY = 0.5  # fills what comes from outside the frame and what Cutout removes


@dataclass(frozen=True)
class StrongOperator:
    """One draw of A and B for a batch of crops.

    Attributes
    ----------
    size
        (H, W) of the crops.
    matrix
        (B, 2, 3) float32; maps pixel-centre coordinates (x, y, 1) of the output to the input.
    operations
        (n, B) what each slot in order does to each sample: a place in `PHOTOMETRY`, or -1.
    levels
        (n, B) in 0..1 with sign.
    cutouts
        (B, m, 4) as top, bottom, left, right in pixels.
    mix
        (B, 4) box that comes from the previous sample of the batch; empty boxes mix nothing.
    class_scores
        (B, 256) where classes are mixed, not boxes: the classes with the highest scores come from
        the previous sample, if its box is not empty.
    blend
        (B,) share of the previous sample that is blended in everywhere.
    device
        Where the images and labels are; `operations` and `levels` stay on the host, which decides
        by them.
    """

    size: tuple[int, int]
    matrix: Tensor
    operations: Tensor
    levels: Tensor
    cutouts: Tensor
    mix: Tensor
    class_scores: Tensor | None = None
    blend: Tensor | None = None
    device: torch.device = HOST

    def to(self, device: torch.device) -> StrongOperator:
        """Return the same operator for images and labels on a device."""
        return replace(
            self,
            matrix=to_device(self.matrix, device),
            cutouts=to_device(self.cutouts, device),
            mix=to_device(self.mix, device),
            class_scores=_apply(to_device, self.class_scores, device),
            blend=_apply(to_device, self.blend, device),
            device=device,
        )

    def part(self, index: Tensor) -> StrongOperator:
        """Return the operator of some samples, by their places (n,) in the batch."""
        return replace(
            self,
            matrix=self.matrix[index],
            operations=self.operations[:, index],
            levels=self.levels[:, index],
            cutouts=self.cutouts[index],
            mix=self.mix[index],
            class_scores=_apply(Tensor.__getitem__, self.class_scores, index),
            blend=_apply(Tensor.__getitem__, self.blend, index),
        )

    def image(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """A: strongly perturbed images (B, C, H, W) in [0, 1].

        `mask` is what `mix_mask` gives; the boxes if there is none.
        """
        x, y, inside = self._source
        height, width = self.size
        grid = torch.stack([x / width, y / height], -1) * 2 - 1
        images = F.grid_sample(
            images, grid.to(images.dtype), padding_mode="border", align_corners=False
        )
        images = torch.where(inside.unsqueeze(1), images, GREY)
        for operations, levels in zip(self.operations, self.levels, strict=True):
            for number in sorted({*operations.tolist()} - {-1}):
                where = torch.nonzero(operations == number).flatten()
                level = to_device(levels[where], self.device).to(images.dtype)
                where = to_device(where, self.device)
                changed = PHOTOMETRIC[PHOTOMETRY[number]](images[where], level)
                images = images.index_copy(0, where, changed)
        images = self.blended(self.mixed(images, mask))
        return images.masked_fill(self.under_cutouts().unsqueeze(1), GREY)

    def labels(self, labels: Tensor, fill: int = IGNORE) -> Tensor:
        """B: labels (B, H, W) or (B, n, H, W) moved and mixed as `image` does with pixels.

        `fill` is where they leave the frame.  Labels under a Cutout box are kept: the student has
        to paint them in.
        """
        return self.mixed(self.moved(labels, fill))

    def moved(self, labels: Tensor, fill: float = IGNORE) -> Tensor:
        """Return labels, or any maps, after the geometry and before the mixing."""
        maps = labels if labels.ndim == 4 else labels.unsqueeze(1)
        place, outside = self._label_source
        moved = maps.flatten(2).gather(2, place.unsqueeze(1).expand(-1, maps.shape[1], -1))
        return moved.view_as(maps).masked_fill(outside.unsqueeze(1), fill).view_as(labels)

    def mix_mask(self, labels: Tensor) -> Tensor:
        """Return (B, H, W) bool: which pixels come from the previous sample.

        Parameters
        ----------
        labels
            (B, H, W) uint8, the moved labels, of which ClassMix takes half of the classes: pixels
            of what these are in the previous sample (Olsson et al., WACV 2021).
        """
        if self.class_scores is None:
            return _boxes(self.mix.unsqueeze(1), self.size)
        previous = labels.roll(1, 0).long()
        wanted = (self.mix[:, 1] > self.mix[:, 0]).view(-1, 1, 1)
        chosen = _half_of_the_classes(previous, self.class_scores)
        return chosen.gather(1, previous.flatten(1)).view_as(previous) & wanted

    def under_cutouts(self) -> Tensor:
        """Return (B, H, W) bool: pixels that Cutout removes."""
        return _boxes(self.cutouts, self.size)

    def lacks_partner(self, labels: Tensor) -> Tensor:
        """Return (B, H, W) bool: pixels blended with what is no pixel of the sample before."""
        assert self.blend is not None
        return (labels.roll(1, 0) == IGNORE) & (self.blend > 0).view(-1, 1, 1)

    def mixed(self, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return images or labels (B, ..., H, W) with the pixels of `mask` from the sample before.

        Without a mask, those of the boxes.
        """
        if mask is None:
            mask = _boxes(self.mix.unsqueeze(1), self.size)
        return torch.where(mask if maps.ndim == 3 else mask.unsqueeze(1), maps.roll(1, 0), maps)

    def blended(self, maps: Tensor) -> Tensor:
        """Return images or probabilities (B, n, H, W) with the share `blend` of the sample before.

        This is MixUp as Verma et al. (ICT, IJCAI 2019) use it.
        """
        if self.blend is None:
            return maps
        return torch.lerp(maps, maps.roll(1, 0), self.blend.view(-1, 1, 1, 1).to(maps.dtype))

    @cached_property
    def _source(self) -> tuple[Tensor, Tensor, Tensor]:
        """x, y (B, H, W) of each output pixel's centre in the input, and whether it is there."""
        height, width = self.size
        y, x = torch.meshgrid(
            torch.arange(height, device=self.device) + 0.5,
            torch.arange(width, device=self.device) + 0.5,
            indexing="ij",
        )
        # Not a matrix product, which rounds coarsely on some accelerators.
        m = self.matrix.view(-1, 6, 1, 1).unbind(1)
        source_x, source_y = m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]
        inside = (source_x >= 0) & (source_y >= 0) & (source_x < width) & (source_y < height)
        return source_x, source_y, inside

    @cached_property
    def _label_source(self) -> tuple[Tensor, Tensor]:
        """Place (B, H W) in the flat input of each output pixel, and which have none."""
        height, width = self.size
        x, y, inside = self._source
        column = x.floor().long().clamp(0, width - 1)
        row = y.floor().long().clamp(0, height - 1)
        return (row * width + column).flatten(1), ~inside


def join_operators(first: StrongOperator, second: StrongOperator) -> StrongOperator:
    """Return the operator of both batches, one after the other; the first is not mixed."""
    both = (first, second)
    slots = max(len(one.operations) for one in both)
    boxes = max(one.cutouts.shape[1] for one in both)
    cutouts = [_padded(one.cutouts.movedim(1, 0), boxes, 0) for one in both]
    return replace(
        second,
        matrix=torch.cat([one.matrix for one in both]),
        operations=torch.cat([_padded(one.operations, slots, -1) for one in both], 1),
        levels=torch.cat([_padded(one.levels, slots, 0) for one in both], 1),
        cutouts=torch.cat(cutouts, 1).movedim(1, 0),
        mix=torch.cat([one.mix for one in both]),
        class_scores=_behind(len(first.matrix), second.class_scores),
        blend=_behind(len(first.matrix), second.blend),
    )


def _padded(part: Tensor, length: int, value: float) -> Tensor:
    more = part.new_full((length - len(part), *part.shape[1:]), value)
    return torch.cat([part, more])


def _behind(count: int, part: Tensor | None) -> Tensor | None:
    return None if part is None else torch.cat([part.new_zeros(count, *part.shape[1:]), part])


def _apply(change: Callable[..., Tensor], part: Tensor | None, *args: object) -> Tensor | None:
    return None if part is None else change(part, *args)


def draw_operator(
    config: AugmentConfig,
    batch: int,
    size: Sequence[int],
    generator: torch.Generator,
    perturbed: Tensor | None = None,
    mixed: Tensor | None = None,
) -> StrongOperator:
    """Draw A and B for `batch` crops of `size` (H, W).

    Where `perturbed` (B,) is false, A and B are the identity; where `mixed` (B,) is false, they
    have no CutMix.  Without these, all crops are perturbed and those that are may be mixed.
    """
    names = config.operations
    wanted = torch.ones(batch, dtype=torch.bool) if perturbed is None else perturbed
    mixable = wanted if mixed is None else wanted & mixed
    matrix = torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)
    slots = config.count if names else 0
    operations = torch.full((slots, batch), -1)
    levels = torch.zeros(slots, batch)
    for slot in range(slots):
        choice = torch.randint(len(names), (batch,), generator=generator)
        applied = torch.rand(batch, generator=generator) < config.probability
        level = torch.randint(1, config.max_level + 1, (batch,), generator=generator) / 10
        levels[slot] = level * torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
        for sample in torch.nonzero(wanted & applied).flatten().tolist():
            name = names[choice[sample]]
            if name in GEOMETRIC:
                one = _matrix(name, float(levels[slot, sample]), size)
                matrix[sample] = matrix[sample] @ one
            elif name != "identity":
                operations[slot, sample] = PHOTOMETRY.index(name)
    return StrongOperator(
        (size[0], size[1]),
        matrix[:, :2].float(),
        operations,
        levels,
        _draw_cutouts(config, batch, size, generator) * wanted.view(-1, 1, 1),
        _draw_mix(config, batch, size, generator) * mixable.view(-1, 1),
        torch.rand(batch, 256, generator=generator) if config.mix == "classes" else None,
        _draw_blend(config, batch, generator) * mixable if config.mixup else None,
    )


def _matrix(name: str, level: float, size: Sequence[int]) -> Tensor:
    """Return the matrix (3, 3) of one operation, from output to input coordinates.

    Ranges are those of the paper's script: 30 degrees and a shear of 0.3 at level 1; translations
    of up to 10 pixels in a crop of 321 become that share of the crop.
    """
    height, width = size
    matrix = torch.eye(3, dtype=torch.float64)
    if name == "rotate":
        angle = math.radians(30 * level)
        cos, sin = math.cos(angle), math.sin(angle)
        matrix[:2, :2] = torch.tensor([[cos, sin], [-sin, cos]])
        centre = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    elif name in ("shear_x", "shear_y"):
        matrix[(0, 1) if name == "shear_x" else (1, 0)] = 0.3 * level
    elif name in ("translate_x", "translate_y"):
        axis = 0 if name == "translate_x" else 1
        matrix[axis, 2] = round(10 / 321 * level * (width, height)[axis])
    return matrix


def _draw_cutouts(
    config: AugmentConfig, batch: int, size: Sequence[int], generator: torch.Generator
) -> Tensor:
    side = round(config.cutout_size * min(size))
    extent = torch.tensor(size)
    centre = torch.rand(batch, config.cutouts, 2, generator=generator) * extent
    low = (centre - side / 2).round().clamp(min=0).long()
    high = torch.minimum((centre + side / 2).round().long(), extent)
    return torch.stack([low[..., 0], high[..., 0], low[..., 1], high[..., 1]], -1)


def _draw_mix(
    config: AugmentConfig, batch: int, size: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Draw CutMix boxes of a quarter to half of the crop's area (French et al.)."""
    area = 0.25 + 0.25 * torch.rand(batch, generator=generator)
    aspect = torch.exp((torch.rand(batch, generator=generator) - 0.5) * math.log(4.0))
    extent = torch.tensor(size, dtype=torch.float32)
    sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], -1).clamp(max=1) * extent
    low = torch.rand(batch, 2, generator=generator) * (extent - sides)
    box = torch.cat([low, low + sides], -1).round().long()[:, [0, 2, 1, 3]]
    chosen = torch.rand(batch, generator=generator) < config.cutmix
    return box * chosen.unsqueeze(1)


def _draw_blend(config: AugmentConfig, batch: int, generator: torch.Generator) -> Tensor:
    """Draw shares from Beta(0.1, 0.1), mostly near 0 or 1, as French et al. do for ICT."""
    chosen = torch.rand(batch, generator=generator) < config.mixup
    seed = int(torch.randint(2**31, (), generator=generator))
    shares = np.random.default_rng(seed).beta(MIXUP, MIXUP, batch)
    return torch.from_numpy(shares).float() * chosen


def _half_of_the_classes(labels: Tensor, scores: Tensor) -> Tensor:
    """Return (B, 256) bool: of the classes in labels (B, H, W), the half that scores highest."""
    present = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, labels.flatten(1), True)
    present[:, IGNORE] = False
    rank = torch.where(present, scores, -1.0).argsort(1, descending=True).argsort(1)
    return present & (rank < (present.sum(1, keepdim=True) + 1) // 2)


def _boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, H, W) bool, true inside any of the boxes (B, n, 4)."""
    top, bottom, left, right = boxes.unsqueeze(-1).unbind(2)
    rows, columns = (torch.arange(extent, device=boxes.device) for extent in size)
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    return (inside_rows.unsqueeze(3) & inside_columns.unsqueeze(2)).any(1)
