"""How large a pixel is: of the images of a training, and whether others have the same size."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.lengths import pixel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.store import ImageArray

LOOKED_AT = 100  # images whose metadata are compared: more would take long and say the same
ALIKE = 0.01  # files round their sizes in different ways


def images_of_run(project: Project, run: Run) -> list[ImageArray]:
    """Return images of the run as they lie on disk; those that are gone or damaged are left out."""
    known = [image_id for image_id in run.inputs.images if image_id in project.images]
    found = []
    for image_id in known[:LOOKED_AT]:
        with contextlib.suppress(ImageFileError, OSError):
            found.append(project.read_image(image_id))
    return found


def pixel_of_run(project: Project, run: Run) -> list[float] | None:
    """Return the sides of a pixel of the images in metres, y and x, if they all say the same."""
    size = pixel_size(*agreed(images_of_run(project, run)))
    return None if size is None else [*size]


def agreed(images: Sequence[ImageArray]) -> tuple[dict[str, float], dict[str, str]]:
    """Return size and unit of a pixel along y and x, where they are the same for all images."""
    if not images or not all(_alike(images[0], one) for one in images):
        return {}, {}
    first = images[0]
    units = {axis: first.unit[axis] for axis in "yx" if axis in first.unit}
    sizes = {axis: first.scale[axis] for axis in "yx" if axis in first.scale}
    return (sizes, units) if units else ({}, {})  # without a unit, 1 means nothing


def _alike(first: ImageArray, other: ImageArray) -> bool:
    """Whether pixels have the same size: a known one, or the same numbers and units."""
    sizes = [pixel_size(image.scale, image.unit) for image in (first, other)]
    if sizes[0] is None or sizes[1] is None:
        told = [
            [(axis, image.scale.get(axis), image.unit.get(axis)) for axis in "yx"]
            for image in (first, other)
        ]
        return told[0] == told[1]
    return all(math.isclose(*sides, rel_tol=ALIKE) for sides in zip(*sizes, strict=True))
