"""Read one image file or one mask file into an array with named axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.axes import canonical, checked_axes, settle_axes
from napari_threestage.ingest.raster import RASTER_SUFFIXES, read_raster
from napari_threestage.ingest.stored import DAMAGED, Stored
from napari_threestage.ingest.tiff import TIFF_SUFFIXES, read_tiff

IMAGE_SUFFIXES: tuple[str, ...] = (*TIFF_SUFFIXES, *RASTER_SUFFIXES, ".npy")
"""Endings of the files that `read_image` reads, in lower case."""


@dataclass(frozen=True)
class LoadedImage:
    """One image in memory.

    Attributes
    ----------
    array
        Axes in the order t, c, z, y, x (a subset that always has c, y and x), native byte order,
        unsigned, signed or float.
    axes
        One letter per axis of `array`, for example ``"cyx"`` or ``"tczyx"``.
    scale
        Pixel size of the axes z, y, x and t where the file says it.
    unit
        OME-NGFF name of the unit of a scale where the file says it.
    channel_names
        One name per channel.
    """

    array: np.ndarray
    axes: str
    scale: dict[str, float]
    unit: dict[str, str]
    channel_names: tuple[str, ...]


def is_image_file(path: Path) -> bool:
    """Say whether the name of `path` ends like an image file; the file is not opened."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def read_image(path: Path, *, axes: str | None = None) -> LoadedImage:
    """Read an image file.

    Parameters
    ----------
    path
        TIFF (also ImageJ and OME-TIFF), PNG, JPEG, BMP or NPY.
    axes
        Names of the axes as the file stores them, out of t, c, z, y and x, instead of what the
        file says or what is guessed; colours are the channel axis (``yxc`` for an RGB file).

    Returns
    -------
    LoadedImage
        Alpha is dropped, palettes become colours, booleans become uint8 0 and 1.

    Raises
    ------
    ImageFileError
        The file is missing, damaged, cut off, empty, too large, complex or without any finite
        value, or `axes` does not fit.

    Notes
    -----
    Pages of a TIFF without axis information are z. For arrays without axis information (NPY, TIFF
    written from a bare array) leading and trailing axes of length 1 are dropped, and then:

    1. two axes are y, x;
    2. a last axis of 3 or 4 behind axes that are all longer than 4 is the channels
       (``yxc``, ``zyxc``, ``tzyxc``);
    3. otherwise the channels are the first axis that has at most 4 entries
       (``cyx``, ``czyx``, ``zcyx``; with five axes ``tczyx`` or ``tzcyx``);
    4. otherwise there are none: ``zyx``, ``tzyx``. Five axes without channels are an error.

    Only the first series of a TIFF is read. Values of "white is zero" TIFFs are not inverted.
    """
    path = Path(path)
    stored = _load(path, palette_colours=True)
    check_values(path.name, stored.array)
    if axes is not None:
        colours = "s" in stored.axes
        stored.axes = checked_axes(path.name, axes, stored.array.shape)
        if colours:
            stored.axes = stored.axes.replace("c", "s")
    else:
        settle_axes(path.name, stored)
    array, names = canonical(stored.array, stored.axes)
    count = array.shape[names.index("c")]
    return LoadedImage(
        array,
        names,
        {axis: size for axis, size in stored.scale.items() if axis in names},
        {axis: unit for axis, unit in stored.unit.items() if axis in names},
        channel_names_of(stored, count),
    )


def read_mask_array(path: Path, *, palette_colours: bool = False) -> np.ndarray:
    """Read the raw values of a mask file.

    Parameters
    ----------
    path
        A file in one of the formats of `read_image`.
    palette_colours
        Give the colours of a palette file instead of its indices.

    Returns
    -------
    numpy.ndarray
        Values ``(.., y, x)``, or colours ``(.., y, x, 3)`` uint8; leading axes are t, z. Booleans
        become uint8 0 and 1.

    Raises
    ------
    ImageFileError
        The file cannot be read, or has several channels that are not red, green and blue.
    """
    path = Path(path)
    stored = _load(path, palette_colours=palette_colours, raw_bits=True)
    check_values(path.name, stored.array)
    settle_axes(path.name, stored, mask=True)
    colours = "s" in stored.axes
    array, axes = canonical(stored.array, stored.axes)
    array = np.moveaxis(array, axes.index("c"), -1)
    if array.shape[-1] == 1:
        return np.ascontiguousarray(array[..., 0])
    if colours and array.shape[-1] in (3, 4) and array.dtype == np.uint8:
        return np.ascontiguousarray(array[..., :3])
    raise ImageFileError(
        f"{path.name} has {array.shape[-1]} channels of {array.dtype}; "
        "a mask has one channel, or 8-bit red, green and blue.",
        "Export the mask with one channel.",
    )


def _load(path: Path, *, palette_colours: bool, raw_bits: bool = False) -> Stored:
    suffix = path.suffix.lower()
    _check_file(path)
    try:
        if suffix in TIFF_SUFFIXES:
            stored = read_tiff(path, palette_colours)
        elif suffix in RASTER_SUFFIXES:
            stored = read_raster(path, palette_colours, raw_bits)
        else:
            # A memory map refuses what a plain load would allocate: a header larger than the file.
            stored = Stored(np.array(np.lib.format.open_memmap(path, mode="r")))
    except ImageFileError:
        raise
    except MemoryError as exc:
        raise ImageFileError(
            f"{path.name} does not fit into memory.", "Cut it into smaller files."
        ) from exc
    except Exception as exc:  # decoders raise all kinds of errors on damaged bytes
        kind = suffix[1:].upper()
        reason = str(exc).rstrip(".") or type(exc).__name__
        raise ImageFileError(f"{path.name} cannot be read as {kind}: {reason}.", DAMAGED) from exc
    array = stored.array
    dtype = np.dtype(np.uint8) if array.dtype.kind == "b" else array.dtype.newbyteorder("=")
    stored.array = array.astype(dtype, copy=False)
    return stored


def _check_file(path: Path) -> None:
    if not is_image_file(path):
        endings = ", ".join(IMAGE_SUFFIXES)
        raise ImageFileError(f"{path.name} is no image format known here.", f"Known: {endings}.")
    if not path.exists():
        raise ImageFileError(f"{path.name} does not exist.", f"Looked in {path.parent}.")
    if not path.is_file():
        raise ImageFileError(f"{path.name} is not a file.", "Name one file.")
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path.name} is empty: it has 0 bytes.", "Copy or export it again.")


def check_values(name: str, array: np.ndarray) -> None:
    """Raise `ImageFileError` for what are no pixels."""
    check_dtype(name, array.dtype)
    if array.size == 0 or array.ndim < 2:
        raise ImageFileError(
            f"{name} holds no image: its shape is {array.shape}.",
            "An image needs at least two axes of length 1 or more.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        raise ImageFileError(
            f"{name} has no finite value: all pixels are NaN or infinite.", "Export it again."
        )


def check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    """Raise `ImageFileError` for a type that no pixels have; booleans count as bytes."""
    if dtype.kind not in "buif":
        raise ImageFileError(
            f"{name} holds values of type {dtype}, which are no pixel values.",
            "Save it as integers or real numbers.",
        )


def channel_names_of(stored: Stored, count: int) -> tuple[str, ...]:
    """Return a name for each of so many channels."""
    if len(stored.names) == count and all(stored.names):
        return stored.names
    if count == 3 and "s" in stored.axes:
        return ("red", "green", "blue")
    return tuple(f"channel {i + 1}" for i in range(count))
