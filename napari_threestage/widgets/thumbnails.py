"""Small pictures of images with their labels; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import store
from napari_threestage.planes import value_limits
from napari_threestage.project import GROUND_TRUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.project import Project

# As the viewer colours channels: red, green, blue, cyan, magenta, yellow.
CHANNEL_COLOURS = np.array(
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)], np.float32
)
LABEL_OPACITY = 0.55
FINER = 3  # so many times the wanted size is read, that thin strokes are not lost


def make_thumbnail(
    project: Project, image_id: str, size: int, labels: np.ndarray | None = None
) -> np.ndarray:
    """Draw the middle plane of an image with its ground truth over it.

    Parameters
    ----------
    size
        Pixels along the longer side, at most.
    labels
        What `middle_labels` returns of ground truth that is not on disk yet.

    Returns
    -------
    (H, W, 3) uint8.

    Raises
    ------
    ThreeStageError
        The image or its ground truth is missing or damaged.
    """
    image = project.read_image(image_id)
    plane = _middle_plane((image.data, *image.coarser), image.axes, size)
    picture = _shrink(_colour(plane), size)
    if labels is None:
        labels = _labels(project, image_id, size)
    return picture if labels is None else _draw_labels(picture, labels, project)


def middle_labels(truth: np.ndarray, size: int) -> np.ndarray:
    """Return a small copy of the middle plane of ground truth for a thumbnail."""
    axes = "tzyx"[-truth.ndim :]
    return _middle_plane((truth,), axes, size * FINER).copy()


def _middle_plane(levels: Sequence[Any], axes: str, size: int) -> np.ndarray:
    """Return a plane ((C,) H, W) of the coarsest level that is large enough."""
    y, x = axes.index("y"), axes.index("x")
    large = [level for level in levels if max(level.shape[y], level.shape[x]) >= size]
    level = (large or levels[:1])[-1]
    step = max(1, max(level.shape[y], level.shape[x]) // (size * FINER))
    place: list[Any] = [side // 2 for side in level.shape]
    place[y] = place[x] = slice(None, None, step)
    if "c" in axes:
        place[axes.index("c")] = slice(None)
    return np.asarray(level[tuple(place)])


def _colour(plane: np.ndarray) -> np.ndarray:
    """Return channels (C, H, W) as red, green and blue (H, W, 3)."""
    if plane.dtype == bool:
        plane = plane.astype(np.uint8) * np.uint8(255)
    if plane.dtype == np.uint8 and len(plane) == 3:
        return np.ascontiguousarray(np.moveaxis(plane, 0, -1))
    scaled = []
    for channel, (low, high) in zip(plane, value_limits(plane), strict=True):
        values = np.nan_to_num(channel.astype(np.float32), nan=low, posinf=high, neginf=low)
        scaled.append(np.clip((values - low) / (high - low), 0, 1))
    if len(scaled) == 1:
        colours = np.ones((1, 3), np.float32)
    else:
        colours = np.resize(CHANNEL_COLOURS, (len(scaled), 3))
    mixed: np.ndarray = np.clip(np.einsum("chw,ck->hwk", np.stack(scaled), colours), 0, 1)
    return (mixed * 255).round().astype(np.uint8)


def _shrink(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return picture
    from PIL import Image  # only in the thread that draws: it takes a moment to load

    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BOX))


def _labels(project: Project, image_id: str, size: int) -> np.ndarray | None:
    """Return class indices of the middle plane; None where nothing is labelled."""
    attributes = project.label_attributes(image_id)
    if attributes is None or not any(attributes["pixels"][1:]):
        return None
    labels = store.read_ome_zarr(project.image_path(image_id) / "labels" / GROUND_TRUTH)
    levels = (labels.data, *labels.coarser)
    ids = _middle_plane(levels, labels.axes, size * FINER)
    return project.class_table.indices(ids)


def _draw_labels(picture: np.ndarray, labels: np.ndarray, project: Project) -> np.ndarray:
    shown = _fit(labels, picture.shape[:2])
    colours = np.array([(0, 0, 0), *(entry.color for entry in project.classes)], np.float32)
    mixed = (1 - LABEL_OPACITY) * picture + LABEL_OPACITY * colours[shown]
    drawn: np.ndarray = np.where((shown > 0)[..., None], mixed, picture)
    return drawn.round().astype(np.uint8)


def _fit(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels in another size; a field is labelled when any pixel in it is."""
    fitted = labels
    for axis, (old, new) in enumerate(zip(labels.shape, shape, strict=True)):
        if old > new:
            starts = np.arange(new) * old // new
            fitted = np.maximum.reduceat(fitted, starts, axis=axis)
        elif old < new:
            fitted = fitted.take(np.arange(new) * old // new, axis=axis)
    return fitted
