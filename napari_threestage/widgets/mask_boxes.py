"""Which masks of the image are shown, and how they are drawn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QSlider, QWidget

from napari_threestage.widgets.compare_columns import TRUTH, Column
from napari_threestage.widgets.controls import caption, column, heading, note, row, small_button
from napari_threestage.widgets.elided import ElidedLabel
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.mask_layers import STYLES
from napari_threestage.widgets.own_layers import see

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench

PER_ROW = 4
ROLES = ("truth", "stage", "second")


class MaskBoxes(QWidget):
    """A box for each mask, those of a second run below its name; flipping, style and opacity."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._boxes: dict[Column, QCheckBox] = {}
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(2)
        for place in range(PER_ROW):
            self._grid.setColumnStretch(place, 1)
        self._second = ElidedLabel(Qt.TextElideMode.ElideMiddle)
        self._second.setObjectName("second_name")
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
        back = small_button("◀", "Previous mask (Shift+Q)", lambda: self._flip(-1))
        forth = small_button("▶", "Next mask, then the bare image (Q)", lambda: self._flip(1))
        back.setObjectName("flip_back")
        forth.setObjectName("flip")
        self.setLayout(
            column(
                row(heading("Masks of this image"), 1, back, forth),
                self._grid,
                self._empty,
                row(caption("Drawn"), self._style, self._opacity, stretch=2),
            )
        )
        listen(self, (bench.ticked, self.sync))
        self.sync()

    def sync(self) -> None:
        """Follow the layers, which may be changed in napari's own list too."""
        layers = self._bench.layers
        truth = [TRUTH] if layers.truth is not None and self._bench.session.content else []
        wanted = [*truth, *layers.columns]
        if wanted != list(self._boxes):
            self._make_boxes(wanted)
        self._second.setText(self._bench.session.second.name)
        for one, box in self._boxes.items():
            layer = layers.find(*one)
            if layer is not None and box.isChecked() != layer.visible:
                box.setChecked(layer.visible)

    def _make_boxes(self, wanted: list[Column]) -> None:
        for widget in (*self._boxes.values(), self._second):
            self._grid.removeWidget(widget)
        for box in self._boxes.values():
            box.deleteLater()
        self._boxes = {one: self._make_box(one) for one in wanted}
        by_role = {role: [one for one in wanted if one.role == role] for role in ROLES}
        for one in by_role["truth"]:
            self._grid.addWidget(self._boxes[one], 0, 0, 1, PER_ROW)
        below = self._place(by_role["stage"], 1)
        if by_role["second"]:
            self._grid.addWidget(self._second, below, 0, 1, PER_ROW)
            self._place(by_role["second"], below + 1)
        self._second.setVisible(bool(by_role["second"]))
        some = any(one != TRUTH for one in wanted)
        self._empty.setVisible(not some)
        for widget in (self._style, self._opacity):
            widget.setEnabled(some)

    def _place(self, columns: list[Column], below: int) -> int:
        """Place the boxes of masks in rows, and return the next one."""
        for at, one in enumerate(columns):
            self._grid.addWidget(self._boxes[one], below + at // PER_ROW, at % PER_ROW)
        return below + -(-len(columns) // PER_ROW)

    def _make_box(self, one: Column) -> QCheckBox:
        title = self._bench.layers.title(one)
        box = QCheckBox(title.split(" · ")[0])
        names = {"truth": "show_truth", "stage": "show_stage_{}", "second": "show_second_{}"}
        box.setObjectName(names[one.role].format(one.stage))
        box.setToolTip(f"Show this image's mask “{title}”")
        box.clicked.connect(partial(self._show, one))
        return box

    def _show(self, one: Column, on: bool) -> None:
        layer = self._bench.layers.find(*one)
        if layer is not None:
            see(layer, on)

    def _flip(self, by: int) -> None:
        self._bench.layers.flip(by)
        self.sync()

    def _restyle(self, style: str) -> None:
        self._bench.layers.set_style(style)
        self._opacity.setValue(round(100 * STYLES[style][1]))

    def _fade(self, value: int) -> None:
        self._bench.layers.set_opacity(value / 100)
