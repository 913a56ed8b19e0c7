"""Cutting the crops of a whole step: windows of many images become one batch on the device.

A window is brought to the size of the crop by one matrix for its rows and one for its columns,
which hold zoom, antialiasing and flips at once, so that a batch takes two products of matrices
whatever its windows.  Where the images lie decides who fetches the windows: `DevicePlanes` holds
everything on the device and gathers them there, `HostPlanes` copies them from the host's memory or
from the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from napari_threestage.inference.device import free_memory_of
from napari_threestage.training.losses import IGNORE
from napari_threestage.training.placing import pinned, to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import DataConfig
    from napari_threestage.training.batches import Sample, Windows

DEVICE_SHARE = 0.5  # of a device's free memory that images may take


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


@dataclass(frozen=True)
class Fetched:
    """Windows as their source hands them over, the rest of the way still to go.

    Attributes
    ----------
    windows
        Sizes and flips.
    extent
        (B, 2) height and width of each window's image.
    pixels
        (B, C, h, w) uint8, as large as the largest window there can be, 0 where there is no image;
        None: the device has the images.
    maps
        (B, 2, h, w) uint8, truth and pseudo-mask, `IGNORE` where unknown; or None.
    """

    windows: Windows
    extent: Tensor
    pixels: Tensor | None = None
    maps: Tensor | None = None


class Planes(Protocol):
    """Where crops come from."""

    def fetch(self, windows: Windows) -> Fetched:
        """Do the host's part; may be called in a thread of its own."""

    def cut(self, fetched: Fetched) -> Batch:
        """Do the device's part."""


def choose_planes(
    samples: Sequence[Sample], config: DataConfig, device: torch.device, host: bool = False
) -> Planes:
    """Keep the images on the device where they leave it enough memory, else on the host.

    Parameters
    ----------
    host
        Whether they stay on the host in any case.
    """
    if host or device.type != "cuda" or _bytes(samples) > DEVICE_SHARE * _free(device):
        return HostPlanes(samples, config, device)
    return DevicePlanes(samples, config, device)


class HostPlanes:
    """Images in the host's memory, or mapped into it from the disk.

    Parameters
    ----------
    samples
        All planes.
    config
        Crop size and zoom.
    device
        Where the crops go.
    """

    def __init__(self, samples: Sequence[Sample], config: DataConfig, device: torch.device) -> None:
        self._samples, self._device = samples, device
        self._config, self._largest = config, _largest_window(config)

    def fetch(self, windows: Windows) -> Fetched:
        """Copy the windows into one buffer."""
        count, channels = len(windows), self._samples[0].image.shape[0]
        pixels = torch.zeros(count, channels, *self._largest, dtype=torch.uint8)
        maps = torch.full((count, 2, *self._largest), IGNORE, dtype=torch.uint8)
        extent = torch.zeros(count, 2, dtype=torch.long)
        places = torch.stack(windows.parts()[:5], 1).tolist()
        for place, (index, top, left, height, width) in enumerate(places):
            sample = self._samples[index]
            extent[place] = torch.tensor(sample.image.shape[1:])
            rows = slice(max(top, 0), top + height)
            columns = slice(max(left, 0), left + width)
            layers = (sample.truth, sample.pseudo)
            _put(pixels[place], sample.image[:, rows, columns], top, left)
            for number, layer in enumerate(layers):
                if layer is not None:
                    _put(maps[place, number : number + 1], layer[None, rows, columns], top, left)
        return Fetched(windows, extent, *(pinned(one, self._device) for one in (pixels, maps)))

    def cut(self, fetched: Fetched) -> Batch:
        """Bring the windows to the crop's size."""
        return _resample(fetched, self._config, self._device)


class DevicePlanes:
    """Images on the device, end to end in one tensor, so that a batch is one gather.

    Parameters
    ----------
    samples
        All planes.
    config
        Crop size and zoom.
    device
        Where images and crops are.
    """

    def __init__(self, samples: Sequence[Sample], config: DataConfig, device: torch.device) -> None:
        self._device = device
        self._config, self._largest = config, _largest_window(config)
        self._extent = torch.tensor([tuple(sample.image.shape[1:]) for sample in samples])
        sizes = self._extent.prod(1)
        self._start = to_device(sizes.cumsum(0) - sizes, device)
        total, channels = int(sizes.sum()), samples[0].image.shape[0]
        self._pixels = torch.empty(total, channels, dtype=torch.uint8, device=device)
        self._maps = torch.full((total, 2), IGNORE, dtype=torch.uint8, device=device)
        end = 0
        for sample, size in zip(samples, sizes.tolist(), strict=True):
            begin, end = end, end + size
            self._pixels[begin:end] = sample.image.to(device).flatten(1).T
            for number, layer in enumerate((sample.truth, sample.pseudo)):
                if layer is not None:
                    self._maps[begin:end, number] = layer.to(device).flatten()

    def fetch(self, windows: Windows) -> Fetched:
        """Send where the windows lie."""
        moved = type(windows)(*(to_device(part, self._device) for part in windows.parts()))
        return Fetched(moved, to_device(self._extent[windows.sample], self._device))

    def cut(self, fetched: Fetched) -> Batch:
        """Gather the windows and bring them to the crop's size."""
        windows, extent = fetched.windows, fetched.extent.view(-1, 2, 1, 1)
        rows, columns = (torch.arange(side, device=self._device) for side in self._largest)
        y = windows.top.view(-1, 1, 1) + rows.view(-1, 1)
        x = windows.left.view(-1, 1, 1) + columns
        there = (y >= 0) & (y < extent[:, 0]) & (x >= 0) & (x < extent[:, 1])
        place = self._start[windows.sample].view(-1, 1, 1) + y * extent[:, 1] + x
        place = torch.where(there, place, 0).flatten()
        shape = (*there.shape, -1)
        pixels, maps = (part[place].view(shape) for part in (self._pixels, self._maps))
        pixels = pixels.masked_fill(~there.unsqueeze(3), 0).permute(0, 3, 1, 2)
        maps = maps.masked_fill(~there.unsqueeze(3), IGNORE).permute(0, 3, 1, 2)
        filled = Fetched(windows, fetched.extent, pixels, maps)
        return _resample(filled, self._config, self._device)


