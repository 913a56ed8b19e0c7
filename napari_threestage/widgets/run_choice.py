"""Choose the run whose masks, curves and log are shown, and find back to the one that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QWidget

from napari_threestage.widgets.controls import button, column, note, row
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.runs_box import runs_button
from napari_threestage.widgets.runs_model import stale_icon
from napari_threestage.widgets.runs_text import line_text, reasons

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.run_upkeep import RunRow
    from napari_threestage.widgets.session import Session

MARGIN = 48  # the mark, and what scrolls
NO_RUNS = "No runs yet: start one in Train."
TOOLTIP = "The run whose curves, masks and log are shown; the results of all runs stay"


class RunChoice(QWidget):
    """The runs of the project, the latest first; they are listed while anybody looks."""

    def __init__(
        self, session: Session, name: str = "run_choice", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._runs = session, session.runs.all
        self._listed: list[tuple[str, str]] = []
        self._box = choice_box(TOOLTIP, name)
        self._box.activated.connect(self._choose)
        self._some = QWidget()
        self._some.setLayout(row(self._box, runs_button(session), stretch=0))
        self._none = note()
        self.setLayout(column(self._some, self._none))
        runs = session.runs
        listen(self, (runs.all.changed, self._list), (runs.all.outdated, self.refresh))
        listen(self, (runs.changed, self._mark))
        self._list()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """List the runs anew, if anybody looks."""
        if self.isVisible():
            self._runs.look()

    def _list(self) -> None:
        listed = [(one.run, line_text(one)) for one in self._runs.rows]
        if listed != self._listed:
            self._box.clear()
            for run_id, text in listed:
                self._box.addItem(text, run_id)
            view = self._box.view()
            view.setMinimumWidth(view.sizeHintForColumn(0) + MARGIN)
        self._listed = listed
        for place, one in enumerate(self._runs.rows):
            self._box.setItemData(place, _tip(one), Qt.ItemDataRole.ToolTipRole)
            self._box.setItemIcon(place, stale_icon() if one.stale else QIcon())
        self._some.setVisible(bool(listed))
        self._none.setVisible(not listed)
        self._none.setText(self._runs.problem or NO_RUNS)
        self._mark()

    def _mark(self) -> None:
        """Choose the run that is shown, when it is listed already."""
        shown = self._session.runs.run
        for place, one in enumerate(self._runs.rows[: self._box.count()]):
            if shown is not None and one.run == shown.id:
                self._box.setCurrentIndex(place)
                self._box.setToolTip(f"{_tip(one)}\n{TOOLTIP}")

    def _choose(self) -> None:
        run_id, shown = self._box.currentData(), self._session.runs.run
        if run_id is not None and (shown is None or shown.id != run_id):
            self._runs.show(run_id)


def _tip(one: RunRow) -> str:
    """Return all there is to say of a run: in the box it is cut off where it is too long."""
    name = f"\n{one.run}" if one.name else ""
    return line_text(one) + name + (f"\nOut of date: {reasons(one)}" if one.stale else "")


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
        listen(self, (session.runs.all.changed, self.refresh))
        self.refresh()

    def refresh(self) -> None:
        """Show itself when there is a way to go."""
        runs = self._session.runs
        self.setVisible(runs.looks_elsewhere)
        if runs.looks_elsewhere:
            going, shown = (runs.all.title(run) for run in (runs.going, runs.run))
            trains = f"{going} trains" if going else "A new run is starting"
            self._text.setText(trains + (f"; you look at {shown}." if shown else "."))
