"""The run that is looked at as a report: which file, and the way to the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_threestage.widgets.command_box import CommandBox, Turns
from napari_threestage.widgets.controls import button, column, row
from napari_threestage.widgets.form_rows import PathField, form
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtCore import QObject

    from napari_threestage.widgets.session import Session

KINDS = "HTML page (*.html)"


class ReportBox(QWidget):
    """Where the report goes, its making, and a button that opens it.

    Parameters
    ----------
    turns
        Shared with the boxes that must not work at the same time.
    keeper
        Outlives this widget and owns the child.
    """

    def __init__(self, session: Session, turns: Turns, keeper: QObject) -> None:
        super().__init__()
        self._session = session
        self._by_hand = False  # a person named the file
        self._written: Path | None = None
        self._file = PathField("report_file", "The file to write", ask_file)
        self.box = CommandBox(
            "Write report",
            "Verdict, scores, examples, methods and hashes in one HTML file",
            "report",
            "The report",
            self.start,
            turns,
            keeper,
        )
        self._open = button("Open", "Show the report in the browser", self._show)
        self._open.setObjectName("report_open")
        self._open.hide()
        self.setLayout(column(form(("File", self._file)), self.box, row(self._open, 1)))
        self._file.line.textEdited.connect(self._on_edit)
        self._file.line.textChanged.connect(self._update)
        self.box.finished.connect(self._finished)
        listen(self, (session.project_changed, self._on_project))
        listen(self, (session.runs.changed, self._on_run))
        self._on_project()

    def start(self) -> None:
        """Write the report; what was painted is saved first, for it judges."""
        session, run, path = self._session, self._session.runs.run, self._target
        if session.project is None or run is None or path is None:
            return
        arguments = ["report", str(session.project.path), "--run", run.id]
        arguments += ["--output", str(path), "--json", "--progress"]
        self._open.hide()
        self.box.run_saved(session, arguments, "no report was written")

    @property
    def _target(self) -> Path | None:
        """The file, which has the suffix that browsers know."""
        path = self._file.path
        return path if path is None or path.suffix else path.with_suffix(".html")

    # --- what is shown --------------------------------------------------------------------------

    def _on_project(self) -> None:
        self.box.drop()
        self._open.hide()
        self._by_hand = False
        self._on_run()

    def _on_run(self) -> None:
        project, run = self._session.project, self._session.runs.run
        if not self._by_hand:
            if project is None or run is None:
                self._file.set_path(None)
            else:
                self._file.set_path(project.path / "exports" / f"report-{run.id}.html")
        self._update()

    def _on_edit(self) -> None:
        self._by_hand = bool(self._file.line.text().strip())

    def _why_not(self) -> str:
        if self._session.project is None:
            return "Open a project first."
        if self._session.runs.run is None:
            return "There is no run yet."
        return "" if self._file.path is not None else "Name a file."

    def _update(self) -> None:
        self.box.set_reason(self._why_not())

    def _finished(self, report: Mapping[str, Any]) -> None:
        self._written = Path(str(report["file"]))
        missing = [f"Left out: {one['part']}. {one['reason']}" for one in report["left_out"]]
        text = f"Wrote {self._written.name} ({report['bytes'] / 2**20:.1f} MB)."
        self.box.say("info", text, "\n".join(missing), self._written.parent)
        self._open.show()

    def _show(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written)))


def ask_file(start: str) -> str:
    """Ask a person for a file."""
    return str(QFileDialog.getSaveFileName(None, "Report", start, KINDS)[0])
