"""The part Compare: the masks of the stages over the image, flipped by key; confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QSlider, QVBoxLayout, QWidget

from napari_threestage.widgets.controls import (
    caption,
    column,
    heading,
    line,
    note,
    row,
    small_button,
)
from napari_threestage.widgets.layers import STYLES
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.run_choice import RunChoice, WayBack

if TYPE_CHECKING:
    import numpy as np

    from napari_threestage.widgets.content import ImageContent
    from napari_threestage.widgets.workbench import Workbench

NOWHERE = "Move the mouse over the image."


class ComparePart(QWidget):
    """Which masks are shown, and how."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._session = bench, bench.session
        self._boxes: dict[int, QCheckBox] = {}
        self._rows = QVBoxLayout()
        self._rows.setSpacing(2)
        self._empty = note("No masks of this image yet: a stage writes them when it is done.")
        self._style = QComboBox()
        self._style.setObjectName("mask_style")
        self._style.addItems(list(STYLES))
        self._style.setToolTip("How the masks of the stages are drawn")
        self._style.currentTextChanged.connect(self._restyle)
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._opacity.setObjectName("mask_opacity")
        self._opacity.setRange(5, 100)
        self._opacity.setToolTip("How much of the image the masks hide")
        self._opacity.setValue(round(100 * STYLES["Filled"][1]))
        self._opacity.valueChanged.connect(self._fade)
        self._confidence = QComboBox()
        self._confidence.setObjectName("confidence")
        self._confidence.setToolTip(
            "Show how sure a stage is, dark: unsure; slower on large images"
        )
        self._confidence.activated.connect(self._choose_confidence)
        self._sure_of = 0  # stage whose confidence is wanted, also of the images to come
        back = small_button("◀", "Previous stage (Shift+Q)", lambda: self._flip(-1))
        forth = small_button("▶", "Next stage, then the bare image (Q)", lambda: self._flip(1))
        back.setObjectName("flip_back")
        forth.setObjectName("flip")
        self._cursor = note(NOWHERE)
        self._cursor.setTextFormat(Qt.TextFormat.RichText)
        self._cursor.setMinimumHeight(90)
        self._cursor.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setLayout(
            column(
                RunChoice(self._session),
                WayBack(self._session),
                line(),
                row(heading("Masks of this image"), 1, back, forth),
                self._rows,
                self._empty,
                row(caption("Drawn"), self._style, self._opacity, stretch=2),
                row(caption("Confidence"), self._confidence, stretch=1),
                line(),
                heading("Under the cursor"),
                self._cursor,
                1,
                margins=6,
            )
        )
        self._position: tuple[float, ...] = ()
        bench.ticked.connect(self.sync)
        shown, masks_read = self._session.image_shown, self._session.masks_read
        listen(self, (shown, self._on_image), (masks_read, self._on_image))
        self.sync()

    def sync(self) -> None:
        """Follow the layers, which may be changed in napari's own list too."""
        layers = self._bench.layers
        if layers.stages != sorted(self._boxes):
            self._make_boxes(layers.stages)
        for stage, box in self._boxes.items():
            layer = layers.find("stage", stage)
            if layer is not None and box.isChecked() != layer.visible:
                box.setChecked(layer.visible)
        position = tuple(self._bench.viewer.cursor.position)
        if self.isVisible() and position != self._position:
            self._position = position
            self._cursor.setText(self._describe(position))

    def _make_boxes(self, stages: list[int]) -> None:
        for box in self._boxes.values():
            self._rows.removeWidget(box)
            box.deleteLater()
        self._boxes = {}
        for stage in stages:
            box = QCheckBox(f"Stage {stage}")
            box.setObjectName(f"show_stage_{stage}")
            box.setToolTip(f"Show the mask that stage {stage} made of this image")
            box.clicked.connect(lambda on, stage=stage: self._show_stage(stage, on))
            self._boxes[stage] = box
            self._rows.addWidget(box)
        self._empty.setVisible(not stages)
        for widget in (self._style, self._opacity, self._confidence):
            widget.setEnabled(bool(stages))
        self._confidence.clear()
        self._confidence.addItem("Hidden", 0)
        for stage in stages:
            self._confidence.addItem(f"Stage {stage}", stage)
        self._confidence.setCurrentIndex(max(0, self._confidence.findData(self._sure_of)))
        if self._sure_of and self._bench.layers.find("confidence", self._sure_of) is None:
            self._show_confidence()

    def _show_stage(self, stage: int, on: bool) -> None:
        layer = self._bench.layers.find("stage", stage)
        if layer is not None:
            layer.visible = on

    def _flip(self, by: int) -> None:
        self._bench.layers.flip(by)
        self.sync()

    def _restyle(self, style: str) -> None:
        self._bench.layers.set_style(style)
        self._opacity.setValue(round(100 * STYLES[style][1]))

    def _fade(self, value: int) -> None:
        self._bench.layers.set_opacity(value / 100)

    def _on_image(self, content: ImageContent | None) -> None:
        """Show the confidence that was chosen of this image, or of this run, too."""
        if content is not None and self._sure_of:
            self._show_confidence()

    def _choose_confidence(self) -> None:
        self._sure_of = self._confidence.currentData() or 0
        self._show_confidence()

    def _show_confidence(self) -> None:
        stage, session = self._sure_of, self._session
        content, run = session.content, session.runs.run
        if content is None or run is None:
            return
        if stage not in content.masks:
            self._bench.layers.show_confidence(content, 0, None)
            return

        def show(values: np.ndarray) -> None:
            if session.content is content and self._sure_of == stage:
                self._bench.layers.show_confidence(content, stage, values)

        session.background(lambda: run.read_confidence(stage, content.record.id), show)

    def _describe(self, position: tuple[float, ...]) -> str:
        """Return what ground truth and stages say of the pixel under the cursor."""
        content, truth = self._session.content, self._bench.layers.truth
        if content is None or truth is None or self._session.project is None:
            return NOWHERE
        place = tuple(round(value) for value in truth.world_to_data(position))
        shape = content.record.label_shape
        if len(place) != len(shape) or any(
            not 0 <= at < side for at, side in zip(place, shape, strict=True)
        ):
            return NOWHERE
        lines = [("Painted", int(content.editor.truth[place]), "")]
        for stage, mask in sorted(content.masks.items()):
            shown = self._bench.layers.find("confidence", stage)
            sure = f" {int(shown.data[place]) / 2.55:.0f} %" if shown is not None else ""
            lines.append((f"Stage {stage}", int(mask[place]), sure))
        return "<br>".join(self._line(*entry) for entry in lines)

    def _line(self, who: str, index: int, sure: str) -> str:
        assert self._session.project is not None
        classes = self._session.project.classes
        if not 0 < index <= len(classes):  # a deleted class, until the image is read again
            return f"{who}: –"
        entry = classes[index - 1]
        name = entry.name.replace("&", "&amp;").replace("<", "&lt;")
        return f"{who}: <span style='color:rgb{entry.color}'>■</span> {name}{sure}"
