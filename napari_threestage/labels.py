"""Label sets of a project: class ids on disk, indices everywhere else.

On disk a pixel holds the id of its class (`LabelClass.id`), in memory its index: 0 = not labelled,
1..C by the present order of the classes.  Ground truth has a second array beside it, its
provenance: where the label of each pixel comes from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import store
from napari_threestage.errors import ImageFileError, ProjectError
from napari_threestage.files import remove_temporaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

GROUND_TRUTH = "ground_truth"
IMPORTED = "imported"
PAINTED = "painted"
DENSE = 0.9  # above this labelled share an image counts as labelled whole


@dataclass(frozen=True)
class StoredTruth:
    """Ground truth as it lies on disk.

    Attributes
    ----------
    ids
        Id of the class of each pixel, 0 = not labelled.
    origin
        Source of each pixel: 0 = not known or not labelled, k = ``names[k - 1]``.
    names
        The sources.
    """

    ids: np.ndarray
    origin: np.ndarray
    names: tuple[str, ...]


def is_labelled_in_part(labelled: int, pixels: int) -> bool:
    """Whether so many labelled pixels of all are too few for a whole mask."""
    return labelled <= DENSE * pixels


def label_attributes(project: Project, image_id: str, name: str) -> dict[str, Any] | None:
    """Return what is noted with a label set, see `Project.label_attributes`."""
    attributes = store.read_attributes(project.image_path(image_id) / "labels" / name)
    if attributes and attributes.get("image_sha256") != project.images[image_id].sha256:
        raise ProjectError(
            f"The label set {name} of {image_id} belongs to other pixels.",
            "Somebody moved or replaced files in images/; put them back.",
        )
    return attributes


def label_counts(project: Project, image_id: str) -> np.ndarray:
    """Return pixels per index, see `Project.label_counts`."""
    attributes = label_attributes(project, image_id, GROUND_TRUTH)
    table = project.class_table
    counts = np.zeros(len(table.classes) + 1, np.int64)
    if attributes is None:
        counts[0] = int(np.prod(project.images[image_id].label_shape))
    else:
        pixels = np.asarray(attributes["pixels"], np.int64)
        np.add.at(counts, table.indices(np.arange(len(pixels))), pixels)
    return counts


def read_ids(project: Project, image_id: str, name: str = GROUND_TRUTH) -> np.ndarray | None:
    """Read a label set as it lies on disk; None if there is none."""
    if label_attributes(project, image_id, name) is None:
        return None
    return store.read_labels(project.image_path(image_id), name)


def read_stored(project: Project, image_id: str) -> StoredTruth:
    """Read ground truth and its provenance; all 0 where there is none."""
    shape = project.images[image_id].label_shape
    ids = read_ids(project, image_id)
    path = project.image_path(image_id) / "provenance"
    if ids is None or not store.has_map(path / "0"):
        origin, names = np.zeros(shape, np.uint8), ()
    else:
        origin = store.read_map(path / "0")
        names = tuple((store.read_attributes(path) or {}).get("sources", []))
    return StoredTruth(np.zeros(shape, np.uint8) if ids is None else ids, origin, names)


def write_labels(
    project: Project,
    image_id: str,
    name: str,
    labels: np.ndarray,
    attributes: Mapping[str, Any],
    class_ids: Sequence[int] | None = None,
) -> None:
    """Replace a label set as a whole, see `Project.write_labels`."""
    ids = project.class_table.ids if class_ids is None else np.array([0, *class_ids])
    ids = ids.astype(np.min_scalar_type(ids.max()))
    _publish(project, image_id, name, ids[labels], ids.tolist(), attributes)


def publish_mask(project: Project, run: Run, stage: int, image_id: str, mask: np.ndarray) -> None:
    """Show a stage's pseudo-mask as a label set of its image; those of baselines are not shown."""
    if not run.is_baseline:
        origin = {"run": run.id, "stage": stage}
        write_labels(project, image_id, f"stage-{stage}", mask, origin, run.class_ids)


def mask_names(project: Project, image_id: str) -> list[str]:
    """Return the names of an image's label sets that `publish_mask` made."""
    names = store.label_sets(project.image_path(image_id))
    return [name for name in names if name != GROUND_TRUTH]


def remove_labels(project: Project, image_id: str, name: str) -> None:
    """Remove a label set as a whole."""
    store.remove_labels(project.image_path(image_id), name)


def write_ground_truth(project: Project, image_id: str, truth: np.ndarray, source: str) -> None:
    """Replace ground truth as a whole, see `Project.write_ground_truth`."""
    record = project.images[image_id]
    if truth.shape != record.label_shape:
        raise ImageFileError(
            f"The mask of {record.name} is {_size(truth.shape)} pixels, "
            f"the image {_size(record.label_shape)}.",
            "A mask has to have the size of its image.",
        )
    with project.changing_image(image_id):
        old, table = read_stored(project, image_id), project.class_table
        same = table.indices(old.ids) == truth
        names, (number,) = number_names(old.names, (source,))
        kind = np.min_scalar_type(len(names)).type
        origin = np.where(same, old.origin, np.where(truth > 0, kind(number), kind(0)))
        # What did not change keeps its id, so that undoing a merge or a deletion brings it back.
        ids = np.where(same, old.ids, table.ids[truth])
        write_stored(project, image_id, StoredTruth(ids, origin, names), source)


def write_stored(project: Project, image_id: str, stored: StoredTruth, source: str) -> None:
    """Replace ground truth and its provenance as wholes.

    Whoever calls this holds `Project.changing_image`.
    """
    path = project.image_path(image_id) / "provenance"
    # The names first: with them a killed writer leaves no number without a name.
    store.write_group_attributes(path, {"sources": list(stored.names)})
    remove_temporaries(path, "")
    store.write_map(path / "0", stored.origin, project.images[image_id].axes.replace("c", ""))
    counts = np.bincount(stored.ids.ravel())
    attributes = {"pixels": counts.tolist(), "source": source}
    held = np.flatnonzero(counts).tolist()
    _publish(project, image_id, GROUND_TRUTH, stored.ids, held, attributes)


def number_names(
    known: tuple[str, ...], names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the known names with the new ones behind them, and the number of each of `names`."""
    every = tuple(dict.fromkeys((*known, *names)))
    return every, tuple(every.index(name) + 1 for name in names)


def _publish(
    project: Project,
    image_id: str,
    name: str,
    ids: np.ndarray,
    held: Sequence[int],
    attributes: Mapping[str, Any],
) -> None:
    sha = project.images[image_id].sha256
    entries = {"image_sha256": sha, "time": time.time(), **attributes}
    classes = project.class_table.named(held)
    store.publish_labels(project.image_path(image_id), name, ids, classes, entries)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in reversed(shape))
