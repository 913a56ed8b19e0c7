"""The dock: the tasks in the order in which a person does them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QLabel, QTabWidget, QToolButton, QWidget

from napari_threestage.widgets.compare_part import ComparePart
from napari_threestage.widgets.controls import Banner, column, row
from napari_threestage.widgets.data_part import DataPart
from napari_threestage.widgets.export_part import ExportPart
from napari_threestage.widgets.keys import CLASS_KEYS, add_shortcuts
from napari_threestage.widgets.label_part import LabelPart
from napari_threestage.widgets.train_part import TrainPart
from napari_threestage.widgets.workbench import workbench

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtGui import QShowEvent

TITLE = "Three-Stage Self-Training"


class ThreeStageDock(QWidget):
    """Data, Label, Train, Compare, Export.

    Parameters
    ----------
    napari_viewer
        The viewer that shows the images; napari passes it.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bench = workbench(napari_viewer)
        session = self.session = self.bench.session
        self.banner = Banner()
        self.tabs = QTabWidget()
        self.tabs.setObjectName("tasks")
        self.tabs.setDocumentMode(True)
        self.data = DataPart(session)
        self.label = LabelPart(self.bench)
        self.train = TrainPart(session)
        self.compare = ComparePart(self.bench)
        self.export = ExportPart(self.bench)
        parts = {
            "Data": (self.data, "Open a project, import images, name classes"),
            "Label": (self.label, "Paint a few images"),
            "Train": (self.train, "Learn from them and from all the others"),
            "Compare": (self.compare, "See what each stage found, and whether it helped"),
            "Export": (self.export, "Use it elsewhere: segmenter, other images, masks"),
        }
        for number, (name, (part, tooltip)) in enumerate(parts.items()):
            self.tabs.addTab(part, name)
            self.tabs.setTabToolTip(number, tooltip)
        self.train.wants_tab.connect(self.open_tab)
        self._saved = QLabel()
        self._saved.setObjectName("save_state")
        keys = QToolButton()
        keys.setText("Keys")
        keys.setToolTip("\n".join(f"{key.shown}: {key.text}" for key in self.bench.keys))
        keys.clicked.connect(self._say_keys)
        self.setLayout(column(self.banner, self.tabs, row(self._saved, 1, keys), margins=2))
        self.setMinimumWidth(320)
        add_shortcuts(self.bench.keys, self)
        session.said.connect(self._say)
        session.save_state_changed.connect(self._show_saved)
        session.project_changed.connect(self._on_project)

    def open_tab(self, name: str) -> None:
        """Show a task."""
        for number in range(self.tabs.count()):
            if self.tabs.tabText(number) == name:
                self.tabs.setCurrentIndex(number)

    def showEvent(self, event: QShowEvent | None) -> None:
        """From now on ask when the window is closed."""
        super().showEvent(event)
        self.bench.watch(self)

    def event(self, event: QEvent | None) -> bool:
        """End the commands of the parts when the dock is taken out of the window."""
        gone = event is not None and event.type() == QEvent.Type.ParentChange
        if gone and self.parent() is None and hasattr(self, "export"):
            for part in (self.label, self.compare, self.export):
                part.end()
        return bool(super().event(event))

    def _say(self, level: str, text: str, hint: str) -> None:
        self.banner.say(level, text, hint)

    def _say_keys(self) -> None:
        classes = "Alt+1 … Alt+9: paint a class"
        lines = [f"{key.shown}: {key.text}" for key in self.bench.keys[:-CLASS_KEYS]]
        self.banner.say("info", "\n".join([*lines, classes]))

    def _show_saved(self, state: str) -> None:
        self._saved.setText({"": "", "saved": "✓ Labels saved"}.get(state, state.capitalize()))

    def _on_project(self) -> None:
        self.banner.hide()
        if self.session.project is None:
            self.open_tab("Data")
