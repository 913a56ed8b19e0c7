"""What all stages of a run say against what is painted, pixel by pixel.

Stages err, mostly along borders and where they are unsure.  So only that counts which each of them
says, the least sure one with `SURE`, where a whole square of `SIDE` pixels fits in, and what lies
`APART` from the borders of what is painted.  Not labelled pixels say nothing against a square: a
stroke that is thinner than it is contradicted by what the stages see around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_threestage import zarr_arrays
from napari_threestage.compare.places import Place
from napari_threestage.errors import ProjectError
from napari_threestage.mask_files.runs import Runs, connect, find_runs, ranges
from napari_threestage.runs import indices_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_threestage.mask_files.runs import Objects
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

# Of the stage that is least sure.  At 0.8 half of the errors that the stages have learnt from are
# lost, because these make them hesitate just there, and the first places of a list are no better
# (docs/label-next.md).
SURE = 0.6
SIDE = 5  # masks are found at a quarter to an eighth of the resolution: borders are off by less
LEAST_PIXELS = 25
# A slip lies within one class or another; around a border that is disputed much of both is painted.
APART = 0.5
BAND = 1024  # rows at a time, the height of a chunk
CODE = 256  # painted * CODE + found; both are below
HALO = SIDE - 1  # pixels beside a window that decide about those in it

Mask = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint16]


class Region(NamedTuple):
    """Touching pixels of one painted class in which all stages find the same other one.

    Attributes
    ----------
    code
        painted * CODE + found, as indices.
    box
        The smallest window that holds them.
    confidence
        0..1, mean over the pixels, of the stage that is least sure of each.
    apart
        1 where one of the two classes is not painted around the region, 0 where each is painted in
        half of its surroundings: 1 - twice the smaller share.
    """

    code: int
    box: Place
    pixels: int
    confidence: float
    apart: float


class Agreement:
    """What all stages of a run find for an image, window by window, in present classes."""

    def __init__(self, project: Project, run: Run, stages: Sequence[int], image_id: str) -> None:
        folders = [run.stage_path(stage) for stage in stages]
        self._image, self._run = image_id, run.id
        self._masks = [folder / "masks" / image_id for folder in folders]
        self._sure = [folder / "confidence" / image_id for folder in folders]
        self._indices = indices_between(run.class_ids, project.class_table)

    def window(self, where: tuple[int | slice, ...]) -> tuple[Mask, Mask]:
        """Return the class that all find, 0 where they differ, and the least confidence, 0..255.

        Raises
        ------
        ProjectError
            A mask is missing or damaged.
        """
        found, sure = self._read(self._masks[0], where), self._read(self._sure[0], where)
        for mask, confidence in zip(self._masks[1:], self._sure[1:], strict=True):
            found[self._read(mask, where) != found] = 0
            np.minimum(sure, self._read(confidence, where), out=sure)
        return self._indices[found], sure

    def _read(self, path: Any, where: tuple[int | slice, ...]) -> Mask:
        try:
            return np.array(zarr_arrays.open_to_read(path)[where], np.uint8)
        except Exception as error:  # zarr and codecs raise many kinds
            raise ProjectError(
                f"A mask of {self._image} in run {self._run} is missing or damaged ({error}).",
                f"Restore a copy of {path}.",
            ) from error


def contradictions(truth: Mask, found: Mask) -> Codes:
    """Return ``painted * CODE + found`` where they contradict each other; 0 elsewhere.

    Parameters
    ----------
    truth
        (H, W), 0 = not labelled.
    found
        What all stages find with confidence, else 0.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    wrong = (truth > 0) & (found > 0) & (truth != found)
    if not wrong.any():
        return np.zeros(truth.shape, np.uint16)
    # Squares in which all find one class and all that is painted is one other class: their
    # middles first, then all of their pixels.  A pixel of two squares has the same code in both.
    painted = maximum_filter(truth, SIDE)
    middle = painted != found
    middle &= minimum_filter(found, SIDE, mode="constant") > 0  # within the image
    middle &= minimum_filter(found, SIDE) == maximum_filter(found, SIDE)
    middle &= minimum_filter(np.where(truth > 0, truth, 255), SIDE) == painted
    codes = np.where(middle, painted * np.uint16(CODE) + found, np.uint16(0))
    return np.where(wrong, maximum_filter(codes, SIDE), np.uint16(0))


