"""COCO files as pycocotools reads them."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from mask_helpers import CLASSES, noise, shapes
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_threestage.errors import ImageFileError
from napari_threestage.mask_files import MaskFolder, coco

if TYPE_CHECKING:
    from pathlib import Path

# pycocotools with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def open_coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def decode(found: COCO, image: int) -> np.ndarray:
    """Return the mask of an image; the parts of its annotations are checked on the way."""
    (entry,) = found.loadImgs([image])
    labels = np.zeros((entry["height"], entry["width"]), int)
    for annotation in found.loadAnns(found.getAnnIds([image])):
        pixels = found.annToMask(annotation).astype(bool)
        assert pixels.sum() == annotation["area"] and not labels[pixels].any()
        compressed = found.annToRLE(annotation)
        assert coco_mask.area(compressed) == annotation["area"]
        assert coco_mask.toBbox(compressed).tolist() == annotation["bbox"]
        assert all(length > 0 for length in annotation["segmentation"]["counts"][1:])
        labels[pixels] = annotation["category_id"]
    return labels


def panoptic(folder: Path, image: int) -> np.ndarray:
    """Return the mask of an image from its picture of segments."""
    content = json.loads((folder / "panoptic.json").read_text())
    assert all(entry["isthing"] == 1 for entry in content["categories"])
    (entry,) = (one for one in content["annotations"] if one["image_id"] == image)
    with Image.open(folder / "panoptic" / entry["file_name"]) as picture:
        assert picture.mode == "RGB"
        pixels = np.asarray(picture).astype(int)
    ids = pixels @ [1, 256, 256**2]
    labels = np.zeros(ids.shape, int)
    for segment in entry["segments_info"]:
        assert segment["area"] == (ids == segment["id"]).sum() > 0
        labels[ids == segment["id"]] = segment["category_id"]
    assert {one["id"] for one in entry["segments_info"]} == set(np.unique(ids)) - {0}
    return labels


def test_pycocotools_gets_the_same_masks_from_both_files(tmp_path: Path) -> None:
    planes = shapes()
    with MaskFolder(tmp_path, "coco", CLASSES) as masks:
        for name, labels in planes.items():
            masks.add(name, labels, "yx", {}, {}, source=f"{name}.jpg")
    found = open_coco(tmp_path / "annotations.json")
    assert [(one["name"], tuple(one["color"])) for one in found.loadCats(found.getCatIds())] == (
        CLASSES
    )
    assert [one["file_name"] for one in found.loadImgs(found.getImgIds())] == [
        f"{name}.jpg" for name in planes
    ]
    for image, labels in enumerate(planes.values(), start=1):
        np.testing.assert_array_equal(decode(found, image), labels)
        np.testing.assert_array_equal(panoptic(tmp_path, image), labels)
    assert masks.files[-2:] == [tmp_path / "annotations.json", tmp_path / "panoptic.json"]


def test_segments_are_the_annotations_of_their_image(tmp_path: Path) -> None:
    with MaskFolder(tmp_path, "coco", CLASSES) as masks:
        for seed in range(3):
            masks.add(f"image {seed}", noise((9, 10), seed=seed), "yx", {}, {})
    found = open_coco(tmp_path / "annotations.json")
    ids = [one["id"] for one in found.dataset["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for entry in json.loads((tmp_path / "panoptic.json").read_text())["annotations"]:
        annotations = found.loadAnns(found.getAnnIds([entry["image_id"]]))
        for one, segment in zip(annotations, entry["segments_info"], strict=True):
            assert (one["segment"], one["category_id"], one["area"], one["bbox"]) == (
                *(segment["id"], segment["category_id"]),
                *(segment["area"], segment["bbox"]),
            )


def test_a_stack_is_an_image_for_each_plane(tmp_path: Path) -> None:
    labels = noise((2, 3, 9, 10))
    with MaskFolder(tmp_path, "coco", CLASSES) as masks:
        paths = masks.add("s", labels, "tzyx", {}, {}, source="s.tif")
    found = open_coco(tmp_path / "annotations.json")
    assert len(paths) == len(found.getImgIds()) == 6
    for entry, path in zip(found.loadImgs(found.getImgIds()), paths, strict=True):
        assert entry["file_name"] == path.name
        np.testing.assert_array_equal(decode(found, entry["id"]), labels[entry["t"], entry["z"]])


def test_masks_without_a_label_leave_valid_files(tmp_path: Path) -> None:
    with MaskFolder(tmp_path, "coco", CLASSES) as masks:
        masks.add("a", np.zeros((4, 5), np.uint8), "yx", {}, {})
    found = open_coco(tmp_path / "annotations.json")
    assert len(found.getImgIds()) == 1 and not found.getAnnIds()
    assert not panoptic(tmp_path, 1).any()


def test_an_image_that_fails_is_in_neither_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco, "_MOST_SEGMENTS", 8)
    one = np.pad(np.ones((2, 2), np.uint8), 3)
    with MaskFolder(tmp_path, "coco", CLASSES) as masks:
        masks.add("a", one, "yx", {}, {})
        with pytest.raises(ImageFileError, match="COCO can number 8"):
            masks.add("b", np.stack([one, noise((8, 8))]), "zyx", {}, {})
        masks.add("c", one * np.uint8(2), "yx", {}, {})
    found = open_coco(tmp_path / "annotations.json")
    assert [entry["file_name"] for entry in found.dataset["images"]] == ["a.png", "c.png"]
    np.testing.assert_array_equal(decode(found, 2), one * 2)
    np.testing.assert_array_equal(panoptic(tmp_path, 2), one * 2)
