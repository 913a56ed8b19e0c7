"""What benchmarks share that score segmenters: options, images with masks, mIoU."""

from __future__ import annotations

import argparse
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import napari_threestage
from napari_threestage.compare import Confusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.inference.segmenter import Segmenter

UNLABELLED = 255

Pair = tuple[np.ndarray, np.ndarray]
"""An image (H, W, C) and its truth (H, W), in which classes count from 1 and 0 is no label."""


def scoring_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser for segmenters and the images to score them by."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="a folder with images and masks")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of names")
    parser.add_argument("--most", type=int, help="so many of the images, evenly chosen")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    return parser


def read_pairs(options: argparse.Namespace) -> list[Pair]:
    """The images of a folder and their truths."""
    paths = [
        path
        for path in sorted((options.data / "images").iterdir())
        if any(fnmatch(path.name, pattern) for pattern in options.only)
    ]
    most = min(options.most or len(paths), len(paths))
    chosen = [paths[number * len(paths) // most] for number in range(most)]
    return [read_pair(path, options.data / "masks" / f"{path.stem}.png") for path in chosen]


def read_images(folder: Path) -> list[np.ndarray]:
    """The images (H, W, C) of a folder that has a part `images`, or of the folder itself."""
    images = folder / "images"
    paths = sorted((images if images.is_dir() else folder).iterdir())
    return [np.asarray(Image.open(path)) for path in paths]


def read_pair(image: Path, mask: Path) -> Pair:
    indices = np.asarray(Image.open(mask))
    truth = np.where(indices == UNLABELLED, 0, indices + 1).astype(np.uint8)
    return np.asarray(Image.open(image)), truth


def score(segmenter: Segmenter, pairs: Sequence[Pair], **settings: Any) -> float:
    """Return the mIoU of a segmenter."""
    adjusted = segmenter.adjusted(**settings)
    confusion = Confusion([entry["name"] for entry in segmenter.info.classes])
    for image, truth in pairs:
        confusion.add(truth, napari_threestage.predict(adjusted, image).mask)
    return confusion.scores().miou
