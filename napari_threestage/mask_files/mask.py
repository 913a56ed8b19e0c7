"""One mask on its way into files: its pixels, classes, planes and what is known of their size."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_threestage.palette import Color

SOFTWARE = "threestage"  # in every file that we write and may therefore replace
UNLABELLED = 255  # in the formats that hold indices 0..C-1


class MaskClass(NamedTuple):
    """A class as a mask names it; its `id`, from 1, is its place."""

    id: int
    name: str
    color: Color


class Plane(NamedTuple):
    """One plane of a mask.

    Attributes
    ----------
    name
        That of the mask, with the place in its stack where there are several.
    place
        Index along each axis of the stack, e.g. ``{"z": 3}``; empty where the plane is all.
    labels
        Class ids (y, x), 0 = not labelled.
    """

    name: str
    place: dict[str, int]
    labels: np.ndarray


@dataclass(frozen=True)
class Mask:
    """A mask and what is known about it.

    Attributes
    ----------
    name
        Of the files, without an ending.
    labels
        Class ids with the axes `axes`, a subset of ``tzyx`` in that order; 0 = not labelled.
    scale, unit
        Size of a pixel along each axis, only where it is known.
    source
        Name of the image's file, empty where there is none.
    """

    name: str
    labels: np.ndarray
    axes: str
    scale: Mapping[str, float] = field(default_factory=dict)
    unit: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def planes(self) -> Iterator[Plane]:
        """Give the planes, z within t."""
        stack = self.labels.shape[:-2]
        names = plane_names(self.name, self.labels.shape, self.axes)
        for name, index in zip(names, np.ndindex(*stack), strict=True):
            place = dict(zip(self.axes, index, strict=False))
            yield Plane(name, place, self.labels[index])


def checked_mask(
    name: str,
    labels: np.ndarray,
    axes: str,
    scale: Mapping[str, float],
    unit: Mapping[str, str],
    source: str,
    n_classes: int,
) -> Mask:
    """Return a mask; ValueError for what only a bug of ours can bring here."""
    if labels.dtype.kind != "u" or labels.ndim != len(axes):
        raise ValueError(f"labels {labels.dtype} {labels.shape} with the axes {axes!r}")
    if not re.fullmatch("t?z?yx", axes):
        raise ValueError(f"axes {axes!r}")
    highest = int(labels.max(initial=0))
    if highest > n_classes:
        raise ValueError(f"class {highest} of {n_classes}")
    # Stores say 1 without a unit where nobody knows.
    known = {axis: size for axis, size in scale.items() if size != 1 or unit.get(axis)}
    kept = {
        axis: size
        for axis, size in known.items()
        if axis in axes and math.isfinite(size) and size > 0
    }
    return Mask(name, labels, axes, kept, {a: u for a, u in unit.items() if a in kept}, source)


def plane_names(name: str, shape: Sequence[int], axes: str) -> list[str]:
    """Return a name for each plane: ``name_z003_t001``, or ``name`` alone where there is one."""
    stack = shape[:-2]
    if np.prod(stack, dtype=int) == 1:
        return [name]
    digits = [max(3, len(str(size - 1))) for size in stack]
    parts = list(zip(axes, digits, strict=False))
    return [
        name
        + "".join(
            f"_{axis}{number:0{width}d}"
            for (axis, width), number in reversed(list(zip(parts, index, strict=True)))
        )
        for index in np.ndindex(*stack)
    ]


def plane_area(mask: Mask) -> tuple[float, str] | None:
    """Return the area of a pixel and its unit, such as ``micrometer^2``; None if not known."""
    return _extent(mask, "yx")


def voxel_volume(mask: Mask) -> tuple[float, str] | None:
    """Return the volume of a voxel and its unit; None if not known."""
    return _extent(mask, "zyx")


def _extent(mask: Mask, axes: str) -> tuple[float, str] | None:
    units = {mask.unit.get(axis, "") for axis in axes}
    if len(units) > 1 or not set(axes) <= set(mask.scale):
        return None
    (unit,) = units
    size = float(np.prod([mask.scale[axis] for axis in axes]))
    return size, f"{unit}^{len(axes)}" if unit else ""
