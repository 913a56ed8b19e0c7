"""A random forest on multi-scale features of each pixel: what users of ilastik have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.feature import multiscale_basic_features

from napari_threestage.compare.kinds import ConfusionsByKind
from napari_threestage.errors import ImageFileError, NotReadyError
from napari_threestage.extra import missing_package
from napari_threestage.ingest import check_mask_size, decode_mask, load_image, read_mask_array

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.benchmark.items import Item

TREES = 100
FINEST, COARSEST = 0.7, 10.0  # standard deviations of the smoothing, in pixels
MOST_PIXELS = 2000  # of a class in an image
MOST_PIXELS_IN_ALL = 300_000  # of a class


def train_and_score(
    labelled: Sequence[Item],
    masks: Sequence[Path],
    test: Sequence[Item],
    classes: Sequence[str],
    seed: int,
    kinds: str | None = None,
    threads: int = 0,
) -> ConfusionsByKind:
    """Train a random forest on labelled pixels, and score it.

    Parameters
    ----------
    labelled
        Images to train on.
    masks
        Their masks in the same order: class indices 0..C-1, 255 = not labelled. Masks with only a
        few labelled pixels, such as scribbles, are normal.
    test
        Images to score, with such masks.
    classes
        Names of the C classes.
    seed
        Which pixels are taken, and what chance does in the trees.
    kinds
        Pattern for the kinds of images that are scored as well.
    threads
        How many to compute with; 0: as ``OMP_NUM_THREADS`` says, else all cores.

    Returns
    -------
    ConfusionsByKind
        Over all labelled pixels of `test` together, as stage 1.

    Raises
    ------
    ImageFileError
        A file cannot be read, has other channels than the rest, or holds a value of no class.
    NotReadyError
        No pixel is labelled, or scikit-learn is not installed.

    References
    ----------
    Breiman, *Random forests*, Machine Learning 2001; Berg et al., *ilastik: interactive machine
    learning for (bio)image analysis*, Nature Methods 2019.
    """
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1
    images = [item.image for item in labelled]
    forest = _train(images, masks, len(classes), np.random.default_rng(seed), threads)
    found = ConfusionsByKind(classes, [1], kinds)
    for item in test:
        values, truth = _read_pixels(item.image, item.mask, len(classes), threads)
        _check_channels(item.image, values, forest.n_features_in_)
        found.of(item.name)[1].add(truth, forest.predict(values))
    return found


def _train(
    images: Sequence[Path],
    masks: Sequence[Path],
    n_classes: int,
    rng: np.random.Generator,
    threads: int,
) -> Any:
    """Return a trained ``sklearn.ensemble.RandomForestClassifier``."""
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise missing_package("scikit-learn", "benchmark") from error
    most = max(1, min(MOST_PIXELS, MOST_PIXELS_IN_ALL // max(1, len(images))))
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for image, mask in zip(images, masks, strict=True):
        values, truth = _read_pixels(image, mask, n_classes, threads)
        _check_channels(image, values, taken[0][0].shape[1] if taken else values.shape[1])
        places = _choose(truth, most, rng)
        taken.append((values[places], truth[places]))
    if not any(len(truth) for _, truth in taken):
        raise NotReadyError("No pixel is labelled, so no forest can be trained.", "Label some.")
    forest = RandomForestClassifier(TREES, n_jobs=threads, random_state=int(rng.integers(2**31)))
    return forest.fit(*map(np.concatenate, zip(*taken, strict=True)))


def _choose(truth: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of at most `most` pixels of each class."""
    of_class = [np.flatnonzero(truth == value) for value in np.unique(truth[truth > 0])]
    chosen = [rng.permutation(places)[:most] for places in of_class]
    return np.concatenate([np.empty(0, np.intp), *chosen])


def _read_pixels(
    image_path: Path, mask_path: Path, n_classes: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (N, F) of all pixels of an image, and their classes (N,), 0 = none."""
    image = load_image(image_path)
    try:
        truth = decode_mask(read_mask_array(mask_path), n_classes)
    except ImageFileError as error:
        raise ImageFileError(f"{mask_path}: {error.message}", error.hint) from error
    check_mask_size(image_path, image, mask_path, truth)
    pixels = np.moveaxis(image.data, image.axes.index("c"), -1)
    planes = pixels.reshape(-1, *pixels.shape[-3:])
    return np.concatenate([_features(plane, threads) for plane in planes]), truth.ravel()


def _features(plane: np.ndarray, threads: int) -> np.ndarray:
    """Return brightness, gradient and curvatures (N, F) at several scales around each pixel.

    Parameters
    ----------
    plane
        Shape (H, W, channels).
    """
    found = multiscale_basic_features(
        plane, sigma_min=FINEST, sigma_max=COARSEST, workers=threads, channel_axis=-1
    )
    values: np.ndarray = found.reshape(-1, found.shape[-1])
    return values


def _check_channels(path: Path, values: np.ndarray, features: int) -> None:
    if values.shape[1] != features:
        raise ImageFileError(
            f"{path} has other channels than the images before it.",
            "Give all images of a data set the same channels.",
        )
