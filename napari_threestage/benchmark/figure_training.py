"""Figure of how losses and scores go while a method trains: figure 2 of the paper."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scipy.ndimage import gaussian_filter1d

from napari_threestage.benchmark.figure_style import COLOURS, NEUTRAL, add_legend, make_panels
from napari_threestage.curve_data import scored_on, stage_starts
from napari_threestage.errors import NotReadyError
from napari_threestage.events import read_events
from napari_threestage.run_view import RunView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONSISTENCY = "consistency"
SMOOTHING = 25  # the length of a stage over the standard deviation of the smoothing
LINESTYLES = ("-", "--", "-.", ":")

Piece = tuple[list[float], list[float]]
"""Steps and values within a stage."""


def training_curves(events: Mapping[str, Sequence[Path]], title: str = "") -> Figure:
    """Draw consistency loss and mIoU over the steps, as figure 2 of the paper does.

    A line is smoothed and has the raw values faintly behind it.  Stages follow one another, with a
    gap between them, for they are different trainings.

    Parameters
    ----------
    events
        For each label the ``events.jsonl`` of its runs, one for each seed.
    title
        What is above the figure, such as the name of the data set.

    Returns
    -------
    matplotlib.figure.Figure
        At the left the consistency loss, at the right the mIoU of the windows that were watched;
        without these only the left.

    Raises
    ------
    NotReadyError
        No run tells of a consistency loss.

    References
    ----------
    Ke et al., *A three-stage self-training framework for semi-supervised semantic segmentation*.
    """
    views = {label: [_view(path) for path in paths] for label, paths in events.items()}
    flat = [view for some in views.values() for view in some]
    if not any(_loss(view) for view in flat):
        raise NotReadyError(
            "No training tells of a consistency loss.", "Train methods that have one."
        )
    scored = any(_scores(view) for view in flat)
    figure, axes = make_panels(2 if scored else 1, (5.2, 3.4))
    for place, (label, some) in enumerate(views.items()):
        look = COLOURS[place % len(COLOURS)], LINESTYLES[place % len(LINESTYLES)]
        _draw(axes[0], label, map(_loss, some), look)
        if scored:
            _draw(axes[1], label, map(_scores, some), look)
    on = next((on for on in map(scored_on, flat) if on), "")
    names = ["consistency loss", f"mIoU of {on} windows, %"]
    for axis, name in zip(axes, names, strict=False):
        axis.set(xlabel="step", ylabel=name)
        _mark_stages(axis, flat)
    if title:
        figure.suptitle(title)
    add_legend(figure, axes)
    return figure


def _view(path: Path) -> RunView:
    view = RunView()
    for event in read_events(path):
        view.add(event)
    return view


def _loss(view: RunView) -> list[Piece]:
    starts = stage_starts(view)
    return [
        ([starts[stage.number] + step for step in steps], values)
        for stage in view.stages
        for steps, values in [stage.losses.get(CONSISTENCY, ([], []))]
        if steps
    ]


def _scores(view: RunView) -> list[Piece]:
    """Return mIoU in % of the windows, stage by stage."""
    starts, on = stage_starts(view), scored_on(view)
    pieces = []
    for stage in view.stages:
        found = [
            (float(starts[stage.number] + sample.step), 100 * sample.miou)
            for sample in stage.samples
            if sample.on == on and sample.miou is not None
        ]
        if found:
            pieces.append(([x for x, _ in found], [y for _, y in found]))
    return pieces


def _draw(axis: Axes, label: str, runs: Iterable[list[Piece]], look: tuple[str, str]) -> None:
    color, linestyle = look
    for number, pieces in enumerate(runs):
        x, raw, smoothed = _joined(pieces)
        axis.plot(x, raw, color=color, linewidth=0.7, alpha=0.25)
        name = label if number == 0 else "_"
        axis.plot(x, smoothed, color=color, linestyle=linestyle, linewidth=1.3, label=name)


def _joined(pieces: Iterable[Piece]) -> tuple[list[float], list[float], list[float]]:
    """Return steps, values and smoothed values with NaN between the pieces."""
    x: list[float] = []
    raw: list[float] = []
    smoothed: list[float] = []
    for steps, values in pieces:
        if x:
            x, raw, smoothed = [*x, x[-1]], [*raw, math.nan], [*smoothed, math.nan]
        x, raw = [*x, *steps], [*raw, *values]
        width = len(values) / SMOOTHING
        smoothed += gaussian_filter1d(values, width, mode="nearest").tolist()
    return x, raw, smoothed


def _mark_stages(axis: Axes, views: Iterable[RunView]) -> None:
    """Draw where stages begin and write their numbers above, from the first that has values."""
    longest = max(views, key=lambda view: len(view.stages))
    starts = stage_starts(longest)
    end = starts[longest.stages[-1].number] + longest.stages[-1].steps
    left = max(start for start in starts.values() if start <= axis.dataLim.x0)
    for (number, start), (_, following) in pairwise([*starts.items(), (0, end)]):
        if start < left:
            continue
        axis.axvline(start, color=NEUTRAL, linewidth=0.8, linestyle=":")
        place, transform = (start + following) / 2, axis.get_xaxis_transform()
        look: dict[str, Any] = {"ha": "center", "color": NEUTRAL, "fontsize": "small"}
        axis.text(place, 1.02, f"stage {number}", transform=transform, **look)
    axis.set_xlim(left, end)
