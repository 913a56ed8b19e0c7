"""Files into the project: many at once, each complete or absent, nothing skipped in silence."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_threestage import store
from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.checks import (
    check_channels,
    check_mask_size,
    count_channels,
    refuse_many_channels,
)
from napari_threestage.ingest.mask_options import ColourValues, MaskValues
from napari_threestage.ingest.masks import decode_mask, looks_binary
from napari_threestage.ingest.pair import Skipped, find_pairs
from napari_threestage.ingest.read import read_image, read_mask_array
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from napari_threestage.project import Project

SAVE_SECONDS = 2.0
SAVE_SHARE = 0.02  # of the time, at most: the more images there are, the longer it takes


@dataclass(frozen=True)
class ImportOptions:
    """How files are read.

    Attributes
    ----------
    mask_values, unlabelled_value
        What the values of masks mean, see `masks.decode_mask`.
    axes
        Axes of the image files, where they do not say.
    split
        Whether the images train or only judge.
    link
        Refer to OME-Zarr 0.5 images in place instead of copying them.
    replace_masks
        Whether a mask from a file may replace ground truth that is there already.
    """

    mask_values: MaskValues = "index"
    unlabelled_value: int | None = 255
    axes: str | None = None
    split: Literal["train", "validation"] = "train"
    link: bool = False
    replace_masks: bool = False

    @property
    def by_colour(self) -> bool:
        """Whether masks hold colours and not values."""
        return self.mask_values == "rgb" or isinstance(self.mask_values, ColourValues)


@dataclass
class ImportReport:
    """What became of each file.

    Attributes
    ----------
    imported, unchanged
        Ids of the images that are new, and of those that were there already.
    labelled
        How many images got a mask.
    failed
        Files that should have been imported and could not be.
    ignored
        Files that are no images, or masks without an image.
    warnings
        Sentences for the person.
    """

    imported: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    labelled: int = 0
    failed: list[Skipped] = field(default_factory=list)
    ignored: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {
            "imported": sorted(self.imported),
            "unchanged": sorted(self.unchanged),
            "labelled": self.labelled,
            "failed": [{"file": str(one.path), "reason": one.reason} for one in self.failed],
            "ignored": [{"file": str(one.path), "reason": one.reason} for one in self.ignored],
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class _Outcome:
    image_id: str
    new: bool
    labelled: bool
    binary: bool
    note: str = ""


def import_images(
    project: Project,
    images: Sequence[Path],
    masks: Path | None,
    options: ImportOptions,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Import files and folders; calling it again imports only what is not there yet.

    Parameters
    ----------
    project
        Where to; its lock for editing must be held.
    images, masks
        See `pair.find_pairs`.
    on_progress
        Called with the number of files done and of all files.

    Raises
    ------
    ImageFileError
        A folder is missing or holds no image, or no file at all could be imported.
    """
    pairing = find_pairs(images, masks)
    report = ImportReport(ignored=list(pairing.skipped))
    channels = _expected_channels(project, [image for image, _ in pairing.pairs], options)
    outcomes: list[_Outcome] = []
    due = time.monotonic() + SAVE_SECONDS
    with ThreadPoolExecutor() as pool:
        jobs = {
            pool.submit(_import_pair, project, *pair, options, channels): pair
            for pair in pairing.pairs
        }
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                try:
                    outcomes.append(job.result())
                except ImageFileError as error:
                    report.failed.append(Skipped(culprit(error, jobs[job]), str(error)))
                begun = time.monotonic()
                if begun > due:
                    project.save()
                    seconds = time.monotonic() - begun
                    due = begun + max(SAVE_SECONDS, seconds / SAVE_SHARE)
                on_progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
            project.put_last(_new_images(jobs))
            project.save()
    report.failed.sort(key=lambda one: one.path)  # threads end in any order
    _summarise(outcomes, report)
    if not outcomes and report.failed:
        raise ImageFileError(
            f"Nothing was imported: {report.failed[0].reason}",
            f"{len(report.failed)} files have problems." if len(report.failed) > 1 else "",
        )
    return report


def _new_images(jobs: Iterable[Future[_Outcome]]) -> list[str]:
    """Return the images that were added, in the order of their files; threads end in any."""
    ended = [job for job in jobs if job.done() and not job.cancelled() and not job.exception()]
    return [job.result().image_id for job in ended if job.result().new]


def _import_pair(
    project: Project,
    image_path: Path,
    mask_path: Path | None,
    options: ImportOptions,
    channels: int,
) -> _Outcome:
    image = load_image(image_path, options.axes)
    check_channels(image_path, image, channels, project.channels)
    truth = binary = None
    if mask_path is not None:
        truth, binary = load_truth(mask_path, project, options)
        check_mask_size(image_path, image, mask_path, truth)
    link = image_path.resolve() if options.link else None
    record, new = project.add_image(image_name(image_path), image, options.split, link)
    if record.split != options.split:
        note = f"{image_path.name} is an image for {record.split} already and stays one."
        return _Outcome(record.id, new, False, False, note)
    if truth is None:
        return _Outcome(record.id, new, False, False)
    with project.changing_image(record.id):
        note = _write_truth(project, record.id, truth.reshape(record.label_shape), options)
    if note:
        return _Outcome(record.id, new, False, False, f"{image_path.name} {note}")
    return _Outcome(record.id, new, True, bool(binary))


