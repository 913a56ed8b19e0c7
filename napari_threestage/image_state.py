"""How far the labelling of each image is, and which images to list."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from napari_threestage.errors import ProjectError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path
    from typing import Any

    from napari_threestage.project import Project

State = Literal["unlabelled", "part", "labelled"]
Filter = Literal["all", "unlabelled", "part", "labelled", "reviewed", "not reviewed"]
Sort = Literal["import", "name", "state", "labelled pixels"]

_PROGRESS: tuple[State, ...] = ("unlabelled", "part", "labelled")


@dataclass(frozen=True)
class ImageState:
    """What a list shows of an image.

    Attributes
    ----------
    shape
        Shape of its label sets.
    pixels
        Number of pixels (C + 1) not labelled and of each class.
    reviewed
        Whether a person marked it as done.
    """

    id: str
    name: str
    split: str
    shape: tuple[int, ...]
    pixels: tuple[int, ...]
    reviewed: bool

    @property
    def labelled_pixels(self) -> int:
        """Number of labelled pixels."""
        return sum(self.pixels[1:])

    @property
    def state(self) -> State:
        """``unlabelled``, ``part`` or ``labelled``; the last when no pixel is left."""
        if not self.labelled_pixels:
            return "unlabelled"
        return "part" if self.pixels[0] else "labelled"


def image_state(
    project: Project, image_id: str, reviewed: Collection[str] | None = None
) -> ImageState:
    """Return the state of an image without reading its pixels.

    Parameters
    ----------
    reviewed
        What `read_reviewed` returns, to read it once for many images.

    Raises
    ------
    ProjectError
        Its label set is damaged or belongs to other pixels.
    """
    record = project.images[image_id]
    marks = read_reviewed(project) if reviewed is None else reviewed
    return ImageState(
        id=image_id,
        name=record.name,
        split=record.split,
        shape=record.label_shape,
        pixels=tuple(int(count) for count in project.label_counts(image_id)),
        reviewed=image_id in marks,
    )


def read_reviewed(project: Project) -> dict[str, float]:
    """Return the ids of the images that a person marked as done, and when.

    Raises
    ------
    ProjectError
        The file with the marks is damaged.
    """
    file = _file(project)
    try:
        content = json.loads(file.read_text())
        return {str(image_id): float(when) for image_id, when in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ProjectError(
            f"{file} cannot be read ({error}).",
            "It only says which images are reviewed: restore a copy, or remove it.",
        ) from error


def set_reviewed(project: Project, images: str | Iterable[str], reviewed: bool) -> dict[str, float]:
    """Mark images as done, or take the marks away; return all marks, which are on disk now.

    Parameters
    ----------
    images
        Id of an image, or those of several.

    Raises
    ------
    ProjectError
        The file with the marks is damaged or cannot be written.
    """
    marks = read_reviewed(project)
    for image_id in [images] if isinstance(images, str) else images:
        marks.pop(image_id, None)
        if reviewed:
            marks[image_id] = time.time()
    try:
        write_json(_file(project), marks)
    except OSError as error:
        raise ProjectError(
            f"{_file(project)} cannot be written ({error.strerror}).",
            "Free some space, or repair the rights of the folder.",
        ) from error
    return marks


def select(
    states: Iterable[ImageState], text: str = "", state: Filter = "all", sort: Sort = "import"
) -> list[str]:
    """Return the ids of the images to list, in order.

    Parameters
    ----------
    states
        All images, in the order of import.
    text
        Part of the name, in upper or lower case.
    state
        Which to list.
    sort
        ``import``; ``name``, numbers in names by their value; ``state``, unlabelled first; or
        ``labelled pixels``, most first.
    """
    wanted = text.strip().casefold()
    found = [one for one in states if wanted in one.name.casefold() and _passes(one, state)]
    if sort != "import":
        keys: dict[str, Callable[[ImageState], Any]] = {
            "name": lambda one: natural_key(one.name),
            "state": lambda one: _PROGRESS.index(one.state),
            "labelled pixels": lambda one: -one.labelled_pixels,
        }
        found.sort(key=keys[sort])
    return [one.id for one in found]


@lru_cache(2**16)
def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts names as people do: ``image 2`` before ``image 10``."""
    parts = re.split(r"([0-9]+)", name.casefold())
    made = ((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)
    return tuple(made)


def _passes(one: ImageState, state: Filter) -> bool:
    if state in ("reviewed", "not reviewed"):
        return one.reviewed == (state == "reviewed")
    return state in ("all", one.state)


def _file(project: Project) -> Path:
    return project.path / "review.json"
