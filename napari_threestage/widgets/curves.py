"""Losses and scores of a run as curves that follow it."""

from __future__ import annotations

import html
import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QFileDialog, QLabel, QSizePolicy, QWidget

from napari_threestage.curve_data import (
    MEAN,
    latest_values,
    loss_series,
    score_series,
    scored_on,
    stage_starts,
    to_csv,
)
from napari_threestage.errors import ProjectError
from napari_threestage.widgets.controls import button, column, note, row
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.plots import Plots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent

    from napari_threestage.curve_data import Series
    from napari_threestage.widgets.session import Session

REDRAW_MS = 500
FILTERS = "Picture (*.png);;Drawing (*.svg);;Table of all values (*.csv)"
LOSS_COLOURS = ("#4c9be8", "#f0914a", "#5fb96b", "#d95f8c", "#a583d9", "#c9b03c")


class CurvesView(QWidget):
    """Two plots over the steps of all stages: the terms of the loss, and the IoU of the classes.

    They are made when they are first seen, and drawn twice a second at most.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._pyqtgraph: Any = None
        self._made: Plots | None = None  # but not in its place yet
        self._plots: Plots | None = None
        self._loading = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        self._drawn = 0.0
        self._empty = note()
        self._empty.setObjectName("no_curves")
        self.losses, self.scores = _legend("loss_legend"), _legend("score_legend")
        self._save = button("Save …", "Save the curves as PNG, SVG or CSV", self._choose_file)
        self._save.setObjectName("save_curves")
        self._layout = column(self._empty, self.losses, self.scores, row(1, self._save))
        self.setLayout(self._layout)
        for signal in (session.runs.changed, session.runs.progressed, session.classes_changed):
            listen(self, (signal, self.refresh))
        self._show_parts(False)

    @property
    def plots(self) -> Plots | None:
        """The plots, once they have been made."""
        return self._plots

    def refresh(self) -> None:
        """Draw what is new: now, in one frame with everything else, or soon after the last time."""
        if self._timer.isActive():
            return
        if 1000 * (time.monotonic() - self._drawn) > REDRAW_MS:
            self._redraw()
        else:
            self._timer.start()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what happened meanwhile."""
        super().showEvent(event)
        self._redraw()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        kinds = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if event is not None and event.type() in kinds and self._plots is not None:
            self._timer.start()  # not before all of the theme is there

    def save(self, path: Path) -> None:
        """Write the curves into a file, in the format that its name ends with."""
        try:
            if path.suffix.lower() == ".csv":
                path.write_text(to_csv(self._session.runs.view))
            elif self._pyqtgraph is not None:
                figure = Plots(self._pyqtgraph, figure=True)
                self._draw(figure, QColor("black"), QColor("white"))
                try:
                    figure.write(path)
                finally:
                    figure.widget.close()
                    figure.widget.deleteLater()
        except OSError as error:
            message = f"The curves cannot be saved as {path} ({error.strerror or error})."
            self._session.fail(ProjectError(message, "Choose another place."))
            return
        self._session.say(f"Saved {path}.")

    def _choose_file(self) -> None:
        run = self._session.runs.run
        name = f"{run.id if run is not None else 'run'}.png"
        chosen, kind = QFileDialog.getSaveFileName(self, "Save the curves", name, FILTERS)
        if chosen:
            path = Path(chosen)
            if path.suffix.lower() not in (".png", ".svg", ".csv"):
                path = path.with_name(path.name + kind[-5:-1])
            self.save(path)

    def _redraw(self) -> None:
        if not self.isVisible():
            return
        self._drawn = time.monotonic()
        view = self._session.runs.view
        anything = any(stage.losses or stage.samples or stage.scores for stage in view.stages)
        self._show_parts(anything)
        if anything and self._plots is None:
            self._load()
        if not anything or self._plots is None:
            return
        losses, scores = loss_series(view), score_series(view)
        ink, paper = (self.palette().color(role) for role in _ROLES)
        colours = self._draw(self._plots, ink, paper)
        self.losses.setText(_legend_text("Loss", losses, colours, "{:.3f}"))
        images = scored_on(view)
        title = f"IoU on {images} images" if images else "IoU: no sample yet"
        self.scores.setText(_legend_text(title, scores, colours, "{:.2f}"))

    def _show_parts(self, anything: bool) -> None:
        self._empty.setText(_why_empty(self._session.runs.state))
        self._empty.setVisible(not anything)
        plots = [self._plots.widget] if self._plots is not None else []
        for widget in (self._save, self.losses, self.scores, *plots):
            widget.setVisible(anything)

    def _draw(self, plots: Plots, ink: QColor, paper: QColor) -> dict[str, str]:
        view = self._session.runs.view
        losses, scores = loss_series(view), score_series(view)
        colours = self._colours(losses, scores) | {MEAN: ink.name()}
        plots.draw(losses, scores, stage_starts(view), colours, ink, paper)
        return colours

    def _colours(self, losses: Sequence[Series], scores: Sequence[Series]) -> dict[str, str]:
        """Return a colour by name: classes have their own, as they are now."""
        run, project = self._session.runs.run, self._session.project
        colours = {
            series.name: LOSS_COLOURS[place % len(LOSS_COLOURS)]
            for place, series in enumerate(losses)
        }
        colours |= {series.name: "#888888" for series in scores}
        for entry in run.inputs.classes if run is not None else []:
            colours[entry["name"]] = _hex(entry["color"])
        for known in project.classes if project is not None else []:
            colours[known.name] = _hex(known.color)
        return colours

    def _load(self) -> None:
        """Import the plotting library apart from the event loop: it takes a second."""
        if not self._loading:
            self._loading = True
            self._session.background(
                lambda: importlib.import_module("pyqtgraph"), self._make, self._session.fail
            )

    def _make(self, pyqtgraph: Any) -> None:
        self._pyqtgraph, self._made = pyqtgraph, Plots(pyqtgraph)
        QTimer.singleShot(0, self._place)  # not in one go, for both take a while

    def _place(self) -> None:
        assert self._made is not None
        self._plots = self._made
        self._layout.insertWidget(1, self._plots.widget)
        self._redraw()


_ROLES = (QPalette.ColorRole.WindowText, QPalette.ColorRole.Window)


def _legend(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setToolTip("The latest values")
    return label


def _legend_text(title: str, series: Sequence[Series], colours: dict[str, str], number: str) -> str:
    """Return names in their colours with their latest values; words wrap, entries do not."""
    entries = []
    for name, value in latest_values(series).items():
        shown = "–" if value is None else number.format(value)
        words = html.escape(f"{name} {shown}").replace(" ", "&nbsp;")
        entries.append(f"<span style='color:{colours[name]}'>■</span>&nbsp;{words}")
    return f"<b>{html.escape(title)}</b>&nbsp; " + " &nbsp;".join(entries)


def _why_empty(state: str) -> str:
    if state in ("starting", "running", "paused"):
        return "The curves begin with the first steps."
    return "Losses and scores appear here while a run trains."


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
