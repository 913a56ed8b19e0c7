"""Curves: whether a stage is right as often as it says, and what more labels may bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.result_figures.look import (
    LETTER,
    SMALL,
    SWATCH,
    add_legend,
    finish,
    fitted,
    name_axes,
    new_axes,
    percent,
    resize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.result_figures.look import Look

UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
LEAST_RANGE = 0.1  # of mean IoU that the budget shows
WIDE_RANGE = 20.0  # largest by smallest amount of labels from which on the axis is logarithmic


def draw_reliability(figure: Figure, document: Mapping[str, Any], group: str, look: Look) -> None:
    """Draw how often each stage is right by how sure it is, and how often it is so sure.

    Parameters
    ----------
    document
        Of ``threestage compare``.
    group
        Name of one of its groups.
    """
    scores = next(one for one in document["groups"] if one["name"] == group)["scores"]
    parts = figure.add_gridspec(2, 1, height_ratios=(3.2, 1))
    upper = new_axes(figure, look, parts[0])
    lower = new_axes(figure, look, parts[1], sharex=upper)
    upper.plot([0, 1], [0, 1], color=look.faint, linewidth=1, linestyle=":")
    aside: dict[str, Any] = {"fontsize": SMALL, "color": look.faint, "ha": "center"}
    upper.text(0.25, 0.8, "too careful", **aside)
    upper.text(0.75, 0.2, "too sure", **aside)
    handles = []
    for place, column in enumerate(document["columns"]):
        found = scores[column["key"]]["calibration"]
        error = "" if found["ece"] is None else f" · error {100 * found['ece']:.1f} %"
        room = figure.get_figwidth() - SWATCH - LETTER * len(error)
        curve = _draw_bins(upper, lower, found["bins"], look, place)
        handles.append((fitted(column["title"], room) + error, curve))
    for axes in (upper, lower):
        axes.grid(color=look.grid, linewidth=0.8)
        percent(axes.xaxis)
        percent(axes.yaxis)
        axes.set_xlim(0, 1.01)
    upper.set_ylim(0, 1.02)
    upper.tick_params(labelbottom=False)
    name_axes(upper, look, y="is right")
    name_axes(lower, look, x="is so sure", y="pixels")
    resize(figure, add_legend(figure, handles, look) + 3.1)
    finish(figure, look)


def _draw_bins(upper: Axes, lower: Axes, bins: Any, look: Look, place: int) -> Any:
    """Draw the curve of a column and the share of its pixels in each bin; return the curve."""
    filled = [one for one in bins if one["pixels"]]
    total = max(1, sum(one["pixels"] for one in filled))
    style = look.line(place)
    shares = [one["pixels"] / total for one in bins]
    edges = [*(one["low"] for one in bins), bins[-1]["high"] if bins else 1.0]
    if bins:
        lower.stairs(shares, edges, color=style["color"], linewidth=1.2)
    sure, right = ([one[key] for one in filled] for key in ("confidence", "accuracy"))
    return upper.plot(sure, right, linewidth=1.2, markersize=4, **style)[0]


def draw_budget(figure: Figure, document: Mapping[str, Any], look: Look) -> None:
    """Draw mean IoU by the amount of labels of each run, and where more labels may lead.

    Parameters
    ----------
    document
        Of ``threestage budget``; with points.
    """
    points, fit = document["points"], document["fit"]
    axes = new_axes(figure, look)
    amounts = [one["labelled_pixels"] for one in points]
    handles = [("runs", _draw_runs(axes, points, look))]
    if fit is not None:
        handles.append(("expected", _draw_fit(axes, fit["curve"], max(amounts), look)))
        amounts += [one["labelled_pixels"] for one in fit["curve"]]
    if max(amounts) > WIDE_RANGE * max(1, min(amounts)):
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, at: say_amount(value))
    axes.xaxis.set_minor_formatter(lambda value, at: "")
    percent(axes.yaxis)
    axes.margins(0.06)
    low, high = axes.get_ylim()
    spare = max(0.0, LEAST_RANGE - (high - low)) / 2  # noise is not to look like a trend
    axes.set_ylim(low - spare, high + spare)
    axes.grid(color=look.grid, linewidth=0.8)
    name_axes(axes, look, x="labelled pixels", y="mean IoU")
    resize(figure, add_legend(figure, handles, look) + 2.4)
    finish(figure, look)


def _draw_runs(axes: Axes, points: Any, look: Look) -> Any:
    style = look.line(0)
    for one in points:
        ends = one["miou"]["low"], one["miou"]["high"]
        if None not in ends:
            axes.plot([one["labelled_pixels"]] * 2, ends, color=style["color"], linewidth=1.3)
    amounts = [one["labelled_pixels"] for one in points]
    return axes.plot(
        amounts, [one["miou"]["value"] for one in points], linestyle="", markersize=5, **style
    )[0]


def _draw_fit(axes: Axes, curve: Any, measured: float, look: Look) -> Any:
    """Draw the expectation, dashed where nobody has been yet; return its line."""
    colour = look.colours[1]
    amounts = [one["labelled_pixels"] for one in curve]
    low, middle, high = ([one[key] for one in curve] for key in ("low", "miou", "high"))
    axes.fill_between(amounts, low, high, color=colour, alpha=0.18, linewidth=0)
    known = sum(amount <= measured for amount in amounts)
    axes.plot(amounts[:known], middle[:known], color=colour, linewidth=1.4)
    start = max(0, known - 1)
    return axes.plot(amounts[start:], middle[start:], color=colour, linewidth=1.4, linestyle="--")[
        0
    ]


def say_amount(pixels: float) -> str:
    """Return a number of pixels as an axis has it: ``25 k``."""
    for size, sign in UNITS:
        if pixels >= size:
            return f"{pixels / size:g} {sign}"
    return f"{pixels:g}"
