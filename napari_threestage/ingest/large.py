"""Open images of any size without reading them; small ones are read at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import store
from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.axes import canonical, checked_axes, settle_axes
from napari_threestage.ingest.importer import load_image
from napari_threestage.ingest.read import channel_names_of, check_dtype, check_values
from napari_threestage.ingest.stored import DAMAGED, Stored
from napari_threestage.ingest.tiff import TIFF_SUFFIXES, open_tiff
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGE = 2**28  # bytes of pixels from which a TIFF is read in windows
_ORDER = "tczyx"


class AxesView:
    """An array on disk with its axes in another order; what is asked for is read.

    Reading raises `ImageFileError` where a piece is damaged.

    Parameters
    ----------
    name
        Of the file, for messages.
    array
        Anything that gives NumPy arrays for whole numbers and slices.
    order
        For each axis here that of `array`, None for a new one of length 1.
    """

    def __init__(self, name: str, array: Any, order: Sequence[int | None]) -> None:
        self._name, self._array, self._order = name, array, [*order]
        self.shape = tuple(1 if axis is None else int(array.shape[axis]) for axis in order)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        index = self._complete(index)
        pairs = [*zip(self._order, index, strict=True)]
        stored = dict(pairs)
        axes = range(len(self._array.shape))
        values = self._read(tuple(stored.get(axis, 0) for axis in axes))
        left = [axis for axis in axes if isinstance(stored.get(axis, 0), slice)]
        shown = [(axis, entry) for axis, entry in pairs if isinstance(entry, slice)]
        values = values.transpose([left.index(axis) for axis, _ in shown if axis is not None])
        for place, (axis, entry) in enumerate(shown):
            if axis is None:
                values = np.expand_dims(values, place)
                values = values[(slice(None),) * place + (entry,)]
        return values.astype(self.dtype, copy=False)

    def _read(self, index: tuple[int | slice, ...]) -> np.ndarray:
        try:
            return np.asarray(self._array[index])
        except Exception as error:  # each codec has its own
            reason = str(error).rstrip(".") or type(error).__name__
            raise ImageFileError(f"{self._name} is damaged ({reason}).", DAMAGED) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)

    def _complete(self, index: Any) -> tuple[int | slice, ...]:
        """Return an entry for each axis."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            missing = self.ndim - len(given) + 1
            given = (*given[:at], *[slice(None)] * missing, *given[at + 1 :])
        return (*given, *[slice(None)] * (self.ndim - len(given)))


def open_image(path: Path, axes: str | None = None) -> ImageArray:
    """Open a file or an OME-Zarr folder as an image with the axes ``c``, ``y``, ``x`` at least.

    An OME-Zarr image and a large TIFF are read when their pixels are asked for, as long as they are
    stored in pieces; all others are read now, see `load_image`.

    Raises
    ------
    ImageFileError
        As `load_image`.
    """
    if path.is_dir():
        return _open_ome_zarr(path)
    if path.suffix.lower() in TIFF_SUFFIXES and path.is_file():
        stored = open_tiff(path, LARGE)
        if stored is not None:
            return _open_large(path, stored, axes)
    return load_image(path, axes)


def image_of(array: np.ndarray, axes: str | None = None) -> ImageArray:
    """Return an array in memory as an image, see `read_image` for the axes.

    Raises
    ------
    ImageFileError
        The axes make no sense, or the shape does not tell them.
    """
    name = "The array"
    values = np.asarray(array)
    stored = Stored(values.astype(np.uint8) if values.dtype == np.bool_ else values)
    check_values(name, stored.array)
    if axes is None:
        settle_axes(name, stored)
    else:
        stored.axes = checked_axes(name, axes, stored.array.shape)
    pixels, names = canonical(stored.array, stored.axes)
    return ImageArray(pixels, names)


def _open_ome_zarr(path: Path) -> ImageArray:
    image = store.read_ome_zarr(path)
    if set(image.axes) - set(_ORDER) or not {"y", "x"} <= set(image.axes):
        raise ImageFileError(f"{path.name} has the axes {image.axes}.", "Allowed are t c z y x.")
    view, axes = _ordered(path.name, image.data, image.axes)
    return ImageArray(view, axes, image.scale, image.unit, image.channel_names)


def _open_large(path: Path, stored: Stored, axes: str | None) -> ImageArray:
    if axes is not None:
        stored.axes = checked_axes(path.name, axes, stored.array.shape)
    else:
        settle_axes(path.name, stored)
    names = channel_names_of(stored, _count(stored))
    check_dtype(path.name, stored.array.dtype)
    view, ordered = _ordered(path.name, stored.array, stored.axes.replace("s", "c"))
    if view.dtype == np.bool_:
        view.dtype = np.dtype(np.uint8)  # as of a small file
    scale = {axis: size for axis, size in stored.scale.items() if axis in ordered}
    unit = {axis: text for axis, text in stored.unit.items() if axis in ordered}
    return ImageArray(view, ordered, scale, unit, names)


def _count(stored: Stored) -> int:
    counts = [
        size for axis, size in zip(stored.axes, stored.array.shape, strict=True) if axis in "cs"
    ]
    return math.prod(counts)


def _ordered(name: str, array: Any, axes: str) -> tuple[AxesView, str]:
    """Return a view with the axes in our order, channels among them."""
    order = [axis for axis in _ORDER if axis in axes or axis == "c"]
    places = [axes.index(axis) if axis in axes else None for axis in order]
    return AxesView(name, array, places), "".join(order)
