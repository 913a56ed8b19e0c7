"""What an import would do: every file looked at, nothing changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.checks import (
    MOST_CHANNELS,
    check_channels,
    check_mask_size,
    count_channels,
    pixel_shape,
    refuse_many_channels,
    say_shape,
)
from napari_threestage.ingest.importer import decode, image_name, load_image, load_mask
from napari_threestage.ingest.pair import find_pairs
from napari_threestage.ingest.suggest import Census, MaskReading, explain, suggest
from napari_threestage.project import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_threestage.ingest.importer import ImportOptions
    from napari_threestage.ingest.pair import Pairing, Skipped
    from napari_threestage.ingest.suggest import Suggestion, ValueMeaning
    from napari_threestage.project import ImageRecord, Project
    from napari_threestage.store import ImageArray

LIMIT = 200  # pairs that are opened

Status = Literal["new", "already there", "problem"]


@dataclass
class PreviewRow:
    """An image, its mask, and what would become of them.

    Attributes
    ----------
    shape, mask_shape
        Sizes as people say them, the width first; empty where the file cannot be read.
    problem
        Why it could not be imported.
    note
        What would become of the mask of an image that is there already.
    """

    name: str
    image: Path
    mask: Path | None
    shape: str = ""
    axes: str = ""
    dtype: str = ""
    channels: int = 0
    mask_shape: str = ""
    status: Status = "new"
    problem: str = ""
    note: str = ""


@dataclass(frozen=True)
class ImportPreview:
    """What `importer.import_images` would do.

    Attributes
    ----------
    rows
        The pairs that were looked at.
    pairs, with_mask, unchecked
        Numbers of all images, of those with a mask, and of those that were not opened.
    skipped
        Files that would not be used.
    mask_values
        What the values in the masks mean.
    suggestion
        Options that fit the masks better.
    channel_names
        The channels to choose from, where an image has more than are taken without asking.
    """

    rows: tuple[PreviewRow, ...]
    pairs: int
    with_mask: int
    unchecked: int
    skipped: tuple[Skipped, ...]
    mask_values: tuple[ValueMeaning, ...]
    suggestion: Suggestion | None
    channel_names: tuple[str, ...]

    def count(self, status: Status) -> int:
        """Return the number of rows of that status."""
        return sum(row.status == status for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as JSON holds it."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["image"] = str(row["image"])
            row["mask"] = str(row["mask"]) if row["mask"] else None
        return {
            "rows": rows,
            "counts": {
                "pairs": self.pairs,
                "with_mask": self.with_mask,
                "unchecked": self.unchecked,
                "new": self.count("new"),
                "already_there": self.count("already there"),
                "problem": self.count("problem"),
            },
            "skipped": [{"file": str(one.path), "reason": one.reason} for one in self.skipped],
            "mask_values": [asdict(one) for one in self.mask_values],
            "suggestion": self.suggestion.to_dict() if self.suggestion else None,
            "channel_names": list(self.channel_names),
        }


@dataclass(frozen=True)
class _Task:
    """What all pairs have in common."""

    project: Project
    options: ImportOptions
    wanted: list[int] | None  # channels
    expected: int  # number of channels; 0 for any


@dataclass
class _Look:
    row: PreviewRow
    census: Census = field(default_factory=Census)
    channel_names: tuple[str, ...] = ()  # to choose from


def preview_import(
    project: Project,
    images: Sequence[Path],
    masks: Path | None,
    options: ImportOptions,
    *,
    channels: Sequence[int] | None = None,
    limit: int = LIMIT,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportPreview:
    """Look at files as `importer.import_images` would, and change nothing.

    Parameters
    ----------
    project
        Where they would go to; no lock is needed.
    images, masks, options
        As for the import.
    channels
        The channels that would be chosen with the import, None for those of the project.
    limit
        Number of pairs that are opened.
    on_progress
        Called with the number of pairs that are done and of all that are opened.

    Raises
    ------
    ImageFileError
        A folder is missing or holds no image, or the options contradict themselves.
    """
    reading = MaskReading(options.mask_values, options.unlabelled_value, project.classes)
    reading.table()  # wrong options are an error of all files, not of each
    pairing = find_pairs(images, masks)
    checked = pairing.pairs[:limit]
    wanted = project.channels if channels is None else list(channels)
    expected = _expected_channels(project, [image for image, _ in checked], options, wanted)
    task = _Task(project, options, wanted, expected)
    looks: list[_Look] = []
    with ThreadPoolExecutor() as pool:
        for look in pool.map(partial(_look_at, task), checked):
            looks.append(look)
            on_progress(len(looks), len(checked))
    census = Census()
    for look in looks:
        census.add(look.census)
    return _assemble(pairing, looks, explain(census, reading), suggest(census, reading))


def _assemble(
    pairing: Pairing,
    looks: Sequence[_Look],
    mask_values: Sequence[ValueMeaning],
    suggestion: Suggestion | None,
) -> ImportPreview:
    return ImportPreview(
        rows=tuple(look.row for look in looks),
        pairs=len(pairing.pairs),
        with_mask=sum(mask is not None for _, mask in pairing.pairs),
        unchecked=len(pairing.pairs) - len(looks),
        skipped=pairing.skipped,
        mask_values=tuple(mask_values),
        suggestion=suggestion,
        channel_names=next((look.channel_names for look in looks if look.channel_names), ()),
    )


def _expected_channels(
    project: Project, paths: Sequence[Path], options: ImportOptions, wanted: list[int] | None
) -> int:
    if wanted is not None:
        return len(wanted)
    if project.images:
        return project.n_channels
    for path in paths:
        try:
            return count_channels(load_image(path, options.axes))
        except ImageFileError:
            continue
    return 0


def _look_at(task: _Task, pair: tuple[Path, Path | None]) -> _Look:
    look = _Look(PreviewRow(image_name(pair[0]), *pair))
    problems = []
    image = truth = None
    try:
        image = load_image(pair[0], task.options.axes)
        _describe(image, look.row)
        _check_channels(task, image, look)
    except ImageFileError as error:
        problems.append(str(error))
    try:
        if pair[1] is not None:
            truth = _look_at_mask(task, pair[1], look)
        if image is not None and truth is not None and pair[1] is not None:
            check_mask_size(pair[0], image, pair[1], truth)
    except ImageFileError as error:
        problems.append(str(error))
    if problems:
        look.row.status, look.row.problem = "problem", " ".join(problems)
    elif image is not None:
        _compare_with_project(task, image, truth, look.row)
    return look


def _describe(image: ImageArray, row: PreviewRow) -> None:
    row.shape = say_shape(pixel_shape(image))
    row.axes = image.axes
    row.dtype = str(image.data.dtype)
    row.channels = count_channels(image)


def _check_channels(task: _Task, image: ImageArray, look: _Look) -> None:
    if task.wanted is None and not task.project.images and task.expected > MOST_CHANNELS:
        if count_channels(image) > MOST_CHANNELS:
            look.channel_names = tuple(image.channel_names)
        refuse_many_channels(look.row.image, image)
        return
    check_channels(look.row.image, image, task.expected, task.wanted)


def _look_at_mask(task: _Task, path: Path, look: _Look) -> np.ndarray:
    raw = load_mask(path, task.options)
    look.census = Census.of(raw, task.options.by_colour)
    colours = raw.ndim > 2 and raw.shape[-1] == 3 and raw.dtype == np.uint8
    look.row.mask_shape = say_shape(raw.shape[:-1] if colours else raw.shape)
    return decode(path, raw, task.project, task.options)


def _compare_with_project(
    task: _Task, image: ImageArray, truth: np.ndarray | None, row: PreviewRow
) -> None:
    """Note whether the image is in the project, and what would become of its labels."""
    record = _find(task.project, image, row.name)
    if record is None:
        return
    row.status = "already there"
    if record.split != task.options.split:
        row.note = f"It is an image for {record.split} already and stays one."
        return
    if truth is None:
        return
    old = task.project.read_labels(record.id)
    if old is None:
        row.note = "It has no ground truth yet and would get this mask."
    elif not np.array_equal(old, truth.reshape(record.label_shape)):
        replace = task.options.replace_masks
        row.note = "It has other ground truth, which would be " + (
            "replaced." if replace else "kept; --replace-masks would replace it."
        )


def _find(project: Project, image: ImageArray, name: str) -> ImageRecord | None:
    shape, dtype = tuple(image.data.shape), str(image.data.dtype)
    alike = [
        record
        for record in project.images.values()
        if (record.name, record.shape, record.dtype) == (name, shape, dtype)
    ]
    digest = content_hash(np.asarray(image.data)) if alike else ""
    return next((record for record in alike if record.sha256 == digest), None)
