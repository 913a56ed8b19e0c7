"""The OME metadata of images and label sets, and the coarser levels that it lists."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
PYRAMID_ABOVE = 2048  # longer sides get coarser levels, for viewers
FEW_CHANNELS = 4  # so many share a chunk
CHANNEL_COLOURS = ("FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF")


def image(
    axes: str,
    levels: Sequence[np.ndarray],
    scale: Mapping[str, float],
    unit: Mapping[str, str],
    channel_names: Sequence[str],
) -> dict[str, Any]:
    """Return the metadata of an image, see `multiscale`; names that do not fit are left out."""
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale(axes, levels, scale, unit)]}
    if "c" in axes and len(channel_names) == levels[0].shape[axes.index("c")]:
        ome["omero"] = omero(channel_names, levels[0], axes)
    return ome


def labels(
    axes: str,
    levels: Sequence[np.ndarray],
    scale: Mapping[str, float],
    unit: Mapping[str, str],
    classes: Sequence[Any],
    prefix: str,
) -> dict[str, Any]:
    """Return the metadata of a label set, see `multiscale` and `image_label`."""
    return {
        "version": "0.5",
        "multiscales": [multiscale(axes, levels, scale, unit, prefix)],
        "image-label": image_label(classes),
    }


def link(ome: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a link with the multiscale `entry`.

    The channels of its source, whose metadata is `ome`, come along where they are valid.
    """
    from yaozarrs import v05

    content = {"version": "0.5", "multiscales": [entry]}
    try:
        v05.Omero.model_validate(ome["omero"])
    except (KeyError, ValueError):
        return content
    return content | {"omero": ome["omero"]}


def read_axes(entry: Mapping[str, Any]) -> tuple[str, dict[str, float], dict[str, str]]:
    """Return axes, scale and units of the full resolution of a multiscale, of others as well."""
    names = [axis["name"] for axis in entry["axes"]]
    transformations = entry["datasets"][0]["coordinateTransformations"]
    scale = dict(zip(names, transformations[0]["scale"], strict=True))
    unit = {axis["name"]: axis["unit"] for axis in entry["axes"] if axis.get("unit")}
    return "".join(names), scale, unit


def array_names(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the arrays of a multiscale; ValueError where one leads out of it."""
    names = [str(dataset["path"]) for dataset in entry["datasets"]]
    for name in names:
        if PurePath(name).anchor or ".." in PurePath(name).parts:
            raise ValueError(f"the array {name} is not in it")
    return names


def read_channel_names(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the channels; one without a name has its number."""
    channels = (ome.get("omero") or {}).get("channels") or []
    return tuple(str(entry.get("label") or number) for number, entry in enumerate(channels))


def multiscale(
    axes: str,
    levels: Sequence[np.ndarray],
    scale: Mapping[str, float],
    unit: Mapping[str, str],
    prefix: str = "",
) -> dict[str, Any]:
    """Return the entry of an image or label set in ``multiscales``.

    Parameters
    ----------
    axes
        Names of the axes of each level.
    levels
        The array and its coarser levels.
    scale, unit
        Size of a pixel of the first level along each axis where known.
    prefix
        What the arrays' paths begin with; their numbers follow.
    """
    return {
        "axes": [_axis(axis, unit) for axis in axes],
        "datasets": [
            _dataset(f"{prefix}{number}", axes, levels[0].shape, level.shape, scale)
            for number, level in enumerate(levels)
        ],
    }


def _axis(axis: str, unit: Mapping[str, str]) -> dict[str, str]:
    entry = {"name": axis, "type": AXIS_TYPES[axis]}
    return entry | {"unit": unit[axis]} if axis in unit else entry


def _dataset(
    path: str,
    axes: str,
    full: tuple[int, ...],
    shape: tuple[int, ...],
    scale: Mapping[str, float],
) -> dict[str, Any]:
    sizes = [
        scale.get(axis, 1.0) * whole / side
        for axis, whole, side in zip(axes, full, shape, strict=True)
    ]
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": sizes}]}


def image_label(classes: Sequence[Any]) -> dict[str, Any]:
    """Return names and colours of classes; 0 is not labelled and transparent."""
    colors = [{"label-value": 0, "rgba": [0, 0, 0, 0]}]
    properties: list[dict[str, Any]] = [{"label-value": 0, "class": "not labelled"}]
    for entry in classes:
        colors.append({"label-value": entry.id, "rgba": [*entry.color, 255]})
        properties.append({"label-value": entry.id, "class": entry.name})
    return {
        "version": "0.5",
        "colors": colors,
        "properties": properties,
        "source": {"image": "../../"},
    }


def validate(path: Path) -> None:
    """Check a store against the OME-Zarr specification; errors as yaozarrs raises them."""
    import yaozarrs

    yaozarrs.validate_zarr_store(path)


def omero(names: Sequence[str], pixels: np.ndarray, axes: str) -> dict[str, Any]:
    """Return names of channels; each must have a colour and a range of values for viewers as well.

    Parameters
    ----------
    names
        One for each channel.
    pixels
        The image, with the axes `axes`.
    """
    channels = []
    for number, name in enumerate(names):
        colour = CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)] if len(names) > 1 else "FFFFFF"
        values = pixels.take(number, axes.index("c"))
        channels.append({"label": name, "color": colour, "active": True, "window": _window(values)})
    return {"channels": channels}


def _window(values: np.ndarray) -> dict[str, float]:
    """Return the range of a channel: bytes are shown as they are, all others as far as they go."""
    if values.dtype == np.uint8:
        low, high = 0.0, 255.0
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1
    return {"min": low, "max": high, "start": low, "end": high}


def pyramid(data: np.ndarray, shrink: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Return the array and, while it is large, coarser ones of half the height and width."""
    levels = [data]
    while max(levels[-1].shape[-2:]) > PYRAMID_ABOVE:
        levels.append(shrink(levels[-1]))
    return levels


def mean_of_four(fine: np.ndarray) -> np.ndarray:
    """Return the means of blocks of two by two pixels."""
    height, width = (max(1, side // 2) for side in fine.shape[-2:])
    blocks = fine[..., : 2 * height, : 2 * width]
    blocks = blocks.reshape(*fine.shape[:-2], height, -1, width, blocks.shape[-1] // width)
    means: np.ndarray = blocks.mean((-3, -1)).astype(fine.dtype)
    return means


def one_of_four(fine: np.ndarray) -> np.ndarray:
    """Return one pixel of each block of two by two: labels have no mean."""
    height, width = (max(1, side // 2) for side in fine.shape[-2:])
    return fine[..., : 2 * height : 2, : 2 * width : 2][..., :height, :width]


def chunk_sides(shape: Sequence[int], axes: str, side: int) -> tuple[int, ...]:
    """Return the sides of chunks of about `side` squared values.

    Few channels share a chunk, for they are read together: a small colour image is one file.
    """
    channels = shape[axes.index("c")] if "c" in axes else 1
    together = channels if channels <= FEW_CHANNELS else 1
    side = side if together == 1 else side // 2
    wanted = {"y": side, "x": side, "c": together}
    return tuple(min(size, wanted.get(axis, 1)) for axis, size in zip(axes, shape, strict=True))
