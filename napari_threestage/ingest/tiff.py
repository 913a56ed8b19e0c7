"""Read TIFF files with tifffile, the metadata of OME and ImageJ included.

Files that are cut off or lack planes are refused: tifffile would fill the gaps or drop the pages.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import weakref
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import zarr_arrays
from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.stored import DAMAGED, Stored, check_bomb
from napari_threestage.lengths import unit_name

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile

TIFF_SUFFIXES = (".tif", ".tiff")
"""Endings of the files that `read_tiff` reads."""

MOST_PIECE = 2**26  # bytes; a TIFF whose strips are larger is read at once


class _OneFile(io.BufferedReader):
    """A file of which tifffile cannot tell that it lies in a folder with others.

    File names inside the metadata of multi-file TIFFs would be opened otherwise.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def read_tiff(path: Path, palette_colours: bool) -> Stored:
    """Read the first series of a TIFF file; alpha is dropped.

    Parameters
    ----------
    path
        An existing file.
    palette_colours
        Give the colours of a palette file instead of its indices.

    Returns
    -------
    Stored
        With pixel sizes and channel names of OME and ImageJ; without axes where the file holds a
        bare array.

    Raises
    ------
    ImageFileError
        The file is cut off, lacks planes, holds none or claims too many pixels; other damage raises
        what the decoder raises.
    """
    import tifffile  # here, so that a window which only lists kinds of files need not wait

    _check_chain(path)
    with _OneFile(io.FileIO(path)) as file, tifffile.TiffFile(file, _multifile=False) as tif:
        if not tif.series:
            raise ImageFileError(f"{path.name} holds no image.", DAMAGED)
        series = tif.series[0]
        page = series.keyframe
        check_bomb(path, math.prod(series.shape), page.dtype.itemsize if page.dtype else 1)
        _check_strips(path, series)
        array = np.asarray(series.asarray())
        axes = _tiff_axes(series.axes.lower())
        if "S" in series.axes and page.extrasamples and page.extrasamples[-1] in (1, 2):
            array = np.delete(array, -1, series.axes.index("S"))
        bare = not (tif.is_imagej or tif.is_ome)  # those two store a palette for display only
        if palette_colours and bare and page.photometric == 3 and page.colormap is not None:
            array = np.moveaxis((page.colormap >> 8).astype(np.uint8)[:, array], 0, -1)
            axes = (axes or "tzyx"[1 - array.ndim :]) + "s"
        stored = Stored(array, axes)
        _add_metadata(stored, tif)
    return stored


def open_tiff(path: Path, large: int) -> Stored | None:
    """Open the first series of a large TIFF file, whose pixels are read when they are asked for.

    Parameters
    ----------
    path
        An existing file.
    large
        Bytes of pixels from which on that is worth it.

    Returns
    -------
    None where it is better read at once: it is small, damaged, has a palette or an alpha channel,
    or is not stored in pieces.
    """
    import tifffile

    with contextlib.ExitStack() as files:
        try:
            file = files.enter_context(_OneFile(io.FileIO(path)))
            tif = files.enter_context(tifffile.TiffFile(file, _multifile=False))
            series = tif.series[0]
            page = series.keyframe
        except Exception:  # reading it at once will say what is wrong
            return None
        plain = not page.extrasamples and page.photometric != 3 and page.dtype is not None
        if not plain or math.prod(series.shape) * series.dtype.itemsize < large:
            return None
        _check_chain(path)
        _check_strips(path, series)
        array = _pieces(path, tif, series)
        if array is None or ("S" in series.axes and "C" in series.axes):
            return None
        stored = Stored(array, _tiff_axes(series.axes.lower()))
        _add_metadata(stored, tif)
        if not isinstance(array, np.memmap):
            weakref.finalize(array, files.pop_all().close)  # its pieces are still to be read
    return stored


def _pieces(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Any:
    """Return an array that reads only the pieces that are asked for; None: there are none."""
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(tif.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape)
    array = zarr_arrays.open_tiff_store(series.aszarr(level=0))  # others are a pyramid's
    return array if math.prod(array.chunks) * array.dtype.itemsize <= MOST_PIECE else None


def _add_metadata(stored: Stored, tif: tifffile.TiffFile) -> None:
    if tif.ome_metadata:
        _add_ome(stored, tif.ome_metadata)
    elif tif.imagej_metadata:
        _add_imagej(stored, tif.imagej_metadata, tif.pages.first)


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


def _cut_off(path: Path, needed: int) -> ImageFileError:
    size = path.stat().st_size
    return ImageFileError(
        f"{path.name} is cut off: it has {size} bytes and refers to byte {needed}.", DAMAGED
    )


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


def _add_ome(stored: Stored, xml: str) -> None:
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


def _add_imagej(stored: Stored, metadata: dict[str, Any], page: Any) -> None:
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


def _add_length(stored: Stored, axis: str, size: Any, unit: Any) -> None:
    try:
        number = float(size)
    except (TypeError, ValueError):
        return
    if math.isfinite(number) and number > 0:
        stored.scale[axis] = number
        name = unit_name(unit)
        if name:
            stored.unit[axis] = name
