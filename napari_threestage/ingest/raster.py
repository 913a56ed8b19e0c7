"""Read PNG, JPEG and BMP files with Pillow, without loss of bits."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.stored import DAMAGED, Stored, check_bomb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
"""Endings of the files that `read_raster` reads."""

_PILLOW = threading.RLock()


def read_raster(path: Path, palette_colours: bool, raw_bits: bool) -> Stored:
    """Read a PNG, JPEG or BMP file; alpha is dropped.

    Parameters
    ----------
    path
        An existing file.
    palette_colours
        Give the colours of a palette file instead of its indices.
    raw_bits
        Give grey values of 2 and 4 bits as stored, not spread over 0..255.

    Returns
    -------
    Stored
        Axes ``yx`` or ``yxs``.

    Raises
    ------
    ImageFileError
        The file holds another format or claims too many pixels; damaged bytes raise what the
        decoder raises.
    """
    try:
        with _pillow_settings(), Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            check_bomb(path, math.prod(image.size), len(image.getbands()))
            image.load()
            array = _pillow_array(path, image, palette_colours, raw_bits)
    except UnidentifiedImageError as exc:
        raise ImageFileError(f"{path.name} holds no PNG, JPEG or BMP image.", DAMAGED) from exc
    return Stored(array, "yx" if array.ndim == 2 else "yxs")


def _pillow_array(
    path: Path, image: Image.Image, palette_colours: bool, raw_bits: bool
) -> np.ndarray:
    bits, kind = _png_bits(path) if image.format == "PNG" else (8, 0)
    if image.format in ("JPEG", "MPO"):
        image = ImageOps.exif_transpose(image)
    if bits == 16 and kind != 0:
        import imagecodecs  # Pillow would cut 16-bit colours to 8 bits.

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


@contextmanager
def _pillow_settings() -> Iterator[None]:
    """Make Pillow fail on cut-off files and leave the size limit to `check_bomb`."""
    with _PILLOW:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
