"""A project for the rows of a group: the training images, of which some keep their masks."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_threestage.benchmark.items import Item, read_indices
from napari_threestage.benchmark.scribbles import scribble
from napari_threestage.errors import ImageFileError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.benchmark.children import Children
    from napari_threestage.benchmark.items import DataSet
    from napari_threestage.benchmark.rows import Group


@dataclass(frozen=True)
class Material:
    """What a group is trained and scored on.

    Attributes
    ----------
    data_set
        Gives the classes and the meaning of the masks.
    images
        All images that are trained on, with and without their masks.
    labelled
        Those that keep their masks.
    scored
        Those that the rows are scored on; none of `images`.
    data_fingerprint
        Of the data set, see `fingerprint.fingerprint`.
    watched
        Those of `scored` that the curves while training are made with.
    """

    data_set: DataSet
    images: Sequence[Item]
    labelled: Sequence[Item]
    scored: Sequence[Item]
    data_fingerprint: str
    watched: Sequence[Item] = ()

    @property
    def labelled_share(self) -> float:
        """Share of the images that keep their masks."""
        return len(self.labelled) / len(self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return what tells projects apart."""
        return {
            "data_fingerprint": self.data_fingerprint,
            "classes": self.data_set.class_names,
            **{
                name: [item.name for item in getattr(self, name)]
                for name in ("images", "labelled", "scored", "watched")
            },
        }


class GroupProject:
    """The project of a group and the files beside it.

    Parameters
    ----------
    folder
        Where all that lies; it may be there already.
    group, material
        What it is made from.
    children
        Run the commands.
    """

    def __init__(self, folder: Path, group: Group, material: Material, children: Children) -> None:
        self.folder, self.group, self.material = folder, group, material
        self._children = children
        self.path = folder / "project"

    def make(self) -> None:
        """Make the project, unless it is complete already."""
        complete, content = self.folder / "complete.json", self.material.to_dict()
        if complete.exists() and json.loads(complete.read_text()) == content:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        material = self.material
        classes = self.folder / "classes.json"
        write_json(classes, list(material.data_set.classes))
        self._children.threestage("init", self.path, "--classes-file", classes)
        masks = self.training_masks()
        train = self._linked("train", material.images, masks)
        self._children.threestage("import", self.path, *train, *self._values(self.mask_values))
        if material.watched:
            watched = self._linked("watched", material.watched)
            validation = ("--split", "validation")
            self._children.threestage("import", self.path, *watched, *self._values(), *validation)
        self._linked("scored", material.scored)
        write_json(complete, content)

    def score(self, run: str, device: str, kinds: str | None = None) -> Any:
        """Return the scores of a run's stages on the images that nothing was trained on.

        Parameters
        ----------
        kinds
            Images of each kind are scored as well, see `compare.kinds.ConfusionsByKind`.

        Raises
        ------
        ImageFileError
            Not all of these images were scored.
        """
        scored = self._folders("scored")
        by_kind = () if kinds is None else (f"--kinds={kinds}",)  # it may begin with a dash
        options = ("--run", run, "--device", device, "--json", *self._values(), *by_kind)
        found = json.loads(self._children.threestage("evaluate", self.path, *scored, *options))
        skipped = found["skipped"]
        if skipped or found["without_mask"]:
            reason = skipped[0]["reason"] if skipped else "it has no mask"
            raise ImageFileError(
                f"{len(skipped) + found['without_mask']} of the images to score were left out, for "
                f"one because {reason}.",
                "Repair these files: methods are compared on all images.",
            )
        return found

    def predict(self, run: str, stage: int, items: Sequence[Item], output: Path) -> None:
        """Write the masks of some of the images that are scored."""
        files = [self.folder / "scored" / "images" / (i.name + i.image.suffix) for i in items]
        options = ("--run", run, "--stage", stage, "--output", output)
        self._children.threestage("predict", self.path, "--images", *files, *options)

    @property
    def mask_values(self) -> str:
        """What the values of `training_masks` mean."""
        return "index" if self.group.labels == "scribbles" else self.material.data_set.mask_values

    def training_masks(self) -> dict[str, Path]:
        """Return the mask file of each labelled image; scribbles are drawn now."""
        labelled = self.material.labelled
        if self.group.labels == "dense":
            return {item.name: item.mask for item in labelled}
        return {item.name: self._scribbled(item) for item in labelled}

    def _scribbled(self, item: Item) -> Path:
        path = self.folder / "scribbles" / f"{item.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            strokes = scribble(read_indices(self.material.data_set, item), self.group.seed)
            Image.fromarray(strokes).save(path)
        return path

    def _values(self, values: str | None = None) -> tuple[str, str]:
        return "--mask-values", values or self.material.data_set.mask_values

    def _folders(self, part: str) -> tuple[object, ...]:
        folder = self.folder / part
        return "--images", folder / "images", "--masks", folder / "masks"

    def _linked(
        self, part: str, items: Sequence[Item], masks: dict[str, Path] | None = None
    ) -> tuple[object, ...]:
        """Make folders with links to images and masks of the same names."""
        if masks is None:
            masks = {item.name: item.mask for item in items}
        for kind in ("images", "masks"):
            (self.folder / part / kind).mkdir(parents=True)
        for item in items:
            _link(self.folder / part / "images" / (item.name + item.image.suffix), item.image)
            mask = masks.get(item.name)
            if mask is not None:
                _link(self.folder / part / "masks" / (item.name + mask.suffix), mask)
        return self._folders(part)


def _link(path: Path, target: Path) -> None:
    """Make a link; a copy where the system has no links."""
    try:
        os.symlink(target.resolve(), path)
    except OSError:
        (shutil.copytree if target.is_dir() else shutil.copy)(target, path)
