"""A row a class, a point a stage: IoU with its interval, and the share of the pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_threestage.result_figures.look import (
    LINE,
    SMALL,
    add_legend,
    finish,
    name_axes,
    new_axes,
    percent,
    resize,
    short_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.result_figures.look import Look

    Values = Sequence[Mapping[str, Any] | None]  # value, low and high of each row

STEP, GAP = 0.085, 0.13  # inches: between the points of a row, between rows
SMALLEST_SHARE = 0.001  # below it the axis of shares is linear, so that it has a place for none
MEAN = "Mean IoU"
MANY = 14


def draw_iou(figure: Figure, document: Mapping[str, Any], group: str, look: Look) -> None:
    """Draw mean IoU and the IoU of each class, with intervals.

    Parameters
    ----------
    document
        Of ``threestage compare``.
    group
        Name of one of its groups.
    """
    scores = next(one for one in document["groups"] if one["name"] == group)["scores"]
    names = [entry["name"] for entry in document["classes"]]
    series = []
    for column in document["columns"]:
        found = scores[column["key"]]
        values = [found["miou"], *(found["iou"].get(name) for name in names)]
        series.append((column["title"], values))
    axes = _draw_rows(figure, [MEAN, *names], series, look, "not in these images")
    axes.axhline(0.5, color=look.faint, linewidth=0.8)
    axes.set_xlim(*_limits([one for _, values in series for one in values if one]))
    percent(axes.xaxis)
    name_axes(axes, look, x="IoU")
    finish(figure, look)


def draw_fractions(figure: Figure, document: Mapping[str, Any], look: Look) -> None:
    """Draw which share of all pixels each stage gives to each class."""
    names = [entry["name"] for entry in document["classes"]]
    series = [
        (one["title"], [_exact(document["fractions"][one["key"]].get(name)) for name in names])
        for one in document["columns"]
    ]
    axes = _draw_rows(figure, names, series, look, "in no mask")
    ticks = [0, SMALLEST_SHARE, 0.01, 0.1, 1]
    axes.set_xscale("symlog", linthresh=SMALLEST_SHARE, linscale=0.6)
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-SMALLEST_SHARE / 4, 1.3)
    name_axes(axes, look, x="share of all pixels")
    finish(figure, look)


def _exact(value: float | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "low": None, "high": None}


def _draw_rows(
    figure: Figure,
    names: Sequence[str],
    series: Sequence[tuple[str, Values]],
    look: Look,
    none: str,
) -> Axes:
    """Draw a row for each name; `none` is written into those without any value."""
    labels = [short_name(name) for name in names]
    row = max(STEP * len(series) + GAP, *(LINE * (1 + label.count("\n")) for label in labels))
    axes = new_axes(figure, look)
    middle = (len(series) - 1) / 2
    handles = [
        (title, _draw_series(axes, values, (place - middle) * STEP / row, place, look))
        for place, (title, values) in enumerate(series)
    ]
    for place in range(len(names)):
        if all(values[place] is None for _, values in series):
            axes.annotate(
                none, (0.02, place), xycoords=("axes fraction", "data"), va="center",
                fontsize=SMALL, color=look.faint,
            )  # fmt: skip
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(axis="y", length=0)
    if len(names) > MANY:  # the numbers below are out of sight from the first row
        axes.tick_params(axis="x", labeltop=True)
    axes.grid(axis="x", color=look.grid, linewidth=0.8)
    legend = add_legend(figure, handles, look)
    resize(figure, legend + row * len(names) + 0.5 + LINE * (len(names) > MANY))
    return axes


def _draw_series(axes: Axes, values: Values, offset: float, place: int, look: Look) -> Any:
    """Draw the points of a column, and whiskers where there is an interval."""
    rows = [(at + offset, one) for at, one in enumerate(values) if one is not None]
    style = look.line(place)
    for at, one in rows:
        if one["low"] is not None and one["high"] is not None:
            axes.plot([one["low"], one["high"]], [at, at], color=style["color"], linewidth=1.3)
    places, points = [at for at, _ in rows], [one["value"] for _, one in rows]
    return axes.plot(points, places, linestyle="", markersize=4.5, **style)[0]


def _limits(values: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return a range in whole tens of percent that holds all points and intervals."""
    ends = [one[key] for one in values for key in ("value", "low", "high") if one[key] is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    first = max(0.0, math.floor(10 * low - 0.2) / 10)
    return first, max(first + 0.1, min(1.0, math.ceil(10 * high + 0.2) / 10)) + 0.005
