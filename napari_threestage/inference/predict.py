"""Planes through a segmenter: at once where they fit a tile, else band by band of tiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from napari_threestage import memory_estimate
from napari_threestage.inference.blending import Band, BandSum, Wanted, as_bytes
from napari_threestage.inference.grid import Span, spans
from napari_threestage.inference.mirrors import mirrors_of
from napari_threestage.training.networks import LARGEST_STRIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from napari_threestage.config import InferenceConfig

T = TypeVar("T")

MULTIPLE = LARGEST_STRIDE  # sides are padded to it
# Of the tiles that the network sees at once.  A CPU gains nothing from more than one tile.
BATCH_PIXELS = {"cpu": 1}


class Windows(Protocol):
    """A plane of which windows are read, see `planes.Plane`."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return values as they are stored, (C, h, w)."""

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Map what `read` gave to uint8."""


@dataclass(frozen=True)
class BytesPlane:
    """A plane (C, H, W) uint8 in memory."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape[1:]
        return height, width

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a window, (C, h, w)."""
        return self.pixels[:, rows, columns]

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Return them as they are."""
        return values


def predict_plane(
    network: nn.Module,
    plane: np.ndarray,
    config: InferenceConfig,
    device: torch.device,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict one plane in memory.

    Parameters
    ----------
    network
        A segmenter in evaluation mode on `device`: (B, C, H, W) in [0, 1] -> logits.
    plane
        (C, H, W) uint8.
    config
        Tiles and mirror images.
    device
        Where the network is.
    out
        Arrays for the results, instead of new ones.

    Returns
    -------
    The class 1..K of each pixel, (H, W) uint8, and its confidence, (H, W) uint8 in 0..255.
    """
    size = plane.shape[1:]
    mask, confidence = out or (np.empty(size, np.uint8), np.empty(size, np.uint8))
    for band in BandPredictor(network, config, device).bands(BytesPlane(plane)):
        mask[band.rows], confidence[band.rows] = band.mask, band.confidence
    return mask, confidence


class BandPredictor:
    """Predicts planes of any size in bands of tiles, with memory for one band.

    Neighbouring tiles overlap: over the pixels that two share, the probabilities of one pass into
    those of the other.  A band needs its own tiles and what those above say of its first rows, so
    that any bands of a plane can be predicted anywhere, with the same result.

    Parameters
    ----------
    network
        A segmenter in evaluation mode on `device`: (B, C, H, W) in [0, 1] -> logits (B, K, H, W).
    config
        Tiles and mirror images.
    device
        Where the network is.
    wanted
        What is to be found out.
    obey
        Called before every batch of tiles; raises to end.
    magnify
        How many times as large the network makes them, which is what takes memory.
    """

    def __init__(
        self,
        network: nn.Module,
        config: InferenceConfig,
        device: torch.device,
        wanted: Wanted | None = None,
        obey: Callable[[], None] = lambda: None,
        magnify: float = 1.0,
    ) -> None:
        self._network, self._config, self._device = network, config, device
        self._wanted, self._obey = wanted or Wanted(), obey
        self._mirrors = mirrors_of(config)
        limit = BATCH_PIXELS.get(device.type, memory_estimate.BATCH_PIXELS)
        self._limit = int(limit / max(1, magnify**2))

    def rows_of(self, height: int) -> list[Span]:
        """Return the bands of a plane of this height."""
        return self._spans(height)

    def stack(self, planes: Sequence[Windows]) -> Iterator[tuple[int, Band]]:
        """Yield what is found for planes of one size, with the number of the plane.

        Small planes are predicted together.
        """
        rows, columns = (self._spans(side) for side in planes[0].size)
        if not len(rows) == len(columns) == 1 or self._wanted != Wanted():
            for number, plane in enumerate(planes):
                yield from ((number, band) for band in self.bands(plane))
            return
        together = max(1, self._limit // (rows[0].length * columns[0].length))
        for first in range(0, len(planes), together):
            found = self._at_once(planes[first : first + together], rows[0], columns[0])
            yield from enumerate(found, start=first)

    def bands(self, plane: Windows, numbers: range | None = None) -> Iterator[Band]:
        """Yield what is found for a plane, from top to bottom.

        Parameters
        ----------
        plane
            Its windows are read one after the other.
        numbers
            Which bands, those that follow each other; None for all.
        """
        rows, columns = self._spans(plane.size[0]), self._spans(plane.size[1])
        numbers = range(len(rows)) if numbers is None else numbers
        if len(rows) == len(columns) == 1 and self._wanted == Wanted():
            yield from self._at_once([plane], rows[0], columns[0])
            return
        above: Tensor | None = None
        for number in range(max(numbers.start - 1, 0), numbers.stop):
            found = BandSum(rows[number], columns, above, self._wanted)
            for column, probabilities in self._tiles(plane, rows[number], columns):
                found.add(column, probabilities)
            above = found.below
            if number >= numbers.start:
                yield found.band()

    def _spans(self, size: int) -> list[Span]:
        config = self._config
        return spans(size, config.tile, config.blend, config.halo)

    def _at_once(self, planes: Sequence[Windows], row: Span, column: Span) -> Iterator[Band]:
        """Predict planes each of which is one tile."""
        self._obey()
        windows = [plane.to_bytes(plane.read(row.window, column.window)) for plane in planes]
        inner = (..., row.inner, column.inner)
        try:
            found = self._best(self._load(windows), inner)
        except torch.OutOfMemoryError:
            if len(windows) == 1:
                raise
            one_by_one = [self._best(self._load([window]), inner) for window in windows]
            found = np.concatenate(one_by_one, axis=1)
        for label, best in zip(*found, strict=True):
            yield Band(row.cell, label, best, None)

    def _tiles(
        self, plane: Windows, row: Span, columns: Sequence[Span]
    ) -> Iterator[tuple[Span, Tensor | None]]:
        """Yield the tiles of a band, from the left, and their probabilities (K, h, w).

        Those of empty tiles are None.
        """
        for batch, windows in _ahead(self._batches(plane, row, columns)):
            self._obey()
            if windows is None:
                yield from ((column, None) for column in batch)
                continue
            inner = (..., row.inner, batch[0].inner)
            try:
                found = self._probabilities(self._load(windows), inner)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                one_by_one = [self._load([window]) for window in windows]
                found = torch.cat([self._probabilities(one, inner) for one in one_by_one])
            yield from zip(batch, found, strict=True)

    def _batches(
        self, plane: Windows, row: Span, columns: Sequence[Span]
    ) -> Iterator[tuple[list[Span], list[np.ndarray] | None]]:
        """Yield tiles of one shape that are predicted together, and their pixels; None: empty."""
        waiting: list[tuple[Span, np.ndarray]] = []
        for column in columns:
            values = plane.read(row.window, column.window)
            empty = self._is_empty(values[:, row.inner, column.inner])
            full = (len(waiting) + 1) * values[0].size > self._limit
            if waiting and (empty or full or waiting[0][0].shape != column.shape):
                yield _unzip(waiting)
                waiting = []
            if empty:
                yield [column], None
            else:
                waiting.append((column, plane.to_bytes(values)))
        if waiting:
            yield _unzip(waiting)

    def _is_empty(self, values: np.ndarray) -> bool:
        return self._wanted.empty is not None and bool((values == self._wanted.empty).all())

    def _load(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Return images (B, C, H, W) in [0, 1], padded to multiples of `MULTIPLE`.

        They are brought to the device, and padded, as bytes: a quarter of the memory.
        """
        height, width = windows[0].shape[-2:]
        padding = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE))
        if any(sum(sides) for sides in padding):
            windows = [np.pad(window, padding, mode="edge") for window in windows]
        images = torch.from_numpy(np.stack(windows)).to(self._device)
        return images.to(torch.float32, memory_format=torch.channels_last).div_(255)

    @torch.inference_mode()
    def _probabilities(self, images: Tensor, inner: Any) -> Tensor:
        """Return (B, K, h, w) float32 for a part of the images, the mean over mirror images."""
        with _autocast(self._device):
            # The halo goes first: it needs no more than this.
            total: Tensor = self._network(images)[inner].float().contiguous().softmax(1)
            for mirror in self._mirrors:
                logits = mirror.unmake(self._network(mirror.make(images)))[inner]
                total += logits.float().contiguous().softmax(1)
        return total.div_(len(self._mirrors) + 1) if self._mirrors else total

    @torch.inference_mode()
    def _best(self, images: Tensor, inner: Any) -> np.ndarray:
        """Return class and confidence of a part of the images, (2, B, h, w) uint8."""
        if self._mirrors:
            best, label = self._probabilities(images, inner).max(1)
        else:
            with _autocast(self._device):
                best, label = _most_probable(self._network(images)[inner].float())
        return np.stack([as_bytes(label + 1), as_bytes(best * 255)])


def _most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the softmax of the best class and the class, without the softmax of all the others.

    That takes six times as long with many classes, as networks give them the last axis in memory.
    """
    best, label = logits.max(1, keepdim=True)
    return (logits - best).exp_().sum(1).reciprocal_(), label[:, 0]


def _unzip(pairs: Iterable[tuple[Span, np.ndarray]]) -> tuple[list[Span], list[np.ndarray]]:
    tiles, windows = zip(*pairs, strict=True)
    return [*tiles], [*windows]


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; the next one is made while one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _autocast(device: torch.device) -> torch.autocast:
    """Return the context in which a CUDA device that can computes with half the bits."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
