"""An image with all its masks as small pictures, and frames around the places that changed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_threestage.compare.changes import Judged, changed, judged
from napari_threestage.compare.places import Place, strongest
from napari_threestage.panels import CORRECTED, UNDECIDED, WORSENED
from napari_threestage.planes import to_bytes
from napari_threestage.window_pictures import FEW_CHANNELS, shown_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord

SIDE = 288  # pixels of the longest side of a picture
LOOKED_AT = 1024  # of what places are looked for in
FRAMES, FRAME_PART = 3, 5  # at most so many; of the longer side of the image
LEAST_CHANGED, TRIED = 0.15, 12  # share of a framed place that changed; places looked at
SHADES, BRIGHT, CONTRAST = 24, 110, 0.4  # of the image behind its changes

Mask = npt.NDArray[np.integer[Any]]
Frame = tuple[float, float, float, float]  # left, top, width, height as shares of the picture


@dataclass(frozen=True)
class ImagePictures:
    """What is shown of an image, each as a PNG file.

    Attributes
    ----------
    plane
        Which plane of a stack, by axis.
    masks
        By the key of the column.
    truth
        None where nothing is labelled.
    changes
        What became of the pixels between the first and the last mask; None of a single one.
    frames
        The places where these differ most.
    """

    plane: Mapping[str, int]
    image: bytes
    masks: Mapping[str, bytes]
    truth: bytes | None
    changes: bytes | None
    frames: list[Frame]


def draw_image(project: Project, columns: Sequence[Column], image_id: str) -> ImagePictures:
    """Read and draw an image.

    Raises
    ------
    ThreeStageError
        A file of it is missing or damaged.
    """
    record = project.images[image_id]
    step = max(1, max(record.label_shape[-2:]) // LOOKED_AT)
    masks = {column.key: _thin(column.read_mask(image_id), step) for column in columns}
    truth = project.read_labels(image_id)
    truth = None if truth is None or not truth.any() else _thin(truth, step)
    first, last = masks[columns[0].key], masks[columns[-1].key]
    plane = _plane(first, last, truth)
    image = _read_plane(project, columns[0], record, plane)
    height, width = first.shape[-2:]
    size = shown_size(height, width, SIDE)
    labels = {key: _nearest(mask[plane], size) for key, mask in masks.items()}
    shown_truth = None if truth is None else _nearest(truth[plane], size)
    colours = [(255, 255, 255), *(entry.color for entry in project.classes)]
    several = len(columns) > 1
    outer = [axis for axis in record.axes if axis in "tz"]
    return ImagePictures(
        plane=dict(zip(outer, plane, strict=True)),
        image=_png(_resized(image, size)),
        masks={key: _palette_png(mask, colours) for key, mask in labels.items()},
        truth=None if shown_truth is None else _palette_png(shown_truth, colours),
        changes=_changes(_resized(image, size), labels, shown_truth) if several else None,
        frames=changed_frames(first[plane], last[plane]) if several else [],
    )


def changed_frames(before: Mask, after: Mask) -> list[Frame]:
    """Return frames around the places of a plane that changed most; they do not overlap."""
    different, (height, width) = changed(before, after), before.shape
    side = max(8, max(before.shape) // FRAME_PART)
    places: list[Place] = []
    for _ in range(TRIED):
        place, share = strongest(different, side)
        if share < LEAST_CHANGED or len(places) == FRAMES:
            break
        different[place.slices] = False
        if not any(_overlap(place, other) for other in places):
            places.append(place)
    frames = []
    for (top, bottom), (left, right) in ((one.rows, one.columns) for one in places):
        frames.append((left / width, top / height, (right - left) / width, (bottom - top) / height))
    return frames


def _overlap(one: Place, other: Place) -> bool:
    sides = ((one.rows, other.rows), (one.columns, other.columns))
    return all(a[0] < b[1] and b[0] < a[1] for a, b in sides)


def _thin(mask: Mask, step: int) -> Mask:
    """Return every nth row and column."""
    return np.ascontiguousarray(mask[..., ::step, ::step])


def _plane(first: Mask, last: Mask, truth: Mask | None) -> tuple[int, ...]:
    """Return the plane of a stack to show: where most changed, else where most is labelled."""
    if first.ndim == 2:
        return ()
    for values in (changed(first, last), None if truth is None else truth > 0):
        if values is not None and values.any():
            sums = values.sum((-2, -1))
            return tuple(int(index) for index in np.unravel_index(sums.argmax(), sums.shape))
    return tuple(side // 2 for side in first.shape[:-2])


def _read_plane(
    project: Project, column: Column, record: ImageRecord, plane: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Return a plane as (H, W, 3) from the coarsest level that is large enough.

    Of two channels the first one is shown in grey, of many the first three.
    """
    image = project.read_image(record.id)
    large = [one for one in image.coarser if max(one.shape[-2:]) >= 2 * SIDE]
    level = large[-1] if large else image.data
    step = max(1, max(level.shape[-2:]) // (4 * SIDE))
    outer = dict(zip((axis for axis in image.axes if axis in "tz"), plane, strict=True))
    every, some = slice(None), slice(None, None, step)
    index = tuple(outer.get(axis, some if axis in "yx" else every) for axis in image.axes)
    pixels = np.asarray(level[index])
    pixels = pixels if "c" in image.axes else pixels[np.newaxis]
    taken = column.run.inputs.channels or range(len(pixels))
    usable = [channel for channel in taken if channel < len(pixels)] or [0]
    shown = to_bytes(pixels[usable[:FEW_CHANNELS]], column.run.inputs.normalisation)
    if len(shown) < FEW_CHANNELS:
        shown = np.repeat(shown[:1], FEW_CHANNELS, axis=0)
    return np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def _changes(image: npt.NDArray[np.uint8], labels: Mapping[str, Mask], truth: Mask | None) -> bytes:
    """Return the changes between the first and the last mask, on the image in pale grey."""
    first, *_, last = labels.values()
    codes = judged(first, last, np.zeros_like(first) if truth is None else truth)
    grey = image.mean(axis=2) / 255
    indices = np.minimum((grey * SHADES).astype(np.uint8), SHADES - 1)
    levels = np.linspace(BRIGHT, BRIGHT + 255 * CONTRAST, SHADES).astype(int).tolist()
    colours = {Judged.CORRECTED: CORRECTED, Judged.WORSENED: WORSENED, Judged.UNDECIDED: UNDECIDED}
    for place, code in enumerate(colours):
        indices[codes == code] = SHADES + place
    return _palette_png(indices, [*((one, one, one) for one in levels), *colours.values()], None)


def _nearest(labels: Mask, size: tuple[int, int]) -> Mask:
    """Return the nearest label of the centre of each shown pixel."""
    width, height = size
    down = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    across = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(down, across)]


def _resized(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    from PIL import Image  # only where it is needed: it takes a moment to load

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    return _written(Image.fromarray(pixels))


def _palette_png(indices: Mask, colours: Sequence[Sequence[int]], clear: int | None = 0) -> bytes:
    """Return a picture of so few colours that each pixel is one byte; index `clear` is none."""
    from PIL import Image

    picture = Image.fromarray(indices.astype(np.uint8)).convert("L")
    picture = picture.copy()
    picture.putpalette([part for colour in colours for part in colour])
    return _written(picture, **({} if clear is None else {"transparency": clear}))


def _written(picture: Any, **options: Any) -> bytes:
    made = io.BytesIO()
    picture.save(made, "PNG", optimize=True, **options)
    return made.getvalue()
