"""Mirror images of a tile, whose predictions are averaged with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from napari_threestage.config import InferenceConfig


class Mirror(NamedTuple):
    """How a mirror image is made: flip these axes, then swap rows and columns or not."""

    axes: tuple[int, ...]
    transposed: bool

    def make(self, images: Tensor) -> Tensor:
        """Return the mirror image."""
        images = images.flip(self.axes)
        return images.mT if self.transposed else images

    def unmake(self, logits: Tensor) -> Tensor:
        """Return what was made of the mirror image as it is for the image."""
        return (logits.mT if self.transposed else logits).flip(self.axes)


def mirrors_of(config: InferenceConfig) -> list[Mirror]:
    """Return the mirror images that are averaged with the image."""
    columns, rows = [(), (-1,)][: 1 + config.flips], [(), (-2,)][: 1 + config.flips_vertical]
    swaps = [False, True][: 1 + config.transpose]
    return [Mirror((*a, *b), swap) for swap in swaps for b in rows for a in columns][1:]
