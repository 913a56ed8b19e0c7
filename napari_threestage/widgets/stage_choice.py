"""Choose a finished stage of the run that is looked at: the last one, unless a person says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_threestage.export_choice import Model, usable_stages
from napari_threestage.widgets.controls import column
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.form_rows import form
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.run_choice import RunChoice

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.runs import Run
    from napari_threestage.widgets.session import Session


class StageChoice(QWidget):
    """The run and its stage."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._run: Run | None = None  # whose stages are listed
        self._by_hand = self._reading = self._again = False
        self._box = choice_box("The stage whose segmenter and masks are meant", "export_stage")
        self._box.activated.connect(self._choose)
        self._row = QWidget()
        self._row.setLayout(form(("Stage", self._box)))
        self.setLayout(column(RunChoice(session, "export_run"), self._row))
        runs = session.runs
        listen(self, (session.project_changed, self.refresh), (runs.changed, self.refresh))
        listen(self, (runs.masks_arrived, self._on_masks))
        self._list(None, [])

    @property
    def model(self) -> Model | None:
        """What is chosen; None when nothing can be."""
        project, stage = self._session.project, self._box.currentData()
        if project is None or self._run is None or stage is None:
            return None
        return Model(project.path, self._run.id, stage)

    @property
    def run(self) -> Run | None:
        """The run whose stages are offered."""
        return self._run

    @property
    def reason(self) -> str:
        """Why nothing is chosen; empty when something is."""
        if self._session.project is None:
            return "Open a project first."
        if self._run is None:
            return "No run yet: start one in Train."
        return "" if self.model is not None else "No stage of this run is finished yet."

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """List the finished stages of the run that is looked at."""
        run = self._session.runs.run
        if self._session.project is None or run is None:
            self._list(None, [])
        elif self._reading:
            self._again = True
        else:
            self._reading, self._again = True, False

            def show(stages: list[int]) -> None:
                self._reading = False
                if self._again:
                    self.refresh()
                elif self._session.runs.run is run:
                    self._list(run, stages)

            self._session.background(lambda: usable_stages(run), show, self._failed)

    def _failed(self, error: Exception) -> None:
        self._reading = False
        self._session.fail(error)

    def _on_masks(self, stage: int) -> None:
        self.refresh()

    def _list(self, run: Run | None, stages: list[int]) -> None:
        same = run is not None and self._run is not None and run.id == self._run.id
        self._by_hand = self._by_hand and same
        chosen = self._box.currentData() if self._by_hand else None
        self._run = run
        self._box.clear()
        for stage in stages:
            self._box.addItem(f"Stage {stage}", stage)
        last = len(stages) - 1
        self._box.setCurrentIndex(stages.index(chosen) if chosen in stages else last)
        self._row.setVisible(bool(stages))
        self.changed.emit()

    def _choose(self) -> None:
        self._by_hand = True
        self.changed.emit()
