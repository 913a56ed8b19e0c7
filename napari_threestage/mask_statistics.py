"""What masks hold in numbers: pixels of each class, and size and shape of each object.

Objects are pixels of one class that touch, at corners too; in a stack with several z they reach
through it.  Sizes and places are found for objects of any size with little memory, measures of
shape only for those that fit into a box of `LARGEST_BOX` pixels, as they need many copies of it.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.mask_files.mask import (
    MaskClass,
    checked_mask,
    plane_area,
    voxel_volume,
)
from napari_threestage.mask_files.runs import connect, find_runs
from napari_threestage.mask_files.text_file import GrowingFile, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_threestage.mask_files.mask import Mask
    from napari_threestage.mask_files.runs import Objects

LARGEST_BOX = 2**22

CLASS_COLUMNS = ("image", "z", "t", "class", "pixels", "share", "area", "unit")
_BOX_COLUMNS = ("min_z", "min_y", "min_x", "max_z", "max_y", "max_x")
_CENTROID_COLUMNS = ("centroid_z", "centroid_y", "centroid_x")
_SHAPE_COLUMNS = {
    "perimeter": "perimeter",
    "eccentricity": "eccentricity",
    "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length",
    "orientation": "orientation",
    "solidity": "solidity",
    "extent": "extent",
    "equivalent_diameter": "equivalent_diameter_area",
}
"""Our columns, and what scikit-image calls them."""
OBJECT_COLUMNS = (
    *("image", "z", "t", "class", "object", "pixels", "area", "unit"),
    *(*_BOX_COLUMNS, *_CENTROID_COLUMNS, *_SHAPE_COLUMNS),
)
# A convex hull of a flat body fails, and an ellipse is no ellipsoid.
_ALSO_IN_3D = ("axis_major_length", "axis_minor_length", "extent", "equivalent_diameter")

Row = dict[str, Any]


def measure(
    name: str,
    labels: np.ndarray,
    axes: str,
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    scale: Mapping[str, float],
    unit: Mapping[str, str],
) -> tuple[list[Row], list[Row]]:
    """Return the rows of ``classes.csv`` and of ``objects.csv`` for a mask.

    Parameters
    ----------
    name
        Of the image.
    labels, axes, classes, scale, unit
        See `mask_files.MaskFolder`.
    """
    entries = [MaskClass(place, *one) for place, one in enumerate(classes, start=1)]
    mask = checked_mask(name, labels, axes, scale, unit, "", len(entries))
    return list(class_rows(mask, entries)), list(object_rows(mask, entries))


def class_rows(mask: Mask, classes: Sequence[MaskClass]) -> Iterator[Row]:
    """Give a row for each plane and class, those without a pixel as well."""
    size = plane_area(mask)
    for plane in mask.planes():
        counts = _counts(plane.labels, len(classes))
        labelled = int(counts[1:].sum())
        for entry in classes:
            pixels = int(counts[entry.id])
            yield {
                "image": mask.name,
                "z": plane.place.get("z"),
                "t": plane.place.get("t"),
                "class": entry.name,
                "pixels": pixels,
                "share": pixels / labelled if labelled else None,
                "area": pixels * size[0] if size else None,
                "unit": size[1] if size else None,
            }


def object_rows(mask: Mask, classes: Sequence[MaskClass]) -> Iterator[Row]:
    """Give a row for each object, in the order of their first pixels in their plane or stack."""
    for place, labels in _stacks(mask):
        size = plane_area(mask) if labels.ndim == 2 else voxel_volume(mask)
        objects = connect(find_runs(labels))
        shapes = _shapes(objects)
        rows = zip(objects.value, objects.areas(), _places(objects), shapes, strict=True)
        for number, (value, pixels, box, shape) in enumerate(rows, start=1):
            yield {
                "image": mask.name,
                "z": place.get("z"),
                "t": place.get("t"),
                "class": classes[value - 1].name,
                "object": number,
                "pixels": int(pixels),
                "area": int(pixels) * size[0] if size else None,
                "unit": size[1] if size else None,
                **box,
                **shape,
            }


class StatisticsFiles:
    """``classes.csv`` and ``objects.csv`` of a folder, which grow image by image.

    Parameters
    ----------
    folder
        Where to; it exists when the first mask is added.
    classes
        In order.
    """

    def __init__(self, folder: Path, classes: Sequence[MaskClass]) -> None:
        self.paths = [folder / "classes.csv", folder / "objects.csv"]
        self._classes = classes
        self._files: list[GrowingFile] = []

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a file."""
        return is_ours(path, self._head(path))

    def add(self, mask: Mask) -> None:
        """Measure a mask; it is in both files or in none."""
        if not self._files:
            self._files = [GrowingFile(path, self._head(path)) for path in self.paths]
        by_class, by_object = self._files
        with by_class.whole(), by_object.whole():
            by_class.append(*_lines(class_rows(mask, self._classes), CLASS_COLUMNS))
            for line in _lines(object_rows(mask, self._classes), OBJECT_COLUMNS):
                by_object.append(line)

    def finish(self) -> list[Path]:
        """Give the files their names and return them."""
        return [file.finish() for file in self._files]

    def discard(self) -> None:
        """Remove what was not finished."""
        for file in self._files:
            file.discard()

    def _head(self, path: Path) -> str:
        columns = CLASS_COLUMNS if path.name == "classes.csv" else OBJECT_COLUMNS
        return ",".join(columns) + "\r\n"


