"""Figures as drawings within the page, in the colours of its theme."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_threestage import result_figures
from napari_threestage.curve_data import MEAN, loss_series, score_series, scored_on, stage_starts
from napari_threestage.palette import LINE_COLOURS
from napari_threestage.report.markup import Html, element
from napari_threestage.result_figures import look as looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.curve_data import Series
    from napari_threestage.run_view import RunView

LOOK = result_figures.Look()
WIDE, NARROW = 6.0, 4.6  # inches
MOST_POINTS = 400  # of a curve
LOSSES = {
    "total": "total",
    "segmentation": "L_seg, labels",
    "consistency": "L_con, consistency",
    "pseudo": "L_pl, pseudo-masks",
}
# Colours that follow the theme: the style sheet has a light and a dark one of each.
_THEME = {LOOK.ink: "var(--ink)", LOOK.faint: "var(--faint)", LOOK.grid: "var(--line)"}
_SERIES = {colour: f"var(--series-{at})" for at, colour in enumerate(LINE_COLOURS)}


def inline(figure: Figure, name: str, description: str, series: bool = True) -> Html:
    """Return a figure as an SVG element.

    Parameters
    ----------
    name
        Begins its ids, which have to be unique in the page.
    description
        What is in it, for those who cannot see it.
    series
        Whether the colours of lines follow the theme; those of classes stay what they are.
    """
    figure.set_facecolor("none")
    text = result_figures.figure_bytes(figure, "svg").decode()
    drawing = text[text.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # It would hold for the whole page; the page has these rules for drawings.
    drawing = re.sub(r"<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' xmlns(:\w+)?="[^"]*"', "", drawing)
    drawing = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', drawing)
    drawing = re.sub(r'\bhref="#([^"]*)"', rf'href="#{name}-\1"', drawing)
    drawing = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", drawing)
    for colour, themed in (_THEME | (_SERIES if series else {})).items():
        drawing = re.sub(f": {colour}", f": {themed}", drawing, flags=re.IGNORECASE)
    opening = element("svg", role="img", aria_label=description)[4 : -len("></svg>")]
    return Html(element("div", Html(drawing.replace("<svg", f"<svg{opening}", 1)), class_="plot"))


def draw_losses(view: RunView) -> Figure | None:
    """Draw the terms of the loss over the steps of all stages; None where there are none yet."""
    losses = loss_series(view)
    if not losses:
        return None
    figure = result_figures.new_figure(NARROW)
    axes, handles = looks.new_axes(figure, LOOK), []
    for place, one in enumerate(losses):
        style = {"color": LOOK.colours[place % len(LOOK.colours)], "linewidth": 1.3}
        handles.append((LOSSES.get(one.name, one.name), _line(axes, one, **style)))
    axes.set_ylim(bottom=0)
    _finish(figure, axes, view, handles, "loss")
    return figure


def draw_scores(view: RunView, colours: Mapping[str, Sequence[int]]) -> Figure | None:
    """Draw mean IoU and that of the classes over the steps; None where there is none yet.

    Parameters
    ----------
    colours
        Of the classes, by name.
    """
    scores = score_series(view)
    if not scores:
        return None
    figure = result_figures.new_figure(NARROW)
    axes, handles = looks.new_axes(figure, LOOK), dict[str, Any]()
    for one in scores:
        mean = one.name == MEAN
        style: dict[str, Any] = {"linewidth": 2.0 if mean else 1.1, "zorder": 3 if mean else 2}
        if one.points:
            style = {"linestyle": "", "marker": "o", "markersize": 4.5, "zorder": style["zorder"]}
        colour = LOOK.ink if mean else _fraction(colours.get(one.name, (136, 136, 136)))
        drawn = _line(axes, one, color=colour, **style)
        handles.setdefault("mean IoU" if mean else one.name, drawn)
    axes.set_ylim(0, 1)
    looks.percent(axes.yaxis)
    on = scored_on(view)
    _finish(figure, axes, view, list(handles.items()), f"IoU on {on} images" if on else "IoU")
    return figure


def _finish(
    figure: Figure, axes: Axes, view: RunView, handles: Sequence[tuple[str, Any]], name: str
) -> None:
    _mark_stages(axes, view)
    axes.grid(axis="y", color=LOOK.grid, linewidth=0.8)
    looks.name_axes(axes, LOOK, x="step", y=name)
    looks.resize(figure, looks.add_legend(figure, handles, LOOK) + 2.6)
    looks.finish(figure, LOOK)


def _line(axes: Axes, series: Series, **style: Any) -> Any:
    """Draw a curve with as many points as can be told apart."""
    step = max(1, len(series.x) // MOST_POINTS)
    kept = slice(None, None, 1 if series.points else step)
    return axes.plot(series.x[kept], series.y[kept], **style)[0]


def _mark_stages(axes: Axes, view: RunView) -> None:
    """Say where each stage begins."""
    starts = stage_starts(view)
    end = max((starts[one.number] + max(one.steps, one.step) for one in view.stages), default=1)
    axes.set_xlim(0, 1.01 * end)
    for number, start in starts.items():
        if start:
            axes.axvline(start, color=LOOK.faint, linewidth=0.8, linestyle=":")
        where: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "va": "bottom"}
        axes.annotate(
            f" stage {number}", (start, 1.01), fontsize=looks.SMALL, color=LOOK.faint, **where
        )


def _fraction(color: Sequence[int]) -> tuple[float, ...]:
    return tuple(part / 255 for part in color)
