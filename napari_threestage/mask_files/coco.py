"""Masks as COCO: one annotation for each object in run lengths, and the panoptic format."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.errors import ImageFileError
from napari_threestage.mask_files.format import Format
from napari_threestage.mask_files.mask import SOFTWARE, plane_names
from napari_threestage.mask_files.png_file import is_our_png, write_png
from napari_threestage.mask_files.runs import Objects, connect, find_runs
from napari_threestage.mask_files.text_file import GrowingFile, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_threestage.mask_files.mask import Mask, MaskClass, Plane

ANNOTATIONS, PANOPTIC = "annotations.json", "panoptic.json"
_INFO = json.dumps({"description": "masks", "contributor": SOFTWARE})
_HEAD = f'{{"info": {_INFO},'
_MOST_SEGMENTS = 2**24 - 1  # as many as red, green and blue can number
_ROWS = 256


class CocoFormat(Format):
    """Two files for the folder, and a picture of segments for each plane."""

    common = (ANNOTATIONS, PANOPTIC)

    def __init__(self, folder: Path, classes: Sequence[MaskClass]) -> None:
        super().__init__(folder, classes)
        self._images: list[dict[str, Any]] = []
        self._annotated = 0

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the pictures of segments of an image."""
        names = plane_names(name, shape, axes)
        return [self.folder / "panoptic" / f"{plane}.png" for plane in names]

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a file."""
        return is_ours(path, _HEAD) if path.suffix == ".json" else is_our_png(path)

    def write(self, mask: Mask) -> None:
        """Write the pictures of segments, and note the annotations for `finish`."""
        (self.folder / "panoptic").mkdir(exist_ok=True)
        if not self._files:
            self._open()
        before = len(self._images), self._annotated
        try:
            with contextlib.ExitStack() as stack:
                for file in self._files:
                    stack.enter_context(file.whole())
                for plane in mask.planes():
                    self._add(mask, plane)
        except BaseException:
            del self._images[before[0] :]
            self._annotated = before[1]
            raise

    def finish(self) -> list[Path]:
        """Write both files."""
        if not self._files:
            self._open()
        images = f'\n],\n"images": {json.dumps(self._images)}}}\n'
        return [file.finish(images) for file in self._files]

    def _open(self) -> None:
        for name in self.common:
            extra = {"isthing": 1} if name == PANOPTIC else {}
            categories = [
                {"id": one.id, "name": one.name, "supercategory": "", "color": one.color, **extra}
                for one in self.classes
            ]
            listed = json.dumps(categories)
            head = f'{_HEAD}\n"licenses": [],\n"categories": {listed},\n"annotations": ['
            self._files.append(GrowingFile(self.folder / name, head))

    def _add(self, mask: Mask, plane: Plane) -> None:
        """Write the picture of a plane and add it to both files."""
        objects = connect(find_runs(plane.labels))
        if len(objects) > _MOST_SEGMENTS:
            raise ImageFileError(
                f"{plane.name} has {len(objects)} objects; COCO can number {_MOST_SEGMENTS}.",
                "Choose another format.",
            )
        height, width = plane.labels.shape
        write_png(self.folder / "panoptic" / f"{plane.name}.png", (height, width), _ids(objects))
        image = _image(mask, plane, len(self._images) + 1)
        annotations, panoptic = self._files
        texts = self._annotations(objects, plane.labels, image["id"])
        for number, text in enumerate(texts, start=self._annotated):
            annotations.append(",\n" if number else "\n", text)
        separator = ",\n" if self._images else "\n"
        panoptic.append(separator, _segments(objects, plane.name, image["id"]))
        self._images.append(image)
        self._annotated += len(objects)

    def _annotations(self, objects: Objects, labels: np.ndarray, image: int) -> Iterator[str]:
        counts = _run_lengths(objects, labels)
        rows = zip(counts, objects.value, objects.areas(), _boxes(objects), strict=True)
        for number, (lengths, value, area, box) in enumerate(rows, start=1):
            yield json.dumps(
                {
                    "id": self._annotated + number,
                    "image_id": image,
                    "category_id": int(value),
                    "segmentation": {"counts": lengths, "size": list(labels.shape)},
                    "area": int(area),
                    "bbox": box,
                    "iscrowd": 0,
                    "segment": number,
                },
                separators=(",", ":"),
            )


def _image(mask: Mask, plane: Plane, number: int) -> dict[str, Any]:
    """Return the entry of a plane; one that is all of its image has the name of its file."""
    height, width = plane.labels.shape
    name = f"{plane.name}.png" if plane.place and plane.name != mask.name else ""
    return {
        "id": number,
        "file_name": name or mask.source or f"{mask.name}.png",
        "width": width,
        "height": height,
        **plane.place,
    }


def _segments(objects: Objects, name: str, image: int) -> str:
    """Return what the panoptic file says of a plane."""
    rows = zip(objects.value, objects.areas(), _boxes(objects), strict=True)
    segments = [
        {"id": number, "category_id": int(value), "area": int(area), "bbox": box, "iscrowd": 0}
        for number, (value, area, box) in enumerate(rows, start=1)
    ]
    entry = {"image_id": image, "file_name": f"{name}.png", "segments_info": segments}
    return json.dumps(entry, separators=(",", ":"))


def _boxes(objects: Objects) -> Iterator[list[int]]:
    """Give x, y, width and height of each object."""
    for top, left, bottom, right in objects.boxes().tolist():
        yield [left, top, right - left, bottom - top]


def _ids(objects: Objects) -> Iterator[np.ndarray]:
    """Give the rows of the picture whose red, green and blue number the objects."""
    height = objects.runs.shape[0]
    numbers = objects.number.astype(np.uint32)
    for top in range(0, height, _ROWS):
        ids = objects.runs.paint(numbers, top, min(top + _ROWS, height))
        yield np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)


def _run_lengths(objects: Objects, labels: np.ndarray) -> Iterator[list[int]]:
    """Give the run lengths of each object down the columns: beside it, in it, beside it, …."""
    columns = find_runs(labels.T)  # one lies within one object, as its pixels touch
    number = objects.number[objects.runs.index_at(columns.start, columns.row)]
    order = np.argsort(number, kind="stable")
    number = number[order]
    start = (columns.row * np.int64(len(labels)) + columns.start)[order]
    stop = start + columns.length[order]
    # Runs that go on at the top of the next column are one: readers expect no length 0 inside.
    goes_on = (number[1:] == number[:-1]) & (start[1:] == stop[:-1])
    start, number = (one[np.append(True, ~goes_on)[: len(one)]] for one in (start, number))
    stop = stop[np.append(~goes_on, True)[: len(stop)]]
    ends = np.searchsorted(number, np.arange(1, len(objects) + 2)).tolist()
    for first, last in itertools.pairwise(ends):
        places = np.zeros(2 * (last - first) + 1, np.int64)
        places[1::2], places[2::2] = start[first:last], stop[first:last]
        rest = labels.size - int(places[-1])
        yield [*np.diff(places).tolist(), *([rest] if rest else [])]
