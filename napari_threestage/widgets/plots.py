"""The plots of a run; all that knows the plotting library, which is handed in once it is loaded."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtSvg import QSvgGenerator
from qtpy.QtWidgets import QSizePolicy

from napari_threestage.curve_data import MEAN
from napari_threestage.widgets.fields import pass_wheel_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_threestage.curve_data import Series

PLOT_HEIGHT = 150
FIGURE = (1200, 800)
LEGEND_LINES = 44
NAME_SHARE = 0.18  # of the width, for the name of a stage
_DOTTED = Qt.PenStyle.DotLine


class Plots:
    """Two plots with the same steps: losses above, IoU below.

    Parameters
    ----------
    pyqtgraph
        The module.
    figure
        For a file: larger, and with a legend.
    """

    def __init__(self, pyqtgraph: Any, figure: bool = False) -> None:
        self._pg, self._figure = pyqtgraph, figure
        self.widget = pyqtgraph.GraphicsLayoutWidget()
        self.widget.setObjectName("curves")
        self.widget.setToolTip("Steps of all stages, one after the other; lines: where one begins")
        for receiver in (self.widget, self.widget.viewport()):
            pass_wheel_on(receiver)
        self.widget.ci.layout.setContentsMargins(0, 4, 4, 0)
        self.widget.ci.layout.setSpacing(4)
        self.loss = self.widget.addPlot(0, 0, enableMenu=False)
        self.score = self.widget.addPlot(1, 0, enableMenu=False)
        self.score.setXLink(self.loss)
        self.score.setYRange(0, 1, padding=0.02)
        self._curves: dict[tuple[str, str, bool], Any] = {}
        self._drawn: dict[tuple[str, str, bool], str] = {}  # the colours they have
        self._lines: list[tuple[Any, Any]] = []
        self._starts: tuple[Any, ...] = ()
        self._theme = ("", "")
        for plot, name in ((self.loss, "loss"), (self.score, "IoU")):
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
            plot.showGrid(y=True, alpha=0.2)
            plot.getAxis("left").setWidth(48 if figure else 38)
            plot.setLabel("left", name)
            plot.getAxis("left").enableAutoSIPrefix(False)  # "loss (x0.001)" has no room
        if figure:
            self.score.setLabel("bottom", "steps")
            self.widget.resize(*FIGURE)
        else:
            self.widget.setFixedHeight(2 * PLOT_HEIGHT)
            self.widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def draw(
        self,
        losses: Sequence[Series],
        scores: Sequence[Series],
        starts: Mapping[int, int],
        colours: Mapping[str, str],
        ink: QColor,
        paper: QColor,
    ) -> None:
        """Show curves.

        Parameters
        ----------
        starts
            Step at which each stage begins.
        colours
            By name of the curve.
        """
        self._style(ink, paper)
        wanted = set()
        for plot, kind, many in ((self.loss, "loss", losses), (self.score, "score", scores)):
            for series in filter(lambda one: one.x, many):
                key = (kind, series.name, series.points)
                wanted.add(key)
                self._draw_series(plot, key, series, colours[series.name])
        for key in set(self._curves) - wanted:
            plot = self.loss if key[0] == "loss" else self.score
            plot.removeItem(self._curves.pop(key))
            self._drawn.pop(key)
        last = max((one.x[-1] for one in (*losses, *scores) if one.x), default=1.0)
        begun = {stage: step for stage, step in starts.items() if step <= last}
        self._draw_starts(begun, ink)
        self._show_steps(list(begun.values()) or [0], last)
        if self._figure:
            self._draw_legend(losses, scores, colours, ink)

    def write(self, path: Path) -> None:
        """Write what is shown as a drawing (.svg) or a picture."""
        self.widget.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        self.widget.show()  # which lays it out
        self.widget.ci.layout.activate()
        if path.suffix.lower() != ".svg":
            if not self.widget.grab().save(str(path), "PNG"):
                raise OSError("no picture could be made of them")
            return
        area = QRect(0, 0, self.widget.width(), self.widget.height())
        paper = QSvgGenerator()
        paper.setFileName(str(path))
        paper.setSize(area.size())
        paper.setViewBox(area)
        paper.setResolution(self.widget.logicalDpiX())
        paper.setTitle("Curves of a run")
        painter = QPainter(paper)
        if not painter.isActive():
            raise OSError("no file could be begun there")
        self.widget.render(painter)
        painter.end()

    def _draw_series(
        self, plot: Any, key: tuple[str, str, bool], series: Series, colour: str
    ) -> None:
        if key not in self._curves:
            self._curves[key] = plot.plot(connect="finite", antialias=True)
        curve = self._curves[key]
        if self._drawn.get(key) != colour:
            self._drawn[key] = colour
            _colour(curve, self._pg.mkPen(colour, width=2 if series.name == MEAN else 1), series)
        curve.setData(np.array(series.x, float), np.array(series.y, float))

    def _show_steps(self, starts: Sequence[int], last: float) -> None:
        """Show all stages from their beginning, with room for the name of the latest one."""
        first, latest = min(starts), max(starts)
        room = (latest - first) / (1 - NAME_SHARE)
        self.loss.setXRange(first, max(last, first + room, first + 1), padding=0.02)

    def _draw_starts(self, starts: Mapping[int, int], ink: QColor) -> None:
        if self._starts == (*starts.items(), ink.name()):
            return
        self._starts = (*starts.items(), ink.name())
        for plot, line in self._lines:
            plot.removeItem(line)
        self._lines = []
        for number, step in starts.items():
            for plot in (self.loss, self.score):
                line = self._pg.InfiniteLine(
                    step,
                    pen=self._pg.mkPen(ink, width=1, style=_DOTTED),
                    label=f"stage {number}" if plot is self.loss else None,
                    labelOpts={"color": ink, "position": 0.97, "anchors": [(0, 0), (0, 0)]},
                )
                plot.addItem(line, ignoreBounds=True)
                self._lines.append((plot, line))

    def _draw_legend(
        self,
        losses: Sequence[Series],
        scores: Sequence[Series],
        colours: Mapping[str, str],
        ink: QColor,
    ) -> None:
        """Name the curves beside the plots; points have the colour of their line."""
        groups = [("loss", losses), ("IoU", [one for one in scores if not one.points])]
        lines = []
        for title, many in groups:
            lines += [f"<b>{title}</b>"] if many else []
            for series in many:
                mark = f"<span style='color:{colours[series.name]}'>■</span>"
                lines.append(f"{mark} {html.escape(series.name)}")
        if len(lines) > LEGEND_LINES:
            rest = len(lines) - LEGEND_LINES
            lines = [*lines[:LEGEND_LINES], f"and {rest} more"]
        self.widget.addLabel(
            "<br>".join(lines), 0, 1, rowspan=2, justify="left", size="8pt", color=ink
        )

    def _style(self, ink: QColor, paper: QColor) -> None:
        if self._theme == (ink.name(), paper.name()):
            return
        self._theme = ink.name(), paper.name()
        self.widget.setBackground(paper)
        for plot in (self.loss, self.score):
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(ink)
                axis.setTextPen(ink)


def _colour(curve: Any, pen: Any, series: Series) -> None:
    """Draw a line, or points without one."""
    curve.setPen(None if series.points else pen)
    if series.points:
        curve.setSymbol("o")
        curve.setSymbolSize(7)
        curve.setSymbolBrush(pen.color())
        curve.setSymbolPen(pen.color())
