"""Predict many images of any size into files, here or by a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.inference.desk import ZARR, Desk, Order, Outcome, Share
from napari_threestage.inference.opening import opened
from napari_threestage.inference.to_zarr import digest_of, layout_of, predict_units, recipe_of
from napari_threestage.mask_files import (
    MaskFolder,
)
from napari_threestage.prediction_store import (
    CONFIDENCE,
    PROBABILITIES,
    PartialPrediction,
    Unit,
    is_finished,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from napari_threestage.inference.opening import Opened
    from napari_threestage.inference.segmenter import Segmenter


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
    failed = {name for name, _ in outcome.failed}
    for some in (outcome.magnified, outcome.other_pixels):  # of images that have a mask
        some[:] = [one for one in some if one[0] not in failed]
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


def _to_files(segmenter: Segmenter, names: Mapping[Path, str], desk: Desk, share: Share) -> None:
    """Predict into files; those of one image are written while the next one is predicted."""
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1) as writer:
        for one in opened(segmenter, names, desk, share):
            before = 0.0

            def tell(done: int, total: int) -> None:
                nonlocal before
                share.add(done / total - before)
                before = done / total

            try:
                found = one.segmenter.predict_all(one.image, desk.order.wanted, tell=tell)
            except ImageFileError as error:
                desk.outcome.failed.append((one.path.name, str(error)))
                share.add(1 - before)
                continue
            if writing is not None:
                writing.result()
            writing = writer.submit(desk.write, one.name, one.path, one.image, found)
        if writing is not None:
            writing.result()


def _to_zarr(
    digest: str, segmenter: Segmenter, names: Mapping[Path, str], desk: Desk, share: Share
) -> None:
    """Predict band by band into OME-Zarr; what was begun before is gone on with."""
    for one in opened(segmenter, names, desk, share):
        partial = begun(digest, one, desk)
        if partial is None:
            share.add(1)
            continue
        with partial.held() as left:
            _predict_left(one, partial, left, desk, share)


def _predict_left(
    one: Opened,
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
        predict_units(one.segmenter, one.image, partial, left, desk.order.wanted, tell)
    except ImageFileError as error:
        desk.outcome.failed.append((one.path.name, str(error)))
        share.add((len(left) - done) / total)
        return
    partial.finish()
    desk.note(one.name, one.path, one.image, kept=False)


def begun(digest: str, one: Opened, desk: Desk) -> PartialPrediction | None:
    """Return the prediction of an image that is to be written; None: it is there already."""
    targets, order = desk.targets(one.name), desk.order
    recipe = recipe_of(digest, one.segmenter, one.path, order.axes, order.wanted)
    if is_finished(targets, recipe):
        desk.note(one.name, one.path, one.image, kept=True)
        return None
    return PartialPrediction(layout_of(one.segmenter, one.image, targets), recipe)
