"""Brings images and masks into the open project, after showing what would happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDialog, QFrame, QLabel, QProgressBar, QWidget

from napari_threestage.widgets.controls import (
    Banner,
    button,
    column,
    confirm,
    note,
    row,
)
from napari_threestage.widgets.drops import dropped_paths
from napari_threestage.widgets.import_choice import (
    for_window,
    guess_sources,
    say_counts,
    say_report,
    say_suggestion,
)
from napari_threestage.widgets.import_form import ImportForm
from napari_threestage.widgets.import_preview import Legend, PreviewModel, preview_table
from napari_threestage.widgets.import_reasons import ImportReasons
from napari_threestage.widgets.process import CommandProcess
from napari_threestage.widgets.session import SAVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qtpy.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent

    from napari_threestage.widgets.session import Session

LOOK_MS = 400  # after the last change


class ImportDialog(QDialog):
    """Asks for images and masks, shows what they are, imports them.

    Parameters
    ----------
    session
        Its project gets the images; it has to be writable.
    paths
        Files and folders to begin with.
    """

    def __init__(
        self, session: Session, paths: Sequence[Path] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        assert session.project is not None
        self._session, self._project = session, session.project
        self._looking: CommandProcess | None = None
        self._importing: CommandProcess | None = None
        self._saving = False  # before the import, for it may replace labels
        self._suggestion: Mapping[str, Any] = {}
        self.setWindowTitle(f"Import images into {self._project.path.name}")
        # Meanwhile nothing else may change the project: the command writes it.
        self.setWindowModality(Qt.WindowModality.ApplicationModal)
        self.setAcceptDrops(True)
        self.form = ImportForm()
        self._make_findings()
        self._make_end()
        self.setLayout(
            column(
                self.form,
                self._banner,
                self._suggested,
                self._counts,
                self._legend,
                self._table,
                self._reasons,
                self._bottom,
                margins=12,
            )
        )
        self.resize(760, 620)
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.setInterval(LOOK_MS)
        self._clock.timeout.connect(self._look)
        self.form.changed.connect(self._changed)
        self._changed()
        if paths:
            self.form.add(*guess_sources(paths))

    def _make_findings(self) -> None:
        self._banner = Banner()
        self._counts = note("Add a folder or files to see what would be imported.")
        self._counts.setObjectName("import_counts")
        self._legend = Legend()
        self._model = PreviewModel(self)
        self._table = preview_table(self._model)
        self._suggested = QFrame()
        self._suggested.setObjectName("import_suggestion")
        self._suggested.setStyleSheet(
            "#import_suggestion{background:rgba(63,143,210,45);border-left:3px solid #3f8fd2}"
        )
        self._suggested_text = QLabel()
        self._suggested_text.setWordWrap(True)
        use = button("Use this", "Read the masks like that", self._use_suggestion)
        use.setObjectName("import_use")
        layout = row(self._suggested_text, use, stretch=0)
        layout.setContentsMargins(8, 4, 8, 4)
        self._suggested.setLayout(layout)
        self._suggested.hide()
        self._reasons = ImportReasons()

    def _make_end(self) -> None:
        self._progress = QProgressBar()
        self._progress.setObjectName("import_progress")
        self._progress.hide()
        self._doing = note()
        self._import = button("Import", "Bring the images in", self.start, main=True)
        self._import.setObjectName("import_start")
        self._cancel = button("Cancel", "Close, or stop the import", self._cancel_or_close)
        self._cancel.setObjectName("import_cancel")
        for one in (self._import, self._cancel):
            one.setAutoDefault(False)
        self._bottom = QWidget()
        layout = row(self._doing, self._progress, self._import, self._cancel, stretch=0)
        layout.setStretch(1, 1)
        self._bottom.setLayout(layout)

    # --- preview --------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._looking is not None:
            self._looking.close()
            self._looking = None
        some = bool(self.form.choice.images)
        self._import.setEnabled(some and self._session.writable)
        if some:
            self._doing.setText("Looking at the files …")
            self._clock.start()
        else:
            self._clock.stop()
            self._doing.setText("")
            self._show_nothing("Add a folder or files to see what would be imported.")

    def _look(self) -> None:
        arguments = self.form.choice.arguments(self._project.path, preview=True)
        self._looking = CommandProcess(arguments, self)
        self._looking.progressed.connect(self._show_looking)
        self._looking.finished.connect(self._show_preview)
        self._looking.failed.connect(self._show_failure)
        self._looking.start()

    def _show_looking(self, done: int, total: int) -> None:
        self._doing.setText(f"Looking at the files … {done:,} of {total:,}")

    def _show_failure(self, message: str, hint: str) -> None:
        self._looking = None
        self._doing.setText("")
        self._import.setEnabled(False)
        self._show_nothing("")
        self._banner.say("error", for_window(message), hint)

    def _show_nothing(self, text: str) -> None:
        self._model.show_rows([])
        self._legend.hide()
        self._suggested.hide()
        self._banner.hide()
        self._reasons.show_files([])
        self._counts.setText(text)

    def _show_preview(self, found: Mapping[str, Any]) -> None:
        self._looking = None
        self._doing.setText("")
        self._banner.hide()
        self._model.show_rows(found["rows"])
        counts = found["counts"]
        self._counts.setText(say_counts(counts))
        self._legend.show_values(found["mask_values"], self._project.classes)
        self._suggestion = found["suggestion"] or {}
        if self._suggestion:
            names = [entry.name for entry in self._project.classes]
            self._suggested_text.setText(say_suggestion(self._suggestion, names))
        self._suggested.setVisible(bool(self._suggestion))
        self.form.offer_channels(found["channel_names"])
        self.form.offer_replacing(any("other ground truth" in one["note"] for one in found["rows"]))
        self._reasons.show_files(found["skipped"])
        problems, looked = counts["problem"], len(found["rows"])
        useful = problems < looked or counts["unchecked"] > 0
        self._import.setEnabled(useful and self._session.writable)
        channels = len(found["channel_names"])
        if channels:
            text = f"These images have {channels} channels."
            self._banner.say("warning", text, "Tick the channels to use.")
        elif looked and not useful:
            self._banner.say("error", "None of these files can be imported.", _first(found["rows"]))

    def _use_suggestion(self) -> None:
        if self._suggestion:
            self.form.take(self._suggestion)

    # --- import -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Import what was chosen."""
        choice = self.form.choice
        if not choice.images or self._busy:
            return
        text = "Labels in the project are replaced by the masks of the files and do not come back."
        if choice.replace and not confirm(self, "Replace labels", text, "Replace"):
            return
        self._clock.stop()
        if self._looking is not None:
            self._looking.close()
            self._looking = None
        self._show_busy(True)
        self._saving = True
        self._session.fold()
        self._session.background(self._save, self._saved)

    @property
    def _busy(self) -> bool:
        return self._saving or self._importing is not None

    def _save(self) -> bool:
        """Wait until what was painted is in the label sets: later it would lie over the masks."""
        autosave = self._session.autosave
        return autosave is None or autosave.wait(SAVE_SECONDS)

    def _saved(self, saved: bool) -> None:
        if not self._saving:  # it was cancelled meanwhile
            return
        self._saving = False
        if saved:
            self._begin()
            return
        self._show_busy(False)
        problem = self._session.autosave.problem if self._session.autosave else ""
        self._banner.say(
            "error",
            "Nothing was imported: labels that you painted could not be written yet"
            f"{f' ({problem})' if problem else ''}.",
            "They are kept; make room on the disk and try again.",
        )

    def _begin(self) -> None:
        choice = self.form.choice
        self._importing = CommandProcess(choice.arguments(self._project.path), self)
        self._importing.progressed.connect(self._show_progress)
        self._importing.finished.connect(self._finished)
        self._importing.failed.connect(self._failed)
        self._importing.cancelled.connect(self._cancelled)
        self._importing.start()

    def _show_busy(self, busy: bool) -> None:
        self._progress.setVisible(busy)
        self._progress.setRange(0, 0)
        self._doing.setText("")
        self._doing.setVisible(not busy)
        self.form.setEnabled(not busy)
        self._suggested.setEnabled(not busy)
        self._import.setEnabled(not busy)
        if busy:
            self._banner.hide()

    def _show_progress(self, done: int, total: int) -> None:
        self._progress.setRange(0, total)
        self._progress.setValue(done)
        self._progress.setFormat(f"{done:,} of {total:,}")

    def _end_import(self) -> None:
        self._importing = None
        self._show_busy(False)
        self._session.reload()

    def _finished(self, report: Mapping[str, Any]) -> None:
        self._end_import()
        sentence, warnings = say_report(report), list(report["warnings"])
        if not report["failed"] and not warnings:
            self._session.say(sentence)
            self.accept()
            return
        level = "warning" if report["imported"] or report["unchanged"] else "error"
        self._banner.say(level, sentence, "\n".join(map(for_window, warnings[:3])))
        self._reasons.show_files(report["failed"], "could not be imported", opened=True)
        self._cancel.setText("Close")
        self._import.setEnabled(False)

    def _failed(self, message: str, hint: str) -> None:
        self._end_import()
        self._banner.say("error", for_window(message), hint)

    def _cancelled(self) -> None:
        self._end_import()
        self._banner.say("info", "The import was stopped; what was imported so far is kept.")

    def _cancel_or_close(self) -> None:
        if self._importing is not None:
            self._importing.cancel()
        else:
            self.reject()

    def reject(self) -> None:
        """Close; an import that goes on is stopped first, and then the dialog stays."""
        if self._importing is not None:
            self._importing.cancel()
            return
        self._saving = False
        self._clock.stop()
        if self._looking is not None:
            self._looking.close()
            self._looking = None
        super().reject()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Close like Cancel."""
        if self._importing is not None and event is not None:
            self._importing.cancel()
            event.ignore()
            return
        super().closeEvent(event)

    # --- files dropped ----------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take files and folders."""
        if event is not None and dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Add what was dropped."""
        paths = dropped_paths(event.mimeData()) if event is not None else []
        if event is not None and paths and not self._busy:
            self.form.add(*guess_sources(paths))
            event.acceptProposedAction()


def _first(rows: Sequence[Mapping[str, Any]]) -> str:
    return next((for_window(one["problem"]) for one in rows if one["problem"]), "")
