"""Tiny data sets in each layout: squares of the classes, on which images are bright."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VOC_TRAIN = ("2007_000032", "2008_000008", "2007_000039")  # in no order of names
VOC_VAL = ("2007_000033", "2007_000042")
CITIES = {"train": ("aachen", "zurich"), "val": ("lindau",)}


def draw(number: int, side: int = 32, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (side, side) and its mask: a square of each class but the first."""
    rng = np.random.default_rng(number)
    mask = np.zeros((side, side), np.uint8)
    for value in range(1, classes):
        y, x = rng.integers(0, side // 2, 2)
        mask[y : y + side // 3, x : x + side // 3] = value
    noise = rng.integers(0, 30, mask.shape)
    return (30 + 180 * mask.astype(int) // classes + noise).astype(np.uint8), mask


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_indexed(path: Path, mask: np.ndarray) -> None:
    """Write a PNG with a palette in which colours say nothing about the values."""
    image = Image.fromarray(mask).convert("P")
    image.putdata(mask.ravel().tolist())
    image.putpalette([(7 * value) % 256 for value in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_part(folder: Path, count: int, first: int = 0, side: int = 32, classes: int = 2) -> None:
    """Write ``images`` and ``masks`` of `count` images."""
    for number in range(first, first + count):
        image, mask = draw(number, side, classes)
        write(folder / "images" / f"im{number:03}.png", image)
        write(folder / "masks" / f"im{number:03}.png", mask)


def write_classes(folder: Path, names: Sequence[str] = ("background", "square")) -> None:
    entries = [{"index": index, "name": name} for index, name in enumerate(names)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.json").write_text(json.dumps({"classes": entries}))


def folder_data_set(root: Path, train: int = 6, test: int = 2, side: int = 32) -> Path:
    """A folder with ``train``, ``test`` and ``classes.json``, two classes."""
    write_classes(root)
    write_part(root / "train", train, side=side)
    write_part(root / "test", test, first=train, side=side)
    return root


def voc_data_set(root: Path, augmented: bool = True) -> Path:
    """``VOCdevkit/VOC2012`` with images of three classes; returns `root`, which holds VOCdevkit."""
    voc = root / "VOCdevkit" / "VOC2012"
    for number, name in enumerate(VOC_TRAIN + VOC_VAL):
        image, mask = draw(number, classes=3)
        mask[:2] = 255
        write(voc / "JPEGImages" / f"{name}.jpg", image)
        write_indexed(voc / "SegmentationClass" / f"{name}.png", mask)
        if augmented:
            write(voc / "SegmentationClassAug" / f"{name}.png", mask)
    lists = voc / "ImageSets" / "Segmentation"
    write_list(lists / "train.txt", VOC_TRAIN[:2])
    write_list(lists / "val.txt", VOC_VAL)
    if augmented:
        write_list(voc / "ImageSets" / "SegmentationAug" / "train_aug.txt", VOC_TRAIN)
    return root


def write_list(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def cityscapes_data_set(root: Path, ending: str = "labelIds") -> Path:
    """``leftImg8bit`` and ``gtFine`` with one image of (16, 32) pixels a city."""
    for part, cities in CITIES.items():
        for city in cities:
            scene = f"{city}_000000_000019"
            image = np.full((16, 32, 3), len(city), np.uint8)
            write(root / "leftImg8bit" / part / city / f"{scene}_leftImg8bit.png", image)
            mask = street(ending)
            write(root / "gtFine" / part / city / f"{scene}_gtFine_{ending}.png", mask)
            write(root / "gtFine" / part / city / f"{scene}_gtFine_color.png", image)
    return root


def street(ending: str) -> np.ndarray:
    """Return a mask (16, 32) of sky, road and no class from above, and a bicycle within."""
    sky, road, bicycle, none = (23, 7, 33, 3) if ending == "labelIds" else (10, 0, 18, 255)
    mask = np.full((16, 32), sky, np.uint8)
    mask[8:] = road
    mask[12:] = none
    mask[8:10, 4:6] = bicycle
    return mask
