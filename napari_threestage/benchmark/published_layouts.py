"""PASCAL VOC 2012 and Cityscapes as their homes publish them.

References
----------
Everingham et al., *The PASCAL visual object classes challenge: a retrospective*, IJCV 2015.
Hariharan et al., *Semantic contours from inverse detectors*, ICCV 2011: the further masks of VOC.
Cordts et al., *The Cityscapes dataset for semantic urban scene understanding*, CVPR 2016.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_threestage.benchmark.items import DataSet, Item, check_items
from napari_threestage.benchmark.splits import read_order
from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
CITYSCAPES_CLASSES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""Value in ``*_labelIds.png`` of each class that the benchmark scores, in their usual order."""

CITYSCAPES_IDS = 35  # values 0..34; those of no class count as not labelled

_TRAIN_LISTS = (
    "SegmentationAug/train_aug.txt",
    "Segmentation/train_aug.txt",
    "SegmentationAug/trainaug.txt",
    "Segmentation/trainaug.txt",
)
_VAL_LISTS = ("Segmentation/val.txt", "SegmentationAug/val.txt")
_AUGMENTED = "SegmentationClassAug"


def find_voc(path: Path) -> Path | None:
    """Return the folder VOC2012 where `path` is it or holds it, None where it is not there."""
    candidates = (path, path / "VOC2012", path / "VOCdevkit" / "VOC2012")
    return next((root for root in candidates if (root / "JPEGImages").is_dir()), None)


def open_voc(root: Path) -> DataSet:
    """Open PASCAL VOC 2012, augmented with the masks of Hariharan et al. where these are there.

    Parameters
    ----------
    root
        Holds ``JPEGImages``, ``SegmentationClass``, ``ImageSets`` and for the augmented set
        ``SegmentationClassAug`` with a list ``train_aug.txt`` or ``trainaug.txt`` in
        ``ImageSets/SegmentationAug`` or ``ImageSets/Segmentation``.

    Returns
    -------
    DataSet
        ``voc2012-aug`` with the 10,582 images of that list, in its order; or ``voc2012`` with the
        1,464 of ``train.txt``, where neither a list nor masks of the augmented set are there. The
        1,449 images of ``val.txt`` are the test, with the masks of ``SegmentationClass``.

    Raises
    ------
    ConfigError
        A list is missing or names no image, or both name one.
    ImageFileError
        An image or a mask of a list is missing.
    """
    listed = _first_list(root, _TRAIN_LISTS)
    augmented = root / _AUGMENTED
    if listed is None and augmented.is_dir():
        raise ConfigError(
            f"{root} has the masks {_AUGMENTED}, but no list of them.",
            f"Put train_aug.txt into {root / 'ImageSets' / 'SegmentationAug'}.",
        )
    train, val = listed or _needed_list(root, ["Segmentation/train.txt"]), _val_list(root)
    masks = augmented if listed and augmented.is_dir() else root / "SegmentationClass"
    official = root / "SegmentationClass"
    data_set = DataSet(
        "voc2012-aug" if listed else "voc2012",
        _classes(VOC_CLASSES),
        _voc_items(root, train, masks),
        _voc_items(root, val, official if official.is_dir() else augmented),
    )
    common = {item.name for item in data_set.train} & {item.name for item in data_set.test}
    if common:
        raise ConfigError(
            f"{train} and {val} both name {len(common)} images, such as {min(common)}.",
            "Take the images of the test out of the list to train on.",
        )
    return data_set


def is_cityscapes(path: Path) -> bool:
    """Say whether a folder is the top folder of Cityscapes."""
    return (path / "leftImg8bit").is_dir()


def open_cityscapes(root: Path) -> DataSet:
    """Open Cityscapes in full resolution.

    Parameters
    ----------
    root
        Holds ``leftImg8bit/{train,val}/<city>/*_leftImg8bit.png`` and
        ``gtFine/{train,val}/<city>/*_gtFine_labelIds.png``, or ``*_gtFine_labelTrainIds.png``.

    Returns
    -------
    DataSet
        ``cityscapes`` with its 19 classes. The 2,975 images of ``train`` are sorted by name; the
        500 of ``val`` are the test. `DataSet.mask_values` maps the values of the masks.

    Raises
    ------
    ConfigError
        A folder is missing or empty.
    ImageFileError
        An image has no mask.

    Notes
    -----
    The paper trains and scores at half resolution, see `half_resolution.half_resolution`.
    """
    ids = next((root / "gtFine").glob("train/*/*_gtFine_labelIds.png"), None) is not None
    ending = "labelIds" if ids else "labelTrainIds"
    return DataSet(
        "cityscapes",
        _classes(CITYSCAPES_CLASSES),
        _city_items(root, "train", ending),
        _city_items(root, "val", ending),
        _id_values() if ids else "index",
    )


def _first_list(root: Path, names: Iterable[str]) -> Path | None:
    paths = (root / "ImageSets" / name for name in names)
    return next((path for path in paths if path.is_file()), None)


def _needed_list(root: Path, names: Sequence[str]) -> Path:
    found = _first_list(root, names)
    if found is None:
        raise ConfigError(
            f"There is no {root / 'ImageSets' / names[0]}.", "Unpack VOC 2012 with its ImageSets."
        )
    return found


def _val_list(root: Path) -> Path:
    return _needed_list(root, _VAL_LISTS)


def _voc_items(root: Path, listed: Path, masks: Path) -> tuple[Item, ...]:
    images = root / "JPEGImages"
    names = read_order(listed)
    return check_items(Item(one, images / f"{one}.jpg", masks / f"{one}.png") for one in names)


def _city_items(root: Path, part: str, ending: str) -> tuple[Item, ...]:
    folder = root / "leftImg8bit" / part
    images = sorted(folder.glob("*/*_leftImg8bit.png"))
    if not images:
        raise ConfigError(
            f"There is no image {folder / '<city>' / '*_leftImg8bit.png'}.",
            "Name the folder that holds leftImg8bit and gtFine.",
        )
    return check_items(_city_item(root, image, part, ending) for image in images)


def _city_item(root: Path, image: Path, part: str, ending: str) -> Item:
    scene = image.stem.removesuffix("_leftImg8bit")
    masks = root / "gtFine" / part / image.parent.name
    return Item(image.stem, image, masks / f"{scene}_gtFine_{ending}.png")


def _id_values() -> str:
    """Return the JSON that maps each value of ``*_labelIds.png`` to a class 1..19, or to 0."""
    places = {value: place for place, value in enumerate(CITYSCAPES_CLASSES.values(), start=1)}
    return json.dumps({str(value): places.get(value, 0) for value in range(CITYSCAPES_IDS)})


def _classes(names: Iterable[str]) -> tuple[dict[str, Any], ...]:
    return tuple({"index": index, "name": name} for index, name in enumerate(names))
