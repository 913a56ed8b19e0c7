"""Read one image file or one mask file into an array with named axes."""

from __future__ import annotations

import io
import math
import struct
import threading
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIFF_SUFFIXES = (".tif", ".tiff")
_RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
IMAGE_SUFFIXES: tuple[str, ...] = (*_TIFF_SUFFIXES, *_RASTER_SUFFIXES, ".npy")
"""Endings of the files that `read_image` reads, in lower case."""

_CANONICAL = "tczyx"
_FEW = 4  # an axis of at most so many entries is taken for channels
_BOMB_BYTES, _BOMB_RATIO = 8 * 2**30, 500
_DAMAGED = "The file is damaged or not what its ending says: copy or export it again."
_NAME_AXES = "Name the axes of the file yourself, for example axes='zyx' or axes='yxc'."
_PILLOW = threading.RLock()

_UNITS = {
    "nanometer": ("nm", "nanometre"),
    "micrometer": ("um", "\u00b5m", "\u03bcm", "\\u00b5m", "micron", "microns", "micrometre"),
    "millimeter": ("mm", "millimetre"),
    "centimeter": ("cm", "centimetre"),
    "meter": ("m", "metre"),
    "picometer": ("pm",),
    "angstrom": ("\u00e5", "a\u030a"),
    "inch": ("in", "inches", '"'),
    "nanosecond": ("ns",),
    "microsecond": ("us", "\u00b5s", "\u03bcs"),
    "millisecond": ("ms", "msec"),
    "second": ("s", "sec", "seconds"),
    "minute": ("min", "minutes"),
    "hour": ("h", "hours"),
}
_UNIT_NAMES = {text: name for name, texts in _UNITS.items() for text in (name, *texts)}


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


