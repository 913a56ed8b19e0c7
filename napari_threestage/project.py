"""The project: one folder with images, labels, runs and exports.

``project.json`` lists classes, channels and images; everything else is found from there.  A second
process may read at any time; whoever writes holds a lock (`Project.editing`, `Project.running`).
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_threestage import journal, store
from napari_threestage import labels as label_sets
from napari_threestage.classes import ClassTable
from napari_threestage.errors import ProjectError
from napari_threestage.files import remove_temporaries, safe_name
from napari_threestage.labels import GROUND_TRUTH
from napari_threestage.lengths import pixel_size
from napari_threestage.locks import hold_lock
from napari_threestage.project_file import (
    ImageRecord,
    LabelClass,
    ProjectFile,
    check_classes,
    default_classes,
    read_project_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "GROUND_TRUTH",
    "ImageRecord",
    "LabelClass",
    "Project",
    "content_hash",
    "default_classes",
]


class Project:
    """A project on disk.

    Parameters
    ----------
    path
        The project's folder.

    Raises
    ------
    ProjectError
        The folder is no project, is damaged, or belongs to a newer version of this program.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = read_project_file(self.path)
        self._changing = threading.Lock()
        self._image_locks: dict[str, threading.RLock] = {}

    @classmethod
    def create(
        cls, path: Path, classes: Sequence[LabelClass], channels: Sequence[int] | None = None
    ) -> Project:
        """Make a new project in a folder that is empty or does not exist."""
        path = Path(path)
        if (path / "project.json").exists():
            raise ProjectError(f"{path} is a project already.", "Choose another folder.")
        if path.is_dir() and any(path.iterdir()):
            raise ProjectError(f"{path} is not empty.", "Choose a new or an empty folder.")
        check_classes(classes)
        content = ProjectFile(
            name=path.resolve().name,
            classes=list(classes),
            channels=list(channels) if channels is not None else None,
        )
        try:
            for folder in ("images", "runs", "exports"):
                (path / folder).mkdir(parents=True, exist_ok=True)
            store.write_json(path / "project.json", content.model_dump(mode="json"))
        except OSError as error:
            raise _not_writable(path, error) from error
        return cls(path)

    @property
    def classes(self) -> list[LabelClass]:
        """The classes; the first has index 1."""
        return self._file.classes

    @property
    def class_table(self) -> ClassTable:
        """The classes with what became of former ones."""
        return ClassTable(tuple(self.classes), dict(self._file.merged), self._file.next_class_id)

    def set_class_table(self, table: ClassTable) -> None:
        """Take over a changed table, or one of before to undo changes; `save` makes it permanent.

        Labels stay as they are on disk; arrays of indices that were read before follow the old
        table.
        """
        check_classes(table.classes)
        with self._changing:
            update = {
                "classes": list(table.classes),
                "merged": dict(table.merged),
                # An id that was given once may be in a label set, whatever was undone since.
                "next_class_id": max(table.next_id, self._file.next_class_id),
            }
            self._file = self._file.model_copy(update=update)

    @property
    def images(self) -> Mapping[str, ImageRecord]:
        """The images by id, in the order of import."""
        return self._file.images

    @property
    def n_channels(self) -> int:
        """Number of channels that training and prediction use; 0 without images."""
        if self._file.channels is not None:
            return len(self._file.channels)
        # A grey image fills all channels of the others, whichever was imported first.
        return max((record.channels for record in self.images.values()), default=0)

    @property
    def channels(self) -> list[int] | None:
        """The channels that training and prediction use, None for all."""
        return self._file.channels

    @property
    def normalisation(self) -> str:
        """How pixel values become uint8, see `planes.to_bytes`."""
        return self._file.normalisation

    def reload(self) -> None:
        """Read ``project.json`` again."""
        self._file = read_project_file(self.path)

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Hold the lock of whoever changes images, classes or ground truth.

        A child of the process that holds it may enter too, see `hold_lock`.  What a killed writer
        left is put in order first: its journals become ground truth.
        """
        with hold_lock(self.path / ".edit.lock", f"Project {self.path} is being changed") as own:
            if own:  # only now is nobody writing them
                remove_temporaries(self.path, "project.json")
                remove_temporaries(self.path / "images", ".ome.zarr")
            self.reload()
            if own:
                journal.fold_all(self)
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hold the lock of whoever trains."""
        busy = f"A run of project {self.path} is going on"
        with hold_lock(self.path / ".run.lock", busy, children=False):
            yield

    def save(self) -> None:
        """Write ``project.json``, complete or not at all."""
        with self._changing:
            content = self._file.model_dump(mode="json")
            try:
                store.write_json(self.path / "project.json", content)
            except OSError as error:
                raise _not_writable(self.path, error) from error

    @contextmanager
    def changing_image(self, image_id: str) -> Iterator[None]:
        """Keep the other threads of this process from changing an image and its labels."""
        with self._changing:
            lock = self._image_locks.setdefault(image_id, threading.RLock())
        with lock:
            yield

    def set_channels(self, channels: Sequence[int] | None) -> None:
        """Choose the channels that training and prediction use, None for all."""
        self._file.channels = None if channels is None else list(channels)

    def set_normalisation(self, method: Literal["auto", "range", "percentile"]) -> None:
        """Choose how pixel values become uint8, see `planes.to_bytes`."""
        self._file.normalisation = method

    def set_split(self, image_ids: Sequence[str], split: Literal["train", "validation"]) -> None:
        """Say whether images train or only judge."""
        for image_id in image_ids:
            self._file.images[image_id] = self.images[image_id].model_copy(update={"split": split})

    def put_last(self, image_ids: Sequence[str]) -> None:
        """Put images behind all others, in this order."""
        with self._changing:
            last = {image_id: self._file.images.pop(image_id) for image_id in image_ids}
            self._file.images.update(last)

    def image_path(self, image_id: str) -> Path:
        """Folder of an image's OME-Zarr."""
        return self.path / "images" / f"{image_id}.ome.zarr"

    def add_image(
        self,
        name: str,
        image: store.ImageArray,
        split: Literal["train", "validation"] = "train",
        link: Path | None = None,
    ) -> tuple[ImageRecord, bool]:
        """Store an image and record it; the same pixels under the same name are stored once.

        Several threads may call this at the same time.

        Parameters
        ----------
        link
            An OME-Zarr 0.5 image whose arrays are referred to in place instead of being copied.

        Returns
        -------
        The record, and whether it is new.  `save` makes it permanent.
        """
        digest = content_hash(np.asarray(image.data))
        image_id = self._new_id(name, digest)
        with self.changing_image(image_id):
            if image_id in self.images:
                return self._known_image(image_id, image), False
            return self._store_image(image_id, digest, name, image, split, link), True

    def _known_image(self, image_id: str, image: store.ImageArray) -> ImageRecord:
        """Return a record, with the size of a pixel if nobody has noted it so far."""
        record = self.images[image_id]
        size = pixel_size(image.scale, image.unit)
        if record.pixel is None and size is not None:
            record = record.model_copy(update={"pixel": size})
            with self._changing:
                self._file.images[image_id] = record
        return record

    def _new_id(self, name: str, digest: str) -> str:
        """Return an id that no image with other pixels has."""
        length = 8
        while True:
            image_id = f"{safe_name(name)}-{digest[:length]}"
            known = self.images.get(image_id)
            if known is None or known.sha256 == digest:
                return image_id
            length += 8

    def _store_image(
        self,
        image_id: str,
        digest: str,
        name: str,
        image: store.ImageArray,
        split: Literal["train", "validation"],
        link: Path | None,
    ) -> ImageRecord:
        path = self.image_path(image_id)
        if store.read_attributes(path) is None:
            shutil.rmtree(path, ignore_errors=True)
            attributes = {"name": name, "sha256": digest}
            if link is None:
                store.write_image(path, image, attributes)
            else:
                store.link_image(path, link, attributes)
        record = ImageRecord(
            id=image_id,
            name=name,
            axes=image.axes,
            shape=tuple(image.data.shape),
            dtype=str(image.data.dtype),
            sha256=digest,
            split=split,
            linked=str(link) if link else None,
            pixel=pixel_size(image.scale, image.unit),
        )
        with self._changing:
            self._file.images[image_id] = record
        return record

    def read_image(self, image_id: str) -> store.ImageArray:
        """Open an image; its pixels are read when they are asked for."""
        return store.read_ome_zarr(self.image_path(image_id))

    def write_ground_truth(self, image_id: str, truth: np.ndarray, source: str) -> None:
        """Replace an image's ground truth as a whole, and note where new pixels come from.

        Parameters
        ----------
        truth
            Shape `ImageRecord.label_shape`; 0 = not labelled, 1..C.
        source
            ``imported``, ``painted`` or what was accepted, e.g. ``stage-2 of run …``.
        """
        label_sets.write_ground_truth(self, image_id, truth, source)

    def write_labels(
        self,
        image_id: str,
        name: str,
        labels: np.ndarray,
        attributes: Mapping[str, Any],
        class_ids: Sequence[int] | None = None,
    ) -> None:
        """Replace a label set as a whole; it carries the hash of the image it belongs to.

        Parameters
        ----------
        labels
            Indices, 0 = not labelled.
        class_ids
            Ids of the classes that the indices 1.. mean; those of the present classes if not given.
        """
        label_sets.write_labels(self, image_id, name, labels, attributes, class_ids)

    def read_labels(self, image_id: str, name: str = GROUND_TRUTH) -> np.ndarray | None:
        """Read a label set whole, as indices (uint8); None if there is none.

        Raises
        ------
        ProjectError
            It is damaged or belongs to other pixels.
        """
        ids = label_sets.read_ids(self, image_id, name)
        return None if ids is None else self.class_table.indices(ids)

    def label_attributes(self, image_id: str, name: str = GROUND_TRUTH) -> dict[str, Any] | None:
        """Return what is noted with a label set: pixels by class id, source, time."""
        return label_sets.label_attributes(self, image_id, name)

    def label_counts(self, image_id: str) -> np.ndarray:
        """Return the number of pixels (C + 1,) not labelled and of each class."""
        return label_sets.label_counts(self, image_id)

    def provenance(self, image_id: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return where the ground truth of each pixel comes from, and the names of the sources.

        The array is 0 where nothing is labelled or the source is not known, else k for the k-th
        name.
        """
        stored = label_sets.read_stored(self, image_id)
        labelled = self.class_table.indices(stored.ids) > 0
        return np.where(labelled, stored.origin, stored.origin.dtype.type(0)), stored.names


def content_hash(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _not_writable(path: Path, error: OSError) -> ProjectError:
    return ProjectError(
        f"{path} cannot be written ({error.strerror}).", "Choose a folder that you may write to."
    )
