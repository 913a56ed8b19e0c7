"""Choose the run whose masks, curves and log are shown, and find back to the one that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_threestage.run_summaries import run_summaries
from napari_threestage.widgets.controls import button, column, note
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.run_summaries import RunSummary
    from napari_threestage.widgets.session import Session

TOOLTIP = "The run whose curves, masks and log are shown; the results of all runs stay"


class RunChoice(QWidget):
    """The runs of the project, the latest first; they are listed while anybody looks."""

    def __init__(
        self, session: Session, name: str = "run_choice", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._reading = self._again = False
        self._listed: list[RunSummary] = []
        self._box = choice_box(TOOLTIP, name)
        self._box.activated.connect(self._choose)
        self._none = note("No runs yet: start one in Train.")
        self.setLayout(column(self._box, self._none))
        self._box.hide()
        listen(self, (session.runs.changed, self.refresh), (session.project_changed, self.refresh))
        self.refresh()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """List the runs anew."""
        project = self._session.project
        if project is None:
            self._list([])
        elif self._reading:
            self._again = True
        elif self.isVisible():
            self._reading, self._again = True, False
            self._mark()

            def show(summaries: list[RunSummary]) -> None:
                self._reading = False
                if self._again or self._session.project is not project:
                    self.refresh()
                else:
                    self._list(summaries)

            self._session.background(lambda: run_summaries(project), show, self._failed)

    def _failed(self, error: Exception) -> None:
        self._reading = False
        self._session.fail(error)

    def _list(self, summaries: list[RunSummary]) -> None:
        lines = [summary.sentence for summary in summaries]
        if lines != [summary.sentence for summary in self._listed] or not lines:
            self._box.clear()
            for place, summary in enumerate(summaries):
                self._box.addItem(summary.sentence, summary.run)
                self._box.setItemData(place, summary.sentence, Qt.ItemDataRole.ToolTipRole)
        self._listed = summaries
        self._box.setVisible(bool(summaries))
        self._none.setVisible(not summaries)
        self._mark()

    def _mark(self) -> None:
        """Choose the run that is shown, when it is listed already."""
        shown = self._session.runs.run
        for place, summary in enumerate(self._listed):
            if shown is not None and summary.run.id == shown.id:
                self._box.setCurrentIndex(place)
                self._box.setToolTip(f"{summary.sentence}\n{TOOLTIP}")

    def _choose(self) -> None:
        run, shown = self._box.currentData(), self._session.runs.run
        if run is not None and (shown is None or shown.id != run.id):
            self._session.runs.follow(run)


class WayBack(QWidget):
    """Says which run trains while another one is looked at, and leads there."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._text = note()
        self._text.setObjectName("run_elsewhere")
        self._back = button(
            "Show the run that trains", "Show its progress and masks", session.runs.follow_going
        )
        self._back.setObjectName("show_going_run")
        self.setLayout(column(self._text, self._back))
        listen(self, (session.runs.changed, self.refresh), (session.project_changed, self.refresh))
        self.refresh()

    def refresh(self) -> None:
        """Show itself when there is a way to go."""
        runs = self._session.runs
        self.setVisible(runs.looks_elsewhere)
        if runs.looks_elsewhere:
            trains = "A new run is starting" if runs.going is None else f"{runs.going.id} trains"
            shown = f"; you look at {runs.run.id}." if runs.run is not None else "."
            self._text.setText(trains + shown)
