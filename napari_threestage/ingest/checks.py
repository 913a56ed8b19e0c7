"""What has to fit: the channels of images to each other, and masks to their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from napari_threestage.store import ImageArray

MOST_CHANNELS = 3  # taken without asking


def count_channels(image: ImageArray) -> int:
    """Return the number of channels of an image."""
    return int(image.data.shape[image.axes.index("c")])


def refuse_many_channels(path: Path, image: ImageArray) -> None:
    """Raise `ImageFileError` when an image has more channels than are taken without asking."""
    count = count_channels(image)
    if count > MOST_CHANNELS:
        raise ImageFileError(
            f"{path.name} has {count} channels, and it is not said which to use"
            f"{_listed(image.channel_names)}.",
            "Choose some with --channels, e.g. --channels 0,1,2.",
        )


def _listed(names: Sequence[str]) -> str:
    """Return the names of channels with their numbers, if they say more than the numbers."""
    if all(name == f"channel {number}" for number, name in enumerate(names, start=1)):
        return ""
    return f" ({', '.join(f'{number} is {name}' for number, name in enumerate(names))})"


def check_channels(
    path: Path, image: ImageArray, expected: int, wanted: Sequence[int] | None
) -> None:
    """Raise `ImageFileError` when the channels of an image do not fit.

    Parameters
    ----------
    expected
        Number of channels of the other images; 0 for any.
    wanted
        The channels that the project uses, None for all.
    """
    count = count_channels(image)
    if wanted is not None:
        if count > 1 and max(wanted) >= count:
            raise ImageFileError(
                f"{path.name} has {count} channels, the project uses channel {max(wanted)}.",
                "Channels are numbered from 0; choose others with --channels.",
            )
        return
    if expected == 1 and count <= MOST_CHANNELS:
        return  # grey images fill all channels of colour images
    if expected and count not in (1, expected):
        raise ImageFileError(
            f"{path.name} has {count} channels, the other images have {expected}.",
            "Choose the channels of all images with --channels, e.g. --channels 0.",
        )


def pixel_shape(image: ImageArray) -> tuple[int, ...]:
    """Return the shape of an image without its channels, which its mask has to have."""
    return tuple(
        size for axis, size in zip(image.axes, image.data.shape, strict=True) if axis != "c"
    )


def say_shape(shape: Sequence[int]) -> str:
    """Return a shape as people say it, the width first."""
    return " x ".join(map(str, reversed(shape)))


def check_mask_size(
    image_path: Path, image: ImageArray, mask_path: Path, truth: np.ndarray
) -> None:
    """Raise `ImageFileError` when a mask has not the size of its image."""
    shapes = (truth.shape, pixel_shape(image))
    squeezed = [tuple(n for n in shape if n > 1) for shape in shapes]
    if squeezed[0] != squeezed[1]:
        sizes = [say_shape(shape) for shape in shapes]
        raise ImageFileError(
            f"Mask {mask_path.name} has {sizes[0]} pixels, its image {image_path.name} {sizes[1]}.",
            "A mask has to have the size of its image.",
        )
