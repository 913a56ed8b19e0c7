"""Images of another magnification than those of the training, by the size of their pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.pixel_size import in_metres
from napari_threestage.segmenter_info import MOST_MAGNIFIED, is_magnification

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.store import ImageArray

SIMILAR = 0.8, 1.25  # relative sizes of pixels that need no word
SAME = 0.02  # below this, magnifying would only blur


class Magnifier:
    """Finds the segmenter for images whose pixels have their own size.

    Parameters
    ----------
    segmenter
        As it was asked for.
    trained_at
        The side of a pixel of the training images in metres; None: not known.
    match_pixels
        Magnify each image so that its pixels are as large for the network as in training.
    """

    def __init__(self, segmenter: Segmenter, trained_at: float | None, match_pixels: bool) -> None:
        self._asked, self._trained_at, self._match = segmenter, trained_at, match_pixels
        self._by_factor = {segmenter.info.magnify: segmenter}  # each folds its network

    def fit(self, path: Path, image: ImageArray) -> Segmenter:
        """Return the segmenter for an image.

        Raises
        ------
        ImageFileError
            It is to be magnified by the size of its pixels, which is not known or absurd.
        """
        if not self._match:
            return self._asked
        factor = _checked(path, self.relative_pixel(image))
        if factor not in self._by_factor:
            self._by_factor[factor] = self._asked.adjusted(magnify=factor)
        return self._by_factor[factor]

    def differs(self, image: ImageArray) -> bool:
        """Whether an image that is not magnified should perhaps have been."""
        factor = self.relative_pixel(image)
        return factor is not None and not SIMILAR[0] <= factor <= SIMILAR[1]

    def relative_pixel(self, image: ImageArray) -> float | None:
        """Return how many times as large the pixels of an image are as those of the training."""
        side = in_metres(image.scale, image.unit)
        return None if side is None or self._trained_at is None else side / self._trained_at


def _checked(path: Path, factor: float | None) -> float:
    """Return how to magnify an image with pixels of that relative size."""
    if factor is None:
        raise ImageFileError(
            f"{path} does not say how large its pixels are.",
            "Give --magnify a number: 2 where structures are half as large as in the training.",
        )
    if not is_magnification(factor):
        raise ImageFileError(
            f"{path} says that its pixels are {factor:.3g} times as large as in the training.",
            f"Up to {MOST_MAGNIFIED} times is possible; if it is wrong, give --magnify a number.",
        )
    return 1.0 if math.isclose(factor, 1, rel_tol=SAME) else factor
