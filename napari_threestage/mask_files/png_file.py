"""PNG files row by row, so that a mask of any size needs no second copy in memory."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from napari_threestage.files import beside
from napari_threestage.mask_files.mask import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_threestage.palette import Color

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOTE = b"Software\0" + SOFTWARE.encode()
_INDEXED, _COLOURS = 3, 2
_CHUNK = 2**20


def write_png(
    path: Path, size: tuple[int, int], bands: Iterable[np.ndarray], palette: Sequence[Color] = ()
) -> None:
    """Write an 8-bit PNG file that is complete or absent.

    Parameters
    ----------
    size
        Height and width.
    bands
        The rows from the top, as many at a time as one likes: uint8 (rows, x) with a palette,
        (rows, x, 3) without.
    palette
        Colours of the indices.
    """
    temporary = beside(path)
    height, width = size
    kind = _INDEXED if palette else _COLOURS
    try:
        with temporary.open("wb") as file:
            file.write(_SIGNATURE)
            _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
            _write_chunk(file, b"tEXt", _NOTE)
            if palette:
                _write_chunk(file, b"PLTE", np.array(palette, np.uint8).tobytes())
            _write_pixels(file, bands)
            _write_chunk(file, b"IEND", b"")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_our_png(path: Path) -> bool:
    """Whether `write_png` wrote a file."""
    try:
        with path.open("rb") as file:
            if file.read(8) != _SIGNATURE:
                return False
            while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
                length = struct.unpack(">I", head[:4])[0]
                if head[4:] == b"tEXt" and file.read(min(length, 100)) == _NOTE:
                    return True
                file.seek(length + 4 if head[4:] != b"tEXt" else max(length - 100, 0) + 4, 1)
    except OSError:
        pass
    return False


def _write_pixels(file: BinaryIO, bands: Iterable[np.ndarray]) -> None:
    packer = zlib.compressobj(4)
    waiting = bytearray()
    for band in bands:
        rows = band.reshape(len(band), -1)
        # Each row begins with the number of its filter, 0 for none.
        waiting += packer.compress(np.pad(rows, ((0, 0), (1, 0))).data)
        if len(waiting) >= _CHUNK:
            _write_chunk(file, b"IDAT", waiting)
            waiting.clear()
    waiting += packer.flush()
    _write_chunk(file, b"IDAT", waiting)


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes | bytearray) -> None:
    file.write(struct.pack(">I", len(content)) + kind)
    file.write(content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
