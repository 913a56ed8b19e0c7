"""Predict many images of any size into files, here or by a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ImageFileError
from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.segmenter import label_shape
from napari_threestage.inference.to_zarr import digest_of, layout_of, predict_units, recipe_of
from napari_threestage.ingest import open_image
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
    PartialPrediction,
    Unit,
    check_targets,
    is_finished,
    read_mask,
    target_paths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np

    from napari_threestage.inference.segmenter import Prediction, Segmenter
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
    """

    output: Path
    format: str = "tiff"
    wanted: Wanted = field(default_factory=Wanted)
    confidence: bool = False
    statistics: bool = False
    axes: str | None = None


@dataclass
class Outcome:
    """What became of the images: files by kind, and what could not be predicted and why.

    Attributes
    ----------
    kept
        Masks that were there already, made of the same.
    stale
        Files of an earlier prediction that lie beside the masks and do not belong to them.
    """

    files: list[Path] = field(default_factory=list)
    confidence: list[Path] = field(default_factory=list)
    probabilities: list[Path] = field(default_factory=list)
    statistics: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    stale: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


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


def predict_many(
    model: Path,
    segmenter: Segmenter,
    names: Mapping[Path, str],
    order: Order,
    tell: Callable[[int, int], None],
) -> Outcome:
    """Predict images one after the other; what cannot be read is noted, and the others go on.

    Parameters
    ----------
    model, segmenter
        The file and what was loaded from it.
    names
        What the results of each image are called.
    tell
        Called with the work done and all of it.
    """
    outcome = Outcome()
    with mask_folder(order, segmenter) as masks:
        desk, share = Desk(order, masks, outcome), Share(len(names), tell)
        desk.check_names(names.values())
        if order.format == ZARR:
            _to_zarr(digest_of(model), segmenter, names, desk, share)
        else:
            _to_files(segmenter, names, desk, share)
    return completed(outcome, masks, order, names.values())


def completed(outcome: Outcome, masks: MaskFolder, order: Order, names: Iterable[str]) -> Outcome:
    """Add what is known once the folder of the masks has been left."""
    outcome.statistics += masks.statistics
    outcome.stale += _stale_files(order, names)
    # Such as the COCO file of all masks, which is written at the end.
    outcome.files += [file for file in masks.files if file not in outcome.files]
    return outcome


def _stale_files(order: Order, names: Iterable[str]) -> list[Path]:
    """Return files of an earlier prediction of the same images that this one did not replace."""
    ending = ".ome.zarr" if order.format == ZARR else ".tif"
    absent = [CONFIDENCE] * (not order.confidence)
    absent += [PROBABILITIES] * (not order.wanted.probabilities)
    files = [order.output / f"{name}_{kind}{ending}" for name in names for kind in absent]
    if not order.statistics:
        files += [order.output / name for name in ("classes.csv", "objects.csv")]
    return [file for file in files if file.exists()]


def mask_folder(order: Order, segmenter: Segmenter) -> MaskFolder:
    """Return the folder of the masks, to be entered."""
    classes = [(entry["name"], tuple(entry["color"])) for entry in segmenter.info.classes]
    return MaskFolder(order.output, order.format, classes, order.statistics)


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


def opened(
    names: Mapping[Path, str], desk: Desk, share: Share
) -> Iterator[tuple[Path, str, ImageArray]]:
    """Yield the images that can be read; the next one is read while one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        sources = [*names]
        coming = [reader.submit(open_image, path, desk.order.axes) for path in sources[:1]]
        for number, path in enumerate(sources):
            try:
                image = coming.pop().result()
            except ImageFileError as error:
                image = None
                note_failure(desk, share, path, error)
            coming += [
                reader.submit(open_image, after, desk.order.axes)
                for after in sources[number + 1 : number + 2]
            ]
            if image is not None:
                desk.check(names[path], image)
                yield path, names[path], image


def note_failure(desk: Desk, share: Share, path: Path, error: ImageFileError) -> None:
    """Note that an image cannot be predicted."""
    desk.outcome.failed.append((path.name, str(error)))
    share.add(1)


def _to_files(segmenter: Segmenter, names: Mapping[Path, str], desk: Desk, share: Share) -> None:
    """Predict into files; those of one image are written while the next one is predicted."""
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1) as writer:
        for path, name, image in opened(names, desk, share):
            before = 0.0

            def tell(done: int, total: int) -> None:
                nonlocal before
                share.add(done / total - before)
                before = done / total

            try:
                found = segmenter.predict_all(image, desk.order.wanted, tell=tell)
            except ImageFileError as error:
                desk.outcome.failed.append((path.name, str(error)))
                share.add(1 - before)
                continue
            if writing is not None:
                writing.result()
            writing = writer.submit(desk.write, name, path, image, found)
        if writing is not None:
            writing.result()


def _to_zarr(
    digest: str, segmenter: Segmenter, names: Mapping[Path, str], desk: Desk, share: Share
) -> None:
    """Predict band by band into OME-Zarr; what was begun before is gone on with."""
    for path, name, image in opened(names, desk, share):
        partial = begun(digest, segmenter, path, name, image, desk)
        if partial is None:
            share.add(1)
            continue
        with partial.held() as left:
            _predict_left(segmenter, path, name, image, partial, left, desk, share)


def _predict_left(
    segmenter: Segmenter,
    path: Path,
    name: str,
    image: ImageArray,
    partial: PartialPrediction,
    left: Sequence[Unit],
    desk: Desk,
    share: Share,
) -> None:
    """Predict what is left of an image."""
    total, done = len(partial.layout.units), 0
    share.add(1 - len(left) / total)

    def tell(count: int) -> None:
        nonlocal done
        done += count
        share.add(count / total)

    try:
        predict_units(segmenter, image, partial, left, desk.order.wanted, tell)
    except ImageFileError as error:
        desk.outcome.failed.append((path.name, str(error)))
        share.add((len(left) - done) / total)
        return
    partial.finish()
    desk.note(name, path, image, kept=False)


def begun(
    digest: str, segmenter: Segmenter, path: Path, name: str, image: ImageArray, desk: Desk
) -> PartialPrediction | None:
    """Return the prediction of an image that is to be written; None: it is there already."""
    targets, order = desk.targets(name), desk.order
    recipe: dict[str, Any] = recipe_of(digest, segmenter, path, order.axes, order.wanted)
    if is_finished(targets, recipe):
        desk.note(name, path, image, kept=True)
        return None
    return PartialPrediction(layout_of(segmenter, image, targets), recipe)