@dataclass
class _Stored:
    """What a file holds; axes in `tczyx` and ``s`` for colour samples, empty if not known."""

    array: np.ndarray
    axes: str = ""
    scale: dict[str, float] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


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
    _check_values(path.name, stored.array)
    if axes is not None:
        colours = "s" in stored.axes
        stored.axes = _checked_axes(path.name, axes, stored.array.shape)
        if colours:
            stored.axes = stored.axes.replace("c", "s")
    else:
        _settle_axes(path.name, stored)
    array, names = _canonical(stored.array, stored.axes)
    count = array.shape[names.index("c")]
    return LoadedImage(
        array,
        names,
        {axis: size for axis, size in stored.scale.items() if axis in names},
        {axis: unit for axis, unit in stored.unit.items() if axis in names},
        _channel_names(stored, count),
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
    _check_values(path.name, stored.array)
    _settle_axes(path.name, stored, mask=True)
    colours = "s" in stored.axes
    array, axes = _canonical(stored.array, stored.axes)
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


# --- axes and values --------------------------------------------------------------------------


def _check_values(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "uif":
        raise ImageFileError(
            f"{name} holds values of type {array.dtype}, which are no pixel values.",
            "Save it as integers or real numbers.",
        )
    if array.size == 0 or array.ndim < 2:
        raise ImageFileError(
            f"{name} holds no image: its shape is {array.shape}.",
            "An image needs at least two axes of length 1 or more.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        raise ImageFileError(
            f"{name} has no finite value: all pixels are NaN or infinite.", "Export it again."
        )


def _checked_axes(name: str, axes: str, shape: tuple[int, ...]) -> str:
    axes = axes.lower()
    if len(axes) != len(shape):
        raise ImageFileError(
            f"{name} has {len(shape)} axes {shape}, but axes={axes!r} names {len(axes)}.",
            "Give one letter per axis.",
        )
    if len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes) <= set(_CANONICAL):
        raise ImageFileError(
            f"axes={axes!r} for {name} makes no sense.",
            "Use each of t, c, z, y, x at most once; y and x are needed.",
        )
    return axes


def _settle_axes(name: str, stored: _Stored, *, mask: bool = False) -> None:
    """Guess the axes where the file has none, refuse those that are no image axes."""
    if not stored.axes:
        stored.array, stored.axes = _guess_axes(name, stored.array, mask=mask)
    known = set(stored.axes) <= set(_CANONICAL + "s") and len(set(stored.axes)) == len(stored.axes)
    if not known or len(stored.axes) != stored.array.ndim:
        raise ImageFileError(
            f"{name} has the axes {stored.axes.upper()}, not all of which are known here.",
            _NAME_AXES,
        )


def _guess_axes(name: str, array: np.ndarray, *, mask: bool = False) -> tuple[np.ndarray, str]:
    """Name the axes of a bare array by its shape, see the notes of `read_image`."""
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    shape, plain = array.shape, "tzyx"
    if array.ndim > 2 and shape[-1] in (3, 4) and min(shape[:-1]) > _FEW:
        axes = plain[-array.ndim + 1 :] + "s"
    elif array.ndim == 2 or mask or min(shape[:-2]) > _FEW:
        axes = plain[-array.ndim :]
    else:
        first = 1 if array.ndim == 5 else 0
        at = next((i for i in range(first, array.ndim - 2) if shape[i] <= _FEW), 0)
        rest = plain[-array.ndim + 1 :]
        axes = rest[:at] + "c" + rest[at:]
    if len(axes) != array.ndim or (array.ndim == 5 and axes[0] == "c"):
        raise ImageFileError(
            f"{name} does not say what its {array.ndim} axes {shape} are.", _NAME_AXES
        )
    return array, axes


def _canonical(array: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    if "s" in axes and "c" in axes:
        array = np.moveaxis(array, axes.index("s"), -1)
        axes = axes.replace("s", "")
        array = np.moveaxis(array, -1, axes.index("c") + 1)
        at = axes.index("c")
        array = array.reshape(*array.shape[:at], -1, *array.shape[at + 2 :])
    axes = axes.replace("s", "c")
    if "c" not in axes:
        array, axes = array[np.newaxis], "c" + axes
    order = [axis for axis in _CANONICAL if axis in axes]
    array = array.transpose([axes.index(axis) for axis in order])
    return np.ascontiguousarray(array), "".join(order)


def _channel_names(stored: _Stored, count: int) -> tuple[str, ...]:
    if len(stored.names) == count and all(stored.names):
        return stored.names
    if count == 3 and "s" in stored.axes:
        return ("red", "green", "blue")
    return tuple(f"channel {i + 1}" for i in range(count))


# --- files ------------------------------------------------------------------------------------


def _load(path: Path, *, palette_colours: bool, raw_bits: bool = False) -> _Stored:
    suffix = path.suffix.lower()
    _check_file(path)
    try:
        if suffix in _TIFF_SUFFIXES:
            stored = _read_tiff(path, palette_colours)
        elif suffix in _RASTER_SUFFIXES:
            stored = _read_raster(path, palette_colours, raw_bits)
        else:
            # A memory map refuses what a plain load would allocate: a header larger than the file.
            stored = _Stored(np.array(np.lib.format.open_memmap(path, mode="r")))
    except ImageFileError:
        raise
    except MemoryError as exc:
        raise ImageFileError(
            f"{path.name} does not fit into memory.", "Cut it into smaller files."
        ) from exc
    except Exception as exc:  # decoders raise all kinds of errors on damaged bytes
        kind = suffix[1:].upper()
        reason = str(exc).rstrip(".") or type(exc).__name__
        raise ImageFileError(f"{path.name} cannot be read as {kind}: {reason}.", _DAMAGED) from exc
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


def _check_bomb(path: Path, pixels: int, itemsize: int) -> None:
    decoded, held = pixels * itemsize, path.stat().st_size
    if decoded > _BOMB_BYTES and decoded > _BOMB_RATIO * held:
        raise ImageFileError(
            f"{path.name} claims {decoded / 2**30:.0f} GiB of pixels in {held} bytes.",
            "Cut it into smaller files if that is right.",
        )


@contextmanager
def _pillow_settings() -> Iterator[None]:
    """Make Pillow fail on cut-off files and leave the size limit to `_check_bomb`."""
    with _PILLOW:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def _read_raster(path: Path, palette_colours: bool, raw_bits: bool) -> _Stored:
    try:
        with _pillow_settings(), Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            _check_bomb(path, math.prod(image.size), len(image.getbands()))
            image.load()
            array = _pillow_array(path, image, palette_colours, raw_bits)
    except UnidentifiedImageError as exc:
        raise ImageFileError(f"{path.name} holds no PNG, JPEG or BMP image.", _DAMAGED) from exc
    return _Stored(array, "yx" if array.ndim == 2 else "yxs")


def _pillow_array(
    path: Path, image: Image.Image, palette_colours: bool, raw_bits: bool
) -> np.ndarray:
    bits, kind = _png_bits(path) if image.format == "PNG" else (8, 0)
    if image.format in ("JPEG", "MPO"):
        image = ImageOps.exif_transpose(image)
    if bits == 16 and kind != 0:
        # Pillow would cut 16-bit colours to 8 bits.
        array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        return array[..., 0] if kind == 4 else array[..., :3]
    if image.mode in ("P", "PA"):
        if palette_colours:
            return np.asarray(image.convert("RGBA"))[..., :3]
        array = np.asarray(image)
        return array if array.ndim == 2 else array[..., 0]
    if image.mode == "LA":
        return np.asarray(image)[..., 0]
    if image.mode == "L" and raw_bits and bits in (2, 4):
        # Pillow spreads grey values of 2 and 4 bits over 0..255.
        return np.asarray(image) // np.uint8(255 // (2**bits - 1))
    if image.mode in ("1", "L", "F", "RGB", "RGBA") or image.mode.startswith("I"):
        array = np.asarray(image)
        array = array.astype(np.uint16) if image.mode == "I" and bits == 16 else array
        return array if array.ndim == 2 else array[..., :3]
    return np.asarray(image.convert("RGB"))


def _png_bits(path: Path) -> tuple[int, int]:
    """Bit depth and colour type from the header of a PNG file."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24], header[25]


# --- TIFF -------------------------------------------------------------------------------------


class _OneFile(io.BufferedReader):
    """A file of which tifffile cannot tell that it lies in a folder with others.

    File names inside the metadata of multi-file TIFFs would be opened otherwise.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def _read_tiff(path: Path, palette_colours: bool) -> _Stored:
    _check_chain(path)
    with _OneFile(io.FileIO(path)) as file, tifffile.TiffFile(file, _multifile=False) as tif:
        if not tif.series:
            raise ImageFileError(f"{path.name} holds no image.", _DAMAGED)
        series = tif.series[0]
        page = series.keyframe
        _check_bomb(path, math.prod(series.shape), page.dtype.itemsize if page.dtype else 1)
        _check_strips(path, series)
        array = np.asarray(series.asarray())
        axes = _tiff_axes(series.axes.lower())
        if "S" in series.axes and page.extrasamples and page.extrasamples[-1] in (1, 2):
            array = np.delete(array, -1, series.axes.index("S"))
        bare = not (tif.is_imagej or tif.is_ome)  # those two store a palette for display only
        if palette_colours and bare and page.photometric == 3 and page.colormap is not None:
            array = np.moveaxis((page.colormap >> 8).astype(np.uint8)[:, array], 0, -1)
            axes = (axes or "tzyx"[1 - array.ndim :]) + "s"
        stored = _Stored(array, axes)
        if tif.ome_metadata:
            _add_ome(stored, tif.ome_metadata)
        elif tif.imagej_metadata:
            _add_imagej(stored, tif.imagej_metadata, tif.pages.first)
    return stored


def _cut_off(path: Path, needed: int) -> ImageFileError:
    size = path.stat().st_size
    return ImageFileError(
        f"{path.name} is cut off: it has {size} bytes and refers to byte {needed}.", _DAMAGED
    )


def _check_chain(path: Path) -> None:
    """Refuse a TIFF whose list of pages leaves the file; tifffile would drop the pages."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(16).ljust(16, b"\0")
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        if order is None:
            return
        big = struct.unpack(f"{order}H", header[2:4])[0] == 43
        pointer, number, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
        width = struct.calcsize(pointer)
        (offset,) = struct.unpack(order + pointer, header[width : 2 * width])
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            file.seek(offset)
            raw = file.read(struct.calcsize(number)).ljust(struct.calcsize(number), b"\0")
            body = struct.unpack(order + number, raw)[0] * struct.calcsize(f"={entry}")
            end = offset + len(raw) + body + width
            if end > size:
                raise _cut_off(path, end)
            needed = _end_of_tags(file.read(body), order, entry, pointer)
            if needed > size:
                raise _cut_off(path, needed)
            (offset,) = struct.unpack(order + pointer, file.read(width))


def _end_of_tags(body: bytes, order: str, entry: str, pointer: str) -> int:
    """Last byte that the values of the standard tags of one page need."""
    sizes = {2: 1, 3: 2, 4: 4, 5: 8, 9: 4, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}
    end = 0
    for code, kind, count, value in struct.iter_unpack(order + entry, body):
        length = sizes.get(kind, 1) * count
        if code < 32768 and length > len(value):  # private tags are often wrong, and not needed
            end = max(end, struct.unpack(order + pointer, value)[0] + length)
    return end


def _check_strips(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse a TIFF whose pixels leave the file or are in another; tifffile may fill with 0."""
    if series.dataoffset is not None:
        ends = [series.dataoffset + series.nbytes]
    else:
        pages = list(series)
        missing = sum(page is None for page in pages)
        if missing:
            raise ImageFileError(
                f"{path.name} lacks {missing} of the {len(pages)} planes it describes.",
                "Export all planes into one file.",
            )
        ends = [
            start + count
            for page in pages
            if page is not None
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
    if max(ends, default=0) > path.stat().st_size:
        raise _cut_off(path, max(ends))


def _tiff_axes(axes: str) -> str:
    """Names of the axes; empty where tifffile knows only the shape."""
    if "q" in axes and "s" not in axes:
        return ""
    for unknown in "iq":
        while unknown in axes:
            free = [axis for axis in "zt" if axis not in axes]
            if not free:
                break
            at = axes.rindex(unknown)
            axes = axes[:at] + free[0] + axes[at + 1 :]
    return axes


def _add_length(stored: _Stored, axis: str, size: Any, unit: Any) -> None:
    try:
        number = float(size)
    except (TypeError, ValueError):
        return
    if math.isfinite(number) and number > 0:
        stored.scale[axis] = number
        name = _UNIT_NAMES.get(str(unit).strip().lower())
        if name:
            stored.unit[axis] = name


def _add_ome(stored: _Stored, xml: str) -> None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return
    for axis in "zyx":
        key = f"PhysicalSize{axis.upper()}"
        _add_length(stored, axis, pixels.get(key), pixels.get(f"{key}Unit", "\u00b5m"))
    _add_length(stored, "t", pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    stored.names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))


def _add_imagej(stored: _Stored, metadata: dict[str, Any], page: Any) -> None:
    unit = metadata.get("unit", "")
    if str(unit).lower() not in ("pixel", "pixels"):
        for axis in "yx":
            tag = page.tags.get(f"{axis.upper()}Resolution")
            if tag is not None and tag.value[0]:
                _add_length(stored, axis, tag.value[1] / tag.value[0], unit)
        _add_length(stored, "z", metadata.get("spacing"), unit)
    _add_length(stored, "t", metadata.get("finterval"), metadata.get("tunit", "s"))
    if stored.axes.startswith("c"):
        stored.names = tuple(metadata.get("Labels") or ())
