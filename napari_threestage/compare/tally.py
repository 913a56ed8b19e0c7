"""What one image says of the stages that are compared, each of its files read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_threestage.compare import calibration
from napari_threestage.compare.bootstrap import margins
from napari_threestage.compare.changes import changed, parts, transitions
from napari_threestage.compare.columns import both, pairs
from napari_threestage.compare.places import Place, strongest
from napari_threestage.errors import ProjectError
from napari_threestage.image_statistics import ImageStatistics, read_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.compare.groups import Membership
    from napari_threestage.project import Project


Counts = npt.NDArray[np.int64]
Pair = tuple[str, str]


@dataclass(eq=False)
class Tally:
    """Counts of an image, by the keys of columns.

    Attributes
    ----------
    pixels
        Of the image.
    counts
        Pixels of each class, (C,).
    changed
        From one column to another, how many pixels went from each class (rows) to each, (C, C).
    confidence
        Mean probability of the predicted class, 0..1.
    confusion
        By the truth (rows), (C, C), over the pixels that have a class in the truth and in all
        columns; nothing where no truth judges.
    sure
        Of these pixels the wrong and the right ones by their confidence, see `calibration`.
    place, why
        Where to look, and what is there.
    """

    image: str
    membership: Membership
    pixels: int
    counts: dict[str, Counts] = field(default_factory=dict)
    changed: dict[Pair, Counts] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    confusion: dict[str, Counts] = field(default_factory=dict)
    sure: dict[str, Counts] = field(default_factory=dict)
    place: Place | None = None
    why: str = ""

    def share_changed(self, pair: Pair) -> float:
        """Return the share of the pixels whose class differs between two columns."""
        return share_changed(self.changed[pair])


class Looker:
    """Looks at images, from any thread.

    Parameters
    ----------
    columns
        What is compared.
    baseline
        What the last column is measured against besides, on the images that it has masks of.
    """

    def __init__(
        self, project: Project, columns: Sequence[Column], baseline: Column | None = None
    ) -> None:
        self._project, self._columns, self._baseline = project, columns, baseline
        self._pairs = pairs(columns)
        self._n = len(project.classes)
        self._noted = _noted(columns)

    def has_masks(self, image_id: str) -> bool:
        """Whether there are masks of an image in all columns."""
        return all(
            image_id in self._noted.get(column.key, ()) or column.has_mask(image_id)
            for column in self._columns
        )

    def look(self, image_id: str, membership: Membership) -> Tally:
        """Return what an image says.

        Raises
        ------
        ThreeStageError
            A mask or its labels are missing or damaged.
        """
        noted = {key: found[image_id] for key, found in self._noted.items() if image_id in found}
        if not membership.judges and len(noted) == len(self._columns):
            tally = self._recall(image_id, membership, noted)
            if tally is not None:
                return tally
        return self._read(image_id, membership)

    def _recall(
        self, image_id: str, membership: Membership, noted: Mapping[str, ImageStatistics]
    ) -> Tally | None:
        """Return what the stages noted of an image when they made its masks."""
        last = noted[self._columns[-1].key]
        tally = Tally(image_id, membership, last.pixels)
        for key, one in noted.items():
            tally.counts[key] = _padded(one.counts, self._n)
            tally.confidence[key] = one.confidence
        for a, b in self._pairs:
            if a.stage not in noted[b.key].changed:
                return None
            tally.changed[a.key, b.key] = _padded(noted[b.key].changed[a.stage], self._n)
        self._describe(tally, last.place)
        return tally

    def _read(self, image_id: str, membership: Membership) -> Tally:
        shape = self._project.images[image_id].label_shape
        masks = {column.key: _checked(column, image_id, shape) for column in self._columns}
        tally = Tally(image_id, membership, int(np.prod(shape)))
        for key, mask in masks.items():
            found = (np.bincount(part, minlength=self._n + 1)[1:] for (part,) in parts(mask))
            tally.counts[key] = np.sum(list(found), 0)
        for a, b in self._pairs:
            tally.changed[a.key, b.key] = transitions(masks[a.key], masks[b.key], self._n)
        truth = self._judge(tally, masks) if membership.judges else None
        for column in self._columns:
            self._ask(tally, column, masks[column.key], truth)
        self._locate(tally, masks, truth)
        return tally

    def _judge(self, tally: Tally, masks: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Compare the masks with the truth; return it, 0 where it is not compared."""
        truth, all_masks = self._project.read_labels(tally.image), dict(masks)
        if truth is None:
            return None
        baseline = self._baseline
        if baseline is not None and baseline.has_mask(tally.image):
            all_masks[baseline.key] = _checked(baseline, tally.image, truth.shape)
        for mask in all_masks.values():  # 0 where the class that was found is deleted
            if not mask.all():
                truth = np.where(mask > 0, truth, 0)
        if truth.any():
            tally.confusion = {
                key: transitions(truth, one, self._n) for key, one in all_masks.items()
            }
        return truth

    def _ask(
        self, tally: Tally, column: Column, mask: np.ndarray, truth: np.ndarray | None
    ) -> None:
        """Count how sure a column is, and how rightly."""
        confidence = column.run.read_confidence(column.stage, tally.image)
        tally.confidence[column.key] = float(confidence.mean(dtype=np.float64)) / 255
        if not tally.confusion or truth is None:
            return
        counts = np.zeros((2, calibration.LEVELS), np.int64)
        for true, found, sure in parts(truth, mask, confidence):
            counted = true > 0
            counts += calibration.count((true == found)[counted], sure[counted])
        tally.sure[column.key] = counts

    def _locate(
        self, tally: Tally, masks: Mapping[str, np.ndarray], truth: np.ndarray | None
    ) -> None:
        """Find where to look: at what the last column gets wrong, else at what changed."""
        first, last = (masks[self._columns[place].key] for place in (0, -1))
        if truth is not None and tally.confusion:
            wrong = (truth > 0) & (truth != last)
            if wrong.any():
                tally.place = strongest(wrong)[0]
                share = wrong.sum() / np.count_nonzero(truth)
                title = self._columns[-1].title
                tally.why = f"{title} is wrong on {_percent(float(share))} of the labelled pixels."
                return
        different = changed(first, last)
        self._describe(tally, strongest(different)[0] if different.any() else None)

    def _describe(self, tally: Tally, place: Place | None) -> None:
        """Say how much changed, and where to look if something did."""
        first, last = self._columns[0], self._columns[-1]
        share = tally.share_changed((first.key, last.key)) if first is not last else 0.0
        if share:
            tally.place = place
            tally.why = f"{both(first, last)} differ in {_percent(share)} of the pixels."
        tally.why = " ".join(filter(None, (tally.membership.reason, tally.why)))


