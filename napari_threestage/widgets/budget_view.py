"""What more labels brought in this project, and what they may still bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_threestage.results_pages import budget_page
from napari_threestage.widgets.controls import column
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.refresh_box import RefreshBox
from napari_threestage.widgets.results_page import PageView

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.widgets.workbench import Workbench

STALE = "Runs have changed since."


class BudgetView(QWidget):
    """Asks ``threestage budget`` when it is first seen."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = bench.session
        self._told = self._failed = False
        self._counted: set[str] | None = None  # the finished runs that it was computed from
        self.box = RefreshBox(self._session, "budget", "The estimate", self.refresh, bench)
        self.box.finished.connect(self._show)
        self.box.ended.connect(self._on_end)
        self._page = PageView(self._session, "budget")
        self._page.hide()
        self.setLayout(column(self.box, self._page))
        listen(
            self,
            (self._session.project_changed, self._on_project),
            (self._session.runs.all.changed, self._on_runs),
            (self._session.runs.all.outdated, self._look),
            (self._session.runs.changed, self._look),
        )

    def refresh(self) -> None:
        """Compute it anew."""
        project = self._session.project
        if project is not None:
            self._failed, self._counted = False, None
            self._session.runs.all.refresh()
            self.box.ask(["budget", str(project.path), "--json"])

    def showEvent(self, event: QShowEvent | None) -> None:
        """Compute it when it is first seen."""
        super().showEvent(event)
        self._begin()
        self._look()

    def _begin(self) -> None:
        if self.isVisible() and not (self._told or self._failed or self.box.busy):
            self.refresh()

    def _on_project(self) -> None:
        self.box.drop()
        self.box.rest()
        self._told = self._failed = False
        self._page.hide()
        self._begin()

    def _look(self) -> None:
        """Look which runs there are now, while anybody can see it."""
        if self.isVisible():
            self._session.runs.all.look()

    def _on_runs(self) -> None:
        if self._counted is None:
            self._counted = self._finished()
        self._say_outdated()

    def _finished(self) -> set[str]:
        rows = self._session.runs.all.rows
        return {row.run for row in rows if row.stages[1] in row.finished_stages}

    def _say_outdated(self) -> None:
        outdated = self._counted is not None and self._finished() != self._counted
        if self._told and outdated and not self.box.busy:
            self.box.offer(STALE)

    def _on_end(self) -> None:
        self._failed = True
        self.box.offer()

    def _show(self, document: Any) -> None:
        self._told = True
        self._page.show_page(budget_page(document))
        self._page.show()
        self._say_outdated()
