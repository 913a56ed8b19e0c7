"""What a segmenter is to be applied to: a layer of the viewer, or files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_threestage.layer_file import say_axes
from napari_threestage.widgets.controls import button, column, row
from napari_threestage.widgets.elided import ElidedLabel
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.form_rows import form
from napari_threestage.widgets.layer_source import LayerSource, key_of, layer_sources
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent

    from napari_threestage.widgets.workbench import Workbench


class LayerChoice(QWidget):
    """One of the viewer's image layers; follows the one that is selected there."""

    changed = Signal()

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._sources: list[LayerSource] = []
        self._listed: list[object] = []
        self._active: object = None
        self._box = choice_box("Select another one here or in napari's list", "apply_layer")
        self._axes = choice_box("What the axes of its array are", "apply_axes")
        self._form = form(("Layer", self._box), ("Axes", self._axes))
        self.setLayout(self._form)
        self._box.currentIndexChanged.connect(self._on_layer)
        self._axes.currentIndexChanged.connect(self._tell)
        listen(self, (bench.ticked, self._on_tick))
        self._list(None)
        self.sync()

    @property
    def source(self) -> LayerSource | None:
        """The layer that is chosen."""
        at = self._box.currentIndex()
        return self._sources[at] if 0 <= at < len(self._sources) else None

    @property
    def axes(self) -> str:
        """What its axes are."""
        return str(self._axes.currentData() or "")

    @property
    def reason(self) -> str:
        """Why nothing can be applied to it; empty when something can."""
        if self.source is None:
            return "There is no image layer: open an image in napari, or choose Files."
        if not self.axes:
            return f"The layer has {self.source.layer.ndim} axes; an image has 2 to 5."
        return ""

    def sync(self) -> None:
        """Follow the layers of the viewer."""
        sources = layer_sources(self._bench.viewer, self._bench.session.project)
        listed: list[object] = [(one.key, one.name, one.axes) for one in sources]
        if listed != self._listed:
            chosen = self.source.key if self.source is not None else None
            self._sources, self._listed = sources, listed
            self._list(chosen)
        active = self._bench.viewer.layers.selection.active
        if id(active) != self._active:
            self._active = id(active)
            self._choose(key_of(active, self._sources))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.sync()

    def _on_tick(self) -> None:
        if self.isVisible():
            self.sync()

    def _list(self, chosen: object) -> None:
        blocked = self._box.blockSignals(True)
        self._box.clear()
        for place, source in enumerate(self._sources):
            shown = f"{source.name} (of the project)" if source.path else source.name
            self._box.addItem(shown)
            self._box.setItemData(place, shown, Qt.ItemDataRole.ToolTipRole)
        self._box.setCurrentIndex(0 if self._sources else -1)
        self._choose(chosen)
        self._box.blockSignals(blocked)
        self._on_layer()

    def _choose(self, key: object) -> None:
        for place, source in enumerate(self._sources):
            if key is not None and source.key == key:
                self._box.setCurrentIndex(place)

    def _on_layer(self) -> None:
        source = self.source
        blocked = self._axes.blockSignals(True)
        self._axes.clear()
        for axes in source.axes if source is not None else ():
            self._axes.addItem(say_axes(axes), axes)
        self._axes.blockSignals(blocked)
        self._form.setRowVisible(self._axes, self._axes.count() > 1)
        self._tell()

    def _tell(self) -> None:
        self.changed.emit()


class FileChoice(QWidget):
    """Image files, or a folder of them."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paths: tuple[Path, ...] = ()
        self._text = ElidedLabel(Qt.TextElideMode.ElideMiddle)
        self._text.setObjectName("apply_paths")
        files = button("Files…", "Choose images", self._ask_files)
        files.setObjectName("apply_files")
        folder = button("Folder…", "All images in a folder", self._ask_folder)
        folder.setObjectName("apply_folder")
        self.setLayout(column(self._text, row(files, folder, 1)))
        self.choose(())

    def choose(self, paths: Sequence[Path]) -> None:
        """Take these files and folders."""
        self.paths = tuple(paths)
        first = str(self.paths[0]) if self.paths else "None yet; drop images here"
        more = len(self.paths) - 1
        self._text.setText(f"{first} and {more} more" if more > 0 else first)
        self._text.setToolTip("\n".join(map(str, self.paths[:20])) or first)
        self.changed.emit()

    @property
    def _beside(self) -> str:
        return str(self.paths[0].parent if self.paths else Path.home())

    def _ask_files(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "Images", self._beside)
        if chosen:
            self.choose([Path(one) for one in chosen])

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images", self._beside)
        if chosen:
            self.choose([Path(chosen)])
