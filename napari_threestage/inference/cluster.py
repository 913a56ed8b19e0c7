"""Prediction by several processes or machines, through Dask (extra ``cluster``).

Machines have to see the same folders.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.extra import missing_package
from napari_threestage.inference.many import (
    ZARR,
    Desk,
    Order,
    Outcome,
    Share,
    begun,
    mask_folder,
    opened,
)
from napari_threestage.ingest import open_image
from napari_threestage.prediction_store import PartialPrediction, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_threestage.inference.blending import Wanted
    from napari_threestage.inference.segmenter import Prediction, Segmenter
    from napari_threestage.prediction_store import Layout
    from napari_threestage.store import ImageArray

FEWEST, MOST = 4, 16  # bands of a task; each predicts one more row of tiles than it writes


@dataclass(frozen=True)
class Worker:
    """How a worker gets its segmenter.

    Attributes
    ----------
    model
        The file.
    device, threads
        Where to compute; 0 threads: as many as the worker finds right.
    settings
        Of `Segmenter.adjusted`.
    """

    model: Path
    device: str
    threads: int
    settings: tuple[tuple[str, Any], ...]


@dataclass
class _Image:
    """An image that workers are busy with.

    Attributes
    ----------
    partial
        As OME-Zarr; None: as files.
    waiting
        Tasks that are left.
    """

    path: Path
    name: str
    image: ImageArray
    partial: PartialPrediction | None = None
    waiting: int = 1
    failed: bool = False


@dataclass(frozen=True)
class _Task:
    image: _Image
    part: float  # of the image
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@contextmanager
def connected(workers: int, scheduler: str | None) -> Iterator[Any]:
    """Yield a client of a cluster that runs, or of so many processes that are started for it.

    Raises
    ------
    NotReadyError
        Dask's distributed is not installed.
    ConfigError
        There is no cluster at that address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise missing_package("distributed", "cluster") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells of every connection
    if scheduler:
        try:
            client = Client(scheduler, timeout=20)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"There is no Dask scheduler at {scheduler} ({error}).", "Check --scheduler."
            ) from error
        with client:
            yield client
        return
    with (
        LocalCluster(
            workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def predict_by(
    client: Any,
    worker: Worker,
    segmenter: Segmenter,
    names: Mapping[Path, str],
    order: Order,
    tell: Callable[[int, int], None],
) -> Outcome:
    """Predict images by the workers of a cluster, with the result of `many.predict_many`.

    Large images are divided among workers where they are written as OME-Zarr.
    """
    outcome, n_workers = Outcome(), len(client.nthreads())
    with mask_folder(order, segmenter) as masks:
        desk, share = Desk(order, masks, outcome), Share(len(names), tell)
        images = opened(names, desk, share)
        if order.format == ZARR:
            tasks = _zarr_tasks(worker, segmenter, images, desk, share, n_workers)
        else:
            tasks = _file_tasks(worker, images, order)
        for task, future in _worked(client, tasks, 2 * n_workers):
            _take(task, future, desk)
            share.add(task.part)
    outcome.statistics += masks.statistics
    outcome.files += [file for file in masks.files if file not in outcome.files]
    return outcome


def _file_tasks(
    worker: Worker, images: Iterator[tuple[Path, str, ImageArray]], order: Order
) -> Iterator[_Task]:
    for path, name, image in images:
        arguments = (worker, path, order.axes, order.wanted)
        yield _Task(_Image(path, name, image), 1, predict_whole, arguments)


def _zarr_tasks(
    worker: Worker,
    segmenter: Segmenter,
    images: Iterator[tuple[Path, str, ImageArray]],
    desk: Desk,
    share: Share,
    n_workers: int,
) -> Iterator[_Task]:
    order = desk.order
    for path, name, image in images:
        partial = begun(worker.model, segmenter, path, name, image, desk)
        left = [] if partial is None else partial.begin()
        if partial is None:
            share.add(1)
        elif not left:
            partial.finish()
            desk.note(name, path, image, kept=False)
            share.add(1)
        if partial is None or not left:
            continue
        parts, total = shares(left, n_workers), len(partial.layout.units)
        share.add(1 - len(left) / total)
        busy = _Image(path, name, image, partial, len(parts))
        for units in parts:
            what = (partial.layout, partial.recipe, units, order.wanted)
            arguments = (worker, path, order.axes, *what)
            yield _Task(busy, len(units) / total, predict_share, arguments)


def shares(units: Sequence[Unit], workers: int) -> list[list[Unit]]:
    """Divide bands, those that follow each other together, into tasks."""
    length = min(max(-(-len(units) // max(workers, 1)), FEWEST), MOST)
    return [[*units[first : first + length]] for first in range(0, len(units), length)]


def _worked(client: Any, tasks: Iterator[_Task], most: int) -> Iterator[tuple[_Task, Any]]:
    """Yield the tasks that are done; only so many wait, or their results would fill the memory."""
    from distributed import as_completed

    running: dict[Any, _Task] = {}

    def submit() -> list[Any]:
        task = next(tasks, None)
        if task is None:
            return []
        future = client.submit(task.function, *task.arguments, pure=False)
        running[future] = task
        return [future]

    first = [future for _ in range(most) for future in submit()]
    done = as_completed(first)
    try:
        for future in done:
            yield running.pop(future), future
            done.update(submit())
    finally:  # after an error the others are given up
        client.cancel([*running], force=True)


def _take(task: _Task, future: Any, desk: Desk) -> None:
    """Write down what a task found, once its image is whole."""
    image = task.image
    image.waiting -= 1
    try:
        found = future.result()
    except ImageFileError as error:
        if not image.failed:
            desk.outcome.failed.append((image.path.name, str(error)))
        image.failed = True
    if image.failed or image.waiting:
        return
    if image.partial is None:
        desk.write(image.name, image.path, image.image, found)
        return
    image.partial.finish()
    desk.note(image.name, image.path, image.image, kept=False)


def predict_share(
    worker: Worker,
    source: Path,
    axes: str | None,
    layout: Layout,
    recipe: Mapping[str, Any],
    units: Sequence[Unit],
    wanted: Wanted,
) -> int:
    """Predict some bands of an image in a worker and write them; return how many."""
    from napari_threestage.inference.to_zarr import predict_units

    partial = PartialPrediction(layout, recipe)
    predict_units(_segmenter(worker), open_image(source, axes), partial, units, wanted)
    return len(units)


def predict_whole(worker: Worker, source: Path, axes: str | None, wanted: Wanted) -> Prediction:
    """Predict an image in a worker."""
    return _segmenter(worker).predict_all(open_image(source, axes), wanted)


@lru_cache(maxsize=1)
def _segmenter(worker: Worker) -> Segmenter:
    import torch

    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    if worker.threads:
        torch.set_num_threads(worker.threads)
    segmenter = load_segmenter(worker.model, choose_device(worker.device))
    return segmenter.adjusted(**dict(worker.settings))
