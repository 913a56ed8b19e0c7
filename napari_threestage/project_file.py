"""What ``project.json`` holds: its models, and how it is read and checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_threestage.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA = 1
PALETTE = (
    (70, 110, 180),
    (240, 140, 40),
    (60, 160, 80),
    (210, 60, 70),
    (150, 100, 190),
    (140, 90, 70),
    (230, 120, 190),
    (190, 190, 60),
    (40, 180, 190),
    (130, 130, 130),
)


class LabelClass(BaseModel):
    """One class; its index is its place in the project's list, from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1)
    color: tuple[int, int, int]


class ImageRecord(BaseModel):
    """What ``project.json`` knows of an image, so that listing needs no look at the pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")  # becomes part of a path
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    split: Literal["train", "validation"] = "train"
    linked: str | None = None

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
    """The content of ``project.json``."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA
    name: str
    classes: list[LabelClass]
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


def default_classes(names: Sequence[str]) -> list[LabelClass]:
    """Give names the colours of a palette that colour-blind people can tell apart."""
    return [
        LabelClass(name=name, color=PALETTE[index % len(PALETTE)])
        for index, name in enumerate(names)
    ]


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
        if int(raw.get("schema_version", SCHEMA)) > SCHEMA:
            raise ProjectError(
                f"Project {path} was made by a newer version of this program "
                f"(schema {raw['schema_version']}, this one knows {SCHEMA}).",
                "Update: pip install --upgrade napari-threestage",
            )
        return ProjectFile.model_validate(raw)
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ProjectError(
            f"{file} is damaged ({reason}).", "Restore it from a copy of the project."
        ) from error


def check_classes(classes: Sequence[LabelClass]) -> None:
    """Raise `ProjectError` when there are too few or too many classes, or two of one name."""
    names = [entry.name for entry in classes]
    if len(names) < 2:
        raise ProjectError(
            "A project needs at least two classes.",
            "Background is a class too: --classes background,nucleus",
        )
    if len(set(names)) < len(names):
        raise ProjectError("Two classes have the same name.", "Give each class a name of its own.")
    if len(names) > 254:
        raise ProjectError("A project can have 254 classes at most.")
