"""Choose the run whose masks are shown beside those of the one that is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_threestage.errors import ThreeStageError
from napari_threestage.runs import find_run
from napari_threestage.widgets.controls import caption, row
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.runs_text import line_text

if TYPE_CHECKING:
    from napari_threestage.widgets.session import Session

TOOLTIP = "Another run of this project, whose masks can be shown and compared too"
NO_RUN = "No other run"


class SecondChoice(QWidget):
    """The other runs of the project; it is not seen where there is none."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._listed: list[tuple[str, str]] = []
        self._box = choice_box(TOOLTIP, "second_run")
        self._box.activated.connect(self._choose)
        self.setLayout(row(caption("Compare with"), self._box, stretch=1))
        runs = session.runs
        listen(self, (runs.all.changed, self._list), (runs.changed, self._list))
        listen(self, (session.second.changed, self._list))
        self._list()

    def _list(self) -> None:
        shown, second = self._session.runs.run, self._session.second.run
        rows = [one for one in self._session.runs.all.rows if shown is None or one.run != shown.id]
        listed = [("", NO_RUN), *((one.run, line_text(one)) for one in rows)]
        if listed != self._listed:
            self._listed = listed
            self._box.clear()
            for place, (run_id, text) in enumerate(listed):
                self._box.addItem(text, run_id)
                self._box.setItemData(place, text, Qt.ItemDataRole.ToolTipRole)
        place = self._box.findData("" if second is None else second.id)
        self._box.setCurrentIndex(max(0, place))
        self._box.setToolTip(TOOLTIP if place <= 0 else f"{listed[place][1]}\n{TOOLTIP}")
        self.setVisible(shown is not None and bool(rows))

    def _choose(self) -> None:
        project, run_id = self._session.project, self._box.currentData()
        if project is None:
            return
        try:
            self._session.second.compare_with(find_run(project, run_id) if run_id else None)
        except ThreeStageError as error:  # it was deleted elsewhere
            self._session.fail(error)
            self._session.runs.all.refresh()