def _lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """Give rows as lines of CSV; what is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([_short(row.get(column)) for column in columns])
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def _short(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def _counts(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the pixels of each value 0..C of a plane."""
    counts = np.zeros(n_classes + 1, np.int64)
    for rows in np.array_split(labels, max(1, labels.size // 2**22)):
        counts += np.bincount(rows.ravel(), minlength=n_classes + 1)
    return counts


def _stacks(mask: Mask) -> Iterator[tuple[dict[str, int], np.ndarray]]:
    """Give the parts of a mask in which objects hold together, and their places in it."""
    if "z" not in mask.axes or mask.labels.shape[-3] == 1:
        for plane in mask.planes():
            yield plane.place, plane.labels
    elif mask.axes == "zyx":
        yield {}, mask.labels
    else:
        for t, labels in enumerate(mask.labels):
            yield {"t": t}, labels


def _places(objects: Objects) -> Iterator[Row]:
    """Give box and centroid of each object; the box ends with the last pixel inside."""
    n = len(objects.runs.shape)
    for box, centroid in zip(objects.boxes().tolist(), objects.centroids().tolist(), strict=True):
        places = dict(zip(_BOX_COLUMNS[3 - n : 3], box[:n], strict=True))
        places |= {name: end - 1 for name, end in zip(_BOX_COLUMNS[-n:], box[n:], strict=True)}
        yield places | dict(zip(_CENTROID_COLUMNS[-n:], centroid, strict=True))


def _shapes(objects: Objects) -> Iterator[Row]:
    """Give the measures of shape of each object; none for one whose box is too large.

    Small objects, of which masks with many objects are full, often have the same pixels: what was
    measured once is remembered.
    """
    known: dict[tuple[tuple[int, ...], bytes], Row] = {}
    order = np.argsort(objects.number, kind="stable")
    heads = np.searchsorted(objects.number[order], np.arange(1, len(objects) + 2))
    for number, box in enumerate(objects.boxes()):
        n = len(box) // 2
        sides = tuple((box[n:] - box[:n]).tolist())
        if np.prod(sides) > LARGEST_BOX:
            yield {}
            continue
        image = _cut_out(objects, order[heads[number] : heads[number + 1]], box[:n], sides)
        if image.size > 256:
            yield _measure_shape(image)
            continue
        key = sides, image.tobytes()
        if key not in known:
            known[key] = _measure_shape(image)
        yield known[key]


def _cut_out(
    objects: Objects, chosen: np.ndarray, corner: np.ndarray, sides: tuple[int, ...]
) -> np.ndarray:
    """Return the pixels of an object, given by its runs, as 0 and 1 in its box."""
    runs, height = objects.runs, objects.runs.shape[-2]
    row = runs.row[chosen] % height - corner[-2]
    if len(sides) == 3:
        row += (runs.row[chosen] // height - corner[0]) * sides[1]
    edges = np.zeros((int(np.prod(sides[:-1])), sides[-1] + 1), np.int8)
    edges[row, runs.start[chosen] - corner[-1]] += 1
    edges[row, runs.stop[chosen] - corner[-1]] -= 1
    filled: np.ndarray = edges.cumsum(1, dtype=np.int8)[:, :-1].reshape(sides)
    return filled


def _measure_shape(image: np.ndarray) -> Row:
    from skimage.measure import regionprops

    columns = _SHAPE_COLUMNS if image.ndim == 2 else _ALSO_IN_3D
    # Not regionprops_table, which would measure the only region twice.
    (region,) = regionprops(image)
    with np.errstate(all="ignore"):  # NaN where a shape has no such measure
        values = {column: float(region[_SHAPE_COLUMNS[column]]) for column in columns}
    return {column: value for column, value in values.items() if np.isfinite(value)}
