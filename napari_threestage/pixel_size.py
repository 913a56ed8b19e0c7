"""How large a pixel is: of the images of a training, and whether others have the same size."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, TypeVar

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.store import ImageArray

T = TypeVar("T", float, str)

LOOKED_AT = 100  # images whose metadata are compared: more would take long and say the same
ALIKE = 0.01  # files round their sizes in different ways
METRES = {
    "angstrom": 1e-10,
    "picometer": 1e-12,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "meter": 1.0,
    "inch": 0.0254,
}


def images_of_run(project: Project, run: Run) -> list[ImageArray]:
    """Return images of the run as they lie on disk; those that are gone or damaged are left out."""
    known = [image_id for image_id in run.inputs.images if image_id in project.images]
    found = []
    for image_id in known[:LOOKED_AT]:
        with contextlib.suppress(ImageFileError, OSError):
            found.append(project.read_image(image_id))
    return found


def agreed(images: Sequence[ImageArray]) -> tuple[dict[str, float], dict[str, str]]:
    """Return size and unit of a pixel along y and x, where they are the same for all images."""
    units = [_in_plane(one.unit) for one in images]
    sizes = [_in_plane(one.scale) for one in images]
    if not units or not units[0] or any(one != units[0] for one in units):
        return {}, {}  # without a unit, 1 means nothing
    return (sizes[0] if all(_alike(one, sizes[0]) for one in sizes) else {}), units[0]


def in_metres(size: Mapping[str, float], unit: Mapping[str, str]) -> float | None:
    """Return the side of a pixel, the geometric mean of y and x; None where it is not known."""
    if not {"y", "x"} <= size.keys() & unit.keys():
        return None
    sides = [size[axis] * METRES.get(unit[axis].lower(), math.nan) for axis in "yx"]
    side = math.sqrt(max(math.prod(sides), 0.0))
    return side if 0 < side < math.inf else None


def in_words(metres: float) -> str:
    """Return a length as people write it, such as ``0.325 µm``."""
    name, one = next(
        ((name, one) for name, one in (("mm", 1e-3), ("µm", 1e-6)) if metres >= one / 10),
        ("nm", 1e-9),
    )
    return f"{metres / one:.3g} {name}"


def _in_plane(values: Mapping[str, T]) -> dict[str, T]:
    return {axis: values[axis] for axis in "yx" if axis in values}


def _alike(sizes: Mapping[str, float], others: Mapping[str, float]) -> bool:
    return sizes.keys() == others.keys() and all(
        math.isclose(sizes[axis], others[axis], rel_tol=ALIKE) for axis in sizes
    )
