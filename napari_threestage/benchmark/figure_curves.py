"""Figures of scores: over stages, over weights, over the amount of labels, and of the label gap."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.benchmark.figure_style import (
    BOUNDS,
    COLOURS,
    GRID,
    LETTER,
    MARKERS,
    NEUTRAL,
    PANEL,
    SEED,
    add_legend,
    by_panel,
    in_order,
    make_panels,
    panel_title,
    styles,
)
from napari_threestage.benchmark.methods import FULL, METHODS, SUPERVISED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.benchmark.figure_style import Entry

MIOU = "mIoU, %"
WEIGHT = "lambda-"  # how the methods with λ1 = λ2 begin
SLOT = 0.24  # of a method beside the stages, in inches
STEP = 0.6  # from one such method to the next, where a stage has 1
LEAST_GAP = -100.0  # where the axis of the gap ends, for one collapse would flatten all other bars
ROOM, LEAST_ROOM = 0.5, 5.0  # below stages and bounds: a share of what these span; in points

BEYOND: dict[str, Any] = {"fontsize": "x-small", "color": "#303030"}  # what an axis leaves out

GROUPS = {
    "own": "three stages",
    "rivals": "rivals",
    "ablations": "ablations",
    "bounds": "labels alone",
}
GROUP_COLOURS = dict(zip(GROUPS, (*COLOURS[:3], NEUTRAL), strict=True))


def stage_curve(summary: Sequence[Entry]) -> Figure:
    """Draw mIoU over the stages, with a panel for each data set and amount of labels.

    Methods with several stages are lines through the means with a point for each seed; those with
    one are level lines: the bounds through the whole panel, the others beside the stages. Of these
    the seeds that are far below everything else are figures at the lower edge.

    Parameters
    ----------
    summary
        As `statistics.summarise` gives it.

    Raises
    ------
    NotReadyError
        There is no result to draw.
    """
    kept = [entry for entry in summary if not entry["method"].startswith(WEIGHT)]
    groups = by_panel(kept)
    staged = {entry["method"] for entry in kept if len(entry["stages"]) > 1}
    single = in_order({entry["method"] for entry in kept} - staged - BOUNDS.keys())
    looks = styles({entry["method"] for entry in kept} - {*single})
    below = LETTER * max(map(len, single), default=0)
    figure, axes = make_panels(len(groups), (PANEL[0] + SLOT * len(single), PANEL[1] + below))
    stages = max((len(entry["stages"]) for entry in kept if entry["method"] in staged), default=0)
    slots = {name: stages + 1 + STEP * place for place, name in enumerate(single)}
    for axis, entries in zip(axes, groups, strict=True):
        least = _least([entry for entry in entries if entry["method"] not in slots])
        for entry in entries:
            if entry["method"] in slots:
                _draw_single(axis, entry, slots[entry["method"]], least)
            else:
                _draw_stages(axis, entry, looks[entry["method"]])
        axis.set(title=panel_title(entries[0]), ylabel=MIOU)
        ticks: dict[float, str] = {place: f"stage {place}" for place in range(1, stages + 1)}
        ticks |= {place: name for name, place in slots.items()}
        axis.set_xticks(list(ticks), list(ticks.values()), rotation=90 if single else 0)
        axis.set_xlim(0.6, max(ticks, default=1) + 0.6)
        if stages and single:
            axis.axvline(stages + 0.5, color="#C4C4C4", linewidth=0.8)
    add_legend(figure, axes, looks)
    return figure


def weight_curve(summary: Sequence[Entry]) -> Figure:
    """Draw mIoU of each stage over the weight λ1 = λ2, as figure 3 of the paper does.

    Parameters
    ----------
    summary
        As `statistics.summarise` gives it; the methods ``lambda-…`` are drawn.

    Raises
    ------
    NotReadyError
        There is no such method.

    References
    ----------
    Ke et al., *A three-stage self-training framework for semi-supervised semantic segmentation*.
    """
    groups = by_panel(entry for entry in summary if entry["method"].startswith(WEIGHT))
    figure, axes = make_panels(len(groups))
    for axis, entries in zip(axes, groups, strict=True):
        by_weight = {float(entry["method"].removeprefix(WEIGHT)): entry for entry in entries}
        for stage in sorted({stage for entry in entries for stage in entry["stages"]}):
            place = int(stage) - 1
            look = {"color": COLOURS[place], "marker": MARKERS[place]}
            _draw_line(axis, _of_stage(by_weight, stage), f"stage {stage}", look)
        _log_axis(axis, {x: str(Fraction(x).limit_denominator(100)) for x in by_weight})
        axis.set(title=panel_title(entries[0]), xlabel="weights λ₁ = λ₂", ylabel=MIOU)
    add_legend(figure, axes)
    return figure


def label_curve(summary: Sequence[Entry]) -> Figure:
    """Draw mIoU of the last stage over the amount of labelled images.

    Shares and numbers of images are in different panels; what all labels give is a level line.

    Parameters
    ----------
    summary
        As `statistics.summarise` gives it.

    Raises
    ------
    NotReadyError
        No data set has results with two amounts of labels.
    """
    groups = _by_kind_of_amount(summary)
    looks = styles(entry["method"] for entries in groups for entry in entries)
    figure, axes = make_panels(len(groups))
    for axis, entries in zip(axes, groups, strict=True):
        amounts = {entry["labelled"] for entry in entries}
        for name, look in looks.items():
            mine = {entry["labelled"]: entry for entry in entries if entry["method"] == name}
            if mine:
                _draw_line(axis, _of_stage(mine, None), name, look)
        shares = min(amounts) < 1
        _log_axis(axis, {x: f"{100 * x if shares else x:g}" for x in amounts})
        kind = "" if entries[0]["labels"] == "dense" else f", {entries[0]['labels']}"
        axis.set(title=f"{entries[0]['data']}{kind}", ylabel=MIOU)
        axis.set_xlabel("labelled share of the images, %" if shares else "labelled images")
    add_legend(figure, axes, looks)
    return figure


def gap_bars(summary: Sequence[Entry]) -> Figure:
    """Draw the share of the label gap closed by each method, with a point for each seed.

    Seeds below `LEAST_GAP` are figures at the left edge.

    Parameters
    ----------
    summary
        As `statistics.summarise` gives it.

    Raises
    ------
    NotReadyError
        No method has a share: the bounds are missing.
    """
    kept = [
        entry
        for entry in summary
        if entry["gap_closed"]
        and entry["method"] not in (SUPERVISED, FULL)
        and not entry["method"].startswith(WEIGHT)
    ]
    groups, names = by_panel(kept), in_order(entry["method"] for entry in kept)
    figure, axes = make_panels(len(groups), (PANEL[0], 1.1 + 0.22 * len(names)))
    for axis, entries in zip(axes, groups, strict=True):
        for entry in entries:
            _draw_gap(axis, entry, names.index(entry["method"]))
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.grid(visible=False, axis="y")
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        axis.set(title=panel_title(entries[0]), xlabel="label gap closed, %")
        if not _is_leftmost(axis):
            axis.tick_params(labelleft=False)
    add_legend(figure, axes, GROUPS.values())
    return figure


def _is_leftmost(axis: Axes) -> bool:
    place = axis.get_subplotspec()
    return place is None or place.is_first_col()


def _draw_gap(axis: Axes, entry: Entry, place: int) -> None:
    gap, name = entry["gap_closed"], entry["method"]
    group = METHODS[name].group if name in METHODS else "ablations"
    color, seeds = GROUP_COLOURS[group], 100 * np.array(list(gap["each"].values()))
    mean, shown = max(LEAST_GAP, 100 * gap["mean"]), seeds[seeds >= LEAST_GAP]
    axis.barh(place, mean, 0.7, color=color, alpha=0.45, label=GROUPS[group])
    axis.scatter(shown, [place] * len(shown), color=color, **SEED | {"alpha": 1})
    if beyond := _say_beyond(seeds, LEAST_GAP, ".0f"):
        edge = axis.get_yaxis_transform()  # wherever the axis ends
        axis.text(0.01, place, beyond, transform=edge, va="center", **BEYOND)


def _draw_stages(axis: Axes, entry: Entry, look: Mapping[str, Any]) -> None:
    stages = {float(stage): _percent(found) for stage, found in entry["stages"].items()}
    if len(stages) > 1:
        _draw_line(axis, stages, entry["method"], look)
        return
    level = float(stages.popitem()[1].mean())
    axis.axhline(level, label=entry["method"], linewidth=1.4, **{**look, "marker": ""})


def _draw_single(axis: Axes, entry: Entry, place: float, least: float) -> None:
    """Draw the mean of a method with one stage as a short line, and a point for each seed."""
    values = _percent(next(iter(entry["stages"].values())))
    mean, shown = float(values.mean()), values[values >= least]
    if mean >= least:
        axis.hlines(mean, place - STEP / 3, place + STEP / 3, color=NEUTRAL, linewidth=2)
    axis.scatter([place] * len(shown), shown, color=NEUTRAL, **SEED)
    if beyond := _say_beyond(values, least, ".1f"):
        edge = axis.get_xaxis_transform()
        beside = place + STEP / 8  # the points
        axis.text(beside, 0.02, beyond, transform=edge, rotation=90, va="bottom", **BEYOND)


def _least(entries: Iterable[Entry]) -> float:
    """Return where the axis may end that shows the stages and the bounds, in %."""
    spreads = [_percent(spread) for entry in entries for spread in entry["stages"].values()]
    if not spreads:
        return 0.0
    values = np.concatenate(spreads)
    return float(values.min() - max(LEAST_ROOM, ROOM * np.ptp(values)))


def _say_beyond(values: np.ndarray, least: float, form: str) -> str:
    """Return the values that lie beyond the end of an axis, after an arrow; empty without any."""
    beyond = sorted(values[values < least])
    return " ".join(["←", *(f"{value:{form}}" for value in beyond)]) if beyond else ""


def _draw_line(
    axis: Axes, points: Mapping[float, np.ndarray], label: str, look: Mapping[str, Any]
) -> None:
    """Draw a line through the means, and a point for each seed."""
    order = sorted(points)
    means = [float(points[x].mean()) for x in order]
    axis.plot(order, means, label=label, linewidth=1.8, markersize=5, **look)
    for x in order:
        axis.scatter([x] * len(points[x]), points[x], color=look["color"], **SEED)


def _of_stage(entries: Mapping[float, Entry], stage: str | None) -> dict[float, np.ndarray]:
    """Return the values of all seeds, in %, by what the entries are at; None: the last stage."""
    found = {
        x: _percent(entry["stages"].get(stage or max(entry["stages"])))
        for x, entry in entries.items()
    }
    return {x: values for x, values in found.items() if len(values)}


def _percent(spread: Mapping[str, Any] | None) -> np.ndarray:
    return 100 * np.array(list(spread["each"].values()) if spread else [])


def _by_kind_of_amount(summary: Iterable[Entry]) -> list[list[Entry]]:
    """Group entries by data set, kind of labels and kind of amount, methods with several alone."""
    groups: dict[tuple[Any, ...], dict[str, list[Entry]]] = {}
    for entry in summary:
        labelled, name = entry["labelled"], entry["method"]
        if labelled is not None and not name.startswith(WEIGHT):
            methods = groups.setdefault((entry["data"], entry["labels"], labelled < 1), {})
            methods.setdefault(name, []).append(entry)
    several = [
        [entry for entries in methods.values() if len(entries) > 1 for entry in entries]
        for methods in groups.values()
    ]
    return [entries for entries in several if entries]


def _log_axis(axis: Axes, labels: Mapping[float, str]) -> None:
    """Put labels at these places of a logarithmic axis, and nowhere else."""
    ticks = sorted(labels)
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [labels[place] for place in ticks])
    axis.minorticks_off()
    axis.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
