"""The part Train: choose, look at the plan, start, watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_threestage.widgets.controls import button, column, line, note, scrolled
from napari_threestage.widgets.curves import CurvesView
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.live_view import LiveView
from napari_threestage.widgets.options import options
from napari_threestage.widgets.plan_view import PlanView
from napari_threestage.widgets.run_choice import WayBack
from napari_threestage.widgets.run_log import RunLog
from napari_threestage.widgets.runs_box import StaleBox
from napari_threestage.widgets.sample_strip import SampleStrip
from napari_threestage.widgets.set_up import SetUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QShowEvent

    from napari_threestage.settings import RunChoices
    from napari_threestage.widgets.options import Options
    from napari_threestage.widgets.session import Session

MARGIN = 6


class TrainPart(QWidget):
    """Set-up and plan of the next run; progress, curves, samples and log of the present one.

    Parameters
    ----------
    preferences
        What is chosen at first; None: as napari's preferences say.
    """

    wants_tab = Signal(str)  # name of the tab where a problem can be mended

    def __init__(
        self,
        session: Session,
        preferences: Options | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._was_active = False
        self.set_up = SetUp(preferences or options())
        self.plan = PlanView(session, self._planned)
        self.live = LiveView(session)
        self._way_back = WayBack(session)
        self.stale = StaleBox(session)
        self.curves = CurvesView(session)
        self.samples = SampleStrip(session)
        self._set_up = _group("Set-up", "What the next run is to be", "set_up", lambda: self.set_up)
        self._plan = _group("Plan", "What it will be made of", "plan", lambda: self.plan)
        self._curves = _group("Curves", "Losses and scores", "curves_group", lambda: self.curves)
        self._samples = _group(
            "Samples", "What it thinks of a few windows", "samples_group", lambda: self.samples
        )
        self._log = _group(
            "Runs and log", "Earlier runs, and the log", "log_group", lambda: RunLog(session)
        )
        self._about_run = [self._curves, self._samples, self._log]
        self.start = button("Start training", "", self._start, main=True)
        self.start.setObjectName("start_training")
        self._reason = note()
        self._reason.setObjectName("why_no_start")
        self._empty = self._make_empty()
        self._body = scrolled(self._arranged())
        self.setLayout(column(self._empty, self._body))
        for group in (self._set_up, self._plan, self._curves, self._samples):
            group.open()
        self.set_up.changed.connect(self._on_choice)
        self.plan.changed.connect(self._on_plan)
        self.plan.wants_tab.connect(self.wants_tab)
        self.stale.wants_anew.connect(self._show_set_up)
        listen(self, (session.project_changed, self._sync), (session.runs.changed, self._sync))
        runs = session.runs.all
        listen(self, (runs.outdated, self._look), (runs.train_wanted, self._show_itself))
        self._sync()

    def _arranged(self) -> QVBoxLayout:
        return column(
            self._way_back,
            self.live,
            self.stale,
            self._set_up,
            self._plan,
            self.start,
            self._reason,
            line(),
            *self._about_run,
            1,
            margins=MARGIN,
        )

    def _make_empty(self) -> QWidget:
        whole = QWidget()
        go = button("Go to Data", "Open a project there", lambda: self.wants_tab.emit("Data"))
        go.setObjectName("go_to_data")
        whole.setLayout(column(note("Open a project first."), go, 1, margins=MARGIN))
        return whole

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the project as it is now."""
        super().showEvent(event)
        self.plan.look_if_stale()
        self._look()

    def _look(self) -> None:
        """Have it found out whether the run that is looked at is out of date."""
        if self.isVisible():
            self._session.runs.all.look()

    def _show_itself(self) -> None:
        self.wants_tab.emit("Train")

    def _show_set_up(self) -> None:
        """Lead to what a new run is made of."""
        for group in (self._set_up, self._plan):
            group.open()
        self.start.setFocus()
        QTimer.singleShot(0, lambda: self._body.ensureWidgetVisible(self.start))

    def _planned(self) -> tuple[RunChoices, str, int | None]:
        return self.set_up.choices(), self.set_up.device_kind, self.set_up.device_memory

    def _on_choice(self) -> None:
        self._show_start()
        self.plan.refresh()

    def _on_plan(self) -> None:
        if self.plan.plan is not None:
            self.set_up.set_labelled_share(self.plan.plan.labelled_share)
        self._show_start()

    def _sync(self) -> None:
        """Follow the project and the state of its run."""
        runs, project = self._session.runs, self._session.project
        self._empty.setVisible(project is None)
        self._body.setVisible(project is not None)
        for group in self._about_run:
            group.setVisible(runs.run is not None)
        if runs.active != self._was_active:
            self._was_active = runs.active
            if runs.active:  # make room for what happens now
                self._set_up.open(False)
                self._plan.open(False)
            self.plan.refresh()
        self._show_start()

    def _why_not(self) -> str:
        """Return what keeps a run from starting, empty when nothing does."""
        if self._session.runs.active:
            return "A run is going on."
        if self._session.read_only:
            return "The project is open to read only: train where it is being edited."
        if self.set_up.problems:
            return next(iter(self.set_up.problems.values()))
        return self.plan.reason

    def _show_start(self) -> None:
        reason = self._why_not()
        self.start.setEnabled(not reason)
        self.start.setVisible(not self._session.runs.active)
        arguments = " ".join(self.set_up.choices().arguments())
        self.start.setToolTip(reason or f"The same as: threestage run PROJECT {arguments}")
        self._reason.setText(reason)
        self._reason.setVisible(bool(reason) and not self._session.runs.active)

    def _start(self) -> None:
        if not self._why_not():
            self._session.runs.start(self.set_up.choices().arguments())


def _group(title: str, tooltip: str, name: str, make: Callable[[], QWidget]) -> Disclosure:
    group = Disclosure(title, tooltip, make)
    group.button.setObjectName(name)
    return group
