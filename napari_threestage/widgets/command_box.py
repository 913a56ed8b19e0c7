"""Starts a command in its place: button, progress, Cancel, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, QTimer, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QProgressBar, QScrollArea, QWidget

from napari_threestage.widgets.controls import Banner, button, column, note, row
from napari_threestage.widgets.process import CommandProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_threestage.widgets.session import Session


class Turns(QObject):
    """Lets one of several boxes work at a time: each takes the whole machine."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.holder: CommandBox | None = None

    def take(self, box: CommandBox | None) -> None:
        """Let a box work, or none."""
        self.holder = box
        self.changed.emit()


class CommandBox(QWidget):
    """One command of a part.

    Parameters
    ----------
    text, tooltip
        Of the button that starts it.
    name
        Begins the names of the controls.
    doing
        What goes on, as others say it while they wait: "The export".
    start
        Called when the button is pressed; it calls `run`, or `prepare` and later `run`.
    turns
        Shared with the boxes that must not work at the same time.
    keeper
        Outlives this widget and owns the child.
    """

    finished = Signal(object)  # the JSON document of the command
    ended = Signal()  # of itself, by a failure or because it was cancelled

    def __init__(
        self,
        text: str,
        tooltip: str,
        name: str,
        doing: str,
        start: Callable[[], None],
        turns: Turns,
        keeper: QObject,
    ) -> None:
        super().__init__()
        self.doing, self._tooltip, self._turns, self._keeper = doing, tooltip, turns, keeper
        self._process: CommandProcess | None = None
        self._saves = 0
        self._cancel_preparing: Callable[[], None] | None = None
        self._folder: Path | None = None
        self._why = ""
        self._start = button(text, tooltip, start, main=True)
        self._start.setObjectName(f"{name}_start")
        self._reason = note()
        self._reason.setObjectName(f"{name}_why_not")
        self._bar = QProgressBar()
        self._bar.setObjectName(f"{name}_progress")
        self._cancel = button("Cancel", "Stop", self.cancel)
        self._cancel.setObjectName(f"{name}_cancel")
        self._doing_now = note()
        self._doing_now.setObjectName(f"{name}_doing")
        self._working = QWidget()
        self._working.setLayout(column(row(self._bar, self._cancel, stretch=0), self._doing_now))
        self._working.hide()
        self.banner = Banner()
        self.banner.setObjectName(f"{name}_result")
        self._show_folder = button("Show folder", "Open it in the file manager", self._open_folder)
        self._show_folder.setObjectName(f"{name}_show_folder")
        self._show_folder.hide()
        self.setLayout(
            column(self._start, self._reason, self._working, self.banner, row(self._show_folder, 1))
        )
        turns.changed.connect(self._update)
        self._update()

    @property
    def busy(self) -> bool:
        """Whether it is at work."""
        return self._turns.holder is self

    def set_reason(self, why: str) -> None:
        """Say what keeps it from being started; empty when nothing does."""
        self._why = why
        self._update()

    def _update(self) -> None:
        holder = self._turns.holder
        other = holder is not None and holder is not self
        why = f"{holder.doing} is going on; one at a time." if other and holder else self._why
        self._start.setEnabled(not why)
        self._start.setToolTip(why or self._tooltip)
        self._start.setVisible(not self.busy)
        self._reason.setText(why)
        self._reason.setVisible(bool(why) and not self.busy)

    # --- at work --------------------------------------------------------------------------------

    def prepare(self, text: str, cancel: Callable[[], None]) -> None:
        """Show what goes on before or after the command; `cancel` is to end that."""
        self._cancel_preparing = cancel
        self._begin(text)

    def run_saved(
        self,
        session: Session,
        arguments: Sequence[str],
        consequence: str,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the command once what was painted is saved, which it may be about.

        Parameters
        ----------
        consequence
            See `Session.saving`.
        begun
            Called just before the command is started.
        """
        self._saves += 1
        number = self._saves

        def saved(result: object) -> None:
            if isalive(self) and number == self._saves and self.busy:
                begun()
                self.run(arguments)

        def failed(error: Exception) -> None:
            if isalive(self) and number == self._saves:
                self.fail(str(error))

        work = session.saving(consequence)
        self.prepare("Saving labels …", self._forget_saving)
        session.background(work, saved, failed)

    def _forget_saving(self) -> None:
        self._saves += 1

    def run(self, arguments: Sequence[str]) -> CommandProcess:
        """Start the command and return it."""
        self._cancel_preparing = None
        self._begin("Starting …")
        process = self._process = CommandProcess(arguments, self._keeper)
        for signal, method in self._links(process):
            signal.connect(method)
        QCoreApplication.instance().aboutToQuit.connect(process.close)
        process.start()
        return process

    def _links(self, process: CommandProcess) -> list[tuple[Any, Callable[..., None]]]:
        return [
            (process.progressed, self._show_progress),
            (process.finished, self._finish),
            (process.failed, self.fail),
            (process.cancelled, self._stopped),
        ]

    def cancel(self) -> None:
        """Ask what goes on to end."""
        if self._cancel_preparing is not None:
            self._cancel_preparing()
            self._stopped()
        elif self._process is not None:
            self._show_doing("Stopping …")
            self._cancel.setEnabled(False)
            self._process.cancel()

    def drop(self) -> None:
        """Have what goes on end, and hear no more of it: what it is about is gone."""
        process = self._process
        if process is not None:
            for signal, method in self._links(process):
                signal.disconnect(method)
            for signal in (process.finished, process.failed, process.cancelled):
                signal.connect(process.deleteLater)
            process.cancel()
        elif self._cancel_preparing is not None:
            self._cancel_preparing()
        self._end()
        self.clear()

    def clear(self) -> None:
        """Show no result."""
        self.banner.hide()
        self._show_folder.hide()

    def _begin(self, text: str) -> None:
        self.clear()
        self._show_doing(text)
        self._cancel.setEnabled(True)
        self._working.show()
        if not self.busy:
            self._turns.take(self)

    def _show_doing(self, text: str) -> None:
        """Say what goes on while nobody knows how long; a bar has no text then."""
        self._bar.setRange(0, 0)
        self._doing_now.setText(text)
        self._doing_now.show()

    def _show_progress(self, done: int, total: int) -> None:
        step = self._process.step.capitalize() if self._process is not None else ""
        if not self._cancel.isEnabled():
            return  # it is stopping
        if not total:
            self._show_doing(f"{step} …")
            return
        self._doing_now.hide()
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._bar.setFormat(f"{step} %p %".lstrip())

    # --- the end --------------------------------------------------------------------------------

    def say(self, level: str, text: str, hint: str = "", folder: Path | None = None) -> None:
        """Show what came of it, and where it lies."""
        self.banner.say(level, text, hint)
        self._folder = folder
        self._show_folder.setVisible(folder is not None)
        QTimer.singleShot(0, self._bring_into_view)

    def _bring_into_view(self) -> None:
        """Scroll to what was just said, where the window is low."""
        widget = self.parentWidget()
        while widget is not None and not isinstance(widget, QScrollArea):
            widget = widget.parentWidget()
        if widget is not None and self.isVisible():
            end = self._show_folder if self._folder is not None else self.banner
            widget.ensureWidgetVisible(end, 0, 12)

    def done(self, level: str, text: str, hint: str = "", folder: Path | None = None) -> None:
        """End what was shown by `prepare`, and show what came of it."""
        if self._end():
            self.say(level, text, hint, folder)

    def fail(self, message: str, hint: str = "") -> None:
        """Show what went wrong, and end."""
        if self._end():
            self.say("error", message, hint)
            self.ended.emit()

    def _finish(self, document: Any) -> None:
        if self._end():
            self.finished.emit(document)

    def _stopped(self) -> None:
        if self._end():
            self.say("info", f"{self.doing} was stopped.")
            self.ended.emit()

    def _end(self) -> bool:
        """Show that nothing goes on; false when nothing did."""
        was_busy, process = self.busy, self._process
        self._process = self._cancel_preparing = None
        if process is not None and not process.running:
            process.deleteLater()
        self._working.hide()
        if was_busy:
            self._turns.take(None)
        return was_busy

    def _open_folder(self) -> None:
        if self._folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))
