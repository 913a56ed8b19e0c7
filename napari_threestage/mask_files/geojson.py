"""Masks as GeoJSON that QuPath opens: one annotation for each object, along its pixels' edges."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.mask_files.format import Format
from napari_threestage.mask_files.mask import SOFTWARE
from napari_threestage.mask_files.outlines import polygons
from napari_threestage.mask_files.runs import connect, find_runs
from napari_threestage.mask_files.text_file import GrowingFile, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_threestage.mask_files.mask import Mask, MaskClass, Plane

MOST_OBJECTS = 10_000
"""Planes with more objects have one annotation a class: QuPath becomes slow with so many."""

_HEAD = f'{{"type": "FeatureCollection", "software": "{SOFTWARE}", "features": ['


class GeoJsonFormat(Format):
    """One file an image; each annotation says in which plane it lies."""

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the file of an image."""
        return [self.folder / f"{name}.geojson"]

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a file."""
        return is_ours(path, _HEAD)

    def write(self, mask: Mask) -> None:
        """Write the file."""
        file = GrowingFile(self.folder / f"{mask.name}.geojson", _HEAD)
        try:
            before = "\n"
            for plane in mask.planes():
                for text in _features(plane, self.classes):
                    file.append(before, text)
                    before = ",\n"
            file.finish("\n]}\n")
        finally:
            file.discard()


def _features(plane: Plane, classes: Sequence[MaskClass]) -> Iterator[str]:
    """Give the annotations of a plane, each as soon as all its parts are outlined."""
    runs = find_runs(plane.labels)
    objects, parts = connect(runs), connect(runs, corners=False)
    first = np.unique(parts.number, return_index=True)[1]
    if len(objects) > MOST_OBJECTS:
        owners, values = parts.value, np.arange(len(classes) + 1)
    else:
        owners, values = objects.number[first], np.append(0, objects.value)
    waiting = np.bincount(owners, minlength=len(values))
    shapes: dict[int, list[str]] = {}
    for part, rings in polygons(parts):
        owner = int(owners[part - 1])
        shapes.setdefault(owner, []).append(_json(rings))  # a text needs far less memory
        waiting[owner] -= 1
        if not waiting[owner]:
            yield _feature(shapes.pop(owner), classes[values[owner] - 1], plane.place)


def _feature(shapes: list[str], entry: MaskClass, place: dict[str, int]) -> str:
    """Return an annotation as QuPath writes them; `shapes` are the coordinates of polygons."""
    kind = "Polygon" if len(shapes) == 1 else "MultiPolygon"
    coordinates = shapes[0] if len(shapes) == 1 else f"[{','.join(shapes)}]"
    # c -1: it belongs to all channels
    where = {"c": -1, "z": place.get("z", 0), "t": place.get("t", 0)}
    plane = f',"plane":{_json(where)}' if place else ""
    properties = {
        "objectType": "annotation",
        "classification": {"name": entry.name, "color": list(entry.color)},
    }
    return (
        f'{{"type":"Feature","geometry":{{"type":"{kind}","coordinates":{coordinates}{plane}}},'
        f'"properties":{_json(properties)}}}'
    )


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