def share_changed(table: Counts) -> float:
    """Return the share of the pixels of a table of transitions that changed class."""
    total = int(table.sum())
    return (total - int(np.trace(table))) / total if total else 0.0


def miou(confusion: Counts) -> float | None:
    """Return the mean IoU over the classes that the truth holds."""
    right, truth, mask = margins(confusion)
    held = truth > 0
    return float((right / np.maximum(truth + mask - right, 1))[held].mean()) if held.any() else None


def _noted(columns: Sequence[Column]) -> dict[str, dict[str, ImageStatistics]]:
    """Return what each column noted; nothing where the classes or the runs are not the same."""
    if len({column.run.id for column in columns}) > 1:
        return {}
    if not all(column.same_classes for column in columns):
        return {}
    return {column.key: read_statistics(column.run, column.stage) for column in columns}


def _checked(column: Column, image_id: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask that has the size of its image."""
    mask = column.read_mask(image_id)
    if mask.shape != shape:
        raise ProjectError(
            f"The mask of {image_id} by stage {column.stage} of run {column.run.id} "
            "does not have the size of the image.",
            "Restore a copy.",
        )
    return mask


def _padded(counts: Counts, n_classes: int) -> Counts:
    """Return counts (C, …) of a run for all classes of the project, to which some came later."""
    return np.pad(counts, [(0, n_classes - len(counts))] * counts.ndim)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
