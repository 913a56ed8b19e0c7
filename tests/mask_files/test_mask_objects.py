"""Objects and their outlines: as scikit-image finds them, and the same pixels when drawn again."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mask_helpers import CLASSES, fill, noise, shapes
from scipy import ndimage
from skimage.measure import label

from napari_threestage.mask_files import MaskFolder, geojson, outlines, runs
from napari_threestage.mask_files.outlines import polygons
from napari_threestage.mask_files.runs import connect, find_runs

if TYPE_CHECKING:
    from pathlib import Path

PLANES = shapes()


def numbered(labels: np.ndarray, corners: bool) -> np.ndarray:
    """Return objects as scikit-image finds them, numbered by their first pixels."""
    found = label(labels, connectivity=labels.ndim if corners else 1)
    numbers, first = np.unique(found[found > 0], return_index=True)
    table = np.zeros(found.max() + 1, int)
    table[numbers[np.argsort(first)]] = np.arange(1, len(numbers) + 1)
    return table[found]


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("block", [1, 2**22])
def test_objects_are_those_of_scikit_image(
    corners: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_BLOCK", block)
    stacks = [noise((4, 6, 7), 2, seed) for seed in range(5)] + [noise((3, 1, 4)), noise((1, 4, 1))]
    for labels in [*PLANES.values(), *stacks]:
        objects = connect(find_runs(labels), corners)
        expected = numbered(labels, corners)
        rows = int(np.prod(labels.shape[:-1]))
        painted = objects.runs.paint(objects.number, 0, rows).reshape(labels.shape)
        np.testing.assert_array_equal(painted, expected)
        places = ndimage.find_objects(expected)
        assert len(objects) == len(places)
        for number, slices in enumerate(places, start=1):
            pixels = np.argwhere(expected == number)
            assert objects.areas()[number - 1] == len(pixels)
            assert objects.value[number - 1] == labels[tuple(pixels[0])]
            np.testing.assert_allclose(objects.centroids()[number - 1], pixels.mean(0))
            box = [*(one.start for one in slices), *(one.stop for one in slices)]
            assert objects.boxes()[number - 1].tolist() == box


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("block", [1, 2**22])
def test_outlines_are_valid_and_cover_exactly_their_pixels(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlines, "_BLOCK", block)
    monkeypatch.setattr(outlines, "_CORNERS", block)
    parts = connect(find_runs(PLANES[name]), corners=False)
    expected = numbered(PLANES[name], corners=False)
    found = list(polygons(parts))
    assert [number for number, _ in found] == list(range(1, expected.max() + 1))
    for number, rings in found:
        np.testing.assert_array_equal(fill(rings, expected.shape), expected == number)
        areas = [area(ring) for ring in rings]
        assert areas[0] > 0 and all(one < 0 for one in areas[1:])
        assert sum(areas) == (expected == number).sum()
        for ring in rings:
            assert ring[0] == ring[-1]
            assert len(set(ring)) == len(ring) - 1, "a ring touches itself"
            turns = itertools.pairwise(ring)
            assert all((a[0] == b[0]) != (a[1] == b[1]) for a, b in turns)


def area(ring: list[tuple[int, int]]) -> float:
    pairs = itertools.pairwise(ring)
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs) / 2


def read_geojson(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the mask that annotations make up when drawn, and the annotations."""
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    names = [name for name, _ in CLASSES]
    drawn = np.zeros(shape, int)
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        assert feature["properties"]["objectType"] == "annotation"
        meaning = feature["properties"]["classification"]
        value = names.index(meaning["name"]) + 1
        assert tuple(meaning["color"]) == CLASSES[value - 1][1]
        geometry = feature["geometry"]
        shapes = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            shapes = [shapes]
        else:
            assert geometry["type"] == "MultiPolygon" and len(shapes) > 1
        place = geometry.get("plane")
        assert (place is None) == (len(shape) == 2)
        plane = drawn if place is None else drawn[{3: (place["z"],)}.get(len(shape), ())]
        if len(shape) == 4:
            plane = drawn[place["t"], place["z"]]
        for rings in shapes:
            pixels = fill(rings, shape[-2:])
            assert not plane[pixels].any(), "annotations overlap"
            plane[pixels] = value
    return drawn, content["features"]


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("most", [10_000, 2])
def test_geojson_drawn_again_is_the_mask(
    name: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geojson, "MOST_OBJECTS", most)
    labels = PLANES[name]
    with MaskFolder(tmp_path, "geojson", CLASSES) as masks:
        (path,) = masks.add("a", labels, "yx", {}, {})
    drawn, features = read_geojson(path, labels.shape)
    np.testing.assert_array_equal(drawn, labels)
    objects = int(numbered(labels, corners=True).max())
    present = len(np.unique(labels[labels > 0]))
    assert len(features) == (objects if objects <= most else present)


@pytest.mark.parametrize(("axes", "shape"), [("zyx", (3, 9, 8)), ("tzyx", (2, 3, 9, 8))])
def test_geojson_says_in_which_plane_an_annotation_lies(
    axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    labels = noise(shape)
    labels[..., 0, :, :] = 0
    with MaskFolder(tmp_path, "geojson", CLASSES) as masks:
        (path,) = masks.add("a", labels, axes, {}, {})
    drawn, features = read_geojson(path, shape)
    np.testing.assert_array_equal(drawn, labels)
    assert all(one["geometry"]["plane"]["c"] == -1 for one in features)


def test_an_object_that_touches_itself_only_at_corners_is_one_annotation(tmp_path: Path) -> None:
    with MaskFolder(tmp_path, "geojson", CLASSES) as masks:
        (path,) = masks.add("a", PLANES["corners"], "yx", {}, {})
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert len(feature["geometry"]["coordinates"]) == 6
