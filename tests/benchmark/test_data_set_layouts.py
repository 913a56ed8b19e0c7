"""Data sets in the layouts of their homes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from data_set_helpers import (
    VOC_TRAIN,
    VOC_VAL,
    cityscapes_data_set,
    draw,
    folder_data_set,
    street,
    voc_data_set,
    write,
    write_classes,
    write_list,
    write_part,
)

from napari_threestage.benchmark.datasets import (
    half_resolution,
    open_data_set,
    read_indices,
    with_index_masks,
)
from napari_threestage.benchmark.half_resolution import majority
from napari_threestage.benchmark.published_layouts import CITYSCAPES_CLASSES, VOC_CLASSES
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.ingest import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.benchmark.datasets import Item


def names(items: tuple[Item, ...]) -> list[str]:
    return [item.name for item in items]


# --- folders ----------------------------------------------------------------------------------


def test_folder_with_a_test_part(tmp_path: Path) -> None:
    data = open_data_set(folder_data_set(tmp_path / "squares", train=3, test=2))
    assert data.name == "squares"
    assert data.class_names == ["background", "square"]
    assert names(data.train) == ["im000", "im001", "im002"]
    assert names(data.test) == ["im003", "im004"]
    np.testing.assert_array_equal(read_indices(data, data.test[1]), draw(4)[1])


def test_classes_are_in_the_order_of_their_indices(tmp_path: Path) -> None:
    root = folder_data_set(tmp_path)
    entries = [{"index": 1, "name": "b", "color": [1, 2, 3]}, {"index": 0, "name": "a"}]
    (root / "classes.json").write_text(json.dumps(entries))
    data = open_data_set(root)
    assert data.class_names == ["a", "b"]
    assert data.classes[1]["color"] == [1, 2, 3]
    (root / "classes.json").write_text('["x", "y"]')
    assert open_data_set(root).classes == ({"index": 0, "name": "x"}, {"index": 1, "name": "y"})


@pytest.mark.parametrize("below", ["", "train"])
def test_without_a_test_part_a_fifth_is_set_aside(tmp_path: Path, below: str) -> None:
    write_classes(tmp_path)
    write_part(tmp_path / below, 10)
    data = open_data_set(tmp_path)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert sorted(names(data.train) + names(data.test)) == [f"im{k:03}" for k in range(10)]
    assert data == open_data_set(tmp_path, "folder")


def test_too_few_images_to_set_some_aside(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_part(tmp_path, 3)
    with pytest.raises(ImageFileError, match="3 images, too few"):
        open_data_set(tmp_path)


@pytest.mark.parametrize(
    ("lost", "error", "words"),
    [
        ("classes.json", ConfigError, "There is no .*classes.json"),
        ("train/masks", ConfigError, "There is no folder .*masks"),
        ("test/images", ConfigError, "There is no folder .*images"),
        ("train/masks/im001.png", ImageFileError, "1 of 6 images have no mask.*im001.png"),
        ("train/images/im001.png", ImageFileError, "im001.png cannot be used: a mask without"),
    ],
)
def test_what_a_folder_lacks_is_named(
    tmp_path: Path, lost: str, error: type[Exception], words: str
) -> None:
    target = folder_data_set(tmp_path) / lost
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(error, match=words):
        open_data_set(tmp_path)


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    root = folder_data_set(tmp_path)
    for kind in ("images", "masks"):
        write(root / "train" / kind / "more" / "im000.png", draw(0)[kind == "masks"])
    with pytest.raises(ImageFileError, match="have the same name"):
        open_data_set(root)


@pytest.mark.parametrize(
    "content", ["{", '{"classes": 3}', '["a"]', '[{"index": 1, "name": "a"}, "b", "c"]']
)
def test_classes_that_make_no_sense(tmp_path: Path, content: str) -> None:
    (folder_data_set(tmp_path) / "classes.json").write_text(content)
    with pytest.raises(ConfigError, match=r"classes\.json"):
        open_data_set(tmp_path)


def test_a_value_of_no_class_is_named_with_its_file(tmp_path: Path) -> None:
    data = open_data_set(folder_data_set(tmp_path))
    write(data.train[0].mask, np.full((32, 32), 9, np.uint8))
    with pytest.raises(ImageFileError, match=r"im000.png: The mask holds the values 9"):
        read_indices(data, data.train[0])


def test_no_folder_and_no_layout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no folder"):
        open_data_set(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="layout 'coco' is not known"):
        open_data_set(tmp_path, "coco")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no folder JPEGImages"):
        open_data_set(tmp_path, "voc")
    with pytest.raises(ConfigError, match=r"There is no image .*leftImg8bit\.png"):
        open_data_set(tmp_path, "cityscapes")


# --- PASCAL VOC 2012 ---------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_augmented_from_any_of_its_folders(tmp_path: Path, below: str) -> None:
    data = open_data_set(voc_data_set(tmp_path) / below)
    assert data.name == "voc2012-aug"
    assert data.class_names == list(VOC_CLASSES)
    assert len(VOC_CLASSES) == 21
    assert names(data.train) == list(VOC_TRAIN)  # as listed: permutations refer to that
    assert names(data.test) == list(VOC_VAL)
    assert {item.mask.parent.name for item in data.train} == {"SegmentationClassAug"}
    assert {item.mask.parent.name for item in data.test} == {"SegmentationClass"}


def test_voc_masks_are_read_by_index(tmp_path: Path) -> None:
    data = open_data_set(voc_data_set(tmp_path))
    expected = draw(len(VOC_TRAIN), classes=3)[1]
    expected[:2] = 255
    np.testing.assert_array_equal(read_indices(data, data.test[0]), expected)


def test_voc_without_the_further_masks(tmp_path: Path) -> None:
    data = open_data_set(voc_data_set(tmp_path, augmented=False), "voc")
    assert data.name == "voc2012"
    assert names(data.train) == list(VOC_TRAIN[:2])
    assert data.train[0].mask.parent.name == "SegmentationClass"


def test_voc_lists_of_paths(tmp_path: Path) -> None:
    lists = voc_data_set(tmp_path) / "VOCdevkit" / "VOC2012" / "ImageSets"
    (lists / "SegmentationAug" / "train_aug.txt").unlink()
    lines = [f"/JPEGImages/{one}.jpg /SegmentationClassAug/{one}.png" for one in VOC_TRAIN]
    write_list(lists / "Segmentation" / "trainaug.txt", lines)
    assert names(open_data_set(tmp_path).train) == list(VOC_TRAIN)


def test_voc_images_that_are_to_be_trained_on_and_scored(tmp_path: Path) -> None:
    lists = voc_data_set(tmp_path) / "VOCdevkit" / "VOC2012" / "ImageSets"
    write_list(lists / "Segmentation" / "val.txt", [*VOC_VAL, VOC_TRAIN[1]])
    with pytest.raises(ConfigError, match=rf"both name 1 images, such as {VOC_TRAIN[1]}"):
        open_data_set(tmp_path)


def test_voc_masks_without_their_list(tmp_path: Path) -> None:
    lists = voc_data_set(tmp_path) / "VOCdevkit" / "VOC2012" / "ImageSets"
    shutil.rmtree(lists / "SegmentationAug")
    with pytest.raises(ConfigError, match="no list of them"):
        open_data_set(tmp_path)
    shutil.rmtree(lists)
    shutil.rmtree(lists.parent / "SegmentationClassAug")
    with pytest.raises(ConfigError, match=r"There is no .*train\.txt"):
        open_data_set(tmp_path)


def test_voc_files_that_are_missing(tmp_path: Path) -> None:
    voc = voc_data_set(tmp_path) / "VOCdevkit" / "VOC2012"
    (voc / "SegmentationClassAug" / f"{VOC_TRAIN[1]}.png").unlink()
    with pytest.raises(ImageFileError, match=f"1 of 6 files .*{VOC_TRAIN[1]}"):
        open_data_set(tmp_path)


# --- Cityscapes --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_cityscapes_values_become_the_19_classes(tmp_path: Path, ending: str) -> None:
    data = open_data_set(cityscapes_data_set(tmp_path, ending))
    assert data.name == "cityscapes"
    assert data.class_names == list(CITYSCAPES_CLASSES)
    assert len(CITYSCAPES_CLASSES) == 19
    assert names(data.train) == [
        "aachen_000000_000019_leftImg8bit",
        "zurich_000000_000019_leftImg8bit",
    ]
    assert names(data.test) == ["lindau_000000_000019_leftImg8bit"]
    np.testing.assert_array_equal(read_indices(data, data.test[0]), street("labelTrainIds"))


def test_cityscapes_with_index_masks(tmp_path: Path) -> None:
    data = open_data_set(cityscapes_data_set(tmp_path / "city"))
    converted = with_index_masks(data, tmp_path / "kept")
    assert converted.mask_values == "index"
    assert names(converted.train) == names(data.train)
    assert converted.train[0].image == data.train[0].image
    mask = read_image(converted.train[0].mask).array[0]
    np.testing.assert_array_equal(mask, street("labelTrainIds"))
    assert with_index_masks(converted, tmp_path / "never") == converted


def test_cityscapes_city_without_masks(tmp_path: Path) -> None:
    shutil.rmtree(cityscapes_data_set(tmp_path) / "gtFine" / "train" / "zurich")
    with pytest.raises(ImageFileError, match=r"1 of 4 files .*zurich"):
        open_data_set(tmp_path)


# --- half resolution ---------------------------------------------------------------------------


def test_half_resolution_is_mean_and_majority(tmp_path: Path) -> None:
    data = open_data_set(cityscapes_data_set(tmp_path / "city"))
    image = np.zeros((16, 32, 3), np.uint8)
    image[0, :2], image[1, :2] = (10, 20, 30), (13, 20, 250)
    write(data.train[0].image, image)
    half = half_resolution(data, tmp_path / "kept")
    assert (half.name, half.mask_values) == ("cityscapes-half", "index")
    pixels = read_image(half.train[0].image).array
    assert pixels.shape == (3, 8, 16)
    assert pixels[:, 0, 0].tolist() == [11, 20, 140]
    expected = street("labelTrainIds")[::2, ::2]
    np.testing.assert_array_equal(read_indices(half, half.train[0]), expected)


def test_half_resolution_is_written_once(tmp_path: Path) -> None:
    data = open_data_set(folder_data_set(tmp_path / "data", train=4))
    first = half_resolution(data, tmp_path / "kept")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.*")}
    assert len(times) == 2 * (4 + 2)  # nothing half-written is left
    first.train[0].image.unlink()
    assert half_resolution(data, tmp_path / "kept") == first
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.*")}
    assert {path for path in times if again[path] != times[path]} == {first.train[0].image}


def test_half_resolution_refuses_other_images(tmp_path: Path) -> None:
    data = open_data_set(folder_data_set(tmp_path / "data"))
    write(data.train[0].image, np.zeros((32, 32), np.uint16))
    with pytest.raises(ImageFileError, match="no 8-bit grey or colour image"):
        half_resolution(data, tmp_path / "kept")


def test_majority_takes_the_lowest_on_a_tie() -> None:
    values = np.array(
        [[1, 7, 5, 9, 4, 3, 8, 6, 0], [7, 1, 9, 9, 3, 4, 2, 5, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]],
        np.uint8,
    )
    assert majority(values).tolist() == [[1, 9, 3, 2]]
    random = np.random.default_rng(0).integers(0, 3, (40, 60), np.uint8)
    blocks = random.reshape(20, 2, 30, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
    counted = [np.bincount(block, minlength=3).argmax() for block in blocks]
    np.testing.assert_array_equal(majority(random).ravel(), counted)
