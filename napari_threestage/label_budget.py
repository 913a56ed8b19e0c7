"""What more labels brought in this project, run after run, and what twice as many may bring.

Points are comparable only on the same images, and honest only on images that none of the runs
learned from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.compare.bootstrap import LEAST_IMAGES, Bootstrap, Interval, margins
from napari_threestage.compare.changes import transitions
from napari_threestage.compare.columns import make_column
from napari_threestage.compare.groups import Groups
from napari_threestage.config import for_stage
from napari_threestage.errors import ProjectError, ThreeStageError
from napari_threestage.learning_curve import fit_curve
from napari_threestage.run_notes import known_notes
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.compare.columns import Column
    from napari_threestage.learning_curve import LearningCurve, Numbers
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

VALIDATE = (
    "Set some labelled images aside that no run learns from: threestage import … --split validation"
)
OF_THEIR_TIME = "the validation images of each run's time, which may be different ones"


@dataclass(frozen=True)
class BudgetPoint:
    """A finished run.

    Attributes
    ----------
    images, pixels
        What was labelled when it began.
    miou
        Of its last stage.
    """

    run: Run
    images: int
    pixels: int
    miou: Interval

    @property
    def recipe(self) -> tuple[str, int, tuple[int, ...], bool]:
        """What runs have to share to be comparable: preset, stages, steps, and how they began."""
        inputs, config = self.run.inputs, self.run.config
        steps = tuple(for_stage(config.stages.steps, n) for n in range(1, inputs.last_stage + 1))
        return config.preset, inputs.last_stage, steps, inputs.refreshes is not None

    def to_dict(self, name: str) -> dict[str, Any]:
        """Return the point as JSON holds it."""
        return {
            "run": self.run.id,
            "name": name,
            "labelled_images": self.images,
            "labelled_pixels": self.pixels,
            "miou": self.miou.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class _Measured:
    """Points, what they were measured on, and their scores on resampled images (draws, points)."""

    points: list[BudgetPoint]
    n_images: int
    text: str
    same_images: bool
    resampled: Numbers | None = None


def budget_document(
    project: Project,
    show: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return mIoU by labels over the project's runs, a law through them, and a sentence.

    Parameters
    ----------
    show
        Called with how many images are done, and how many there are.
    """
    runs = [run for run in list_runs(project) if _counts(run)]
    measured = _measure(project, runs, show)
    curve, sentence = _judge(project, runs, measured)
    on = {"images": measured.n_images, "text": measured.text} if measured else None
    return {
        "project": str(project.path),
        "on": on,
        "points": _points(project, measured.points) if measured else [],
        "fit": None if curve is None else _fit_document(curve),
        "sentence": sentence,
    }


def _points(project: Project, points: Sequence[BudgetPoint]) -> list[dict[str, Any]]:
    notes = known_notes(project)
    return [one.to_dict(notes[one.run.id].name if one.run.id in notes else "") for one in points]


def _counts(run: Run) -> bool:
    """Whether a run is finished and learned from labels in the way that is measured here."""
    if run.is_baseline or not any(run.inputs.pixels.values()):
        return False
    return run.finished_stages()[-1:] == [run.inputs.last_stage]


# --- points ---------------------------------------------------------------------------------------


def _measure(
    project: Project, runs: Sequence[Run], show: Callable[[int, int | None], None]
) -> _Measured | None:
    """Return the points on the same images, else on those of their time; None if neither can be.

    The oldest runs are left out as long as no image judges all: of before there were such images
    they have no masks, and newer runs shall not suffer from it for ever.
    """
    columns = [make_column(project, run, run.inputs.last_stage, alone=False) for run in runs]
    for first in range(len(runs)):
        for name, image_ids in _judges(project, columns[first:]).items():
            tallies = _tallies(project, columns[first:], image_ids, show)
            if len(tallies):
                return _on_same_images(runs[first:], tallies, name)
    points = [_point(run, Interval(score)) for run in runs if (score := _noted(run)) is not None]
    if not points:
        return None
    there = sum(record.split == "validation" for record in project.images.values())
    return _Measured(points, there, OF_THEIR_TIME, same_images=False)


def _judges(project: Project, columns: Sequence[Column]) -> dict[str, list[str]]:
    """Return images that no run learned from and all have masks of, those of validation first."""
    groups, found = Groups(project, columns), dict[str, list[str]](validation=[], new=[])
    for image_id in project.images:
        try:
            if all(column.has_mask(image_id) for column in columns):
                membership = groups.of(image_id)
                if membership.judges and membership.name in found:
                    found[membership.name].append(image_id)
        except ThreeStageError:
            continue  # what is damaged judges nothing
    return found


