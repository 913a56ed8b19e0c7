"""Sample projects: offered in a menu, made by the command, opened."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QProgressBar, QWidget

from napari_threestage.widgets.controls import column, note, row, small_button
from napari_threestage.widgets.drops import is_project
from napari_threestage.widgets.process import CommandProcess
from napari_threestage.widgets.recent import sample_folder

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from napari_threestage.sample_sets import Sample


class SampleMaker(QWidget):
    """Makes one sample at a time and shows how far it is; hidden otherwise."""

    made = Signal(object)  # folder of the project
    failed = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._process: CommandProcess | None = None
        self._text = note()
        self._text.setObjectName("sample_text")
        self._bar = QProgressBar()
        self._bar.setObjectName("sample_progress")
        cancel = small_button("✕", "Stop making the sample", self.cancel)
        cancel.setObjectName("sample_cancel")
        self.setLayout(column(self._text, row(self._bar, cancel, stretch=0)))
        self.hide()

    def fill(self, menu: QMenu) -> None:
        """Put the samples into a menu."""
        # Only now: what draws the samples takes a moment to load.
        from napari_threestage.sample_sets import SAMPLES

        menu.clear()
        menu.setToolTipsVisible(True)
        for sample in SAMPLES.values():
            action = menu.addAction(_title(sample))
            action.setToolTip(_tip(sample))
            action.setEnabled(self._process is None)
            action.triggered.connect(lambda checked, name=sample.name: self.open(name))

    def open(self, name: str) -> None:
        """Hand over a sample; one that is there already as it is, with all its labels."""
        folder = sample_folder(name)
        if is_project(folder):
            self.made.emit(folder)
            return
        if self._process is not None:
            return
        # Under another name until it is complete, so that a killed command leaves no half sample.
        temporary = folder.with_name(f".{name}.{os.getpid()}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.failed.emit(f"{folder.parent} cannot be written ({error.strerror}).", "")
            return
        self._process = CommandProcess(
            ["sample", name, str(temporary), "--json", "--progress"], self
        )
        self._process.progressed.connect(self._show_progress)
        self._process.finished.connect(lambda document: self._finish(temporary, folder))
        self._process.failed.connect(self._fail)
        self._process.cancelled.connect(self._end)
        self._text.setText(f"Making the sample {name} …")
        self._bar.setRange(0, 0)
        self.show()
        self._process.start()

    def cancel(self) -> None:
        """Stop making a sample."""
        if self._process is not None:
            self._text.setText("Stopping …")
            self._process.cancel()

    def _show_progress(self, done: int, total: int) -> None:
        fetching = self._process is not None and self._process.step == "fetching"
        scale = 2**20 if fetching else 1
        unit = " MB" if fetching else " images"
        of = f" of {total // scale:,}" if total else ""
        self._bar.setRange(0, max(0, total // scale))
        self._bar.setValue(done // scale)
        self._bar.setFormat(f"{done // scale:,}{of}{unit}")

    def _finish(self, temporary: Path, folder: Path) -> None:
        self._end()
        try:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()  # an empty one would be in the way on some systems
            temporary.rename(folder)
        except OSError as error:
            if not is_project(folder):  # else another window was faster
                self.failed.emit(f"{folder} cannot be written ({error.strerror}).", "")
                return
        self.made.emit(folder)

    def _fail(self, message: str, hint: str) -> None:
        self._end()
        self.failed.emit(message, hint)

    def _end(self, *unused: Any) -> None:
        self._process = None
        self.hide()


def _title(sample: Sample) -> str:
    ready = is_project(sample_folder(sample.name))
    needs = f"downloads {sample.size}" if sample.remote is not None else "offline"
    return f"{sample.name.capitalize()} ({'open' if ready else needs}; {sample.licence})"


def _tip(sample: Sample) -> str:
    lines = [
        f"{sample.title}.",
        f"{sample.images} images, {sample.labelled} with labels. Licence: {sample.licence}.",
    ]
    lines += [f"{sample.citation}."] if sample.citation else []
    lines += [f"Kept in {sample_folder(sample.name)}"]
    return "\n".join(lines)
