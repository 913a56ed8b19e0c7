"""Real data sets as their homes publish them: which files are images, and what masks mean."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import read_image, read_mask_array
from napari_threestage.sample import SamplePicture
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_threestage.sample_archive import Archive

COFFEE_COLOURS = ((0, 0, 0), (0, 176, 0), (255, 0, 0))  # segmentation/dataset/annotations-info.txt
COFFEE_SIDE = 512  # of 2048 pixels: a CPU is to train on it


def nuclei(archive: Archive, images: int, labelled: int) -> Iterator[SamplePicture]:
    """Read ``<id>/images/<id>.png`` and ``<id>/masks/*.png``, one mask for each nucleus."""
    masks: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for name in archive.names:
        match = re.search(r"(?:^|/)([0-9a-z]+)/(images|masks)/([^/]+)\.png$", name)
        if match and match[2] == "masks":
            masks.setdefault(match[1], []).append(name)
        elif match and match[3] == match[1]:
            found[match[1]] = name
    chosen = _chosen(archive, found.keys() & masks.keys(), images)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(chosen):
            image = _read(archive, found[name], Path(folder))
            truth = None
            if number < labelled:
                shape = image.shape[1:]
                truth = _union(archive, masks[name], shape, Path(folder))
            yield SamplePicture(name[:16], ImageArray(image, "cyx"), truth)


def coffee(archive: Archive, images: int, labelled: int) -> Iterator[SamplePicture]:
    """Read ``images/<part>/<n>.jpg`` and ``annotations/<part>/<n>_mask.png``, which holds colours.

    The masks that are kept have all classes.
    """
    pattern = (
        r"(?:^|/)segmentation/dataset/(images|annotations)/([a-z]+)/([0-9]+)(_mask)?\.(?:jpg|png)$"
    )
    files: dict[str, dict[str, str]] = {"images": {}, "annotations": {}}
    for name in archive.names:
        match = re.search(pattern, name)
        if match and bool(match[4]) == (match[1] == "annotations"):
            files[match[1]][f"{match[2]}_{match[3]}"] = name
    both = files["images"].keys() & files["annotations"].keys()
    with tempfile.TemporaryDirectory() as folder:
        for name in _chosen(archive, both, images):
            image = _shrunk(_read(archive, files["images"][name], Path(folder)).transpose(1, 2, 0))
            truth = None
            if labelled:
                truth = _coffee_truth(archive, files["annotations"][name], Path(folder))
                if len(np.unique(truth)) < len(COFFEE_COLOURS):
                    truth = None
                else:
                    labelled -= 1
            yield SamplePicture(name, ImageArray(image.transpose(2, 0, 1), "cyx"), truth)


def _chosen(archive: Archive, names: Iterable[str], count: int) -> list[str]:
    """Choose names in an order that has nothing to do with what they mean, and is always the same.

    Raises
    ------
    ImageFileError
        There are none, so that this is another archive.
    """
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    if not ordered:
        raise ImageFileError(
            f"{archive.path} holds no image with masks where this data set has them.",
            "It may be another archive, or its home has changed it.",
        )
    return ordered[:count]


def _read(archive: Archive, name: str, folder: Path) -> np.ndarray:
    """Return an image as ``(3, y, x)``."""
    file = archive.unpack(name, folder)
    try:
        image = read_image(file).array
    finally:
        file.unlink()
    if image.ndim != 3 or len(image) not in (1, 3):
        raise ImageFileError(f"{name} in {archive.path.name} is no colour image.")
    return np.repeat(image, 3, axis=0) if len(image) == 1 else image


def _read_mask(
    archive: Archive, name: str, shape: tuple[int, ...] | None, folder: Path
) -> np.ndarray:
    file = archive.unpack(name, folder)
    try:
        mask = read_mask_array(file, palette_colours=shape is None)
    finally:
        file.unlink()
    if shape is not None and mask.shape[:2] != shape:
        raise ImageFileError(f"{name} in {archive.path.name} has not the size of its image.")
    return mask


def _union(
    archive: Archive, names: Iterable[str], shape: tuple[int, ...], folder: Path
) -> np.ndarray:
    """Return 2 where any of the masks is, 1 elsewhere."""
    truth = np.ones(shape, np.uint8)
    for name in names:
        mask = _read_mask(archive, name, shape, folder)
        truth[(mask > 0) if mask.ndim == 2 else (mask > 0).any(axis=-1)] = 2
    return truth


def _coffee_truth(archive: Archive, name: str, folder: Path) -> np.ndarray:
    mask = _read_mask(archive, name, None, folder)
    if mask.ndim != 3:
        raise ImageFileError(f"{name} in {archive.path.name} holds no colours.")
    small = _shrunk(mask, Image.Resampling.NEAREST).astype(int)
    distance = np.abs(small[..., None, :] - np.array(COFFEE_COLOURS)).sum(axis=-1)
    return np.asarray(distance.argmin(axis=-1) + 1, np.uint8)


def _shrunk(pixels: np.ndarray, method: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    """Reduce ``(y, x, 3)`` to `COFFEE_SIDE` on the longer side."""
    height, width = pixels.shape[:2]
    factor = min(1.0, COFFEE_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, method))
