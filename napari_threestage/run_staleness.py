"""What has changed in a project since a run was made, so that a new one would learn from more.

Pixels are read only of labels that were written again since; the rest follows from what is noted
with them.
"""

from __future__ import annotations

import calendar
import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.errors import ThreeStageError
from napari_threestage.labels import GROUND_TRUTH
from napari_threestage.project import content_hash
from napari_threestage.runs import indices_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

log = logging.getLogger(__name__)

# Runs of older versions do not say when their labels were written. Those that were written so
# shortly before the run are compared all the same: clocks differ, and labels take a while to read.
MARGIN_SECONDS = 3600.0

Noted = dict[str, float | None]


def noted_labels(project: Project) -> Noted:
    """Return when the labels of each labelled image that trains were written; None: not readable.

    Reads no pixel. Give it to `stale_reasons` to look at several runs.
    """
    noted: Noted = {}
    for record in project.images.values():
        if record.split == "train":
            try:
                if project.label_counts(record.id)[1:].any():
                    noted[record.id] = label_time(project, record.id)
            except ThreeStageError as error:
                log.warning("%s", error)
                noted[record.id] = None
    return noted


def label_time(project: Project, image_id: str) -> float:
    """Return when the ground truth of an image was written."""
    attributes = project.label_attributes(image_id, GROUND_TRUTH) or {}
    return float(attributes.get("time", 0.0))


def stale_reasons(project: Project, run: Run, noted: Noted | None = None) -> list[str]:
    """Return a sentence for each kind of thing that has changed since the run was made.

    Parameters
    ----------
    noted
        What `noted_labels` returns, to read it once for several runs.
    """
    noted = noted_labels(project) if noted is None else noted
    return [
        *_label_reasons(project, run, noted),
        *_class_reasons(project, run),
        *_image_reasons(project, run),
        *_input_reasons(project, run),
    ]


def _label_reasons(project: Project, run: Run, noted: Noted) -> list[str]:
    learnt = run.inputs.labels
    train = [i for i in learnt if i in project.images and project.images[i].split == "train"]
    gone = [image_id for image_id in train if image_id not in noted]
    changed = [image_id for image_id in train if _changed(project, run, image_id, noted)]
    return [
        *_images(len(noted.keys() - learnt.keys()), "been labelled"),
        *_labels(len(changed), "changed"),
        *_labels(len(gone), "been removed"),
    ]


def _changed(project: Project, run: Run, image_id: str, noted: Mapping[str, float | None]) -> bool:
    """Whether the labels of an image are others than the run learnt, classes apart."""
    written = noted.get(image_id)
    if written is None or not _written_again(run, image_id, written):
        return False
    try:
        return _differ(project, run, image_id)
    except ThreeStageError as error:
        log.warning("%s", error)
        return False


def _written_again(run: Run, image_id: str, written: float) -> bool:
    known = run.inputs.label_times.get(image_id)
    return written > _made(run) - MARGIN_SECONDS if known is None else written != known


def _differ(project: Project, run: Run, image_id: str) -> bool:
    present, frozen = project.read_labels(image_id), run.read_truth(image_id)
    if present is None:
        return False
    if frozen is not None:
        # Both in the present classes: those that were merged or deleted make no difference.
        return not np.array_equal(
            indices_between(run.class_ids, project.class_table)[frozen], present
        )
    ids = [entry.id for entry in project.classes]
    return content_hash(indices_between(ids, run.class_ids)[present]) != run.inputs.labels[image_id]


def _made(run: Run) -> float:
    """Return when a run was made, which its id says."""
    try:
        return float(calendar.timegm(time.strptime(run.id[:15], "%Y%m%d-%H%M%S")))
    except ValueError:
        return 0.0


def _class_reasons(project: Project, run: Run) -> list[str]:
    table, known = project.class_table, run.class_ids
    present = {entry.id for entry in table.classes}
    reasons = [
        f"Class '{entry.name}' has been added since."
        for entry in table.classes
        if entry.id not in known
    ]
    for class_id, entry in zip(known, run.inputs.classes, strict=True):
        if class_id not in present:
            meaning = table.resolve(class_id)
            fate = f"merged into '{table.get(meaning).name}'" if meaning else "deleted"
            reasons.append(f"Class '{entry['name']}' has been {fate} since.")
    return reasons


def _image_reasons(project: Project, run: Run) -> list[str]:
    """Say what happened to the images that train; a run has masks of those that judged it, too."""
    images, known = project.images, run.inputs.images
    new = [i for i, record in images.items() if record.split == "train" and i not in known]
    stages = run.finished_stages()
    judged = [i for i in new if any(run.has_mask(stage, i) for stage in stages[-1:])]
    gone = [i for i in known if i not in images]
    to_judge = [i for i in known if i in images and images[i].split == "validation"]
    return [
        *_images(len(new) - len(judged), "been added"),
        *_images(len(gone), "been removed"),
        *_images(len(judged), "been moved from validation to training"),
        *_images(len(to_judge), "been moved from training to validation"),
    ]


def _input_reasons(project: Project, run: Run) -> list[str]:
    inputs = run.inputs
    reasons = []
    if (project.channels, project.n_channels) != (inputs.channels, inputs.n_channels):
        reasons.append("The channels have been changed since.")
    if project.normalisation != inputs.normalisation:
        reasons.append("The normalisation has been changed since.")
    return reasons


def _images(count: int, what: str) -> list[str]:
    if not count:
        return []
    return [f"{count:,} image{' has' if count == 1 else 's have'} {what} since."]


def _labels(count: int, what: str) -> list[str]:
    images = f"{count:,} image{'' if count == 1 else 's'}"
    return [f"The labels of {images} have {what} since."] if count else []
