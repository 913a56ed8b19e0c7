"""Prediction by several processes or machines, through Dask (extra ``cluster``).

Machines have to see the same folders.
"""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError, ImageFileError, NotReadyError
from napari_threestage.extra import missing_package
from napari_threestage.inference.desk import ZARR, Desk, Order, Outcome, Share
from napari_threestage.inference.many import begun, completed, mask_folder
from napari_threestage.inference.opening import Opened, opened
from napari_threestage.ingest import open_image
from napari_threestage.prediction_store import PartialPrediction, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_threestage.inference.blending import Wanted
    from napari_threestage.inference.segmenter import Prediction, Segmenter
    from napari_threestage.prediction_store import Layout
    from napari_threestage.store import ImageArray

WAIT_SECONDS = 60
FEWEST, MOST = 4, 16  # bands of a task; each predicts one more row of tiles than it writes


@dataclass(frozen=True)
class Worker:
    """How a worker gets its segmenter.

    Attributes
    ----------
    model, digest
        The file, and what tells it from another one of this name.
    device, threads
        Where to compute; 0 threads: as many as the worker finds right.
    settings
        Of `Segmenter.adjusted`.
    """

    model: Path
    digest: str
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
    lock
        Keeps other commands from it until it is closed.
    waiting
        Tasks that are left.
    """

    path: Path
    name: str
    image: ImageArray
    partial: PartialPrediction | None = None
    lock: ExitStack = field(default_factory=ExitStack)
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
        There is no cluster at that address, or it has no workers.
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
            _wait_for_workers(client, scheduler)
            yield client
        return
    with (
        LocalCluster(
            workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _wait_for_workers(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
    except TimeoutError as error:
        raise ConfigError(
            f"The cluster at {scheduler} has no workers.", f"Start some: dask worker {scheduler}"
        ) from error


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
        desk.check_names(names.values())
        images, busy = opened(segmenter, names, desk, share), ExitStack()
        if order.format == ZARR:
            tasks = _zarr_tasks(worker, images, desk, share, n_workers, busy)
        else:
            tasks = _file_tasks(worker, images, order)
        with busy:  # locks of the images that are not finished when something fails
            for task, future in _worked(client, tasks, 2 * n_workers):
                _take(task, future, desk)
                share.add(task.part)
    return completed(outcome, masks, order, names.values())


def _file_tasks(worker: Worker, images: Iterator[Opened], order: Order) -> Iterator[_Task]:
    for one in images:
        magnify = one.segmenter.info.magnify
        arguments = (worker, magnify, one.path, order.axes, order.wanted)
        yield _Task(_Image(one.path, one.name, one.image), 1, predict_whole, arguments)


def _zarr_tasks(
    worker: Worker,
    images: Iterator[Opened],
    desk: Desk,
    share: Share,
    n_workers: int,
    busy: ExitStack,
) -> Iterator[_Task]:
    order = desk.order
    for one in images:
        partial = begun(worker.digest, one, desk)
        if partial is None:
            share.add(1)
            continue
        work = _Image(one.path, one.name, one.image, partial)
        busy.callback(work.lock.close)
        left = work.lock.enter_context(partial.held())
        parts, total = shares(left, n_workers), len(partial.layout.units)
        share.add(1 - len(left) / total)
        work.waiting = len(parts)
        if not parts:
            _finish(work, partial, desk)
        for units in parts:
            what = (partial.layout, partial.recipe, units, order.wanted)
            arguments = (worker, one.segmenter.info.magnify, one.path, order.axes, *what)
            yield _Task(work, len(units) / total, predict_share, arguments)


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
    except CancelledError as error:
        raise _given_up("the cluster has gone") from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of distributed, which may be missing
            raise _given_up("workers were killed again and again") from error
        raise
    if image.waiting:
        return
    if image.failed:
        image.lock.close()
    elif image.partial is None:
        desk.write(image.name, image.path, image.image, found)
    else:
        _finish(image, image.partial, desk)


def _finish(image: _Image, partial: PartialPrediction, desk: Desk) -> None:
    partial.finish()
    desk.note(image.name, image.path, image.image, kept=False)
    image.lock.close()


def _given_up(reason: str) -> NotReadyError:
    return NotReadyError(
        f"The prediction could not be finished: {reason}.",
        "Memory may be short: try fewer --workers or a smaller --tile. With --as ome-zarr the same "
        "command goes on.",
    )


def predict_share(
    worker: Worker,
    magnify: float,
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
    if not partial.is_begun():
        raise ConfigError(f"{partial.folder} is not there, or another command has begun it anew.")
    segmenter = _segmenter(worker).adjusted(magnify=magnify)
    predict_units(segmenter, open_image(source, axes), partial, units, wanted)
    return len(units)


def predict_whole(
    worker: Worker, magnify: float, source: Path, axes: str | None, wanted: Wanted
) -> Prediction:
    """Predict an image in a worker."""
    segmenter = _segmenter(worker).adjusted(magnify=magnify)
    return segmenter.predict_all(open_image(source, axes), wanted)


@lru_cache(maxsize=1)
def _segmenter(worker: Worker) -> Segmenter:
    import torch

    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter
    from napari_threestage.inference.to_zarr import digest_of

    if digest_of(worker.model) != worker.digest:
        raise ConfigError(f"A worker finds another file as {worker.model}.")
    if worker.threads:
        torch.set_num_threads(worker.threads)
    segmenter = load_segmenter(worker.model, choose_device(worker.device))
    return segmenter.adjusted(**dict(worker.settings))
