"""Earlier runs, and what the trainer wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QFontDatabase
from qtpy.QtWidgets import QApplication, QPlainTextEdit, QWidget

from napari_threestage.widgets.controls import button, column, row
from napari_threestage.widgets.following import ACTIVE
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.run_choice import RunChoice

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.runs import Run
    from napari_threestage.widgets.session import Session

REREAD_MS = 2000
MOST_CHARACTERS = 20_000
HEIGHT = 170


class RunLog(QWidget):
    """A choice among the runs of the project, and the log of the chosen one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._reading = False
        self.runs = RunChoice(session, "earlier_runs")
        self.text = QPlainTextEdit()
        self.text.setObjectName("log")
        self.text.setReadOnly(True)
        self.text.setFixedHeight(HEIGHT)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setToolTip("What the trainer wrote, the latest last")
        self.text.setPlaceholderText("Nothing written yet.")
        self._copy = button("Copy", "Copy the log", self._copy_text)
        self._copy.setObjectName("copy_log")
        self._open = button("Open folder", "Show the run's files", self._open_folder)
        self._open.setObjectName("open_run_folder")
        self.setLayout(column(self.runs, self.text, row(self._copy, self._open, 1)))
        self._timer = QTimer(self)
        self._timer.setInterval(REREAD_MS)
        self._timer.timeout.connect(self._read)
        listen(self, (session.runs.changed, self.refresh))

    def refresh(self) -> None:
        """Read the log anew, if anybody looks."""
        if not self.isVisible():
            return
        runs = self._session.runs
        if runs.state in ACTIVE:
            self._timer.start()
        else:
            self._timer.stop()
        for widget in (self.text, self._copy, self._open):
            widget.setVisible(runs.run is not None)
        self._read()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.refresh()

    def _read(self) -> None:
        run = self._session.runs.run
        if run is None or self._reading or not self.isVisible():
            return
        self._reading = True
        chosen: Run = run

        def show(text: str) -> None:
            self._reading = False
            if self._session.runs.run is chosen:
                self._show(text)
            else:
                self._read()

        def failed(error: Exception) -> None:
            self._reading = False
            self._show(f"The log cannot be read: {error}")

        self._session.background(lambda: chosen.log_text(MOST_CHARACTERS), show, failed)

    def _show(self, text: str) -> None:
        if text == self.text.toPlainText():
            return
        bar = self.text.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 2
        place = bar.value()
        self.text.setPlainText(text)
        bar.setValue(bar.maximum() if at_end else place)

    def _copy_text(self) -> None:
        QApplication.clipboard().setText(self.text.toPlainText())
        self._session.say("The log is on the clipboard.")

    def _open_folder(self) -> None:
        run = self._session.runs.run
        if run is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.path)))
