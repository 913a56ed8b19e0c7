"""Synthetic tissue micrographs with exact masks: the sample project, made without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_threestage.sample_scene import draw_scene, photograph

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from napari_threestage.store import ImageArray

SAMPLE_CLASSES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("background", (120, 130, 145)),
    ("cell", (0, 158, 115)),
    ("fibre", (0, 114, 214)),
    ("debris", (240, 145, 0)),
)
MIN_SIZE = 64
TEST_OFFSET = 50_000


@dataclass(frozen=True)
class SampleImage:
    """One micrograph and its exact mask.

    Attributes
    ----------
    name
        File stem, made from the seed.
    image
        ``(H, W, 3)`` uint8, RGB.
    mask
        ``(H, W)`` uint8, index into `SAMPLE_CLASSES`.
    """

    name: str
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SamplePicture:
    """An image of a sample project, with ground truth (0 = not labelled, 1..C) if it has any."""

    name: str
    image: ImageArray
    truth: np.ndarray | None


def make_sample(seed: int, size: int = 160) -> SampleImage:
    """Draw one micrograph with background and at least two other classes.

    Parameters
    ----------
    seed
        Decides everything; the same seed gives the same pixels.
    size
        Height and width in pixels, at least 64.

    Returns
    -------
    SampleImage
        ``(size, size, 3)`` uint8 image and ``(size, size)`` uint8 mask.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}, the objects need at least {MIN_SIZE} pixels")
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, size)
    while not _is_mixed(scene.mask):
        scene = draw_scene(rng, size)
    return SampleImage(f"tissue_{seed:04d}", photograph(scene), scene.mask)


def write_sample(
    folder: Path, *, labelled: int = 6, unlabelled: int = 60, test: int = 40, seed: int = 0
) -> None:
    """Write a sample project: images, a few masks, a test set and the class list.

    Parameters
    ----------
    folder
        Gets ``images/``, ``masks/`` (labelled images only), ``test/images/``, ``test/masks/``
        and ``classes.json``; files of the same name are overwritten.
    labelled, unlabelled, test
        Number of images of each kind, all from the same generator.
    seed
        Another seed gives a project that shares no image with this one.
    """
    first = seed * 2 * TEST_OFFSET
    _write_images(folder, range(first, first + labelled), with_masks=True)
    _write_images(folder, range(first + labelled, first + labelled + unlabelled), with_masks=False)
    first += TEST_OFFSET
    _write_images(folder / "test", range(first, first + test), with_masks=True)
    listing = [{"name": name, "color": "#" + bytes(color).hex()} for name, color in SAMPLE_CLASSES]
    (folder / "classes.json").write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8")


def _write_images(folder: Path, seeds: Iterable[int], *, with_masks: bool) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    for seed in seeds:
        sample = make_sample(seed)
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.name}.png")
        if with_masks:
            Image.fromarray(sample.mask).save(folder / "masks" / f"{sample.name}.png")


def _is_mixed(mask: npt.NDArray[np.uint8]) -> bool:
    shares = np.bincount(mask.ravel(), minlength=len(SAMPLE_CLASSES)) / mask.size
    return bool(shares[0] >= 0.1 and (shares[1:] >= 0.01).sum() >= 2)
