"""Synthetic stacks and 16-bit images of several channels, labelled with a few strokes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_threestage.sample import SAMPLE_CLASSES, SamplePicture
from napari_threestage.sample_scene import draw_scene
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_threestage.sample_scene import Scene

SIZE = 128
PLANES = 7
STACKS, FLAT = 4, 10  # the first of each have strokes
LABELLED_STACKS, LABELLED_FLAT = 2, 4
CHANNELS = ("nuclei", "matrix", "autofluorescence")
PIXEL = 0.325  # micrometres
PLANE_DISTANCE = 1.0
STROKES = 3  # of each class in a plane
COUNTS = 9000.0  # of the camera, for the brightest stain
FIRST_SEED = 70_000


def stack_pictures() -> Iterator[SamplePicture]:
    """Draw stacks of planes, then single planes; all are 16 bit and have three channels."""
    for number in range(STACKS):
        rng, scene = _scene(FIRST_SEED + number)
        middle = rng.uniform(1.5, PLANES - 2.5)
        planes = [_plane(scene, rng, abs(z - middle)) for z in range(PLANES)]
        pixels = np.stack([pixels for pixels, _ in planes], axis=1)
        truth = None
        if number < LABELLED_STACKS:
            truth = np.zeros(pixels.shape[1:], np.uint8)
            for z in (PLANES // 2, PLANES // 2 + 1):
                truth[z] = _strokes(planes[z][1], rng)
        yield SamplePicture(f"stack_{number + 1}", _image(pixels, "czyx"), truth)
    for number in range(FLAT):
        rng, scene = _scene(FIRST_SEED + STACKS + number)
        pixels, mask = _plane(scene, rng, 0.0)
        truth = _strokes(mask, rng) if number < LABELLED_FLAT else None
        yield SamplePicture(f"plane_{number + 1:02d}", _image(pixels, "cyx"), truth)


def _scene(seed: int) -> tuple[np.random.Generator, Scene]:
    """Draw a scene with all classes."""
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, SIZE)
    while np.bincount(scene.mask.ravel(), minlength=len(SAMPLE_CLASSES)).min() < SIZE:
        scene = draw_scene(rng, SIZE)
    return rng, scene


def _plane(
    scene: Scene, rng: np.random.Generator, distance: float
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Photograph one plane: objects get smaller and blurred with the distance from the middle."""
    depth = ndimage.distance_transform_edt(scene.mask > 0)
    inside = depth > 1.5 * distance
    mask = np.where(inside, scene.mask, 0).astype(np.uint8)
    bare = [float(np.median(stain[scene.mask == 0])) for stain in (scene.nuclear, scene.counter)]
    stains = [
        np.where(inside | (scene.mask == 0), stain, level)
        for stain, level in zip((scene.nuclear, scene.counter), bare, strict=True)
    ]
    light = np.stack([*stains, 0.4 * ndimage.gaussian_filter(stains[0] + stains[1], 2)])
    blur = 0.5 + 0.3 * distance
    light = ndimage.gaussian_filter(light, (0, blur, blur)) * COUNTS + 200
    counts = rng.poisson(np.clip(light, 0, None)) + rng.normal(0, 12, light.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16), mask


def _strokes(mask: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Mark each class with a few strokes along the middle of its regions."""
    from skimage.morphology import skeletonize  # takes as long to import as all else

    truth = np.zeros(mask.shape, np.uint8)
    for index in range(len(SAMPLE_CLASSES)):
        region = mask == index
        lines, count = ndimage.label(skeletonize(region), np.ones((3, 3)))
        sizes = np.bincount(lines.ravel(), minlength=count + 1)[1:]
        for line in np.argsort(sizes, kind="stable")[::-1][:STROKES] + 1:
            rows, columns = np.nonzero(lines == line)
            middle = rng.integers(len(rows))
            near = np.hypot(rows - rows[middle], columns - columns[middle]) < SIZE / 8
            truth[rows[near], columns[near]] = index + 1
    brush = ndimage.grey_dilation(truth, footprint=ndimage.generate_binary_structure(2, 1))
    return np.where(brush == mask + 1, brush, truth).astype(np.uint8)


def _image(pixels: np.ndarray, axes: str) -> ImageArray:
    scale = {"y": PIXEL, "x": PIXEL} | ({"z": PLANE_DISTANCE} if "z" in axes else {})
    return ImageArray(pixels, axes, scale, dict.fromkeys(scale, "micrometer"), CHANNELS)