def regions(
    truth: Mask, agreement: Agreement, plane: tuple[int, ...], table: npt.NDArray[np.int64]
) -> Iterator[Region]:
    """Give the regions of a plane, read band by band.

    Parameters
    ----------
    truth
        (H, W) of the plane.
    table
        Pixels that are painted (rows) and found with confidence (columns), by index; those of this
        plane are added.
    """
    parts = []
    for top in range(0, len(truth), BAND):
        bottom = min(top + BAND, len(truth))
        if not truth[top:bottom].any():
            continue
        low, high = max(0, top - HALO), min(bottom + HALO, len(truth))
        agreed, sure = agreement.window((*plane, slice(low, high)))
        found = _for_sure(agreed, sure)
        inner = slice(top - low, bottom - low)
        codes = contradictions(truth[low:high], found)[inner]
        _count(truth[top:bottom], found[inner], table)
        runs = find_runs(codes)
        parts.append((runs.row + top, runs.start, runs.stop, runs.value, _sums(sure[inner], runs)))
    if not parts:
        return
    *runs_of_all, sums = (np.concatenate(part) for part in zip(*parts, strict=True))
    objects = connect(Runs(truth.shape, *runs_of_all))
    means = np.bincount(objects.number, sums, len(objects) + 1)[1:] / objects.areas() / 255
    boxes, areas = objects.boxes(), objects.areas()
    for number in np.flatnonzero(areas >= LEAST_PIXELS).tolist():
        top, left, bottom, right = boxes[number].tolist()
        box, code = Place(plane, (top, bottom), (left, right)), int(objects.value[number])
        apart = _apart(objects, number, box, truth)
        if apart >= APART:
            yield Region(code, box, int(areas[number]), float(means[number]), apart)


def pixels_of(
    code: int, box: Place, truth: Mask, agreement: Agreement, window: Place
) -> tuple[np.ndarray, ...]:
    """Return the indices of a region's pixels, as far as they are still painted so.

    With those beside it that all stages find too, however sure: without them a rim of what was
    wrong would be left.

    Parameters
    ----------
    truth
        Of the window, as it is now.
    window
        Around the box, with at least twice `SIDE` pixels of surroundings.
    """
    from scipy.ndimage import binary_dilation

    agreed, sure = agreement.window(window.slices)
    codes = contradictions(truth, _for_sure(agreed, sure))
    objects = connect(find_runs(np.where(codes == code, codes, 0)))
    (top, bottom), (left, right) = box.rows, box.columns
    corner = [window.rows[0], window.columns[0]]
    moved = objects.boxes() + corner * 2
    inside = ((moved[:, :2] >= (top, left)) & (moved[:, 2:] <= (bottom, right))).all(1)
    areas = np.where(inside, objects.areas(), 0)
    if not areas.any():
        return tuple(np.zeros((len(box.plane) + 2, 0), np.intp))
    # Others in the box are regions of their own, as those of a ring around a dot.
    chosen = objects.number == areas.argmax() + 1
    region = objects.runs.paint(chosen, 0, len(codes))
    alike = (agreed == code % CODE) & (truth == code // CODE)
    around = np.ones((3, 3), bool)
    rows, columns = np.nonzero(binary_dilation(region, around, iterations=SIDE, mask=alike))
    plane = (np.full(len(rows), index, np.intp) for index in box.plane)
    return (*plane, rows + corner[0], columns + corner[1])


def _apart(objects: Objects, number: int, box: Place, truth: Mask) -> float:
    """Return what `Region` says of the object of a number, which counts from 0."""
    from scipy.ndimage import maximum_filter

    low, high = max(0, box.rows[0] - SIDE), min(len(truth), box.rows[1] + SIDE)
    columns = slice(max(0, box.columns[0] - SIDE), box.columns[1] + SIDE)
    inside = objects.runs.paint(objects.number == number + 1, low, high)[:, columns]
    beside = truth[low:high, columns][maximum_filter(inside, 2 * SIDE + 1) & ~inside]
    painted_and_found = divmod(int(objects.value[number]), CODE)
    fewer = min(np.count_nonzero(beside == index) for index in painted_and_found)
    return float(1 - 2 * fewer / max(1, beside.size))


def _for_sure(agreed: Mask, sure: Mask) -> Mask:
    return np.where(sure >= SURE * 255, agreed, np.uint8(0))


def _count(truth: Mask, found: Mask, table: npt.NDArray[np.int64]) -> None:
    both = (truth > 0) & (found > 0)
    size = len(table)
    pairs = truth[both].astype(np.int64) * size + found[both]
    table += np.bincount(pairs, minlength=size * size).reshape(size, size)


def _sums(values: Mask, runs: Runs) -> npt.NDArray[np.float64]:
    """Return the sum of the values of each run."""
    lengths = runs.length
    begin = runs.row * np.int64(values.shape[1]) + runs.start
    inside = values.ravel()[ranges(begin, lengths)].astype(np.float64)
    ends = np.cumsum(np.append(0.0, inside))
    behind = np.cumsum(lengths)
    return np.asarray(ends[behind] - ends[behind - lengths])
