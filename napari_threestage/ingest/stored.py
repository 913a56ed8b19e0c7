"""What the readers of TIFF and of other formats share: their result and the check of its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

DAMAGED = "The file is damaged or not what its ending says: copy or export it again."
"""What to do about a file that cannot be decoded."""

_BOMB_BYTES, _BOMB_RATIO = 8 * 2**30, 500


@dataclass
class Stored:
    """What a file holds; axes in `tczyx` and ``s`` for colour samples, empty if not known."""

    array: np.ndarray
    axes: str = ""
    scale: dict[str, float] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def check_bomb(path: Path, pixels: int, itemsize: int) -> None:
    """Refuse a file that claims far more pixels than its size can hold, before they are decoded.

    Parameters
    ----------
    path
        An existing file.
    pixels, itemsize
        Number of values that the header claims, and bytes of each.

    Raises
    ------
    ImageFileError
        They take many GiB, and hundreds of times the size of the file.
    """
    decoded, held = pixels * itemsize, path.stat().st_size
    if decoded > _BOMB_BYTES and decoded > _BOMB_RATIO * held:
        raise ImageFileError(
            f"{path.name} claims {decoded / 2**30:.0f} GiB of pixels in {held} bytes.",
            "Cut it into smaller files if that is right.",
        )
