"""What the segmenter in training thinks of a few windows, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_threestage.errors import ThreeStageError
from napari_threestage.planes import to_bytes
from napari_threestage.runs import indices_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.events import Sampled
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

Picture = npt.NDArray[np.uint8]

SIDE = 160  # pixels of the longest side
TINT = 0.6
OUTLINE = (255, 255, 255)
FEW_CHANNELS = 3


@dataclass(frozen=True)
class WindowPicture:
    """A window of an image.

    Attributes
    ----------
    image
        (H, W, 3).
    mask
        The same with the classes in their colours, and ground truth as an outline.
    present
        Indices of the classes in the mask.
    """

    image_id: str
    name: str
    image: Picture
    mask: Picture
    has_truth: bool
    present: tuple[int, ...]


def window_pictures(project: Project, run: Run, sampled: Sampled) -> list[WindowPicture]:
    """Read and draw the windows of an event; what is gone or damaged is left out."""
    pictures = []
    for window in sampled.windows:
        try:
            pictures.append(_picture(project, run, sampled.stage, window))
        except (ThreeStageError, KeyError, ValueError, IndexError):
            continue  # its mask is being replaced, or its image was removed
    return pictures


def _picture(project: Project, run: Run, stage: int, window: dict[str, Any]) -> WindowPicture:
    image_id = window["image"]
    record = project.images[image_id]
    top, left = window["y"], window["x"]
    place = (slice(top, top + window["height"]), slice(left, left + window["width"]))
    labels = indices_between(run.class_ids, project.class_table)
    mask = labels[run.read_sample(stage, image_id)]
    truth = run.read_truth(image_id)
    truth = None if truth is None else labels[truth[(*window["plane"], *place)]]
    size = shown_size(*mask.shape)
    image = _resized(_pixels(project, image_id, window["plane"], place), size)
    colours = np.array([(0, 0, 0), *(entry.color for entry in project.classes)], np.uint8)
    drawn = draw_mask(image, _nearest(mask, size), colours)
    has_truth = truth is not None and bool(truth.any())
    if truth is not None and has_truth:
        drawn[outline(_nearest(truth, size))] = OUTLINE
    present = tuple(int(index) for index in np.unique(mask) if index)
    return WindowPicture(image_id, record.name, image, drawn, has_truth, present)


def _pixels(project: Project, image_id: str, plane: Sequence[int], place: Any) -> Picture:
    """Return a window as (H, W, 3) bytes; channels beyond the third are not shown."""
    array = project.read_image(image_id)
    outer = iter(plane)
    spatial = dict(zip("yx", place, strict=True))
    index = tuple(
        spatial.get(axis, slice(None) if axis == "c" else None) or next(outer)
        for axis in array.axes
    )
    pixels = np.asarray(array.data[index])
    pixels = pixels if "c" in array.axes else pixels[np.newaxis]
    shown = to_bytes(pixels[:FEW_CHANNELS])
    if len(shown) < FEW_CHANNELS:  # the first channel as grey
        shown = np.repeat(shown[:1], FEW_CHANNELS, axis=0)
    return np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def shown_size(height: int, width: int, side: int = SIDE) -> tuple[int, int]:
    """Return width and height of a picture whose longest side is `side`."""
    longest = max(height, width)
    return max(1, width * side // longest), max(1, height * side // longest)


def draw_mask(image: Picture, mask: npt.NDArray[Any], colours: Picture) -> Picture:
    """Tint the pixels of each class with its colour."""
    tinted = (1 - TINT) * image + TINT * colours[mask]
    drawn: Picture = np.where(mask[..., None] > 0, tinted, image).round().astype(np.uint8)
    return drawn


def outline(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return the pixels at which another class, or none, begins to the right or below."""
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def _resized(image: Picture, size: tuple[int, int]) -> Picture:
    from PIL import Image  # only where it is needed: it takes a moment to load

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _nearest(labels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    width, height = size
    down = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    across = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(down, across)]
