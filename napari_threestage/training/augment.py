"""The operators A and B: RandAugment, Cutout and CutMix, drawn once and applied to a whole batch.

`draw_operator` draws a `StrongOperator`; its `image` is A and its `labels` is the exact B, which
repeats only the geometry.  All geometric operations of a sample compose into one matrix and one
warp.  Parameters are drawn on the CPU from a given generator, so that a step is a pure function of
its seed, and the host knows which samples need which photometric operation without asking the
device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_threestage.training.losses import IGNORE
from napari_threestage.training.photometry import PHOTOMETRIC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import AugmentConfig

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
GREY = 0.5  # fills what comes from outside the frame and what Cutout removes


@dataclass(frozen=True)
class StrongOperator:
    """One draw of A and B for a batch of crops.

    Attributes
    ----------
    matrix
        (B, 2, 3) float32; maps pixel-centre coordinates (x, y, 1) of the output to the input.
    photometry
        For each slot in order: operation name -> (sample indices, levels in 0..1 with sign).
    cutouts
        (B, n, 4) as top, bottom, left, right in pixels.
    mix
        (B, 4) box that comes from the previous sample of the batch; empty boxes mix nothing.
    """

    matrix: Tensor
    photometry: tuple[dict[str, tuple[Tensor, Tensor]], ...]
    cutouts: Tensor
    mix: Tensor

    def image(self, images: Tensor) -> Tensor:
        """A: strongly perturbed images (B, C, H, W) in [0, 1]."""
        images = _warp_image(images, self.matrix.to(images.device))
        for slot in self.photometry:
            for name, (index, level) in slot.items():
                where = index.to(images.device)
                changed = PHOTOMETRIC[name](images[where], level.to(images.device, images.dtype))
                images = images.index_copy(0, where, changed)
        images = self._mix(images)
        return images.masked_fill(_boxes(self.cutouts, images).unsqueeze(1), GREY)

    def labels(self, labels: Tensor, fill: int = IGNORE) -> Tensor:
        """B: labels (B, H, W) moved as `image` moves pixels; `fill` where they leave the frame.

        Labels under a Cutout box are kept: the student has to paint them in.
        """
        return self._mix(_warp_labels(labels, self.matrix.to(labels.device), fill))

    def _mix(self, batch: Tensor) -> Tensor:
        box = _boxes(self.mix.unsqueeze(1), batch)
        box = box if batch.ndim == 3 else box.unsqueeze(1)
        return torch.where(box, batch.roll(1, 0), batch)


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
    slots, matrix = [], torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)
    for _ in range(config.count if names else 0):
        choice = torch.randint(len(names), (batch,), generator=generator)
        applied = torch.rand(batch, generator=generator) < config.probability
        level = torch.randint(1, config.max_level + 1, (batch,), generator=generator) / 10
        level = level * torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
        slot = {}
        for number, name in enumerate(names):
            index = torch.nonzero(wanted & applied & (choice == number)).flatten()
            if name in PHOTOMETRIC and len(index):
                slot[name] = (index, level[index])
            elif name in GEOMETRIC:
                for sample in index.tolist():
                    matrix[sample] = matrix[sample] @ _matrix(name, float(level[sample]), size)
        slots.append(slot)
    return StrongOperator(
        matrix[:, :2].float(),
        tuple(slots),
        _draw_cutouts(config, batch, size, generator) * wanted.view(-1, 1, 1),
        _draw_mix(config, batch, size, generator) * mixable.view(-1, 1),
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


def _boxes(boxes: Tensor, batch: Tensor) -> Tensor:
    """Return (B, H, W) bool, true inside any of the boxes (B, n, 4)."""
    height, width = batch.shape[-2:]
    top, bottom, left, right = boxes.to(batch.device).unsqueeze(-1).unbind(2)
    rows = torch.arange(height, device=batch.device)
    columns = torch.arange(width, device=batch.device)
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    return (inside_rows.unsqueeze(3) & inside_columns.unsqueeze(2)).any(1)


def _source(matrix: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, y (B, H, W) of each output pixel's centre in the input, and whether it is there."""
    y, x = torch.meshgrid(
        torch.arange(height, device=matrix.device) + 0.5,
        torch.arange(width, device=matrix.device) + 0.5,
        indexing="ij",
    )
    centres = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    source = (matrix @ centres).unflatten(2, (height, width))
    inside = (source >= 0).all(1) & (source[:, 0] < width) & (source[:, 1] < height)
    return source[:, 0], source[:, 1], inside


def _warp_image(images: Tensor, matrix: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    x, y, inside = _source(matrix, height, width)
    grid = torch.stack([x / width, y / height], -1) * 2 - 1
    warped = F.grid_sample(
        images, grid.to(images.dtype), padding_mode="border", align_corners=False
    )
    return torch.where(inside.unsqueeze(1), warped, GREY)


def _warp_labels(labels: Tensor, matrix: Tensor, fill: int) -> Tensor:
    height, width = labels.shape[-2:]
    x, y, inside = _source(matrix, height, width)
    column = x.floor().long().clamp(0, width - 1)
    row = y.floor().long().clamp(0, height - 1)
    moved = labels.flatten(1).gather(1, (row * width + column).flatten(1)).view_as(labels)
    return moved.masked_fill(~inside, fill)
