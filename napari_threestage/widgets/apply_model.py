"""Which segmenter is applied: the stage that is chosen above, or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_threestage.export_choice import Model
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.form_rows import PathField, form

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.widgets.stage_choice import StageChoice

STAGE, FILE = "stage", "file"


class ModelChoice(QWidget):
    """A stage of a run, or a file of its own.

    Parameters
    ----------
    stages
        Tells which stage.
    """

    changed = Signal()

    def __init__(self, stages: StageChoice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stages = stages
        self._which = choice_box("The segmenter", "apply_model")
        self._which.addItem("", STAGE)
        self._which.addItem("A file", FILE)
        self._file = PathField(
            "apply_model_file", "A model.safetensors or a BioImage package", self._ask
        )
        self._form = form(("Segmenter", self._which), ("Model file", self._file))
        self.setLayout(self._form)
        self._which.currentIndexChanged.connect(self._update)
        self._file.line.textChanged.connect(self._update)
        stages.changed.connect(self._update)
        self._update()

    @property
    def model(self) -> Model | None:
        """What is chosen; None when nothing is."""
        if not self._is_file:
            return self._stages.model
        path = self._file.path
        return None if path is None else Model(path)

    @property
    def path(self) -> Path | None:
        """The file of the segmenter."""
        model, run = self.model, self._stages.run
        if model is None or not model.in_project:
            return self._file.path
        return None if run is None else run.model_path(model.stage)

    @property
    def reason(self) -> str:
        """Why nothing is chosen; empty when something is."""
        if self.model is not None:
            return ""
        if self._is_file:
            return "Choose a model file."
        return f"{self._stages.reason} Or choose a model file."

    @property
    def _is_file(self) -> bool:
        return bool(self._which.currentData() == FILE)

    def _update(self) -> None:
        model = self._stages.model
        text = "The stage above (none yet)" if model is None else f"Stage {model.stage}, as above"
        self._which.setItemText(0, text)
        self._form.setRowVisible(self._file, self._is_file)
        self.changed.emit()

    def _ask(self, start: str) -> str:
        kinds = "Segmenters (*.safetensors *.zip);;All files (*)"
        chosen, _ = QFileDialog.getOpenFileName(self, "Segmenter", start, kinds)
        return str(chosen)
