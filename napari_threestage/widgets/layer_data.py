"""What layers are made of: arrays, places, colours and names, as napari takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.compare.change_map import Named
    from napari_threestage.store import ImageArray
    from napari_threestage.widgets.content import ImageContent


def class_colormap(classes: Sequence[Named]) -> DirectLabelColormap:
    """Return the colours of the classes; everything else is transparent."""
    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    for index, entry in enumerate(classes, start=1):
        colours[index] = np.array([*entry.color, 255], np.float32) / 255
    return DirectLabelColormap(color_dict=colours)


def class_features(classes: Sequence[Named]) -> dict[str, Sequence[Any]]:
    """Return the names that napari shows for a label in its status bar and tooltip."""
    names = ["not labelled", *(entry.name for entry in classes)]
    return {"index": range(len(names)), "class": names}


def kind_of(content: ImageContent) -> list[str]:
    """Return what two images have in common that can be shown by the same layers."""
    pixels = content.pixels
    kind = [str(pixels.levels[0].dtype), str(pixels.rgb)]
    return [*kind, str(len(pixels.limits)), str(len(pixels.levels) > 1)]


def channels_of(content: ImageContent) -> list[Any]:
    """Return what each image layer shows: arrays without channels, or levels."""
    pixels = content.pixels
    if pixels.rgb:
        return [pixels.levels[0]]
    place = pixels.array.axes.index("c")
    layers: list[Any] = []
    for number in range(pixels.array.data.shape[place]):
        levels = [Channel(level, place, number) for level in pixels.levels]
        layers.append(levels if len(levels) > 1 else levels[0].whole())
    return layers


class Channel:
    """One channel of an array that is read as far as it is asked for."""

    def __init__(self, array: Any, place: int, number: int) -> None:
        self._array, self._place, self._number = array, place, number
        self.shape = tuple(side for at, side in enumerate(array.shape) if at != place)
        self.dtype, self.ndim = array.dtype, array.ndim - 1
        self.size = int(np.prod(self.shape, dtype=np.int64))  # napari takes no array without it

    def whole(self) -> Any:
        """Return the channel of an array in memory, without a copy; of others as it is."""
        if isinstance(self._array, np.ndarray):
            return self._array.take(self._number, self._place)
        return self

    def __getitem__(self, key: Any) -> np.ndarray:
        key = list(key) if isinstance(key, tuple) else [key]
        key += [slice(None)] * (self.ndim - len(key))
        key.insert(self._place, self._number)
        return np.asarray(self._array[tuple(key)])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[()], dtype)


def replace_values(layer: Any, values: np.ndarray) -> None:
    """Show other values in a layer that owns its array.

    Other data make napari look at all layers anew and compile its shaders; other values in the same
    array do not.
    """
    if layer.data.shape == values.shape and layer.data.dtype == values.dtype:
        if layer.data is not values:
            layer.data[...] = values
        layer.refresh(extent=False)
    else:
        layer.data = values.copy()


def rescale(layer: Any, array: ImageArray) -> None:
    """Set the pixel size of a layer where it is another: napari then draws the layer anew."""
    scale = placed(array)["scale"]
    if tuple(layer.scale) != tuple(scale):
        layer.scale = scale


def placed(array: ImageArray) -> dict[str, Any]:
    """Return pixel size and axis names for layers without a channel axis."""
    axes = array.axes.replace("c", "")
    return {"scale": [array.scale.get(axis, 1.0) for axis in axes], "axis_labels": tuple(axes)}
