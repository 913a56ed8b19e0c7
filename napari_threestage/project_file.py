"""What ``project.json`` holds: its models, and how it is read and checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    field_validator,
    model_validator,
)

from napari_threestage.errors import ProjectError
from napari_threestage.palette import new_color

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA = 3
MOST_CLASSES = 254
HIGHEST_ID = 65535


class LabelClass(BaseModel):
    """One class.

    Its index is its place in the project's list, from 1.  Its `id` stays the same as long as the
    class lives and is never given to another; label sets on disk hold ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: int = Field(ge=1, le=HIGHEST_ID)
    name: str = Field(min_length=1)
    color: tuple[int, int, int]


class ImageRecord(BaseModel):
    """What ``project.json`` knows of an image, so that listing needs no look at the pixels.

    `pixel` holds the sides of a pixel in metres, y and x; None where they are not known, or where
    an older version has imported the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")  # becomes part of a path
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    split: Literal["train", "validation"] = "train"
    linked: str | None = None
    pixel: tuple[PositiveFloat, PositiveFloat] | None = None

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.axes.index("c")]

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of its label sets: that of the image without channels."""
        return tuple(size for axis, size in zip(self.axes, self.shape, strict=True) if axis != "c")

    @property
    def n_planes(self) -> int:
        """Number of planes over z and t; each is a sample."""
        return int(np.prod(self.label_shape[:-2], dtype=int))


class ProjectFile(BaseModel):
    """The content of ``project.json``.

    Attributes
    ----------
    merged
        What became of the ids of former classes: the id of the class that each was merged into,
        which may be a former one itself, or 0 for a deleted class.
    next_class_id
        Id of the next new class; never less than that of any class there ever was.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA
    name: str
    classes: list[LabelClass]
    merged: dict[int, int] = {}
    next_class_id: int = 1
    channels: list[int] | None = None
    normalisation: Literal["auto", "range", "percentile"] = "auto"
    images: dict[str, ImageRecord] = {}

    @field_validator("images")
    @classmethod
    def _under_their_ids(cls, images: dict[str, ImageRecord]) -> dict[str, ImageRecord]:
        for image_id, record in images.items():
            if record.id != image_id:
                raise ValueError(f"image {record.id} is listed as {image_id}")
        return images

    @model_validator(mode="after")
    def _ids_of_one_class_each(self) -> ProjectFile:
        ids = [entry.id for entry in self.classes]
        if len(set(ids)) < len(ids):
            raise ValueError("two classes have the same id")
        if self.merged.keys() & set(ids):
            raise ValueError("a class is listed as merged")
        self.next_class_id = max(self.next_class_id, 1 + max([0, *ids, *self.merged]))
        return self


def default_classes(names: Sequence[str]) -> list[LabelClass]:
    """Give names ids in order, from 1, and colours that can be told apart."""
    classes: list[LabelClass] = []
    for number, name in enumerate(names, start=1):
        color = new_color(entry.color for entry in classes)
        classes.append(LabelClass(id=number, name=name, color=color))
    return classes


def read_project_file(path: Path) -> ProjectFile:
    """Read and check the ``project.json`` of a folder.

    Raises
    ------
    ProjectError
        The folder is no project, is damaged, or belongs to a newer version of this program.
    """
    file = path / "project.json"
    if not path.is_dir():
        raise ProjectError(f"There is no folder {path}.", f"Make it with: threestage init {path}")
    try:
        content = file.read_text()
    except FileNotFoundError:
        raise ProjectError(
            f"{path} is no project: it has no project.json.", f"Make one: threestage init {path}"
        ) from None
    except OSError as error:
        raise ProjectError(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        content = ""  # which is as damaged
    try:
        raw = json.loads(content)
        if int(raw.get("schema_version", 1)) > SCHEMA:
            raise ProjectError(
                f"Project {path} was made by a newer version of this program "
                f"(schema {raw['schema_version']}, this one knows {SCHEMA}).",
                "Update: pip install --upgrade napari-threestage",
            )
        return ProjectFile.model_validate(_of_this_schema(raw))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ProjectError(
            f"{file} is damaged ({reason}).", "Restore it from a copy of the project."
        ) from error


def _of_this_schema(raw: dict[str, Any]) -> dict[str, Any]:
    """Bring the content of an older version's file up to date.

    In the first version labels were places of classes; before the third nobody noted pixel sizes.
    """
    if int(raw.get("schema_version", 1)) == 1:
        classes = [{"id": number, **entry} for number, entry in enumerate(raw["classes"], start=1)]
        raw = raw | {"classes": classes}
    return raw | {"schema_version": SCHEMA}


def check_classes(classes: Sequence[LabelClass]) -> None:
    """Raise `ProjectError` when there are too few or too many classes, or two of one name."""
    names = [plain_name(entry.name) for entry in classes]
    if len(names) < 2:
        raise ProjectError(
            "A project needs at least two classes.",
            "Background is a class too: --classes background,nucleus",
        )
    if not all(names):
        raise ProjectError("A class has no name.", "Give each class a name.")
    if len(set(names)) < len(names):
        raise ProjectError("Two classes have the same name.", "Give each class a name of its own.")
    if len({entry.id for entry in classes}) < len(names):
        raise ProjectError("Two classes have the same id.", "Give each class an id of its own.")
    if len(names) > MOST_CLASSES:
        raise ProjectError(f"A project can have {MOST_CLASSES} classes at most.")


def plain_name(name: str) -> str:
    """Return what two names of classes must not have in common."""
    return name.strip().casefold()
