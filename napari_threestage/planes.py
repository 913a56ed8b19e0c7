"""From stored pixels to what a network sees: planes of uint8, one way for all dtypes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_threestage.store import ImageArray

PERCENTILES = (0.1, 99.9)
SAMPLED = 200_000  # pixels that tell the range of a channel for the screen
MOST_RANKED = 2**24  # pixels that percentiles are taken of; in a larger plane, of every nth row
BAND = 1024  # rows that are read at once to get those


class Plane:
    """One plane of a stored image, of which windows are read as (C, h, w) uint8.

    Parameters
    ----------
    image
        The image; nothing of it is read yet.
    place
        Which plane: the index along t and z, where the image has them.
    channels
        The channels to take, None for all.
    n_channels
        What is wanted; a grey image fills all of them.
    method
        ``range``, ``percentile`` or ``auto``, see `to_bytes`.

    Raises
    ------
    ImageFileError
        The image has other channels.
    """

    def __init__(
        self,
        image: ImageArray,
        place: Mapping[str, int],
        channels: Sequence[int] | None,
        n_channels: int,
        method: str,
    ) -> None:
        self._image, self._place, self._method = image, place, method
        stored = image.data.shape[image.axes.index("c")] if "c" in image.axes else 1
        self._taken = _taken_channels(stored, channels, n_channels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self._image.data.shape[-2:]
        return height, width

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the values of a window as they are stored, (C, h, w)."""
        chosen = {"y": rows, "x": columns, **self._place}
        index = tuple(chosen.get(axis, slice(None)) for axis in self._image.axes)
        values = np.asarray(self._image.data[index])
        values = values if "c" in self._image.axes else values[np.newaxis]
        return values if self._taken == [*range(len(values))] else values[self._taken]

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Map what `read` gave to uint8, in the same way for the whole plane."""
        return _scale(values, self._limits)

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a window, (C, h, w) uint8."""
        return self.to_bytes(self.read(rows, columns))

    @cached_property
    def _limits(self) -> list[tuple[float, float]] | None:
        dtype, (height, width) = self._image.data.dtype, self.size
        if not _is_ranked(dtype, self._method):
            return _range_limits(dtype)
        step = -(-height * width // MOST_RANKED)
        bands = [
            self.read(slice(top, top + BAND * step, step), slice(None))
            for top in range(0, height, BAND * step)
        ]
        return [_percentiles(np.concatenate(parts)) for parts in zip(*bands, strict=True)]


def open_planes(
    image: ImageArray, channels: Sequence[int] | None, n_channels: int, method: str
) -> Iterator[Plane]:
    """Yield the planes of an image, z fastest, of which nothing is read yet; see `Plane`."""
    outer = [axis for axis in image.axes if axis in "tz"]
    counts = [image.data.shape[image.axes.index(axis)] for axis in outer]
    for place in np.ndindex(*counts):
        yield Plane(image, dict(zip(outer, place, strict=True)), channels, n_channels, method)


def planes_of(
    image: ImageArray, channels: Sequence[int] | None, n_channels: int, method: str
) -> Iterator[np.ndarray]:
    """Yield the planes of an image, z fastest, as (C, H, W) uint8; one at a time is read.

    See `Plane` for the parameters.
    """
    for plane in open_planes(image, channels, n_channels, method):
        yield plane.window(slice(None), slice(None))


def to_bytes(plane: np.ndarray, method: str = "auto") -> np.ndarray:
    """Map a plane (C, H, W) of any real dtype to uint8.

    ``range`` maps the dtype's range (integers) or 0..1 (floats), ``percentile`` maps the 0.1st to
    the 99.9th percentile of each channel, ``auto`` takes the first for uint8 and bool and the
    second for all others: the values of 16-bit and float images rarely fill their range.
    Percentiles of a very large plane are those of every nth row.
    """
    limits = _range_limits(plane.dtype)
    if _is_ranked(plane.dtype, method):
        step = -(-plane[0].size // MOST_RANKED)
        limits = [_percentiles(channel[::step]) for channel in plane]
    return _scale(plane, limits)


def _is_ranked(dtype: np.dtype[Any], method: str) -> bool:
    """Whether percentiles tell the limits of values of this dtype."""
    if dtype.kind == "b":
        return False
    return method == "percentile" or (method == "auto" and dtype != np.uint8)


def _range_limits(dtype: np.dtype[Any]) -> list[tuple[float, float]] | None:
    """Return the limits of a dtype, for all channels; None where bytes stay as they are."""
    if dtype.kind == "b":
        return [(0.0, 1.0)]
    return None if dtype == np.uint8 else [_dtype_range(dtype)]


def _scale(values: np.ndarray, limits: list[tuple[float, float]] | None) -> np.ndarray:
    """Map (C, h, w) to uint8: what lies between the limits of its channel to 0..255."""
    if limits is None:
        return values
    limits = limits * len(values) if len(limits) == 1 else limits
    scaled = np.empty(values.shape, np.uint8)
    for target, channel, (low, high) in zip(scaled, values, limits, strict=True):
        known = np.nan_to_num(channel.astype(np.float32), nan=low, posinf=high, neginf=low)
        share = (known - low) / max(high - low, 1e-12)
        target[...] = (np.clip(share, 0, 1) * 255).round()
    return scaled


def value_limits(image: np.ndarray) -> list[tuple[float, float]]:
    """Return the darkest and brightest value to show of each channel of an image (C, ...).

    Bytes are shown as they are, others from the 0.1st to the 99.9th percentile of some of their
    pixels.
    """
    if image.dtype == np.uint8:
        return [(0.0, 255.0)] * len(image)
    limits = []
    for channel in image:
        step = max(1, channel.size // SAMPLED)
        low, high = _percentiles(channel.reshape(-1)[::step].astype(np.float32))
        limits.append((low, high if high > low else low + 1))
    return limits


def _percentiles(channel: np.ndarray) -> tuple[float, float]:
    values = channel.astype(np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, PERCENTILES)
    return float(low), float(high)


def _dtype_range(dtype: Any) -> tuple[float, float]:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    return 0.0, 1.0


def _taken_channels(stored: int, channels: Sequence[int] | None, n_channels: int) -> list[int]:
    """Return the stored channel for each that is wanted."""
    if stored == 1 and n_channels > 1:
        return [0] * n_channels
    if channels is not None and max(channels) >= stored:
        raise ImageFileError(
            f"Channel {max(channels)} was asked for, the image has {stored} channels.",
            "Channels are numbered from 0.",
        )
    taken = [*range(stored)] if channels is None else [*channels]
    if len(taken) != n_channels:
        how = f"has {stored} channels" if channels is None else f"gives the channels {taken}"
        raise ImageFileError(
            f"The image {how}, {n_channels} are needed.",
            "Choose channels with --channels, e.g. --channels 0,1,2.",
        )
    return taken
