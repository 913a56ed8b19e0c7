"""From stored pixels to what a network sees: planes of uint8, one way for all dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_threestage.store import ImageArray

PERCENTILES = (0.1, 99.9)
SAMPLED = 200_000  # pixels that tell the range of a channel for the screen


def planes_of(
    image: ImageArray, channels: Sequence[int] | None, n_channels: int, method: str
) -> Iterator[np.ndarray]:
    """Yield the planes of an image, z fastest, as (C, H, W) uint8.

    Parameters
    ----------
    image
        The image; one plane at a time is read.
    channels
        The channels to take, None for all.
    n_channels
        What is wanted; a grey image fills all of them.
    method
        ``range``, ``percentile`` or ``auto``, see `to_bytes`.
    """
    axes = image.axes
    outer = [axis for axis in axes if axis in "tz"]
    counts = [image.data.shape[axes.index(axis)] for axis in outer]
    for place in np.ndindex(*counts):
        index = tuple(place[outer.index(axis)] if axis in outer else slice(None) for axis in axes)
        plane = np.asarray(image.data[index])
        plane = plane if "c" in axes else plane[np.newaxis]
        yield to_bytes(_choose(plane, channels, n_channels), method)


def to_bytes(plane: np.ndarray, method: str = "auto") -> np.ndarray:
    """Map a plane (C, H, W) of any real dtype to uint8.

    ``range`` maps the dtype's range (integers) or 0..1 (floats), ``percentile`` maps the 0.1st to
    the 99.9th percentile of each channel, ``auto`` takes the first for uint8 and bool and the
    second for all others: the values of 16-bit and float images rarely fill their range.
    """
    if plane.dtype == bool:
        return plane.astype(np.uint8) * np.uint8(255)
    if method == "auto":
        method = "range" if plane.dtype == np.uint8 else "percentile"
    if plane.dtype == np.uint8 and method == "range":
        return plane
    values = plane.astype(np.float32)
    if method == "range":
        low, high = _dtype_range(plane.dtype)
        limits = [(low, high)] * len(plane)
    else:
        limits = [_percentiles(channel) for channel in values]
    scaled = [
        (np.nan_to_num(channel, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
        for channel, (low, high) in zip(values, limits, strict=True)
    ]
    scaled_bytes: np.ndarray = (np.clip(np.stack(scaled), 0, 1) * 255).round().astype(np.uint8)
    return scaled_bytes


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
    finite = channel[np.isfinite(channel)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, PERCENTILES)
    return float(low), float(high)


def _dtype_range(dtype: Any) -> tuple[float, float]:
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    return 0.0, 1.0


def _choose(plane: np.ndarray, channels: Sequence[int] | None, n_channels: int) -> np.ndarray:
    if len(plane) == 1 and n_channels > 1:
        return np.repeat(plane, n_channels, axis=0)
    if channels is not None:
        if max(channels) >= len(plane):
            raise ImageFileError(
                f"Channel {max(channels)} was asked for, the image has {len(plane)} channels.",
                "Channels are numbered from 0.",
            )
        plane = plane[list(channels)]
    if len(plane) != n_channels:
        raise ImageFileError(
            f"The image has {len(plane)} channels, {n_channels} are needed.",
            "Choose channels with --channels, e.g. --channels 0,1,2.",
        )
    return plane
