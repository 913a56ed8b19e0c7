"""The way to the window of all runs, and what Train says of a run that is out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_threestage.widgets.controls import button, column, note, row
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.runs_dialog import REFRESH_TIP, RunsDialog
from napari_threestage.widgets.runs_text import stale_html, why_no_refresh

if TYPE_CHECKING:
    from napari_threestage.widgets.session import Session

GAP = 12
OFFER = "Refresh it (half the steps, from its weights) or start anew."


def runs_button(session: Session) -> QPushButton:
    """Return the button that shows all runs."""
    made = button(
        "Runs …",
        "All runs of the project: name, pin, refresh, compare with labels only, delete",
        lambda: show_runs(session, made.parentWidget() or made),
    )
    made.setObjectName("show_runs")
    return made


def show_runs(session: Session, beside: QWidget) -> RunsDialog:
    """Show the session's window of all runs, which there is once, without covering a widget."""
    found = (one for one in QApplication.topLevelWidgets() if isinstance(one, RunsDialog))
    dialog = next((one for one in found if one.session is session), None)
    if dialog is None:
        dialog = RunsDialog(session, beside.window())
        left = beside.mapToGlobal(QPoint(0, 0)).x() - dialog.width() - GAP
        if left >= 0:
            dialog.move(left, beside.window().y() + 4 * GAP)
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


class StaleBox(QWidget):
    """Says why the run that is looked at is out of date, and offers to refresh it."""

    wants_anew = Signal()  # a person wants another run instead

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._text = note()
        self._text.setObjectName("stale_run")
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._refresh = button("Refresh", REFRESH_TIP, self._start)
        self._refresh.setObjectName("refresh_run")
        anew = button("Start anew", "Choose what a new run is to be", self.wants_anew.emit)
        anew.setObjectName("start_anew")
        self._buttons = QWidget()
        self._buttons.setLayout(row(self._refresh, anew, 1))
        self.setLayout(column(self._text, self._buttons))
        runs = session.runs
        listen(self, (runs.all.changed, self.refresh), (runs.changed, self.refresh))
        self.refresh()

    def refresh(self) -> None:
        """Show itself where the run that is looked at has ended and is out of date."""
        runs, writable = self._session.runs, self._session.writable
        found = runs.all.row(runs.run.id) if runs.run is not None else None
        self.setVisible(found is not None and bool(found.stale) and not runs.active)
        if found is not None and found.stale:
            may_refresh = writable and not why_no_refresh(found)
            self._text.setText(f"{stale_html(found)}{f' {OFFER}' if may_refresh else ''}")
            self._refresh.setVisible(may_refresh)
            self._buttons.setVisible(writable)

    def _start(self) -> None:
        run = self._session.runs.run
        if run is not None:
            self._session.runs.all.train("--refresh", run.id)
