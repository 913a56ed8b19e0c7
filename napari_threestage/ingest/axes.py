"""Name the axes of an array: check what the user says, guess what the file leaves out, order them.

Axes are letters out of t, c, z, y and x, and ``s`` for the colour samples of a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from napari_threestage.ingest.stored import Stored

_ORDER = "tczyx"
_FEW = 4  # an axis of at most so many entries is taken for channels
_NAME_AXES = "Name the axes of the file yourself, for example axes='zyx' or axes='yxc'."


def checked_axes(name: str, axes: str, shape: tuple[int, ...]) -> str:
    """Check the axes that the user names for an array of `shape`.

    Parameters
    ----------
    name
        Of the file, for messages.
    axes
        One letter per axis, in any case.
    shape
        Of the array as the file stores it.

    Returns
    -------
    str
        `axes` in lower case.

    Raises
    ------
    ImageFileError
        The number of letters is wrong, or they are not t, c, z, y and x with y and x among them.
    """
    axes = axes.lower()
    if len(axes) != len(shape):
        raise ImageFileError(
            f"{name} has {len(shape)} axes {shape}, but axes={axes!r} names {len(axes)}.",
            "Give one letter per axis.",
        )
    if len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes) <= set(_ORDER):
        raise ImageFileError(
            f"axes={axes!r} for {name} makes no sense.",
            "Use each of t, c, z, y, x at most once; y and x are needed.",
        )
    return axes


def settle_axes(name: str, stored: Stored, *, mask: bool = False) -> None:
    """Guess the axes where the file has none, refuse those that are no image axes.

    Parameters
    ----------
    name
        Of the file, for messages.
    stored
        Gets its axes; axes of length 1 of an array without axes are dropped.
    mask
        Take no axis for channels but a last one of 3 or 4, which holds colours.

    Raises
    ------
    ImageFileError
        The shape does not tell the axes, or the file has others than those known here.
    """
    if not stored.axes:
        stored.array, stored.axes = _guess_axes(name, stored.array, mask=mask)
    known = set(stored.axes) <= set(_ORDER + "s") and len(set(stored.axes)) == len(stored.axes)
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


def canonical(array: np.ndarray, axes: str) -> tuple[np.ndarray, str]:
    """Bring an array into the order t, c, z, y, x.

    Parameters
    ----------
    array, axes
        The array and its axes; colour samples become channels, of each channel if there are any.

    Returns
    -------
    tuple of numpy.ndarray and str
        The contiguous array, which always has a channel axis, and its axes.
    """
    if "s" in axes and "c" in axes:
        array = np.moveaxis(array, axes.index("s"), -1)
        axes = axes.replace("s", "")
        array = np.moveaxis(array, -1, axes.index("c") + 1)
        at = axes.index("c")
        array = array.reshape(*array.shape[:at], -1, *array.shape[at + 2 :])
    axes = axes.replace("s", "c")
    if "c" not in axes:
        array, axes = array[np.newaxis], "c" + axes
    order = [axis for axis in _ORDER if axis in axes]
    array = array.transpose([axes.index(axis) for axis in order])
    return np.ascontiguousarray(array), "".join(order)
