"""Applies a segmenter to a layer of the viewer, or to files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from napari_threestage.errors import ThreeStageError
from napari_threestage.export_choice import (
    MASK_FORMATS,
    ApplyChoice,
    Model,
    Switches,
    format_of,
)
from napari_threestage.export_report import say_applied
from napari_threestage.segmenter_info import MOST_MAGNIFIED
from napari_threestage.widgets.apply_layer import LayerTask
from napari_threestage.widgets.apply_model import ModelChoice
from napari_threestage.widgets.apply_target import FileChoice, LayerChoice
from napari_threestage.widgets.background import Background
from napari_threestage.widgets.command_box import CommandBox, Turns
from napari_threestage.widgets.controls import SPACE, column, note
from napari_threestage.widgets.drops import dropped_paths
from napari_threestage.widgets.export_masks_box import ask_folder, mask_format_box
from napari_threestage.widgets.fields import NumberBox, choice_box
from napari_threestage.widgets.form_rows import PathField, form
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.result_layers import add_found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_threestage.widgets.process import CommandProcess
    from napari_threestage.widgets.result_layers import Found
    from napari_threestage.widgets.stage_choice import StageChoice
    from napari_threestage.widgets.workbench import Workbench

LAYER, FILES = "layer", "files"
SWITCHES = {
    "confidence": ("Confidence", "How sure it is of each pixel, as an image too"),
    "flips": ("Flips", "Average with what it makes of the mirrored image: better and slower"),
    "skip_empty": ("Skip empty", "Leave out parts of large images in which all pixels are 0"),
    "probabilities": ("Probabilities", "The probability of each class, as an image too"),
    "statistics": ("Statistics as CSV", "Pixels and area of the classes, as tables too"),
}
FOR_FILES = ("probabilities", "statistics")


class ApplyBox(QWidget):
    """Model, images and options, and what came of them.

    Parameters
    ----------
    stages
        Tells which stage.
    """

    def __init__(self, bench: Workbench, stages: StageChoice, turns: Turns) -> None:
        super().__init__()
        self._bench, self._session = bench, bench.session
        self._background = Background(self._session.fail, self)
        self._task: LayerTask | None = None
        self._process: CommandProcess | None = None
        self._used: Model | None = None  # by what goes on
        self._target: Path | None = None
        self._by_hand = False  # a person named the folder
        self.setAcceptDrops(True)
        self.which = ModelChoice(stages)
        self._make_target()
        self.box = CommandBox(
            "Apply", "Segment it", "apply", "The segmentation", self.start, turns, bench
        )
        self._arrange()
        self.box.finished.connect(self._finished)
        self.box.ended.connect(self._forget)
        self.which.changed.connect(self._on_files)
        listen(self, (self._session.project_changed, self._on_project))
        self._on_target()

    def _make_target(self) -> None:
        self._to = choice_box("What it is applied to", "apply_to")
        self._to.addItem("A layer", LAYER)
        self._to.addItem("Files", FILES)
        self.layer = LayerChoice(self._bench)
        self.files = FileChoice()
        self._format = mask_format_box("apply_format")
        self._readers = note()
        self._folder = PathField("apply_output", "The folder for the masks", ask_folder)
        self._magnify = _factor_box()
        self._switches = {
            name: _switch(f"apply_{name}", *words) for name, words in SWITCHES.items()
        }
        self._to.currentIndexChanged.connect(self._on_target)
        self.layer.changed.connect(self._update)
        self.files.changed.connect(self._on_files)
        self._format.currentIndexChanged.connect(self._on_format)
        self._folder.line.textEdited.connect(self._on_edit)
        self._folder.line.textChanged.connect(self._update)
        self._on_format()

    def _arrange(self) -> None:
        self._form = form(
            self.which,
            ("Apply to", self._to),
            self.layer,
            ("Images", self.files),
            ("Magnify", self._magnify),
            ("Format", self._format),
        )
        self._where = QWidget()
        self._where.setLayout(form(("Folder", self._folder)))
        grid = QGridLayout()
        grid.setSpacing(SPACE)
        for place, switch in enumerate(self._switches.values()):
            grid.addWidget(switch, place // 2, place % 2)
        self.setLayout(column(self._form, self._readers, self._where, grid, self.box))

    # --- what is chosen -------------------------------------------------------------------------

    @property
    def _to_layer(self) -> bool:
        return bool(self._to.currentData() == LAYER)

    def _why_not(self) -> str:
        if self.which.reason or self._to_layer:
            return self.which.reason or self.layer.reason
        if not self.files.paths:
            return "Choose images."
        return "" if self._folder.path is not None else "Name a folder for the masks."

    def _switched(self) -> Switches:
        names = [name for name in self._switches if not (self._to_layer and name in FOR_FILES)]
        return Switches(**{name: bool(self._switches[name].isChecked()) for name in names})

    # --- what is shown --------------------------------------------------------------------------

    def _on_project(self) -> None:
        """End what uses the project that was open."""
        if self._used is not None and self._used.in_project:
            self.drop()

    def _on_target(self) -> None:
        if not self.box.busy:
            self.box.clear()
        self._form.setRowVisible(self.layer, self._to_layer)
        for field in (self.files, self._format):
            self._form.setRowVisible(field, not self._to_layer)
        for widget in (self._readers, self._where, *(self._switches[name] for name in FOR_FILES)):
            widget.setVisible(not self._to_layer)
        self._on_files()

    def _on_files(self) -> None:
        if not self._by_hand:
            self._folder.set_path(_folder_for(self.files.paths, self.which.model))
        self._update()

    def _on_format(self) -> None:
        self._readers.setText(format_of(MASK_FORMATS, self._format.currentData()).readers)

    def _on_edit(self) -> None:
        self._by_hand = bool(self._folder.line.text().strip())

    def _update(self) -> None:
        self.box.set_reason(self._why_not())

    # --- at work --------------------------------------------------------------------------------

    def start(self) -> None:
        """Apply it."""
        model = self.which.model
        if model is None or self._why_not():
            return
        self._used = model
        if self._to_layer:
            self._apply_to_layer(model)
        else:
            self._apply_to_files(model)

    def _apply_to_files(self, model: Model) -> None:
        folder = self._target = self._folder.path
        if folder is not None:
            key = str(self._format.currentData())
            choice = ApplyChoice(
                model,
                self.files.paths,
                folder,
                key,
                switches=self._switched(),
                magnify=self._magnify.value(),
            )
            self._process = self.box.run(choice.arguments())

    def _apply_to_layer(self, model: Model) -> None:
        source, path = self.layer.source, self.which.path
        if source is None or path is None:
            return
        task = self._task = LayerTask(
            model, path, source, self.layer.axes, self._switched(), self._magnify.value()
        )
        self.box.prepare("Handing over …", task.stop)
        self._do(task, task.make, lambda arguments: self._made(task, arguments))

    def _do(self, task: LayerTask, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do a part of a task in the thread; `done` gets the result."""

        def failed(error: Exception) -> None:
            if self._task is task:
                self._went_wrong(error)

        self._background(work, done, failed)

    def _made(self, task: LayerTask, arguments: list[str]) -> None:
        if self._task is task and self.box.busy:
            self._process = self.box.run(arguments)
        else:
            task.clean()

    def _went_wrong(self, error: Exception) -> None:
        if isinstance(error, ThreeStageError):
            self.box.fail(error.message, error.hint)
        else:
            self.box.fail(f"{type(error).__name__}: {error}", "This is a bug; please report it.")

    def _finished(self, report: Mapping[str, Any]) -> None:
        task = self._task
        if task is None:
            sentence, more = say_applied(report)
            level = "warning" if report.get("failed") else "info"
            some = bool(report["files"])
            self.box.say(level if some else "error", sentence, more, self._target if some else None)
            self._used = None
            return
        self.box.prepare("Reading the mask …", task.stop)
        self._process = None
        self._do(task, lambda: task.read(report), lambda found: self._found(task, found))

    def _found(self, task: LayerTask, found: Found) -> None:
        if self._task is task:
            add_found(self._bench.viewer, found, task.name, task.place)
            more = task.hint or "Its labels are the classes."
            self.box.done("info", f"Added the layer “{task.name}”.", more)
            self._forget()

    def _forget(self) -> None:
        """Forget what has ended."""
        task, self._task, self._used, self._process = self._task, None, None, None
        if task is not None:
            self._background(task.clean)

    def drop(self) -> None:
        """End what goes on; nobody is interested any more."""
        task, process = self._task, self._process
        self._task = self._used = self._process = None
        if task is not None and process is not None:
            process.destroyed.connect(task.clean)  # not before, as it still writes there
        elif task is not None:
            self._background(task.clean)
        self.box.drop()

    # --- files dropped --------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take images and folders of them."""
        if event is not None and dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Choose what was dropped."""
        paths = dropped_paths(event.mimeData()) if event is not None else []
        if event is not None and paths:
            self._to.setCurrentIndex(self._to.findData(FILES))
            self.files.choose(paths)
            event.acceptProposedAction()


def _switch(name: str, text: str, tooltip: str) -> QCheckBox:
    made = QCheckBox(text)
    made.setObjectName(name)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return made


def _factor_box() -> NumberBox:
    made = NumberBox()
    made.setObjectName("apply_magnify")
    made.setRange(1 / MOST_MAGNIFIED, MOST_MAGNIFIED)
    made.setValue(1)
    made.setToolTip(
        "Show images to the segmenter so many times as large: 2 where structures are half as large "
        "as in the images that it has learned from"
    )
    return made


def _folder_for(images: tuple[Path, ...], model: Model | None) -> Path | None:
    """Return a folder beside the images."""
    if not images or model is None:
        return None
    first, ending = images[0], model.title.replace(" ", "-")
    name = f"{first.name}-{ending}" if first.is_dir() else f"masks-{ending}"
    return first.parent / name
