"""Ground truth of one image while a person edits it: what changed, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_threestage import journal
from napari_threestage.journal import Block
from napari_threestage.labels import PAINTED, read_stored

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_threestage.classes import ClassTable
    from napari_threestage.project import Project

Box = tuple[slice, ...]

FEW = 32  # classes, of which each can be counted for itself


class TruthEditor:
    """Ground truth of one image in memory.

    A viewer paints into `truth` in place and calls `note` after each stroke.  `note` and all the
    rest of this class belong to one thread.  The blocks that it returns share nothing with the
    editor, so another thread may `journal.append` them and later `journal.fold` them.

    Indices mean the classes that the project had when the editor was made.  When the classes are
    changed, append the last block, fold the journal and make a new editor.

    Parameters
    ----------
    project
        The project; nothing is written to it but a journal that is left from before.
    image_id
        The image.
    writable
        Whether this process holds `Project.editing`; only then such a journal is folded.

    Attributes
    ----------
    truth
        Indices (uint8), 0 = not labelled.
    origin
        Source of each pixel as of the last `note`, 0 = not labelled, k = ``names[k - 1]``.
    names
        The sources.
    ids
        Ids of the classes that the indices mean (C + 1,), 0 first.
    """

    def __init__(self, project: Project, image_id: str, *, writable: bool = True) -> None:
        if writable and journal.entries(project.path, image_id):
            journal.fold(project, image_id)
        stored, table = read_stored(project, image_id), project.class_table
        self.image_id = image_id
        self.truth = table.indices(stored.ids)
        self.origin = np.where(self.truth > 0, stored.origin, stored.origin.dtype.type(0))
        self.names = stored.names
        self.ids, self._next_id = table.ids, table.next_id
        self._saved = self.truth.copy()
        self._loaded, self._loaded_origin = self.truth.copy(), self.origin.copy()
        self._given: dict[int, np.ndarray] = {}  # by source: the value that it last gave each pixel
        self._counts = _count(self.truth, len(self.ids))

    def counts(self) -> np.ndarray:
        """Return the number of pixels (C + 1,) not labelled and of each class, at the last note."""
        return self._counts.copy()

    def adopt(self, table: ClassTable) -> bool:
        """Go on with another class table if all indices that are in use mean the same in it."""
        ids = table.ids
        used = int(np.flatnonzero(self._counts)[-1]) + 1 if self._counts.any() else 1
        common = min(len(ids), len(self.ids))
        back = (ids[common:] < self._next_id).any()  # a former class, which may have pixels
        if back or used > common or ids[:common].tolist() != self.ids[:common].tolist():
            return False
        counts = np.zeros(len(ids), self._counts.dtype)
        counts[:common] = self._counts[:common]
        self.ids, self._next_id, self._counts = ids, table.next_id, counts
        return True

    def note(self, source: str | None, region: Box | None = None) -> Block | None:
        """Take notice of what was painted since the last time.

        A value that is no index of a class is taken back.

        Parameters
        ----------
        source
            What the new pixels come from, e.g. ``painted``; None after an undo or a redo, which
            gives pixels back the source that they had with that value.
        region
            Where something may have changed; everywhere if not given.

        Returns
        -------
        The change within the smallest rectangle, to be appended to the journal by any thread;
        None if nothing changed.
        """
        box = self._changed_box(self._whole(region))
        if box is None:
            return None
        new, old = self.truth[box], self._saved[box]
        wrong = new >= len(self.ids)
        if wrong.any():
            np.copyto(new, old, where=wrong)
            return self.note(source, box)
        changed = new != old
        origin = self._origin_of(box, new, changed, source)
        self._counts += self._histogram(new[changed]) - self._histogram(old[changed])
        self._saved[box] = new
        self.origin = _wide_enough(self.origin, origin.dtype)
        self.origin[box] = origin
        start = tuple(part.start for part in box)
        return Block(start, self.ids[new], origin, self.names, changed)

    def _whole(self, region: Box | None) -> Box:
        """Return a region with a first and a last pixel along each axis."""
        given = region or ()
        parts = (*given, *[slice(None)] * (self.truth.ndim - len(given)))
        ranges = [part.indices(size) for part, size in zip(parts, self.truth.shape, strict=True)]
        return tuple(slice(first, max(first, last)) for first, last, _ in ranges)

    def _changed_box(self, region: Box) -> Box | None:
        """Return the smallest box around what changed in a region; None if nothing did."""
        changed = self.truth[region] != self._saved[region]
        box: list[slice] = []
        for axis, part in enumerate(region):
            others = tuple(other for other in range(changed.ndim) if other != axis)
            places = np.flatnonzero(changed.any(axis=others))
            if not places.size:
                return None
            first, last = int(places[0]), int(places[-1]) + 1
            # Narrowed at once, so that the next axis has less to look at.
            changed = changed[(slice(None),) * axis + (slice(first, last),)]
            box.append(slice(part.start + first, part.start + last))
        return tuple(box)

    def _origin_of(
        self, box: Box, new: np.ndarray, changed: np.ndarray, source: str | None
    ) -> np.ndarray:
        """Return the source of each pixel of a box, and remember what this one gave."""
        number = self._number(PAINTED if source is None else source)
        origin = _wide_enough(self.origin, np.min_scalar_type(len(self.names)))[box].copy()
        np.copyto(origin, origin.dtype.type(number), where=changed)
        if source is None:
            for giver, values in self._given.items():
                given = changed & (values[box] == new)
                np.copyto(origin, origin.dtype.type(giver), where=given)
        else:
            self._remember(number, box, new, changed)
        loaded = changed & (new == self._loaded[box])
        np.copyto(origin, self._loaded_origin[box], where=loaded)
        np.copyto(origin, origin.dtype.type(0), where=changed & (new == 0))
        return origin

    def _number(self, source: str) -> int:
        if source not in self.names:
            self.names = (*self.names, source)
        return self.names.index(source) + 1

    def _remember(self, number: int, box: Box, new: np.ndarray, changed: np.ndarray) -> None:
        """Note that a source gave pixels their values; painting is what is left without a note."""
        for giver, values in self._given.items():
            if giver != number:
                np.copyto(values[box], 0, where=changed & (values[box] == new))
        if self.names[number - 1] != PAINTED:
            given = self._given.setdefault(number, np.zeros_like(self.truth))
            np.copyto(given[box], new, where=changed)

    def _histogram(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(values, minlength=len(self.ids))


def _count(indices: np.ndarray, number: int) -> np.ndarray:
    """Return how many pixels have each index below a number."""
    if number > FEW:
        return np.bincount(indices.ravel(), minlength=number)
    # Some times faster, and does not hold up the other threads.
    return np.array([np.count_nonzero(indices == index) for index in range(number)])


def take_over(
    truth: np.ndarray,
    mask: np.ndarray,
    *,
    classes: Collection[int] | None = None,
    region: np.ndarray | Box | None = None,
    only_unlabelled: bool = True,
    confidence: np.ndarray | None = None,
    at_least: float = 0.0,
) -> np.ndarray:
    """Return which pixels a mask would change if it were written into ground truth.

    Parameters
    ----------
    truth, mask
        Indices of one shape; 0 = not labelled, or nothing to take over.
    classes
        Indices to take over; all if not given.
    region
        Where to take over: an array of bool or slices; everywhere if not given.
    only_unlabelled
        Whether to leave labelled pixels alone.
    confidence, at_least
        How sure the mask is of each pixel (0..255 if integer, else 0..1), and the least share of
        certainty (0..1) to take over.

    Returns
    -------
    Array of bool of the same shape.
    """
    taken: np.ndarray = (mask != 0) & (mask != truth)
    if only_unlabelled:
        taken &= truth == 0
    if classes is not None:
        taken &= np.isin(mask, list(classes))
    if confidence is not None and at_least > 0:
        scale = 255 if np.issubdtype(confidence.dtype, np.integer) else 1
        taken &= confidence >= at_least * scale
    if region is not None:
        inside = np.zeros(truth.shape, bool)
        inside[region] = True
        taken &= inside
    return taken


def _wide_enough(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.astype(np.promote_types(values.dtype, dtype), copy=False)
