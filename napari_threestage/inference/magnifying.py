"""Images of another magnification than those of the training, by the size of their pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.lengths import PixelSize, pixel_size
from napari_threestage.segmenter_info import MOST_MAGNIFIED, is_magnification

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.segmenter_info import SegmenterInfo
    from napari_threestage.store import ImageArray

SIMILAR = 0.8, 1.25  # relative sizes of pixels that need no word
SAME = 0.02  # below this, magnifying would only blur
GIVE_NUMBER = "Give --magnify a number: 2 where structures are half as large as in the training."


def trained_at(info: SegmenterInfo) -> PixelSize | None:
    """Return the size of a pixel of the images that a segmenter has learned from."""
    if info.pixel is not None:
        return PixelSize(*info.pixel)
    return None if info.card is None else pixel_size(info.card.pixel_size, info.card.pixel_unit)


def wanted_magnification(path: Path, image: ImageArray, trained: PixelSize) -> float:
    """Return the factor that makes an image's pixels as large as those of the training.

    Raises
    ------
    ImageFileError
        The image does not say how large they are, their shape differs, or the factor is absurd.
    """
    size = pixel_size(image.scale, image.unit)
    if size is None:
        raise ImageFileError(f"{path} does not say how large its pixels are.", GIVE_NUMBER)
    factor = size.relative(trained)
    if factor is None:
        raise ImageFileError(
            f"The pixels of {path} have another shape than those of the training.",
            "Resample the image, or g" + GIVE_NUMBER[1:],
        )
    if not is_magnification(factor):
        raise ImageFileError(
            f"{path} says that its pixels are {factor:.3g} times as large as in the training.",
            f"Up to {MOST_MAGNIFIED} times is possible; if it is wrong, give --magnify a number.",
        )
    return 1.0 if math.isclose(factor, 1, rel_tol=SAME) else float(f"{factor:.4g}")


def other_pixels(image: ImageArray, trained: PixelSize | None, magnify: float) -> float | None:
    """Return the relative size of an image's pixels if magnifying it does not make up for it."""
    size = pixel_size(image.scale, image.unit)
    if size is None or trained is None:
        return None
    relative = size.side / trained.side
    return None if SIMILAR[0] <= relative / magnify <= SIMILAR[1] else relative