def _put(target: Tensor, part: Tensor, top: int, left: int) -> None:
    """Put what a window has of an image at its place in the window."""
    row, column = max(-top, 0), max(-left, 0)
    target[:, row : row + part.shape[1], column : column + part.shape[2]] = part


def _resample(fetched: Fetched, config: DataConfig, device: torch.device) -> Batch:
    """Bring windows to the crop's size: images with antialiasing, maps by the nearest pixel."""
    assert fetched.pixels is not None and fetched.maps is not None
    crop = config.crop
    pixels, maps = (to_device(part, device) for part in (fetched.pixels, fetched.maps))
    windows = [to_device(part, device) for part in fetched.windows.parts()]
    _, top, left, height, width, flips = windows
    extent = to_device(fetched.extent, device)
    weights, nearest, inside = [], [], []
    for axis, (start, side) in enumerate(((top, height), (left, width))):
        flip = flips[:, axis].view(-1, 1)
        source = _nearest(side, crop[axis], flip)
        place = start.view(-1, 1) + source
        weights.append(_weights(side, crop[axis], pixels.shape[2 + axis], flip))
        nearest.append(source)
        inside.append((place >= 0) & (place < extent[:, axis].view(-1, 1)))
    images = _product(weights[0] / 255, pixels.float(), weights[1])
    sample = torch.arange(len(pixels), device=device).view(-1, 1, 1)
    truth, pseudo = (
        maps[:, number][sample, nearest[0].unsqueeze(2), nearest[1].unsqueeze(1)]
        for number in range(2)
    )
    both = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    parts: tuple[Tensor, ...] = (images.clamp(0, 1), truth, pseudo, both)
    if config.transpose:
        parts = tuple(_transposed(part, flips[:, 2]) for part in parts)
    return Batch(*parts)


def _transposed(crops: Tensor, wanted: Tensor) -> Tensor:
    """Swap rows and columns of some crops (B, ..., H, W)."""
    return torch.where(wanted.view(-1, *[1] * (crops.ndim - 1)), crops.mT, crops)


def _centres(side: Tensor, count: int, flip: Tensor) -> Tensor:
    """Return where the centres of `count` output pixels lie in windows, (B, count)."""
    output = torch.arange(count, device=side.device) + 0.5
    return torch.where(flip, count - output, output) * (side / count).view(-1, 1)


def _nearest(side: Tensor, count: int, flip: Tensor) -> Tensor:
    return torch.minimum(_centres(side, count, flip).floor().long(), side.view(-1, 1) - 1)


def _weights(side: Tensor, count: int, largest: int, flip: Tensor) -> Tensor:
    """Return the weights (B, count, largest) of a window's pixels in every output pixel.

    Linear interpolation; where the window is larger than the crop its triangle is as wide as an
    output pixel, which keeps out what the crop cannot show.
    """
    pixel = torch.arange(largest, device=side.device) + 0.5
    distance = (pixel - _centres(side, count, flip).unsqueeze(2)).abs()
    reach = (side / count).clamp(min=1).view(-1, 1, 1)
    weight = (1 - distance / reach).clamp(min=0) * (pixel < side.view(-1, 1, 1))
    return weight / weight.sum(2, keepdim=True)


def _product(rows: Tensor, pixels: Tensor, columns: Tensor) -> Tensor:
    """Return rows · pixels · columnsᵀ of each channel: (B, h, H), (B, C, H, W), (B, w, W)."""
    channels = pixels.shape[1]
    narrow = (pixels.flatten(1, 2) @ columns.mT).unflatten(1, (channels, -1))
    small = rows @ narrow.transpose(1, 2).flatten(2)
    made: Tensor = small.unflatten(2, (channels, -1)).transpose(1, 2)
    return made


def _largest_window(config: DataConfig) -> tuple[int, int]:
    height, width = (max(1, round(side / config.scale[0])) for side in config.crop)
    return height, width


def _free(device: torch.device) -> int:
    """Return the bytes of a CUDA device's memory that nobody uses."""
    torch.cuda.empty_cache()  # what a smaller step before has left
    return free_memory_of(device) or 0


def _bytes(samples: Sequence[Sample]) -> int:
    return sum(sample.image.numel() + 2 * sample.image[0].numel() for sample in samples)
