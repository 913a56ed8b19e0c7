"""What the next run would be made of, how long it would take, and what keeps it from starting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_threestage.check import plan_run
from napari_threestage.errors import ThreeStageError
from napari_threestage.estimate import estimate_seconds
from napari_threestage.memory_estimate import estimate_memory, free_memory
from napari_threestage.run_view import about
from napari_threestage.stages import parse_stages
from napari_threestage.widgets.class_bars import LINE, ClassBars
from napari_threestage.widgets.controls import (
    LEVEL_COLOURS,
    LEVEL_MARKS,
    button,
    column,
    note,
    row,
    scrolled,
)
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from napari_threestage.check import Plan, Problem
    from napari_threestage.estimate import Estimate
    from napari_threestage.project import Project
    from napari_threestage.settings import RunChoices
    from napari_threestage.widgets.session import Session

WAIT_MS = 400  # after the last change, before the project is looked at
MOST_LINES = 8  # of classes, before they scroll
MOST_PROBLEMS = 12
LOOKING = "Looking at the project …"


@dataclass(frozen=True)
class Forecast:
    """A plan and how long it takes."""

    plan: Plan
    estimate: Estimate


def forecast(
    project: Project,
    choices: RunChoices,
    device_kind: str,
    device_memory: int | None,
    unsaved: Mapping[str, np.ndarray],
) -> Forecast:
    """Look at the project as the run would.

    Raises
    ------
    ConfigError
        A setting does not fit.
    """
    plan = plan_run(project, choices.config(), unsaved)
    config = choices.config(plan.labelled_share)
    stages = parse_stages(choices.stages)
    if plan.ready:
        ids = plan.labelled, plan.unlabelled
        needed = estimate_memory(project, config, stages, device_kind, *ids)
        plan = plan.with_memory(needed, free_memory(device_kind, device_memory), config)
    return Forecast(plan, estimate_seconds(project, config, stages, device_kind))


class PlanView(QWidget):
    """The plan of the next run; it follows labels, classes, images and choices.

    Parameters
    ----------
    choices
        Returns what a person chose, the kind of device, and its bytes of memory if known.
    """

    wants_tab = Signal(str)
    changed = Signal()  # `reason` or `plan` is another one

    def __init__(
        self,
        session: Session,
        choices: Callable[[], tuple[RunChoices, str, int | None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._choices = session, choices
        self.plan: Plan | None = None
        self.reason = LOOKING  # why a run cannot start; empty when it can
        self._asked = 0
        self._stale = True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._look)
        self._counts, self._time = QLabel(LOOKING), note()
        self._counts.setWordWrap(True)
        self._counts.setObjectName("plan_counts")
        self._time.setObjectName("plan_time")
        self._memory = note()
        self._memory.setObjectName("plan_memory")
        self._memory.hide()
        self.bars = ClassBars()
        self._bars_area = _low(self.bars)
        self._problems = QVBoxLayout()
        self._problems.setSpacing(4)
        self.setLayout(
            column(self._counts, self._bars_area, self._time, self._memory, self._problems)
        )
        for signal in (session.images_changed, session.classes_changed, session.runs.changed):
            listen(self, (signal, self.refresh))
        listen(self, (session.counts_changed, self._on_counts))
        listen(self, (session.project_changed, self._on_project))

    def refresh(self) -> None:
        """Look at the project again, soon; at once would be on every stroke."""
        self._stale = True
        if self.isVisible():
            self._timer.start()

    def look_if_stale(self) -> None:
        """Catch up with what changed while nobody looked."""
        if self._stale:
            self._timer.start()

    def _on_counts(self, image_id: str) -> None:
        self.refresh()

    def _on_project(self) -> None:
        self.plan, self.reason = None, LOOKING
        self._clear()
        self.refresh()

    def _look(self) -> None:
        session = self._session
        project = session.project
        if project is None or session.runs.active:
            return
        self._stale = False
        self._asked += 1
        asked = self._asked
        choices, kind, memory = self._choices()
        shown = session.image_id
        unsaved = {shown: session.counts(shown)} if shown else {}

        def failed(error: Exception) -> None:
            if asked == self._asked and session.project is project:
                self._show_failure(error)

        def done(result: Forecast) -> None:
            if asked == self._asked and session.project is project:
                self._show(result)

        session.background(lambda: forecast(project, choices, kind, memory, unsaved), done, failed)

    def _clear(self) -> None:
        while (item := self._problems.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    def _show_failure(self, error: Exception) -> None:
        hint = error.hint if isinstance(error, ThreeStageError) else "Please report it."
        message = error.message if isinstance(error, ThreeStageError) else repr(error)
        self.plan, self.reason = None, message
        self._clear()
        self._problems.addWidget(_Line("error", message, hint))
        self.changed.emit()

    def _show(self, result: Forecast) -> None:
        plan, self.plan = result.plan, result.plan
        counts = (len(plan.labelled), len(plan.unlabelled), len(plan.validation))
        words = ("labelled", "unlabelled", "for validation")
        parts = [f"{count} {word}" for count, word in zip(counts, words, strict=True)]
        self._counts.setText(f"Images: {', '.join(parts if counts[2] else parts[:2])}")
        self._show_classes(plan)
        self._time.setText(_time_sentence(result.estimate))
        self._memory.setText(plan.memory_sentence)
        self._memory.setVisible(bool(plan.memory_sentence))
        self._clear()
        for problem in plan.problems[:MOST_PROBLEMS]:
            self._problems.addWidget(self._problem(problem))
        rest = len(plan.problems) - MOST_PROBLEMS
        if rest > 0:
            self._problems.addWidget(note(f"… and {rest} more: threestage check tells all."))
        errors = [problem for problem in plan.problems if problem.level == "error"]
        self.reason = errors[0].message if errors else ""
        self.changed.emit()

    def _show_classes(self, plan: Plan) -> None:
        project = self._session.project
        assert project is not None
        entries = [(one.name, one.color, plan.pixels.get(one.name, 0)) for one in project.classes]
        self.bars.show_counts(entries)
        self._bars_area.setFixedHeight(LINE * min(len(entries), MOST_LINES) + 2)

    def _problem(self, problem: Problem) -> QWidget:
        """Return a problem with the buttons that mend it, or else with how to."""
        line = _Line(problem.level, problem.message, problem.fix)
        if problem.kind == "no images":
            line.offer("Import images", "Go to Data", lambda: self.wants_tab.emit("Data"))
        elif problem.kind == "no labels":
            line.offer("Paint some", "Go to Label", lambda: self.wants_tab.emit("Label"))
            line.offer("Import masks", "Go to Data", lambda: self.wants_tab.emit("Data"))
        elif problem.kind in ("no such label", "few pixels"):
            name = problem.about
            line.offer("Label it", "Choose this class and go to Label", lambda: self._pick(name))
            if problem.kind == "no such label" and self._session.writable:
                tip = "Delete this class; a deletion can be undone in Data"
                line.offer("Delete class", tip, lambda: self._delete(name))
        elif problem.kind == "all labelled":
            line.offer("Import images", "Go to Data", lambda: self.wants_tab.emit("Data"))
        return line

    def _pick(self, name: str) -> None:
        project = self._session.project
        names = [entry.name for entry in project.classes] if project is not None else []
        if name in names:
            self._session.pick_class(names.index(name) + 1)
            self.wants_tab.emit("Label")

    def _delete(self, name: str) -> None:
        project = self._session.project
        ids = {entry.name: entry.id for entry in project.classes} if project is not None else {}
        if name in ids:
            self._session.classes.edit(lambda table: table.remove(ids[name]))


class _Line(QWidget):
    """A problem: its mark, its sentence, and what to do."""

    def __init__(self, level: str, message: str, fix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("problem")
        mark = QLabel(LEVEL_MARKS[level])
        mark.setFixedSize(16, 16)
        mark.setAlignment(Qt.AlignmentFlag.AlignCenter)
        mark.setStyleSheet(
            f"background:{LEVEL_COLOURS[level]};color:white;border-radius:8px;font-weight:bold"
        )
        text = QLabel(message)
        text.setObjectName("problem_text")
        text.setWordWrap(True)
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        head = row(mark, text, stretch=1)
        head.setAlignment(mark, Qt.AlignmentFlag.AlignTop)
        self._fix = note(fix)
        self._buttons = row(1)
        below = column(self._fix, self._buttons)
        below.setContentsMargins(22, 0, 0, 0)
        layout = column(head, below)
        layout.setSpacing(2)
        self.setLayout(layout)

    def offer(self, text: str, tooltip: str, action: Callable[[], object]) -> None:
        """Add a button in place of the sentence."""
        self._fix.hide()
        self._fix.setToolTip(self._fix.text())
        made = button(text, tooltip, action)
        made.setObjectName(text.lower().replace(" ", "_"))
        self._buttons.insertWidget(self._buttons.count() - 1, made)


def _low(widget: QWidget) -> QScrollArea:
    area = scrolled(column(widget, 1))
    area.setFixedHeight(0)
    return area


def _time_sentence(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return "How long it takes shows after the first steps."
    source = "a rough guess" if estimate.source == "a rough guess" else f"from {estimate.source}"
    return f"It will take {about(estimate.seconds)} ({source})."
