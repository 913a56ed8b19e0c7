"""What is wanted of many images, where it is written down, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.segmenter import label_shape
from napari_threestage.mask_files import (
    MaskFolder,
    is_mask_file,
    refuse_foreign,
    write_mask_file,
)
from napari_threestage.prediction_store import (
    CONFIDENCE,
    MASK,
    PROBABILITIES,
    check_targets,
    read_mask,
    target_paths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np

    from napari_threestage.inference.segmenter import Prediction
    from napari_threestage.lengths import PixelSize
    from napari_threestage.store import ImageArray

ZARR = "ome-zarr"


@dataclass(frozen=True)
class Order:
    """What is wanted of all images.

    Attributes
    ----------
    output, format
        Where to and as what, see `mask_files`.
    wanted
        What is to be found out.
    confidence
        Write it, too.
    statistics
        Write areas and objects as CSV.
    axes
        Of the files, where they do not say.
    trained_at
        The size of a pixel of the training images; None: not known, or of no interest.
    match_pixels
        Magnify each image so that its pixels are as large for the network as in training.
    """

    output: Path
    format: str = "tiff"
    wanted: Wanted = field(default_factory=Wanted)
    confidence: bool = False
    statistics: bool = False
    axes: str | None = None
    trained_at: PixelSize | None = None
    match_pixels: bool = False


@dataclass
class Outcome:
    """What became of the images: files by kind, and what could not be predicted and why.

    Attributes
    ----------
    kept
        Masks that were there already, made of the same.
    stale
        Files of an earlier prediction that lie beside the masks and do not belong to them.
    magnified
        Images that the network has seen so many times as large as in training, where not once.
    other_pixels
        Images whose pixels are so many times as large as in training, which their magnification
        does not make up for.
    """

    files: list[Path] = field(default_factory=list)
    confidence: list[Path] = field(default_factory=list)
    probabilities: list[Path] = field(default_factory=list)
    statistics: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    magnified: list[tuple[str, float]] = field(default_factory=list)
    other_pixels: list[tuple[str, float]] = field(default_factory=list)


class Desk:
    """Where what was found is written down.

    Parameters
    ----------
    order
        What is wanted.
    masks
        The folder of the masks, entered.
    outcome
        Is filled.
    """

    def __init__(self, order: Order, masks: MaskFolder, outcome: Outcome) -> None:
        self.order, self._masks, self.outcome = order, masks, outcome

    def check(self, name: str, image: ImageArray) -> None:
        """Raise `ConfigError` where a result would replace what we did not write."""
        self._check(name, label_shape(image), image.axes.replace("c", ""))

    def check_names(self, names: Iterable[str]) -> None:
        """Do the same for all images before anything is read, as if each were one plane."""
        for name in names:
            self._check(name, (1, 1), "yx")

    def _check(self, name: str, shape: Sequence[int], axes: str) -> None:
        if self.order.format == ZARR:
            check_targets(self.targets(name))
            return
        self._masks.check(name, shape, axes)
        kinds = [CONFIDENCE] * self.order.confidence
        kinds += [PROBABILITIES] * self.order.wanted.probabilities
        refuse_foreign([self._extra_path(name, kind) for kind in kinds], is_mask_file)

    def targets(self, name: str) -> dict[str, Path]:
        """Return where an image's results go as OME-Zarr, by kind."""
        order = self.order
        return target_paths(order.output, name, order.confidence, order.wanted.probabilities)

    def write(self, name: str, source: Path, image: ImageArray, found: Prediction) -> None:
        """Write files of an image."""
        axes = image.axes.replace("c", "")
        outcome = self.outcome
        outcome.files += self._masks.add(
            name, found.mask, axes, image.scale, image.unit, source.name
        )
        if self.order.confidence:
            outcome.confidence.append(self._extra(name, CONFIDENCE, found.confidence))
        if found.probabilities is not None:
            outcome.probabilities.append(self._extra(name, PROBABILITIES, found.probabilities))

    def _extra(self, name: str, kind: str, values: np.ndarray) -> Path:
        path = self._extra_path(name, kind)
        write_mask_file(path, values)
        return path

    def _extra_path(self, name: str, kind: str) -> Path:
        return self.order.output / f"{name}_{kind}.tif"

    def note(self, name: str, source: Path, image: ImageArray, kept: bool) -> None:
        """Note that an image's results are there as OME-Zarr."""
        paths, outcome = self.targets(name), self.outcome
        outcome.files.append(paths[MASK])
        outcome.kept += [paths[MASK]] if kept else []
        outcome.confidence += [paths[CONFIDENCE]] if CONFIDENCE in paths else []
        outcome.probabilities += [paths[PROBABILITIES]] if PROBABILITIES in paths else []
        if self.order.statistics:
            axes = image.axes.replace("c", "")
            mask = read_mask(paths[MASK])
            self._masks.measure(name, mask, axes, image.scale, image.unit, source.name)


class Share:
    """How far the work is: images, or hundredths of few images.

    Parameters
    ----------
    total
        Number of images.
    tell
        Called with the work done and all of it.
    """

    MANY = 20

    def __init__(self, total: int, tell: Callable[[int, int], None]) -> None:
        self._each = 1 if total > self.MANY else 100
        self._total, self._done, self._tell = total * self._each, 0.0, tell
        tell(0, self._total)

    def add(self, part: float) -> None:
        """A part of an image is done."""
        self._done += part * self._each
        self._tell(min(round(self._done), self._total), self._total)
