"""Looks at the segmenter while it trains: windows of a few images, predicted now and then.

Nothing of what training depends on is touched: no random number is drawn and no network is left in
another mode.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.compare import Confusion
from napari_threestage.errors import ThreeStageError
from napari_threestage.events import Event, Sampled, Warned
from napari_threestage.inference.predict import predict_plane
from napari_threestage.planes import planes_of
from napari_threestage.store import ImageArray
from napari_threestage.training.data import frozen_truth, present_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.training.loop import StageTrainer

REST = 20  # looking takes one part of so many of the time


@dataclass(frozen=True)
class Window:
    """A part of a plane.

    Attributes
    ----------
    place
        Image, plane (outer indices), y, x, height and width, as in the event `Sampled`.
    pixels
        (C, H, W) uint8.
    truth
        (H, W), 0 = not labelled; None for an unlabelled image.
    """

    place: dict[str, Any]
    pixels: np.ndarray
    truth: np.ndarray | None


class LiveSamples:
    """Predicts the same windows again and again.

    Parameters
    ----------
    project, run
        Where images and labels come from, and where the masks go.
    emit
        Called with the events.
    """

    def __init__(self, project: Project, run: Run, emit: Callable[[Event], None]) -> None:
        self._run, self._emit = run, emit
        self._windows: list[Window] = []
        self._due = 0.0
        self._on = "labelled"
        if run.config.live.images:
            try:
                self._choose(project)
            except ThreeStageError as error:  # what needs that image will tell by itself
                emit(Warned(message=f"There are no samples while it trains: {error}"))

    def look_when_due(self, trainer: StageTrainer) -> None:
        """Predict the windows if the last time is long enough ago."""
        if time.monotonic() >= self._due:
            self.look(trainer)

    def look(self, trainer: StageTrainer) -> None:
        """Predict the windows with what the stage's segmenter is by now.

        Its batch norm has the student's statistics until the stage is over; where the recipe wants
        others then, the last look may differ much from the one before.
        """
        if not self._windows:
            return
        begun = time.monotonic()
        stage, confusion = trainer.spec.number, Confusion(self._class_names())
        network, inference = trainer.segmenter, self._run.config.inference
        with _evaluating(network):
            for window in self._windows:
                mask = predict_plane(network, window.pixels, inference, trainer.device)[0]
                self._run.write_sample(stage, window.place["image"], mask)
                if window.truth is not None:
                    confusion.add(window.truth, mask)
        scores = confusion.scores()
        self._emit(
            Sampled(
                stage=stage,
                step=trainer.step,
                on=self._on,
                miou=scores.miou,
                iou=scores.iou,
                windows=[window.place for window in self._windows],
            )
        )
        now = time.monotonic()
        self._due = now + max(self._run.config.live.every_seconds, REST * (now - begun))

    def _class_names(self) -> list[str]:
        return [entry["name"] for entry in self._run.inputs.classes]

    def _choose(self, project: Project) -> None:
        """Take images of validation or else of L for the first half, then unlabelled ones."""
        run, count = self._run, self._run.config.live.images
        half = (count + 1) // 2
        judged = _first(half, _validation_truths(project, run))
        self._on = "validation" if judged else "labelled"
        judged = judged or _first(half, _labelled_truths(project, run))
        unlabelled = [i for i in sorted(run.inputs.images) if i not in run.inputs.labels]
        chosen: list[tuple[str, np.ndarray | None]] = [*judged]
        chosen += [(image_id, None) for image_id in unlabelled[: count - len(judged)]]
        self._windows = [_window(project, run, image_id, truth) for image_id, truth in chosen]


def _validation_truths(project: Project, run: Run) -> Iterator[tuple[str, np.ndarray]]:
    for image_id, record in sorted(project.images.items()):
        truth = present_truth(project, run, image_id) if record.split == "validation" else None
        if truth is not None and truth.any():
            yield image_id, truth


def _labelled_truths(project: Project, run: Run) -> Iterator[tuple[str, np.ndarray]]:
    for image_id in sorted(run.inputs.labels):
        truth = frozen_truth(project, run, image_id)
        if truth is not None and truth.any():
            yield image_id, truth


def _first(count: int, pairs: Iterator[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
    return [pair for _, pair in zip(range(count), pairs, strict=False)]


def _window(project: Project, run: Run, image_id: str, truth: np.ndarray | None) -> Window:
    """Cut the window out of the middle plane, or the labelled one that is nearest to it."""
    outer = project.images[image_id].label_shape[:-2]
    plane = _middle_plane(outer, truth)
    labels = None if truth is None else truth[plane]
    pixels = _read_plane(project, run, image_id, plane)
    side, centre = run.config.live.window, _centre(pixels.shape[1:], labels)
    height, width = (min(side, extent) for extent in pixels.shape[1:])
    y, x = (
        int(np.clip(middle - size // 2, 0, extent - size))
        for middle, size, extent in zip(centre, (height, width), pixels.shape[1:], strict=True)
    )
    part = np.s_[y : y + height, x : x + width]
    place = {"image": image_id, "plane": list(plane), "y": y, "x": x}
    place |= {"height": height, "width": width}
    pixels = np.ascontiguousarray(pixels[:, *part])
    return Window(place, pixels, None if labels is None else labels[part].copy())


def _middle_plane(outer: tuple[int, ...], truth: np.ndarray | None) -> tuple[int, ...]:
    places = [place for place in np.ndindex(*outer) if truth is None or truth[place].any()]
    middle = [size // 2 for size in outer]
    return min(
        places, key=lambda place: sum(abs(a - b) for a, b in zip(place, middle, strict=True))
    )


def _read_plane(project: Project, run: Run, image_id: str, plane: tuple[int, ...]) -> np.ndarray:
    image, inputs = project.read_image(image_id), run.inputs
    places = iter(plane)
    index = tuple(next(places) if axis in "tz" else slice(None) for axis in image.axes)
    axes = "".join(axis for axis in image.axes if axis not in "tz")
    one = ImageArray(np.asarray(image.data[index]), axes)
    (pixels,) = planes_of(one, inputs.channels, inputs.n_channels, inputs.normalisation)
    return pixels


def _centre(shape: tuple[int, ...], labels: np.ndarray | None) -> tuple[int, int]:
    """Return a pixel in the middle of the labelled ones; of the plane if there are none."""
    if labels is None or not labels.any():
        return shape[0] // 2, shape[1] // 2
    labelled = labels > 0
    row = _median(labelled.sum(1))
    column = _median(labelled[row])  # that of this row, so that the pixel is labelled itself
    return row, column


def _median(counts: np.ndarray) -> int:
    total = counts.cumsum()
    return int(np.searchsorted(total, total[-1] / 2))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and every part of it back into its own afterwards."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
