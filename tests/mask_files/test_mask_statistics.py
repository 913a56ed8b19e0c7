"""Statistics of masks, against numbers found by hand and by other ways."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mask_helpers import CLASSES, noise, shapes
from skimage.measure import label, regionprops_table

from napari_threestage import mask_statistics
from napari_threestage.mask_files import MaskFolder
from napari_threestage.mask_statistics import CLASS_COLUMNS, OBJECT_COLUMNS, measure

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [name for name, _ in CLASSES]
SIZES: dict[str, Any] = {
    "scale": {"z": 2.0, "y": 0.5, "x": 0.25},
    "unit": dict.fromkeys("zyx", "micrometer"),
}
UNKNOWN: dict[str, Any] = {"scale": {"y": 1.0, "x": 1.0}, "unit": {}}


def rows(labels: np.ndarray, axes: str, sizes: dict[str, Any] = UNKNOWN) -> tuple[Any, Any]:
    return measure("a", labels, axes, CLASSES, **sizes)


def test_a_plane_by_hand() -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[1:4, 2:6] = 2
    labels[5, 7] = 1
    by_class, by_object = rows(labels, "yx", SIZES)
    assert [(one["class"], one["pixels"]) for one in by_class] == [
        (NAMES[0], 1),
        (NAMES[1], 12),
        (NAMES[2], 0),
    ]
    assert [one["share"] for one in by_class] == pytest.approx([1 / 13, 12 / 13, 0])
    assert [one["area"] for one in by_class] == pytest.approx([0.125, 1.5, 0])
    assert {one["unit"] for one in by_class} == {"micrometer^2"}
    block, dot = by_object
    assert (block["class"], block["object"], block["pixels"]) == (NAMES[1], 1, 12)
    assert block["area"] == pytest.approx(1.5) and block["unit"] == "micrometer^2"
    assert (block["min_y"], block["min_x"], block["max_y"], block["max_x"]) == (1, 2, 3, 5)
    assert (block["centroid_y"], block["centroid_x"]) == (2, 3.5)
    # The rows and columns of a block of h x w have variances (h^2 - 1) / 12 and (w^2 - 1) / 12.
    minor, major = (side**2 / 12 for side in (3, 4))
    assert block["axis_major_length"] == pytest.approx(4 * math.sqrt(major), rel=0.05)
    assert block["axis_minor_length"] == pytest.approx(4 * math.sqrt(minor), rel=0.07)
    assert block["perimeter"] == 10 and block["solidity"] == block["extent"] == 1
    assert block["equivalent_diameter"] == pytest.approx(math.sqrt(4 * 12 / math.pi))
    assert (dot["class"], dot["object"], dot["min_y"], dot["max_x"]) == (NAMES[0], 2, 5, 7)
    assert block.keys() <= set(OBJECT_COLUMNS) and by_class[0].keys() == set(CLASS_COLUMNS)
    assert block["z"] is block["t"] is None and "min_z" not in block


@pytest.mark.parametrize("name", shapes())
def test_objects_measure_what_scikit_image_measures(name: str) -> None:
    labels = shapes()[name]
    _, by_object = rows(labels, "yx")
    found = label(labels, connectivity=2)
    columns = mask_statistics._SHAPE_COLUMNS
    names = ("label", "area", "bbox", "centroid", *columns.values())
    with np.errstate(all="ignore"):
        expected = regionprops_table(found, properties=names)
    assert len(by_object) == len(expected["label"])
    order = np.argsort([np.flatnonzero(found == k)[0] for k in expected["label"]], kind="stable")
    for row, k in zip(by_object, order, strict=True):
        assert row["pixels"] == expected["area"][k]
        assert [row["min_y"], row["min_x"]] == [expected["bbox-0"][k], expected["bbox-1"][k]]
        assert [row["max_y"] + 1, row["max_x"] + 1] == [
            expected["bbox-2"][k],
            expected["bbox-3"][k],
        ]
        assert row["centroid_x"] == pytest.approx(expected["centroid-1"][k])
        for column, theirs in columns.items():
            value = expected[theirs][k]
            assert row.get(column, math.nan) == pytest.approx(value, nan_ok=True), column


def test_planes_of_time_are_measured_one_by_one() -> None:
    labels = noise((3, 6, 7))
    labels[1] = 0
    by_class, by_object = rows(labels, "tyx")
    assert [(one["t"], one["class"]) for one in by_class] == [
        (t, name) for t in range(3) for name in NAMES
    ]
    for row in by_class:
        value = NAMES.index(row["class"]) + 1
        assert row["pixels"] == (labels[row["t"]] == value).sum()
        assert row["z"] is row["area"] is row["unit"] is None
    assert all(row["share"] is None for row in by_class if row["t"] == 1)
    assert {row["t"] for row in by_object} == {0, 2}
    assert all("perimeter" in row and row["z"] is None for row in by_object)


@pytest.mark.parametrize("axes", ["zyx", "tzyx"])
def test_objects_reach_through_a_stack(axes: str) -> None:
    labels = np.zeros((4, 6, 7), np.uint8)
    labels[1:4, 2:4, 3:6] = 3
    labels[0, 1, 2] = 3  # touches the body at a corner
    labels[0, 5, 5] = 1
    stack = labels if axes == "zyx" else np.stack([labels, labels])
    by_class, by_object = rows(stack, axes, SIZES)
    assert len(by_class) == 4 * 3 * (len(stack) if axes == "tzyx" else 1)
    assert [row["t"] for row in by_object] == ([None, None] if axes == "zyx" else [0, 0, 1, 1])
    body, dot = by_object[:2]
    assert (body["class"], body["object"], body["pixels"]) == (NAMES[2], 1, 19)
    assert body["area"] == pytest.approx(19 * 0.25) and body["unit"] == "micrometer^3"
    assert [body[f"min_{a}"] for a in "zyx"] == [0, 1, 2]
    assert [body[f"max_{a}"] for a in "zyx"] == [3, 3, 5]
    pixels = np.argwhere(labels == 3)
    assert [body[f"centroid_{a}"] for a in "zyx"] == pytest.approx(pixels.mean(0).tolist())
    assert body["extent"] == pytest.approx(19 / (4 * 3 * 4))
    assert body["equivalent_diameter"] == pytest.approx((6 * 19 / math.pi) ** (1 / 3))
    assert "perimeter" not in body and dot["pixels"] == 1
    assert {row["unit"] for row in by_class} == {"micrometer^2"}


def test_objects_of_random_stacks_can_all_be_measured() -> None:
    for seed in range(10):
        labels = noise((3, 5, 6), 2, seed)
        _, by_object = rows(labels, "zyx")
        assert sum(row["pixels"] for row in by_object) == (labels > 0).sum()


def test_one_plane_of_a_stack_is_measured_as_a_plane() -> None:
    _, by_object = rows(noise((2, 1, 6, 7)), "tzyx")
    assert {row["z"] for row in by_object} == {0} and {row["t"] for row in by_object} == {0, 1}
    assert all("perimeter" in row for row in by_object)


def test_sizes_of_other_units_make_no_area() -> None:
    sizes = {"scale": {"y": 0.5, "x": 0.5}, "unit": {"y": "micrometer", "x": "nanometer"}}
    by_class, by_object = rows(noise((6, 7)), "yx", sizes)
    assert all(row["area"] is row["unit"] is None for row in [*by_class, *by_object])
    by_class, _ = rows(noise((6, 7)), "yx", {"scale": {"y": 0.5, "x": 0.5}, "unit": {}})
    assert all(row["area"] == row["pixels"] * 0.25 and row["unit"] == "" for row in by_class)


def test_large_objects_have_sizes_and_places_but_no_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_statistics, "LARGEST_BOX", 50)
    labels = np.zeros((10, 20), np.uint8)
    labels[:6, :9] = 1
    labels[8:, 15:] = 2
    _, (large, small) = rows(labels, "yx")
    assert large["pixels"] == 54 and large["centroid_y"] == 2.5
    assert "perimeter" not in large and "perimeter" in small


def test_the_files_hold_the_rows(tmp_path: Path) -> None:
    masks = {"a": noise((6, 7)), 'b,"c" ü': noise((2, 6, 7), seed=1), "empty": noise((4, 4)) * 0}
    with MaskFolder(tmp_path, "tiff", CLASSES, statistics=True) as folder:
        for name, labels in masks.items():
            folder.add(name, labels, "zyx"[-labels.ndim :], **SIZES)
    expected: list[list[dict[str, Any]]] = [[], []]
    for name, labels in masks.items():
        found = measure(name, labels, "zyx"[-labels.ndim :], CLASSES, **SIZES)
        for table, more in zip(expected, found, strict=True):
            table += more
    for path, columns, table in zip(
        folder.statistics, (CLASS_COLUMNS, OBJECT_COLUMNS), expected, strict=True
    ):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            assert reader.fieldnames == list(columns)
            lines = list(reader)
        assert len(lines) == len(table)
        for line, row in zip(lines, table, strict=True):
            for column in columns:
                value = row.get(column)
                if isinstance(value, float):
                    assert float(line[column]) == pytest.approx(value, rel=1e-8)
                else:
                    assert line[column] == ("" if value is None else str(value))


def test_an_image_that_cannot_be_measured_is_in_neither_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with MaskFolder(tmp_path, "tiff", CLASSES, statistics=True) as folder:
        folder.add("a", noise((6, 7)), "yx", {}, {})
        with monkeypatch.context() as patch:
            patch.setattr(mask_statistics, "_measure_shape", fail)
            with pytest.raises(OSError, match="No space"):
                folder.add("b", noise((6, 7), seed=1), "yx", {}, {})
    for path in folder.statistics:
        with path.open(newline="") as file:
            assert {row["image"] for row in csv.DictReader(file)} == {"a"}
