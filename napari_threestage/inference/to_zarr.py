"""Predict an image of any size into OME-Zarr, with memory for a band of it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_threestage.inference.segmenter import label_shape
from napari_threestage.prediction_store import (
    CONFIDENCE,
    MASK,
    PROBABILITIES,
    Layout,
    PredictedClass,
    Unit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_threestage.inference.blending import Wanted
    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.prediction_store import PartialPrediction
    from napari_threestage.store import ImageArray


def layout_of(segmenter: Segmenter, image: ImageArray, kinds: Mapping[str, Path]) -> Layout:
    """Return what is to be written for an image."""
    shape = label_shape(image)
    rows = segmenter.predictor().rows_of(shape[-2])
    classes = [
        PredictedClass(number, entry["name"], tuple(entry["color"]))
        for number, entry in enumerate(segmenter.info.classes, start=1)
    ]
    return Layout(
        kinds=kinds,
        shape=shape,
        axes=image.axes.replace("c", ""),
        bands=tuple((row.cell.start, row.cell.stop) for row in rows),
        classes=tuple(classes),
        scale=image.scale,
        unit=image.unit,
    )


def recipe_of(
    digest: str, segmenter: Segmenter, source: Path, axes: str | None, wanted: Wanted
) -> dict[str, Any]:
    """Return what a prediction is made of: the same recipe gives the same pixels."""
    return {
        "model": digest,
        "inference": segmenter.info.inference,
        "channels": segmenter.info.channels,
        "magnify": segmenter.info.magnify,
        "image": source.name,
        "state": _state_of(source),
        "axes": axes,
        "wanted": asdict(wanted),
    }


def predict_units(
    segmenter: Segmenter,
    image: ImageArray,
    partial: PartialPrediction,
    units: Sequence[Unit],
    wanted: Wanted,
    tell: Callable[[int], None] = lambda count: None,
) -> None:
    """Predict some bands of an image and write them.

    Parameters
    ----------
    units
        In order; those that follow each other in a plane are predicted in one go.
    tell
        Called with the number of bands that have just been written.
    """
    planes, predictor = [*segmenter.planes(image)], segmenter.predictor(wanted)
    for plane, numbers in _runs(units):
        bands = predictor.bands(planes[plane], numbers)
        for number, band in zip(numbers, bands, strict=True):
            found = {MASK: band.mask, CONFIDENCE: band.confidence}
            if band.probabilities is not None:
                found[PROBABILITIES] = band.probabilities
            partial.write(Unit(plane, number), found)
            tell(1)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _runs(units: Sequence[Unit]) -> Iterator[tuple[int, range]]:
    """Yield planes and bands of them that follow each other."""
    if not units:
        return
    first = units[0]
    for unit, after in pairwise([*units, Unit(-1, -1)]):
        if after != (unit.plane, unit.band + 1):
            yield unit.plane, range(first.band, unit.band + 1)
            first = after


def _state_of(path: Path) -> list[int]:
    """Return what tells that a file has been changed: number of files, bytes and newest time.

    Of an OME-Zarr image these are all files but those of its label sets.
    """
    files = [path]
    if path.is_dir():
        found = path.rglob("*")
        files = [file for file in found if "labels" not in file.relative_to(path).parts[:1]]
    states = [file.stat() for file in files if file.is_file()]
    sizes = sum(state.st_size for state in states)
    return [len(states), sizes, max((state.st_mtime_ns for state in states), default=0)]
