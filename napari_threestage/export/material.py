"""What goes into an export and what it is proved with: a segmenter and crops of real images."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_threestage.errors import ImageFileError, NotReadyError
from napari_threestage.planes import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.segmenter_info import SegmenterInfo
    from napari_threestage.store import ImageArray

SHORT = 160  # pixels, about: long enough for real content, short enough for a few seconds
LARGEST_WINDOW = 2048  # of an image that a crop is taken from


class Crop(NamedTuple):
    """A part of a project's image.

    Attributes
    ----------
    raw
        (C, H, W) as it is stored.
    pixels
        (C, H, W) uint8, as the network is meant to see it.
    """

    raw: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Material:
    """All that the formats need.

    Attributes
    ----------
    segmenter
        With its card, on the CPU.
    multiple
        What the sides of images are multiples of.
    image
        Name of the image that the crops are of.
    crops
        One, and then two of another size.
    expected
        What the network says about them: probabilities (1, K, H, W) and (2, K, H, W).
    """

    segmenter: Segmenter
    multiple: int
    image: str
    crops: tuple[tuple[Crop], tuple[Crop, Crop]]
    expected: tuple[np.ndarray, np.ndarray]

    @property
    def batches(self) -> list[np.ndarray]:
        """The crops as images (B, C, H, W) float32 in [0, 1]."""
        return [as_images(crops) for crops in self.crops]


def gather_material(
    project: Project, run: Run, segmenter: Segmenter, multiple: int, device: torch.device
) -> Material:
    """Take crops of the project's images, and what the network says about them on a device.

    Raises
    ------
    NotReadyError
        The project has no image that the network can take.
    """
    name, crops = _crops(project, run, segmenter.info, multiple)
    network = segmenter.network.to(device)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        found = [
            network(torch.from_numpy(as_images(one)).to(device)).softmax(1).cpu().numpy()
            for one in crops
        ]
    segmenter.network.to("cpu")
    return Material(segmenter, multiple, name, crops, (found[0], found[1]))


def as_images(crops: tuple[Crop, ...]) -> np.ndarray:
    """Return crops of one size as the network takes them: (B, C, H, W) float32 in [0, 1]."""
    return np.stack([crop.pixels for crop in crops]).astype(np.float32) / np.float32(255)


def _crops(
    project: Project, run: Run, info: SegmenterInfo, multiple: int
) -> tuple[str, tuple[tuple[Crop], tuple[Crop, Crop]]]:
    short = max(1, SHORT // multiple)
    long = short + max(1, short // 2)
    first = short * multiple, long * multiple
    second = (long + 1) * multiple, (short + 1) * multiple  # one step would be taken for a constant
    windows = itertools.islice(_windows(project, run, info), 2)
    names, found = zip(*windows, strict=True) if project.images else ((), ())
    if not found:
        raise NotReadyError(
            f"Project {project.path} has no image to prove an export with.",
            "Import one that the network can take, with its number of channels.",
        )
    method = info.normalisation
    one = _crop(found[0], first, method)
    return names[0], ((one,), (_crop(found[0], second, method), _crop(found[-1], second, method)))


def _windows(project: Project, run: Run, info: SegmenterInfo) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and the middle (C, H, W) of images that the network can take, of the run first."""
    dtype = info.card.image_dtype if info.card else ""

    def order(image_id: str) -> tuple[bool, bool]:
        """Say whether it is of another type than most, and whether it is not of the run."""
        return project.images[image_id].dtype != dtype, image_id not in run.inputs.images

    left_out: list[tuple[str, np.ndarray]] = []
    for image_id in sorted(project.images, key=order):
        try:
            window = _window(project.read_image(image_id), info)
        except (ImageFileError, OSError, RuntimeError, ValueError):
            continue  # it is gone or damaged
        if window is None:
            continue  # of another number of channels
        if np.isfinite(window.astype(np.float32)).all():
            yield project.images[image_id].name, window
        elif not left_out:
            left_out.append((project.images[image_id].name, window))
    yield from left_out  # only where all others are as well


def _window(image: ImageArray, info: SegmenterInfo) -> np.ndarray | None:
    """Return the middle of the middle plane; None if it has not the channels that are needed."""
    shape = dict(zip(image.axes, image.data.shape, strict=True))
    index = tuple(
        slice(None)
        if axis == "c"
        else _middle(shape[axis], LARGEST_WINDOW)
        if axis in "yx"
        else shape[axis] // 2
        for axis in image.axes
    )
    window = np.asarray(image.data[index])
    window = window if "c" in image.axes else window[np.newaxis]
    if len(window) == 1:
        return np.repeat(window, info.n_channels, axis=0)
    if info.channels is not None and max(info.channels) < len(window):
        window = window[list(info.channels)]
    return window if len(window) == info.n_channels else None


def _crop(window: np.ndarray, size: tuple[int, int], method: str) -> Crop:
    """Return the middle of an image, mirrored where it is too small."""
    height, width = window.shape[1:]
    index = (slice(None), _middle(height, size[0]), _middle(width, size[1]))
    raw, pixels = window[index], to_bytes(window, method)[index]
    rows, columns = (wanted - have for wanted, have in zip(size, raw.shape[1:], strict=True))
    margin = ((0, 0), (0, rows), (0, columns))
    return Crop(np.pad(raw, margin, mode="symmetric"), np.pad(pixels, margin, mode="symmetric"))


def _middle(size: int, wanted: int) -> slice:
    start = max(0, (size - wanted) // 2)
    return slice(start, min(size, start + wanted))