def _tallies(
    project: Project,
    columns: Sequence[Column],
    image_ids: Sequence[str],
    show: Callable[[int, int | None], None],
) -> np.ndarray:
    """Return what scores need of each image and run, (n, K, 3, C); damaged images are left out."""
    tallies = []
    for done, image_id in enumerate(image_ids):
        show(done, len(image_ids))
        try:
            tables = _tables(project, columns, image_id)
        except ThreeStageError:
            continue
        if tables.any():
            tallies.append(margins(tables))
    return np.array(tallies)


def _tables(project: Project, columns: Sequence[Column], image_id: str) -> np.ndarray:
    """Return a confusion matrix for each run, over the same pixels, (K, C, C)."""
    truth = project.read_labels(image_id)
    assert truth is not None  # it has labelled pixels
    for column in columns:
        if not column.same_classes:  # then a mask may be 0, where its class is deleted
            truth = np.where(column.read_mask(image_id) > 0, truth, 0)
    masks = (column.read_mask(image_id) for column in columns)  # one at a time in memory
    return np.array([_table(truth, mask, len(project.classes)) for mask in masks])


def _table(truth: np.ndarray, mask: np.ndarray, n_classes: int) -> np.ndarray:
    """Return how many pixels of each class (rows) have each class in the mask, (C, C)."""
    if truth.shape != mask.shape:
        raise ProjectError("A mask does not have the size of its image.", "Restore a copy.")
    return transitions(truth, mask, n_classes)


def _on_same_images(runs: Sequence[Run], tallies: np.ndarray, name: str) -> _Measured:
    bootstrap = Bootstrap(tallies)
    points = [_point(run, bootstrap.miou(place)) for place, run in enumerate(runs)]
    count = f"{len(tallies)} image{'' if len(tallies) == 1 else 's'}"
    what = {"validation": "set aside for validation", "new": "labelled only afterwards"}[name]
    text = f"{count} {what}, the same for all runs, and none of them learned from"
    return _Measured(points, len(tallies), text, True, bootstrap.drawn_miou)


def _point(run: Run, miou: Interval) -> BudgetPoint:
    return BudgetPoint(run, len(run.inputs.labels), sum(run.inputs.pixels.values()), miou)


def _noted(run: Run) -> float | None:
    """Return mIoU on validation images as the last stage noted it."""
    path = run.stage_path(run.inputs.last_stage) / "metrics.json"
    try:
        return float(json.loads(path.read_text())["validation"]["miou"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- what they say --------------------------------------------------------------------------------


def _judge(
    project: Project, runs: Sequence[Run], measured: _Measured | None
) -> tuple[LearningCurve | None, str]:
    """Return the law through the points of the latest recipe, and what can be said."""
    if not runs:
        return None, "No run has finished yet, so nothing can be said about more labels."
    if measured is None:
        return None, (
            "There are no labelled images that all runs have masks of and that none has learned "
            f"from, so they cannot be compared. {_advice(project)}."
        )
    if not measured.same_images:
        reason = "the scores are of the validation images of each run's time"
        return None, f"Nothing can be said about more labels: {reason}. New runs will do better."
    kept = [one.recipe == measured.points[-1].recipe for one in measured.points]
    points = [one for one, wanted in zip(measured.points, kept, strict=True) if wanted]
    amounts = np.array([one.pixels for one in points], float)
    scores = np.array([one.miou.value for one in points])
    resampled = None if measured.resampled is None else measured.resampled[:, kept]
    curve, reason = fit_curve(amounts, scores, resampled)
    if curve is None:
        return None, f"Nothing can be said about more labels: {reason}."
    return curve, _say(curve, measured.n_images, len(points))


def _advice(project: Project) -> str:
    """Say how to get images that judge all runs."""
    if any(record.split == "validation" for record in project.images.values()):
        return "Those for validation are newer than the runs: train another one"
    return VALIDATE


def _say(curve: LearningCurve, n_images: int, n_runs: int) -> str:
    """Say what twice the labels may bring."""
    twice, low, high = (f"{100 * value:.1f}" for value in curve.twice)
    sentence = (
        f"Twice the labels may bring mIoU from about {100 * curve.now:.1f} % to about {twice} % "
        f"({low} to {high} %), judging by {n_runs} runs"
    )
    if n_images < LEAST_IMAGES:
        return f"{sentence}; but only {n_images} images judged them, so this is a guess."
    return f"{sentence}."


def _fit_document(curve: LearningCurve) -> dict[str, Any]:
    columns = (curve.amounts, curve.values, curve.low, curve.high)
    names = ("miou", "low", "high")
    return {
        "curve": [
            {"labelled_pixels": round(amount), **dict(zip(names, map(float, rest), strict=True))}
            for amount, *rest in zip(*columns, strict=True)
        ],
        "until": round(curve.amounts[-1]),
    }