def _write_truth(project: Project, image_id: str, truth: np.ndarray, options: ImportOptions) -> str:
    """Write ground truth where there is none or it may be replaced; return why it was kept."""
    old = project.read_labels(image_id)
    if old is not None and not options.replace_masks and not np.array_equal(old, truth):
        return "has other ground truth already, which was kept; --replace-masks would replace it."
    if old is None or options.replace_masks:
        project.write_ground_truth(image_id, truth, "imported")
    return ""


def _expected_channels(project: Project, paths: Sequence[Path], options: ImportOptions) -> int:
    """Return the number of channels of the project, or of the first readable image; 0 if none.

    Raises
    ------
    ImageFileError
        That image has more channels than can be taken without asking.
    """
    if project.images or project.channels is not None:
        return project.n_channels
    for path in paths:
        try:
            image = load_image(path, options.axes)
        except ImageFileError:
            continue
        refuse_many_channels(path, image)
        return count_channels(image)
    return 0


def load_image(path: Path, axes: str | None = None) -> ImageArray:
    """Read a file or an OME-Zarr folder as an image with the axes ``c``, ``y``, ``x`` at least."""
    if not path.is_dir():
        loaded = read_image(path, axes=axes)
        return ImageArray(
            loaded.array, loaded.axes, loaded.scale, loaded.unit, loaded.channel_names
        )
    image = store.read_ome_zarr(path)
    order = [axis for axis in "tczyx" if axis in image.axes]
    if set(image.axes) - set("tczyx") or not {"y", "x"} <= set(image.axes):
        raise ImageFileError(f"{path.name} has the axes {image.axes}.", "Allowed are t c z y x.")
    data = _pixels(path, image).transpose([image.axes.index(axis) for axis in order])
    if "c" not in order:
        place = order.index("t") + 1 if "t" in order else 0
        order.insert(place, "c")
        data = np.expand_dims(data, place)
    return ImageArray(data, "".join(order), image.scale, image.unit, image.channel_names)


def _pixels(path: Path, image: ImageArray) -> np.ndarray:
    try:
        return np.asarray(image.data[...])
    except Exception as error:  # each codec has its own
        raise ImageFileError(f"{path.name} is damaged ({error}).", "Write it again.") from error


def load_truth(path: Path, project: Project, options: ImportOptions) -> tuple[np.ndarray, bool]:
    """Read a mask as ground truth (0 = not labelled, 1..C), and whether 255 may be a class."""
    raw = load_mask(path, options)
    binary = isinstance(options.mask_values, str) and looks_binary(raw)
    return decode(path, raw, project, options), binary


def load_mask(path: Path, options: ImportOptions) -> np.ndarray:
    """Read the values or colours of a mask, from a file or an OME-Zarr folder."""
    if path.is_dir():
        return _pixels(path, store.read_ome_zarr(path))
    return read_mask_array(path, palette_colours=options.by_colour)


def decode(path: Path, raw: np.ndarray, project: Project, options: ImportOptions) -> np.ndarray:
    """Turn what `load_mask` gives into ground truth; an error names the file."""
    try:
        return decode_mask(
            raw,
            len(project.classes),
            values=options.mask_values,
            unlabelled_value=options.unlabelled_value,
            colours=[entry.color for entry in project.classes],
        )
    except ImageFileError as error:
        raise ImageFileError(f"{path.name}: {error.message}", error.hint) from error


def culprit(error: ImageFileError, pair: tuple[Path, Path | None]) -> Path:
    """Return the file of a pair that an error names."""
    image, mask = pair
    return mask if mask is not None and mask.name in error.message else image


def image_name(path: Path) -> str:
    """Return the name that an image gets: that of its file without the ending."""
    name = path.name
    for suffix in (".ome.zarr", ".ome.tiff", ".ome.tif", path.suffix):
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name


def _summarise(outcomes: list[_Outcome], report: ImportReport) -> None:
    report.imported = sorted(one.image_id for one in outcomes if one.new)
    report.unchanged = sorted(one.image_id for one in outcomes if not one.new)
    labelled = [one for one in outcomes if one.labelled]
    report.labelled = len(labelled)
    report.warnings += [one.note for one in outcomes if one.note]
    if labelled and all(one.binary for one in labelled):
        report.warnings.append(
            "All masks hold only 0 and 255, and 255 was taken as not labelled. If 255 is a class, "
            'import with --mask-values FILE where FILE holds {"0": 1, "255": 2}, and '
            "--replace-masks."
        )
