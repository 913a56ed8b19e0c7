"""The window of all runs: named, pinned, shown, refreshed, compared with labels only, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, Qt
from qtpy.QtWidgets import QDialog, QPushButton, QWidget

from napari_threestage.widgets.controls import (
    Banner,
    button,
    caption,
    column,
    confirm,
    line,
    note,
    row,
)
from napari_threestage.widgets.delete_key import DeleteKey
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.process import CommandProcess
from napari_threestage.widgets.runs_model import NAME, RunsModel, runs_table
from napari_threestage.widgets.runs_text import (
    about_html,
    question,
    said_deleted,
    total_text,
    why_kept,
    why_no_baseline,
    why_no_refresh,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from qtpy.QtGui import QShowEvent

    from napari_threestage.run_upkeep import RunRow
    from napari_threestage.widgets.session import Session

WIDTH, HEIGHT, MARGIN = 880, 480, 12
SHOW_TIP = "Look at this run: its masks, curves and log"
PIN_TIP = "A pinned run cannot be deleted"
REFRESH_TIP = (
    "Train anew with the labels and classes as they are now: half the steps, each stage from the "
    "weights it has. A new run is made, this one stays."
)
DELETE_TIP = "Delete the chosen runs and free their space; asks first (Delete)"
BASELINE_TIP = "Starts a run that learns from the labels of the chosen run alone"
BASELINE_NOTE = (
    "Shows whether the stages help more than longer training on your labels would: as many steps "
    "as all stages of the chosen run together, without pseudo-labels."
)
READ_ONLY = "The project is open to read only: runs can be looked at, not changed."
ACTIVE_RUN = "While a run is going on, none can be started or deleted."


class RunsDialog(QDialog):
    """The runs of the session's project; it stays open beside the window."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._deleting: CommandProcess | None = None
        self._model = RunsModel(session, self)
        self._table = runs_table(self._model)
        DeleteKey(self._table, self._ask_to_delete)
        self._total, self._about, self._why = caption(""), note(), note()
        self._total.setObjectName("runs_total")
        self._about.setObjectName("runs_about")
        self._about.setTextFormat(Qt.TextFormat.RichText)
        self._why.setObjectName("runs_why_not")
        self.banner = Banner()
        self.banner.setObjectName("runs_result")
        self._make_buttons()
        self._arrange()
        self.resize(WIDTH, HEIGHT)
        model = self._model
        for changed in (model.rowsInserted, model.rowsRemoved, model.dataChanged):
            changed.connect(self._update)
        for changed in (model.rowsInserted, model.rowsRemoved):
            changed.connect(self._choose_shown)
        self._table.selectionModel().selectionChanged.connect(self._update)
        runs = session.runs
        listen(self, (runs.all.outdated, self._look), (runs.changed, self._update))
        listen(self, (session.project_changed, self._on_project), (session.said, self._on_said))
        self._on_project()

    def _make_buttons(self) -> None:
        self._show = _button("Show", SHOW_TIP, self._show_run, "runs_show")
        self._pin = _button("Pin", PIN_TIP, self._toggle_pin, "runs_pin")
        self._refresh = _button("Refresh", "", lambda: self._train("--refresh"), "runs_refresh")
        self._delete = _button("Delete …", DELETE_TIP, self._ask_to_delete, "runs_delete")
        self._baseline = _button(
            "Train labels only, to compare", "", lambda: self._train("--baseline"), "runs_baseline"
        )
        self._end = _button("Close", "Close this window (Esc)", self.close, "runs_close")

    def _arrange(self) -> None:
        buttons = (self._show, self._pin, self._refresh, self._delete)
        end = row(self.banner, self._end, stretch=0)
        end.setAlignment(self._end, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
        layout = column(
            self._table,
            row(self._about, self._total, stretch=0),
            row(*buttons, self._why, stretch=len(buttons)),
            line(),
            row(self._baseline, note(BASELINE_NOTE), stretch=1),
            line(),
            end,
            margins=MARGIN,
        )
        layout.setStretchFactor(self._table, 1)
        self.setLayout(layout)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the runs as they are now, and choose the one that is shown."""
        super().showEvent(event)
        self._look()
        self._choose_shown()
        self._table.setFocus()

    def _look(self) -> None:
        if self.isVisible():
            self.session.runs.all.look()

    def _on_project(self) -> None:
        project = self.session.project
        self.banner.hide()
        if project is None:
            self.close()
        else:
            self.setWindowTitle(f"Runs of {project.path.name}")
        self._update()

    def _on_said(self, level: str, text: str, hint: str) -> None:
        """Tell problems here too: this window may lie over the place where they are told."""
        if level != "info" and self.isVisible():
            self.banner.say(level, text, hint)

    # --- the chosen runs ------------------------------------------------------------------------

    @property
    def _chosen(self) -> list[RunRow]:
        places = sorted(index.row() for index in self._table.selectionModel().selectedRows())
        return [self._model.rows[place] for place in places]

    @property
    def _one(self) -> RunRow | None:
        """The run that is chosen, unless there are several."""
        chosen = self._chosen
        return chosen[0] if len(chosen) == 1 else None

    def _choose_shown(self) -> None:
        """Choose the run that is shown, unless a person has chosen others."""
        run = self.session.runs.run
        for place, one in enumerate(self._model.rows):
            if run is not None and one.run == run.id and not self._chosen:
                self._table.setCurrentIndex(self._model.index(place, NAME))

    def _update(self) -> None:
        """Offer what can be done with the chosen runs, and say why the rest cannot."""
        chosen, one, runs = self._chosen, self._one, self.session.runs
        self._total.setText(total_text(self._model.rows))
        self._about.setText(about_html(chosen))
        waiting = self._why_no_change or (ACTIVE_RUN if runs.active else "")
        self._why.setText(waiting or why_kept(chosen))
        self._show.setEnabled(one is not None and (runs.run is None or runs.run.id != one.run))
        self._pin.setText("Unpin" if chosen and all(row.pinned for row in chosen) else "Pin")
        self._pin.setEnabled(bool(chosen) and not self._why_no_change)
        _offer(self._delete, bool(chosen), waiting or why_kept(chosen), DELETE_TIP)
        _offer(self._refresh, one is not None, waiting or why_no_refresh(one), REFRESH_TIP)
        _offer(self._baseline, one is not None, waiting or why_no_baseline(one), BASELINE_TIP)

    @property
    def _why_no_change(self) -> str:
        if not self.session.writable:
            return READ_ONLY
        return "Deleting …" if self._deleting is not None else ""

    def _show_run(self) -> None:
        if self._one is not None:
            self.session.runs.all.show(self._one.run)

    def _toggle_pin(self) -> None:
        chosen = self._chosen
        pinned = not all(one.pinned for one in chosen)
        for one in chosen:
            self.session.runs.all.note(one.run, pinned=pinned)

    def _train(self, how: str) -> None:
        """Start a run that is made of the chosen one, and have it shown in Train."""
        self.banner.hide()
        if self._one is not None:
            self.session.runs.all.train(how, self._one.run)

    # --- deleting -------------------------------------------------------------------------------

    def _ask_to_delete(self) -> None:
        chosen, project = self._chosen, self.session.project
        if project is None or not self._delete.isEnabled():
            return
        if confirm(self, *question(chosen)) and self._deleting is None:
            names = [one.run for one in chosen]
            self._run(["runs", str(project.path), "--delete", *names, "--yes", "--json"])

    def _run(self, arguments: list[str]) -> None:
        process = self._deleting = CommandProcess(arguments, self)
        process.progressed.connect(self._show_progress)
        process.finished.connect(self._deleted)
        process.failed.connect(self._not_deleted)
        QCoreApplication.instance().aboutToQuit.connect(process.close)
        self.banner.hide()
        self._update()
        process.start()

    def _show_progress(self, done: int, total: int) -> None:
        self._why.setText(f"Deleting … {done:,} of {total:,} images looked through")

    def _deleted(self, document: Mapping[str, Any]) -> None:
        self._end_deleting()
        self.banner.say("info", said_deleted(document["deleted"]))

    def _not_deleted(self, message: str, hint: str) -> None:
        self._end_deleting()
        self.banner.say("error", message, hint)

    def _end_deleting(self) -> None:
        if self._deleting is not None:
            self._deleting.deleteLater()
        self._deleting = None
        self.session.runs.all.refresh()
        self._update()


def _button(text: str, tooltip: str, action: Callable[[], object], name: str) -> QPushButton:
    made = button(text, tooltip, action)
    made.setObjectName(name)
    made.setAutoDefault(False)  # Enter belongs to the name that is being typed
    return made


def _offer(made: QPushButton, fits: bool, why_not: str, tooltip: str) -> None:
    """Enable a button, or have its tooltip say why not."""
    made.setEnabled(fits and not why_not)
    made.setToolTip(f"{tooltip}\n{why_not}" if why_not else tooltip)
