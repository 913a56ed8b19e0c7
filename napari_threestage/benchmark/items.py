"""What a data set is to a benchmark: images with masks, some to train on and some to score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import (
    decode_mask,
    encode_mask,
    load_mask_values,
    read_mask_array,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class Item:
    """One image with its mask.

    Attributes
    ----------
    name
        Unique in its list; the stem of the image file.
    image, mask
        The files; the mask holds one value per pixel, which `DataSet.mask_values` explains.
    """

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class DataSet:
    """Images to train on and images to score, with their masks and the meaning of these.

    Attributes
    ----------
    name
        For file names and tables.
    classes
        ``{"index": 0.., "name": …}`` each, with ``"color"`` where it is known, in the order of
        their indices; as a list in JSON it is what ``threestage init --classes-file`` reads.
    train
        In the order of the published list, which is what permutations of it refer to; sorted by
        file name where there is no list.
    test
        The images that decide nothing and are only scored.
    mask_values
        What ``--mask-values`` gets. ``"index"``: the masks hold class indices 0..C-1, and 255 for
        not labelled.
    origin
        What it was converted from, if it was.
    """

    name: str
    classes: tuple[dict[str, Any], ...]
    train: tuple[Item, ...]
    test: tuple[Item, ...]
    mask_values: str = "index"
    origin: DataSet | None = None

    @property
    def class_names(self) -> list[str]:
        """Names of the classes in the order of their indices."""
        return [str(entry["name"]) for entry in self.classes]


def read_indices(data_set: DataSet, item: Item) -> np.ndarray:
    """Read a mask as class indices.

    Returns
    -------
    numpy.ndarray
        Shape (H, W), uint8: classes 0..C-1, 255 = not labelled.

    Raises
    ------
    ImageFileError
        The file cannot be read or holds a value of no class.
    """
    return to_indices(data_set, item.mask, read_mask_array(item.mask))


def to_indices(data_set: DataSet, path: Path, raw: np.ndarray) -> np.ndarray:
    """Turn the values of a mask file into class indices, see `read_indices`."""
    values = load_mask_values(data_set.mask_values)
    try:
        return encode_mask(decode_mask(raw, len(data_set.classes), values=values))
    except ImageFileError as error:
        raise ImageFileError(f"{path}: {error.message}", error.hint) from error


def check_items(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return items whose names are unique and whose files exist; no file is opened.

    Raises
    ------
    ImageFileError
        There is no item, two have one name, or a file is missing.
    """
    checked = tuple(items)
    if not checked:
        raise ImageFileError("The data set has no images.", "Name its top folder.")
    known: dict[str, Item] = {}
    for item in checked:
        other = known.setdefault(item.name, item)
        if other is not item:
            raise ImageFileError(
                f"{other.image} and {item.image} have the same name.", "Rename one of them."
            )
    files = [file for item in checked for file in (item.image, item.mask)]
    missing = _missing(files)
    if missing:
        raise ImageFileError(
            f"{len(missing)} of {len(files)} files of the data set are missing, "
            f"the first is {missing[0]}.",
            "Unpack the data set once more, with all its parts.",
        )
    return checked


def _missing(files: Iterable[Path]) -> list[Path]:
    """Return the files that do not exist, with one look at each folder instead of each file."""
    names: dict[Path, set[str]] = {}
    missing = []
    for file in files:
        folder = file.parent
        if folder not in names:
            names[folder] = set(os.listdir(folder)) if folder.is_dir() else set()
        if file.name not in names[folder]:
            missing.append(file)
    return missing
