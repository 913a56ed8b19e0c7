"""The curves of a run as numbers: losses and scores over the steps of all stages in a row.

Between two stages a curve has a gap, written as NaN: they are different trainings.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_threestage.run_view import RunView

MEAN = "mIoU"
CONFIDENT = "confident"  # told with the losses, but the share of pixels that count in one
SMOOTHING = 0.6  # share of the past in a smoothed point
COLUMNS = ("curve", "kind", "stage", "step", "value")


@dataclass(frozen=True)
class Series:
    """A curve.

    Attributes
    ----------
    x
        Steps since the beginning of the first stage.
    points
        Whether each value stands for itself, as the scores of a finished stage do.
    """

    name: str
    x: list[float]
    y: list[float]
    points: bool = False

    @property
    def last(self) -> tuple[float, float] | None:
        """Place and height of the latest value."""
        pairs = zip(reversed(self.x), reversed(self.y), strict=True)
        return next((pair for pair in pairs if not math.isnan(pair[1])), None)


def stage_starts(view: RunView) -> dict[int, int]:
    """Return the step, counted from the beginning of the first stage, at which each begins."""
    starts, total = {}, 0
    for stage in view.stages:
        starts[stage.number] = total
        total += max(stage.steps, stage.step)
    return starts


def loss_series(view: RunView) -> list[Series]:
    """Return each term of the loss, lightly smoothed."""
    starts = stage_starts(view)
    made: dict[str, Series] = {}
    for stage in view.stages:
        for name, (steps, values) in stage.losses.items():
            if name == CONFIDENT:
                continue
            series = made.setdefault(name, Series(name, [], []))
            _append(series, starts[stage.number], steps, smooth(values))
    return list(made.values())


def scored_on(view: RunView) -> str:
    """Return which images the scores are about: validation, else labelled; empty without any."""
    kinds = {sample.on for stage in view.stages for sample in stage.samples if sample.iou}
    kinds |= {on for stage in view.stages for on in stage.scores}
    return next((on for on in ("validation", "labelled") if on in kinds), "")


def score_series(view: RunView) -> list[Series]:
    """Return mIoU and the IoU of each class: while training as lines, at its end as points."""
    on, starts = scored_on(view), stage_starts(view)
    lines: dict[str, Series] = {}
    points: dict[str, Series] = {}
    for stage in view.stages:
        start = starts[stage.number]
        samples = [sample for sample in stage.samples if sample.on == on]
        for name in {name: 0 for sample in samples for name in (MEAN, *sample.iou)}:
            steps = [sample.step for sample in samples]
            values = [sample.miou if name == MEAN else sample.iou.get(name) for sample in samples]
            _append(lines.setdefault(name, Series(name, [], [])), start, steps, _numbers(values))
        result = stage.scores.get(on)
        for name, value in ({MEAN: result.miou, **result.iou} if result else {}).items():
            series = points.setdefault(name, Series(name, [], [], points=True))
            if value is not None:
                series.x.append(start + stage.steps)
                series.y.append(value)
    return [*lines.values(), *points.values()]


def latest_values(many: Sequence[Series]) -> dict[str, float | None]:
    """Return the latest value by name; of a line and a point at the same step that of the point."""
    found: dict[str, tuple[float, float] | None] = {}
    for series in many:
        last, known = series.last, found.get(series.name)
        found[series.name] = last if known is None or (last and last[0] >= known[0]) else known
    return {name: None if pair is None else pair[1] for name, pair in found.items()}


def smooth(values: list[float], past: float = SMOOTHING) -> list[float]:
    """Return a moving average that gives `past` of its weight to what was before."""
    mean, smoothed = 0.0, []
    for count, value in enumerate(values, start=1):
        mean = past * mean + (1 - past) * value
        smoothed.append(mean / (1 - past**count))
    return smoothed


def to_csv(view: RunView) -> str:
    """Return all that is known of the curves, not smoothed, as a table with a line a value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(view))
    return text.getvalue()


def _rows(view: RunView) -> Iterator[tuple[str, str, int, int, float]]:
    for stage in view.stages:
        for name, (steps, values) in stage.losses.items():
            for step, value in zip(steps, values, strict=True):
                yield name, "share" if name == CONFIDENT else "loss", stage.number, step, value
        for sample in stage.samples:
            for name, score in {MEAN: sample.miou, **sample.iou}.items():
                if score is not None:
                    yield name, f"IoU on {sample.on} windows", stage.number, sample.step, score
        for on, result in stage.scores.items():
            for name, score in {MEAN: result.miou, **result.iou}.items():
                if score is not None:
                    yield name, f"IoU on {on} images", stage.number, stage.steps, score


def _append(series: Series, start: int, steps: list[int], values: list[float]) -> None:
    if series.x and steps:
        series.x.append(series.x[-1])
        series.y.append(math.nan)
    series.x.extend(start + step for step in steps)
    series.y.extend(values)


def _numbers(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
