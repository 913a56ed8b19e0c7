"""Pixels of a viewer's layer as a file for a child process, and the mask that comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ORDER = "tczyx"
ROWS = 1024  # of a plane that are read at a time
NO_CLASS = 255  # in a mask file
CHOICES = {2: ("yx",), 3: ("zyx", "tyx", "cyx"), 4: ("tzyx", "czyx", "tcyx", "zcyx"), 5: ("tczyx",)}
AXIS_NAMES = {"t": "time", "c": "channels", "z": "depth", "y": "y", "x": "x"}


@dataclass(frozen=True)
class LayerPixels:
    """The pixels of a layer.

    Attributes
    ----------
    data
        Anything with a shape and a dtype that gives numpy arrays when it is indexed; the finest
        level of a pyramid.
    axes
        One letter out of ``tczyx`` for each axis, colours being channels.
    """

    data: Any
    axes: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        return tuple(map(int, self.data.shape))

    @property
    def channels(self) -> int:
        """Number of channels; the alpha of colours is none."""
        return self._size("c") - int(self.has_alpha)

    @property
    def has_alpha(self) -> bool:
        """Whether the last of the colours tells how opaque they are."""
        return self.axes.endswith("c") and self._size("c") == 4

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Shape of its mask, axes in the order of `ORDER`."""
        return tuple(self._size(axis) for axis in ORDER if axis in self.axes and axis != "c")

    @property
    def file_axes(self) -> str:
        """Axes of the file that `write_layer` writes."""
        return "".join(axis for axis in ORDER if axis in self.axes)

    @property
    def n_bytes(self) -> int:
        """Bytes of that file."""
        values = math.prod(self.mask_shape) * self.channels
        return values * int(np.dtype(self.data.dtype).itemsize)

    def _size(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def axes_choices(n_axes: int, rgb: bool, labels: Sequence[str] = ()) -> list[str]:
    """Return what the axes of a layer may be, the likeliest first; none for what is no image.

    Parameters
    ----------
    n_axes
        Number of axes of its array, without that of the colours.
    labels
        What the viewer calls them.
    """
    choices = [one for one in CHOICES.get(n_axes, ()) if not (rgb and "c" in one)]
    named = "".join(labels)
    if len(named) == n_axes == len(set(named)) and set(named) <= set(ORDER) and named[-2:] == "yx":
        choices = [named, *(one for one in choices if one != named)]
    return [f"{one}c" for one in choices] if rgb else choices


def say_axes(axes: str) -> str:
    """Return axes in words."""
    return f"{axes} ({', '.join(AXIS_NAMES[axis] for axis in axes)})"


def layer_problem(pixels: LayerPixels, disk: int, memory: int) -> str:
    """Return why a layer cannot be handed over; empty if it can.

    Parameters
    ----------
    disk, memory
        Free bytes where the file is to lie, and of the machine.
    """
    kind = np.dtype(pixels.data.dtype)
    if kind.kind not in "buif":
        return f"Its values are of the type {kind}, which are no pixel values."
    if not math.prod(pixels.shape):
        return "It has no pixels."
    # The child holds the pixels, the window the mask and its confidence.
    for needed, free, where in (
        (pixels.n_bytes, disk, "the folder for temporary files has"),
        (pixels.n_bytes + 4 * math.prod(pixels.mask_shape), memory, "memory has"),
    ):
        if needed > free:
            return (
                f"It needs {needed / 2**30:,.1f} GiB, and {where} {free / 2**30:,.1f} GiB free. "
                "Apply to its file instead: an OME-Zarr is read piece by piece."
            )
    return ""


def write_layer(
    path: Path, pixels: LayerPixels, should_stop: Callable[[], None] = lambda: None
) -> None:
    """Write the pixels as NPY, axes in the order `LayerPixels.file_axes`; a piece at a time.

    Parameters
    ----------
    should_stop
        Called before every piece; raises to end.

    Raises
    ------
    ImageFileError
        They cannot be read or written, or none of them is a number.
    """
    finite = np.dtype(pixels.data.dtype).kind != "f"
    kind = np.dtype(pixels.data.dtype)
    kind = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")
    sizes = {axis: pixels.shape[pixels.axes.index(axis)] for axis in pixels.axes}
    sizes |= {"c": pixels.channels} if "c" in sizes else {}
    try:
        whole = np.lib.format.open_memmap(
            path, "w+", kind, tuple(sizes[axis] for axis in pixels.file_axes)
        )
        # The file as a view with the axes of the layer.
        view = whole.transpose([pixels.file_axes.index(axis) for axis in pixels.axes])
        for place in _pieces(pixels):
            should_stop()
            values = np.asarray(pixels.data[place])
            values = values[..., :3] if pixels.has_alpha else values
            view[place] = values
            finite = finite or bool(np.isfinite(values).any())
        whole.flush()
    except (OSError, ValueError, MemoryError, IndexError) as error:
        raise ImageFileError(f"The layer could not be handed over ({error}).") from error
    if not finite:  # told here, as a command would name the file and not the layer
        raise ImageFileError("The layer has no finite value.")


def _pieces(pixels: LayerPixels) -> Iterator[tuple[Any, ...]]:
    """Yield what takes rows of one plane after the other out of the array."""
    rows_at = pixels.axes.index("y")
    height = pixels.shape[rows_at]
    for place in np.ndindex(*pixels.shape[:rows_at]):
        for top in range(0, height, ROWS):
            yield (*place, slice(top, min(top + ROWS, height)))


def read_mask(path: Path, shape: tuple[int, ...], axes: str) -> np.ndarray:
    """Return the mask in a TIFF file as indices: 0 where there is none, else 1..C.

    Parameters
    ----------
    shape
        `LayerPixels.mask_shape`.
    axes
        Of the layer; its mask has them in the same order, without channels.

    Raises
    ------
    ImageFileError
        The file is damaged, or of another size.
    """
    # 255, the end of the bytes, becomes 0.
    return read_map(path, shape, axes).astype(np.uint8) + np.uint8(1)


def read_map(path: Path, shape: tuple[int, ...], axes: str) -> np.ndarray:
    """Return the values of a TIFF file that goes with a layer; see `read_mask`."""
    import tifffile

    wanted = axes.replace("c", "")
    stored = [axis for axis in ORDER if axis in wanted]
    try:
        values = np.asarray(tifffile.imread(path)).reshape(shape)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageFileError(f"The result {path.name} cannot be read ({error}).") from error
    return values.transpose([stored.index(axis) for axis in wanted])
