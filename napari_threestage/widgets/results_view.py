"""How good the stages of a run are, where they differ, and what they do to each image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTabBar, QVBoxLayout, QWidget

from napari_threestage import results_pages, results_texts
from napari_threestage.results_pages import JUDGED, PAGES, Choice, make_page
from napari_threestage.widgets.budget_view import BudgetView
from napari_threestage.widgets.compare_columns import Column
from napari_threestage.widgets.controls import button, column, line, note, row
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.fields import choice_box, pass_wheel_on
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.refresh_box import RefreshBox
from napari_threestage.widgets.results_page import PageView
from napari_threestage.widgets.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent
    from qtpy.QtWidgets import QComboBox

    from napari_threestage.compare.places import Place
    from napari_threestage.results_texts import Alarm
    from napari_threestage.runs import Run
    from napari_threestage.widgets.workbench import Workbench

NO_PROJECT = "Open a project in Data."
NO_RUN = "No run yet: start one in Train."
NO_STAGE = "No stage of this run is finished yet; its numbers appear with the first one."
LABELS_CHANGED = "Out of date: labels have changed since."
PROJECT_CHANGED = "Out of date: images or classes have changed since."
STAGES_CHANGED = "Out of date: another stage is finished."
MOST_ALARMS = 3  # the others are in the last one's tooltip


class ResultsView(QWidget):
    """The verdict, alarms, and pages of figures and tables of ``threestage compare``.

    It asks the command when it is first looked at, and for each other run; when labels or stages
    have changed it says so and leaves it to the person.
    """

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._session = bench, bench.session
        self._document: Any = None
        self._other: str | None = None  # a run to compare with
        self._about: tuple[Any, ...] = ()  # project, run and other run of what is shown
        self._stages: list[int] = []  # finished ones of that run
        self._strokes = 0  # when it was computed
        self._changed: set[str] = set()  # since then
        self._before: set[str] = set()  # the same, while it is computed anew
        self._failed = False
        self._empty = note()
        self._empty.setObjectName("results_empty")
        self.box = RefreshBox(self._session, "results", "The comparison", self.refresh, bench)
        self.box.finished.connect(self._show)
        self.box.ended.connect(self._on_end)
        self._verdict = Statement("results_verdict")
        self._alarms = QVBoxLayout()
        self._body = self._make_body()
        self._budget = Disclosure(
            "Labels: is more worth it?",
            "What more labels brought, run after run, and what they may still bring",
            lambda: BudgetView(bench),
        )
        self._budget.button.setObjectName("budget_group")
        parts = (self._empty, self.box, self._verdict, self._alarms, self._body)
        self.setLayout(column(*parts, line(), self._budget))
        self._listen()
        self._show_parts()

    def _make_body(self) -> QWidget:
        self.tabs = QTabBar()
        self.tabs.setObjectName("results_tabs")
        self.tabs.setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideRight)  # in a dock as narrow as it gets
        self.tabs.setStyleSheet("QTabBar::tab{padding:3px 5px}")
        for number, (title, tip) in enumerate(PAGES.values()):
            self.tabs.addTab(title)
            self.tabs.setTabToolTip(number, tip)
        pass_wheel_on(self.tabs)
        self.tabs.currentChanged.connect(self._turn)
        self._group = self._choice("results_group", "The images that judge, and how many they are")
        self._key = self._choice("results_column", "The stage that is shown")
        self._pair = self._choice("results_pair", "From which stage to which")
        self.page = PageView(self._session, "results")
        self.page.table.opened.connect(self._go)
        body = QWidget()
        choices = row(self._group, self._key, self._pair)
        body.setLayout(column(self.tabs, choices, self.page))
        return body

    def _choice(self, name: str, tip: str) -> QComboBox:
        box = choice_box(tip, name)
        box.activated.connect(self._turn)
        return box

    def _listen(self) -> None:
        session, runs = self._session, self._session.runs
        listen(
            self,
            (session.project_changed, self._on_project),
            (session.counts_changed, self._on_counts),
            (session.images_changed, self._on_content),
            (session.classes_changed, self._on_content),
            (runs.changed, self._look),
            (runs.progressed, self._on_progress),
            (session.second.changed, self._on_second),
        )

    # --- what is asked for ----------------------------------------------------------------------

    def compare_with(self, run_id: str | None) -> None:
        """Compare with another run as well, or with none."""
        if run_id != self._other:
            self._other = run_id
            self._look()

    def refresh(self) -> None:
        """Compute everything anew."""
        project, run = self._session.project, self._session.runs.run
        if project is None or run is None:
            return
        self._session.fold()
        self._failed, self._strokes = False, self._session.strokes
        self._before, self._changed = self._changed, set()
        runs = ["--run", run.id]
        if self._other is not None and self._other != run.id:
            runs = ["--runs", f"{run.id},{self._other}"]
        self.box.ask(["compare", str(project.path), *runs, "--json", "--progress"])

    def show_budget(self) -> None:
        """Open the section about what more labels bring."""
        self._budget.open()

    def end(self) -> None:
        """End what goes on: the dock is going."""
        self.box.drop()
        if isinstance(self._budget.body, BudgetView):
            self._budget.body.box.drop()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Compute what is missing when it is looked at."""
        super().showEvent(event)
        self._look()

    # --- what happens meanwhile -----------------------------------------------------------------

    def _look(self) -> None:
        """Look which run is meant and what of it is there; compute what a person waits for."""
        project, run = self._session.project, self._session.runs.run
        about = (project, None if run is None else run.id, self._other)
        if about != self._about:
            self._forget(about)
        if project is None or run is None:
            return

        def take(stages: list[int]) -> None:
            if isalive(self) and about == self._about:
                self._on_stages(run, stages)

        self._session.background(run.finished_stages, take)

    def _forget(self, about: tuple[Any, ...]) -> None:
        """Show nothing of another run."""
        self._about, self._document, self._stages, self._failed = about, None, [], False
        self._changed, self._before = set(), set()
        self.box.drop()
        self.box.rest()
        self._show_parts()

    def _on_stages(self, run: Run, stages: list[int]) -> None:
        news, self._stages = stages != self._stages, stages
        if news and self._last_stage(run) != stages[-1:]:
            self._on_change(STAGES_CHANGED)
        self._show_parts()
        waiting = self._document is None and not self.box.busy and not self._failed
        if stages and waiting and self.isVisible():
            self.refresh()

    def _last_stage(self, run: Run) -> list[int]:
        """Return the last stage of a run in what is shown; empty for none."""
        columns = self._document["columns"] if self._document is not None else []
        return [one["stage"] for one in columns if one["run"] == run.id][-1:]

    def _on_project(self) -> None:
        self._other = None
        self._look()

    def _on_second(self) -> None:
        run = self._session.second.run
        self.compare_with(None if run is None else run.id)

    def _on_progress(self) -> None:
        finished = [one.number for one in self._session.runs.view.stages if one.phase == "finished"]
        if not set(finished) <= set(self._stages):
            self._look()

    def _on_counts(self, image_id: str) -> None:
        if self._session.strokes != self._strokes:
            self._on_change(LABELS_CHANGED)

    def _on_content(self) -> None:
        self._on_change(PROJECT_CHANGED)

    def _on_change(self, what: str) -> None:
        """Keep in mind what changes, and say it as soon as something is shown and up to that."""
        if self._document is not None or self.box.busy:
            self._changed.add(what)
        if not self.box.busy:
            self._say_changes()

    def _say_changes(self) -> None:
        for what in (PROJECT_CHANGED, LABELS_CHANGED, STAGES_CHANGED):
            if what in self._changed:
                self.box.offer(what)
                return

    def _on_end(self) -> None:
        self._failed = True
        self._changed |= self._before
        self.box.offer()
        if self._document is not None:
            self._say_changes()
        self._show_parts()

    # --- what is shown --------------------------------------------------------------------------

    def _show(self, document: Any) -> None:
        self._document = document
        said = results_texts.verdict(document)
        self._verdict.say(said.helped, said.sentence, said.advice, said.hint)
        self._show_alarms(results_texts.alarms(document))
        for box, offered in (
            (self._group, results_pages.groups(document)),
            (self._key, results_pages.columns(document)),
            (self._pair, results_pages.pairs(document)),
        ):
            _offer(box, offered)
        self._show_parts()
        self._turn()
        run = self._session.runs.run
        if run is not None and self._last_stage(run) == self._stages[-1:]:
            self._changed.discard(STAGES_CHANGED)
        self._say_changes()

    def _show_parts(self) -> None:
        project, run = self._session.project, self._session.runs.run
        shown = self._document is not None
        why = NO_PROJECT if project is None else NO_RUN if run is None else NO_STAGE
        self._empty.setText(why)
        self._empty.setVisible(not shown and not self._stages)
        for widget in (self._verdict, self._body):
            widget.setVisible(shown)
        self._budget.setVisible(project is not None and run is not None)
        if not shown:
            self._show_alarms([])

    def _show_alarms(self, alarms: Sequence[Alarm]) -> None:
        while self._alarms.count():
            self._alarms.takeAt(0).widget().deleteLater()
        for place, alarm in enumerate(alarms[:MOST_ALARMS]):
            more = alarms[MOST_ALARMS:] if place == MOST_ALARMS - 1 else []
            self._alarms.addWidget(self._make_alarm(alarm, more))

    def _make_alarm(self, alarm: Alarm, more: Sequence[Alarm]) -> Statement:
        made = Statement("results_alarm")
        rest = f" … and {len(more)} more warning{'' if len(more) == 1 else 's'}." if more else ""
        hint = "\n".join([alarm.hint, *(one.sentence for one in more)])
        made.say("warning", alarm.sentence, alarm.advice + rest, hint)
        run = self._session.runs.run
        if alarm.stage and run is not None and alarm.run == run.id:
            tip = "Show its mask in place of the later one"
            use = button(f"Use stage {alarm.stage}", tip, partial(self._use, alarm.stage))
            use.setObjectName(f"use_stage_{alarm.stage}")
            made.offer(use)
        return made

    def _use(self, stage: int) -> None:
        """Show the mask of a stage alone, and say where it can be used."""
        self._bench.layers.show_alone(Column("stage", stage))
        self._session.say(*results_texts.said_instead(stage))

    def _turn(self) -> None:
        """Show the page that is chosen."""
        if self._document is None:
            return
        name = list(PAGES)[self.tabs.currentIndex()]
        groups = name in JUDGED and bool(self._document["groups"])
        self._group.setVisible(groups)
        self._key.setVisible(groups and name == "confusion")
        self._pair.setVisible(name == "changes")
        boxes = (self._group, self._key, self._pair)
        choice = Choice(*(str(box.currentData() or "") for box in boxes))
        self.page.show_page(make_page(self._document, name, choice))

    def _go(self, image_id: str, place: Place | None) -> None:
        project = self._session.project
        if project is not None and image_id in project.images:
            self._bench.jump.to(image_id, place)


def _offer(box: QComboBox, offered: Sequence[tuple[str, str]]) -> None:
    """Fill a choice, and keep what was chosen where that is still there."""
    chosen = box.currentData()
    box.clear()
    for key, text in offered:
        box.addItem(text, key)
    box.setCurrentIndex(max(0, box.findData(chosen)))
