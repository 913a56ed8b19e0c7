"""What is shown of an image, read from the project in one go and apart from the event loop."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.classes import renumbered
from napari_threestage.errors import ThreeStageError
from napari_threestage.planes import value_limits
from napari_threestage.runs import indices_between
from napari_threestage.truth_editor import TruthEditor

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord
    from napari_threestage.runs import Run
    from napari_threestage.store import ImageArray

LAZY_BYTES = 512 * 2**20  # larger images are read as far as they are seen


@dataclass(frozen=True)
class ImagePixels:
    """Pixels as napari takes them.

    Attributes
    ----------
    array
        Axes, pixel size and names of channels; its `data` is that on disk.
    levels
        The image or, when it is large, its pyramid: finest first, axes as in `array` but with the
        channels last where `rgb`.
    rgb
        Whether the channels are red, green and blue.
    limits
        Darkest and brightest value to show, by channel.
    """

    array: ImageArray
    levels: list[Any]
    rgb: bool
    limits: list[tuple[float, float]]

    @property
    def n_bytes(self) -> int:
        """Memory that the pixels take."""
        return sum(level.nbytes for level in self.levels if isinstance(level, np.ndarray))


@dataclass(eq=False)
class ImageContent:
    """An image with its ground truth and the masks of a run.

    Attributes
    ----------
    masks
        By stage, as indices.
    run
        Whose masks these are; empty without a run.
    second, second_run
        The same of the run that it is compared with.
    problems
        Why a mask is not there.
    """

    record: ImageRecord
    pixels: ImagePixels
    editor: TruthEditor
    masks: dict[int, np.ndarray] = field(default_factory=dict)
    run: str = ""
    second: dict[int, np.ndarray] = field(default_factory=dict)
    second_run: str = ""
    problems: list[ThreeStageError] = field(default_factory=list)


class PixelCache:
    """The pixels of the images seen last and of those that may come next.

    Parameters
    ----------
    limit
        Bytes to keep.
    """

    def __init__(self, limit: int = 2**30) -> None:
        self.limit = limit
        self._kept: OrderedDict[str, ImagePixels] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, project: Project, image_id: str) -> ImagePixels:
        """Return the pixels of an image, from memory or from disk."""
        with self._lock:
            pixels = self._kept.get(image_id)
        pixels = pixels or read_pixels(project, image_id)
        with self._lock:
            self._kept[image_id] = pixels
            self._kept.move_to_end(image_id)
            while len(self._kept) > 1 and self._size() > self.limit:
                self._kept.popitem(last=False)
        return pixels

    def _size(self) -> int:
        return sum(one.n_bytes for one in self._kept.values())


def read_pixels(project: Project, image_id: str) -> ImagePixels:
    """Read an image for the screen, whole or, when it is large, lazily with its pyramid."""
    image = project.read_image(image_id)
    place = image.axes.index("c")
    if int(np.prod(image.data.shape)) * image.data.dtype.itemsize > LAZY_BYTES:
        levels = [image.data, *image.coarser]
        sample = np.asarray(levels[-1][...])
        return ImagePixels(image, levels, False, value_limits(np.moveaxis(sample, place, 0)))
    data = np.asarray(image.data[...])
    limits = value_limits(np.moveaxis(data, place, 0))
    rgb = data.shape[place] == 3 and data.dtype == np.uint8
    if rgb:
        data = np.ascontiguousarray(np.moveaxis(data, place, -1))
    return ImagePixels(image, [data], rgb, limits)


def load_content(
    project: Project,
    image_id: str,
    run: Run | None,
    cache: PixelCache,
    writable: bool,
    second: Run | None = None,
) -> ImageContent:
    """Read all that is shown of an image.

    Parameters
    ----------
    run, second
        Whose masks are shown, and those of which run beside them.

    Raises
    ------
    ThreeStageError
        The image or its ground truth is missing or damaged.
    """
    pixels = cache.get(project, image_id)
    with project.changing_image(image_id):
        editor = TruthEditor(project, image_id, writable=writable)
    content = ImageContent(project.images[image_id], pixels, editor)
    take_masks(content, read_both(project, run, second, image_id))
    return content


@dataclass(frozen=True)
class BothMasks:
    """The masks of an image by stage, of a run and of the one that it is compared with."""

    run: str
    masks: dict[int, np.ndarray]
    second_run: str
    second: dict[int, np.ndarray]
    problems: list[ThreeStageError]


def read_both(
    project: Project | None, run: Run | None, second: Run | None, image_id: str
) -> BothMasks:
    """Read the masks of an image that two runs made; a run is not compared with itself."""
    if run is not None and second is not None and run.id == second.id:
        second = None
    masks, problems = read_masks(project, run, image_id)
    others, more = read_masks(project, second, image_id)
    ids = ["" if one is None else one.id for one in (run, second)]
    return BothMasks(ids[0], masks, ids[1], others, [*problems, *more])


def take_masks(content: ImageContent, found: BothMasks) -> None:
    """Let an image have these masks."""
    content.run, content.masks = found.run, found.masks
    content.second_run, content.second = found.second_run, found.second
    content.problems = found.problems


def read_masks(
    project: Project | None, run: Run | None, image_id: str
) -> tuple[dict[int, np.ndarray], list[ThreeStageError]]:
    """Return a run's pseudo-masks of an image by stage, and why others cannot be read."""
    masks: dict[int, np.ndarray] = {}
    problems = []
    stages = range(1, run.inputs.last_stage + 1) if run is not None else ()
    for stage in stages:
        try:
            if project is not None and run is not None and run.has_mask(stage, image_id):
                masks[stage] = read_mask(project, run, stage, image_id)
        except ThreeStageError as error:
            problems.append(error)
    return masks, problems


def read_mask(project: Project, run: Run, stage: int, image_id: str) -> np.ndarray:
    """Return a pseudo-mask as indices of the present classes; 0 where its class is gone."""
    indices = indices_between(run.class_ids, project.class_table)
    return renumbered(run.read_mask(stage, image_id), indices)
