"""How the run is: its progress, its speed, what steers it, and what went wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_threestage.curve_data import CONFIDENT
from napari_threestage.widgets.controls import SPACE, Banner, button, column, note, row
from napari_threestage.widgets.following import ACTIVE
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.stage_bar import HIGH, Bar, StageBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.run_view import RunView
    from napari_threestage.widgets.session import Session

PATIENCE_SECONDS = 30.0  # after which a trainer that does not stop may be ended
LOG_LINES = 8
RESUMABLE = ("stopped", "interrupted", "failed")


class LiveView(QWidget):
    """The run that the session follows."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked = ""  # what the trainer was asked to do and has not done yet
        self._asked_at = 0.0
        self._known = ("", "")  # run and state of the last look
        self._log = ""
        self.sentence = QLabel()
        self.sentence.setObjectName("run_sentence")
        self.sentence.setWordWrap(True)
        self.sentence.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.bar = Bar(HIGH)
        self.bar.setObjectName("run_bar")
        self.bar.setToolTip("How much of the run is done")
        self._stages: dict[int, StageBar] = {}
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(SPACE)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self._numbers, self._warnings = note(), note()
        self._numbers.setObjectName("run_numbers")
        self._numbers.setToolTip(
            "Confident: share of the pixels of which the teacher is sure enough to teach them"
        )
        self._warnings.setObjectName("run_warnings")
        self.trouble = Banner()
        self.trouble.setObjectName("run_trouble")
        self._patience = QTimer(self)
        self._patience.setInterval(1000)
        self._patience.timeout.connect(self._show_buttons)
        self._make_buttons()
        self.setLayout(
            column(
                self.sentence,
                self.bar,
                self._grid,
                self._numbers,
                row(*self._buttons, 1),
                self.trouble,
                self._warnings,
            )
        )
        runs = session.runs
        listen(self, (runs.changed, self._on_run), (runs.progressed, self.refresh))
        self._on_run()

    def _make_buttons(self) -> None:
        runs = self._session.runs
        self.pause = button(
            "Pause", "Hold the training in place", lambda: self._ask("pause", runs.pause)
        )
        self.go_on = button(
            "Continue", "Let the training go on", lambda: self._ask("continue", runs.go_on)
        )
        self.stop = button(
            "Stop",
            "Save and end after the present step; Resume goes on from there",
            lambda: self._ask("stop", runs.stop),
        )
        self.resume = button("Resume", "Go on where the last checkpoint is", runs.resume, main=True)
        self.end_now = button(
            "End now",
            "The trainer has not answered: end it; what its last checkpoint has stays",
            runs.kill,
        )
        self._buttons = [self.pause, self.go_on, self.resume, self.stop, self.end_now]
        for made in self._buttons:
            made.setObjectName(made.text().lower().replace(" ", "_"))

    def refresh(self) -> None:
        """Show what the events tell."""
        runs = self._session.runs
        view = runs.view
        self.sentence.setText(_sentence(runs.state, view))
        starting = runs.state == "starting"
        share = 0.0 if starting else view.fraction
        self.bar.show_fraction(share, "starting …" if starting else f"{100 * share:.0f} %")
        self._show_stages(view)
        self._numbers.setText(_numbers(view) if runs.state in ACTIVE else "")
        self._numbers.setVisible(bool(self._numbers.text()))
        self._warnings.setText("\n".join(f"! {text}" for text in view.warnings))
        self._warnings.setVisible(bool(view.warnings))
        self._show_trouble()

    def _on_run(self) -> None:
        runs = self._session.runs
        known = (runs.run.id if runs.run is not None else "", runs.state)
        if known[0] != self._known[0]:
            self._log = ""
        if not runs.active or (known != self._known and self._asked != "stop"):
            self._asked = ""
        self._known = known
        if runs.state == "interrupted":
            self._read_log()
        self.setVisible(runs.state != "")
        self.refresh()
        self._show_buttons()

    def _ask(self, what: str, how: Callable[[], object]) -> None:
        self._asked, self._asked_at = what, time.monotonic()
        how()
        self._show_buttons()

    def _show_buttons(self) -> None:
        session, asked = self._session, self._asked
        state = session.runs.state
        may_resume = session.writable and not session.runs.active
        self.pause.setVisible(state == "running")
        self.go_on.setVisible(state == "paused")
        self.stop.setVisible(state in ACTIVE)
        self.resume.setVisible(state in RESUMABLE and may_resume)
        for made, what, doing in (
            (self.pause, "pause", "Pausing …"),
            (self.go_on, "continue", "Going on …"),
            (self.stop, "stop", "Stopping …"),
        ):
            made.setEnabled(asked not in (what, "stop"))
            made.setText(doing if asked == what else made.objectName().capitalize())
        waiting = asked == "stop" and state in ("running", "paused")
        impatient = waiting and time.monotonic() - self._asked_at >= PATIENCE_SECONDS
        self.end_now.setVisible(impatient)
        if waiting and not impatient:
            self._patience.start()
        else:
            self._patience.stop()

    def _show_stages(self, view: RunView) -> None:
        numbers = [stage.number for stage in view.stages]
        if numbers != list(self._stages):
            self._make_stages(numbers)
        for stage in view.stages:
            self._stages[stage.number].show_stage(stage)

    def _make_stages(self, numbers: list[int]) -> None:
        for old in self._stages.values():
            old.remove(self._grid)
        self._stages = {number: StageBar(number) for number in numbers}
        for line, made in enumerate(self._stages.values()):
            made.place(self._grid, line)

    def _show_trouble(self) -> None:
        runs = self._session.runs
        failure = runs.view.failure
        if runs.state == "failed" and failure is not None:
            self._say("error", failure.message, failure.hint or "Resume tries again from there.")
        elif runs.state == "failed":
            self._say("error", "The run ended with an error.", "The log says more.")
        elif runs.state == "interrupted":
            message = "The trainer ended without a word: it was killed or ran out of memory."
            hint = "Resume goes on from its last checkpoint."
            log = f"\n\nThe end of its log:\n{self._log}" if self._log else ""
            self._say("error", message, hint + log)
        else:
            self.trouble.hide()

    def _say(self, level: str, message: str, hint: str) -> None:
        if self.trouble.isHidden() or self.trouble.text != f"{message}\n{hint}":
            self.trouble.say(level, message, hint)

    def _read_log(self) -> None:
        run = self._session.runs.run
        if run is None:
            return

        def show(text: str) -> None:
            lines = [line for line in text.splitlines() if line.strip()]
            shown = self._session.runs.run
            if shown is not None and shown.id == run.id:
                self._log = "\n".join(lines[-LOG_LINES:])
                self._show_trouble()

        self._session.background(lambda: run.log_text(8000), show, lambda error: None)


def _sentence(state: str, view: RunView) -> str:
    if state == "starting":
        return "Starting: the trainer loads its libraries and looks at the images …"
    if state == "interrupted":
        return f"Interrupted in {_lower(view.place)}" if view.place else "Interrupted"
    if state == "failed":
        return f"Failed in {_lower(view.place)}" if view.place else "Failed before the first stage"
    return view.sentence


def _numbers(view: RunView) -> str:
    stage = view.current
    parts = [view.device] if view.device else []
    if stage is not None and stage.speed[1]:
        parts.append(f"{stage.speed[1][-1]:.1f} images/s")
    _, confident = stage.losses.get(CONFIDENT, ([], [])) if stage is not None else ([], [])
    if confident:
        parts.append(f"{100 * confident[-1]:.0f} % confident")
    if stage is not None and stage.memory:
        parts.append(f"{stage.memory / 2**30:.1f} GB memory")
    return " · ".join(parts)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
