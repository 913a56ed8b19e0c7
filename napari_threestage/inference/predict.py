"""Whole planes through a segmenter: at once where they fit a tile, else in tiles with a halo."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from napari_threestage import memory_estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from napari_threestage.config import InferenceConfig

MULTIPLE = 32  # the largest output stride; sides are padded to it
# Of the tiles that the network sees at once.  A CPU gains nothing from more than one tile.
BATCH_PIXELS = {"cpu": 1}


class Span(NamedTuple):
    """A tile along one axis.

    Attributes
    ----------
    block
        Of the plane, what the tile is for.
    window
        Of the plane, what the network sees: the block and its halo.
    inner
        Of the window, the block.
    """

    block: slice
    window: slice
    inner: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """What tiles that are predicted together have in common."""
        return self.window.stop - self.window.start, self.inner.start, self.inner.stop


Tile = tuple[Span, Span]


@torch.inference_mode()
def predict_plane(
    network: nn.Module,
    plane: np.ndarray,
    config: InferenceConfig,
    device: torch.device,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict one plane.

    Parameters
    ----------
    network
        A segmenter in evaluation mode on `device`: (B, C, H, W) in [0, 1] -> logits.
    plane
        (C, H, W) uint8.
    config
        Tile, halo and flips.
    device
        Where the network is.
    out
        Arrays for the results, instead of new ones.

    Returns
    -------
    The class index 0..K-1 of each pixel, (H, W) uint8, and its confidence, (H, W) uint8 in 0..255.
    """
    size = plane.shape[1:]
    mask, confidence = out or (np.empty(size, np.uint8), np.empty(size, np.uint8))
    for batch in _batches(_tiles(size, config), device):
        try:
            found = _predict(network, plane, batch, config, device)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            one_by_one = [_predict(network, plane, [tile], config, device) for tile in batch]
            found = np.concatenate(one_by_one)
        for (rows, columns), (label, best) in zip(batch, found, strict=True):
            mask[rows.block, columns.block] = label
            confidence[rows.block, columns.block] = best
    return mask, confidence


def _tiles(size: Sequence[int], config: InferenceConfig) -> Iterator[Tile]:
    """Yield tiles whose blocks cover the plane once.

    Each block is seen with a halo around it: no pixel is near a border that the image lacks.
    """
    halo = config.halo if max(size) > config.tile else 0
    for rows in _spans(size[0], config.tile, halo):
        for columns in _spans(size[1], config.tile, halo):
            yield rows, columns


def _spans(size: int, tile: int, halo: int) -> Iterator[Span]:
    for start in range(0, size, tile):
        stop = min(start + tile, size)
        first, last = max(start - halo, 0), min(stop + halo, size)
        yield Span(slice(start, stop), slice(first, last), slice(start - first, stop - first))


def _batches(tiles: Iterable[Tile], device: torch.device) -> Iterator[list[Tile]]:
    """Yield tiles of one shape that are predicted together."""
    groups: defaultdict[Any, list[Tile]] = defaultdict(list)
    for rows, columns in tiles:
        groups[rows.shape, columns.shape].append((rows, columns))
    limit = BATCH_PIXELS.get(device.type, memory_estimate.BATCH_PIXELS)
    for (rows, columns), group in groups.items():
        count = max(1, limit // (rows[0] * columns[0]))
        for first in range(0, len(group), count):
            yield group[first : first + count]


def _predict(
    network: nn.Module,
    plane: np.ndarray,
    batch: list[Tile],
    config: InferenceConfig,
    device: torch.device,
) -> np.ndarray:
    """Return classes and confidences of the blocks of some tiles, (B, 2, h, w) uint8."""
    images = _load([plane[:, rows.window, columns.window] for rows, columns in batch], device)
    inner: Any = (..., *(span.inner for span in batch[0]))
    with _autocast(device):
        # The halo goes first: it needs no more than this.
        logits = network(images)[inner].float()
        mirrors = _mirrors(config)
        if mirrors:
            total = logits.contiguous().softmax(1)
            for mirror in mirrors:
                mirrored = mirror.unmake(network(mirror.make(images)))[inner].float()
                total += mirrored.contiguous().softmax(1)
            best, label = total.div_(len(mirrors) + 1).max(1)
        else:
            best, label = _most_probable(logits)
    return torch.stack([label.byte(), (best * 255).round_().byte()], 1).cpu().numpy()


def _most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the softmax of the best class and the class, without the softmax of all the others.

    That takes six times as long with many classes, as networks give them the last axis in memory.
    """
    best, label = logits.max(1, keepdim=True)
    return (logits - best).exp_().sum(1).reciprocal_(), label[:, 0]


class Mirror(NamedTuple):
    """How a mirror image is made: flip these axes, then swap rows and columns or not."""

    axes: tuple[int, ...]
    transposed: bool

    def make(self, images: Tensor) -> Tensor:
        """Return the mirror image."""
        images = images.flip(self.axes)
        return images.mT if self.transposed else images

    def unmake(self, logits: Tensor) -> Tensor:
        """Return what was made of the mirror image as it is for the image."""
        return (logits.mT if self.transposed else logits).flip(self.axes)


def _mirrors(config: InferenceConfig) -> list[Mirror]:
    """Return the mirror images that are averaged with the image."""
    columns, rows = [(), (-1,)][: 1 + config.flips], [(), (-2,)][: 1 + config.flips_vertical]
    swaps = [False, True][: 1 + config.transpose]
    return [Mirror((*a, *b), swap) for swap in swaps for b in rows for a in columns][1:]


def _load(windows: list[np.ndarray], device: torch.device) -> Tensor:
    """Return images (B, C, H, W) in [0, 1], padded to multiples of `MULTIPLE`.

    They are brought to the device, and padded, as bytes: a quarter of the memory.
    """
    height, width = windows[0].shape[-2:]
    padding = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE))
    if any(sum(sides) for sides in padding):
        windows = [np.pad(window, padding, mode="edge") for window in windows]
    images = torch.from_numpy(np.stack(windows)).to(device)
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _autocast(device: torch.device) -> torch.autocast:
    """Return the context in which a CUDA device that can computes with half the bits."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
