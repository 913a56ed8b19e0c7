"""Masks of the project as files: ground truth, or those of a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QWidget

from napari_threestage.export_choice import MASK_FORMATS, MasksChoice, format_of
from napari_threestage.export_report import say_masks
from napari_threestage.widgets.command_box import CommandBox, Turns
from napari_threestage.widgets.controls import column, note
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.form_rows import PathField, form
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qtpy.QtCore import QObject

    from napari_threestage.widgets.session import Session
    from napari_threestage.widgets.stage_choice import StageChoice

STAGE, TRUTH = "stage", "truth"


class ExportMasksBox(QWidget):
    """Which masks, as what, and where to.

    Parameters
    ----------
    stages
        Tells which stage.
    """

    def __init__(
        self, session: Session, stages: StageChoice, turns: Turns, keeper: QObject
    ) -> None:
        super().__init__()
        self._session, self._stages = session, stages
        self._by_hand = False  # a person named the folder
        self._target: Path | None = None  # of what goes on
        self._which = choice_box("Whose masks", "masks_which")
        self._which.addItem("", STAGE)
        self._which.addItem("Ground truth", TRUTH)
        self._format = mask_format_box("masks_format")
        self._readers = note()
        self._statistics = QCheckBox("Statistics as CSV")
        self._statistics.setObjectName("masks_statistics")
        self._statistics.setToolTip("Pixels and area of each class in each image, as a table too")
        self._folder = PathField("masks_folder", "The folder for the masks", ask_folder)
        self.box = CommandBox(
            "Export masks",
            "Write one mask for each image that has one",
            "masks",
            "The export of masks",
            self.start,
            turns,
            keeper,
        )
        self.setLayout(
            column(
                form(("Masks of", self._which), ("Format", self._format)),
                self._readers,
                form(("Folder", self._folder)),
                self._statistics,
                self.box,
            )
        )
        self._which.currentIndexChanged.connect(self._on_stage)
        self._format.currentIndexChanged.connect(self._on_format)
        self._folder.line.textEdited.connect(self._on_edit)
        self._folder.line.textChanged.connect(self._update)
        self.box.finished.connect(self._finished)
        stages.changed.connect(self._on_stage)
        listen(self, (session.project_changed, self._on_project))
        self._on_format()
        self._on_project()

    def start(self) -> None:
        """Export what is chosen now; what was painted is saved first."""
        choice = self._choice()
        if choice is None:
            return

        def begun() -> None:
            self._target = choice.output

        arguments = choice.arguments()
        self.box.run_saved(self._session, arguments, "no masks were exported", begun)

    def _choice(self) -> MasksChoice | None:
        project, model, folder = self._session.project, self._stages.model, self._folder.path
        if project is None or folder is None:
            return None
        key, table = str(self._format.currentData()), self._statistics.isChecked()
        if self._which.currentData() == TRUTH:
            return MasksChoice(project.path, folder, format=key, statistics=table)
        if model is None:
            return None
        return MasksChoice(project.path, folder, model.run, model.stage, key, table)

    # --- what is shown --------------------------------------------------------------------------

    def _on_project(self) -> None:
        self.box.drop()
        self._by_hand = False
        self._on_stage()

    def _on_stage(self) -> None:
        project, model = self._session.project, self._stages.model
        self._which.setItemText(
            0, "The stage above (none yet)" if model is None else f"Stage {model.stage}, as above"
        )
        if not self._by_hand:
            self._folder.set_path(None if project is None else self._default(project.path))
        self._update()

    def _default(self, project: Path) -> Path | None:
        model = self._stages.model
        if self._which.currentData() == TRUTH:
            return project / "exports" / "masks-ground-truth"
        return None if model is None else project / "exports" / f"masks-stage-{model.stage}"

    def _on_format(self) -> None:
        self._readers.setText(format_of(MASK_FORMATS, self._format.currentData()).readers)

    def _on_edit(self) -> None:
        self._by_hand = bool(self._folder.line.text().strip())

    def _why_not(self) -> str:
        if self._session.project is None:
            return "Open a project first."
        if self._which.currentData() == STAGE and self._stages.reason:
            return self._stages.reason
        return "" if self._folder.path is not None else "Name a folder."

    def _update(self) -> None:
        self.box.set_reason(self._why_not())

    def _finished(self, report: Mapping[str, Any]) -> None:
        sentence, more = say_masks(report)
        self.box.say("info", sentence, more, self._target)


def mask_format_box(name: str) -> Any:
    """Return a choice of the formats of masks."""
    box = choice_box("How the masks are written", name)
    for one in MASK_FORMATS:
        box.addItem(one.title, one.key)
    return box


def ask_folder(start: str) -> str:
    """Ask a person for a folder."""
    return str(QFileDialog.getExistingDirectory(None, "Folder for the masks", start))
