"""How the masks are looked at: over each other, side by side, or wiped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSlider,
    QWidget,
)

from napari_threestage.widgets.controls import caption, column, heading, note, row
from napari_threestage.widgets.fields import choice_box, pass_wheel_on
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.view_modes import GRID, MODES, WIPE

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench

FINE = 1000  # steps of the slider
TOOLTIPS = {
    "Overlay": "All over the same image (W)",
    "Side by side": "The image with one mask in each cell, moved together (W)",
    "Wipe": "One mask left of a line that you drag, another one right of it (W)",
}
IN_GRID = "A mask without its tick above has no cell."


class ViewBox(QWidget):
    """A button for each way, and what belongs to the one that is chosen."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._views = bench, bench.views
        self._group = QButtonGroup(self)
        self._buttons = {mode: self._make_button(mode) for mode in MODES}
        self._note = note(IN_GRID)
        self._sides = {side: self._make_side(side) for side in ("left", "right")}
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setObjectName("wipe_place")
        self._slider.setRange(0, FINE)
        self._slider.setToolTip("Where the line is; drag it on the image too")
        self._slider.valueChanged.connect(self._move)
        pass_wheel_on(self._slider)
        self._wipe = QWidget()
        places = QGridLayout()
        places.setContentsMargins(0, 0, 0, 0)
        places.setColumnStretch(1, 1)
        for place, (side, box) in enumerate(self._sides.items()):
            places.addWidget(caption(side.capitalize()), place, 0)
            places.addWidget(box, place, 1)
        places.addWidget(self._slider, 2, 0, 1, 2)
        self._wipe.setLayout(places)
        self.setLayout(column(heading("View"), self._segments(), self._note, self._wipe))
        listen(self, (self._views.changed, self._on_mode), (self._views.wipe.changed, self._sync))
        listen(self, (bench.ticked, self._on_tick))
        self._on_mode(self._views.mode)

    def _segments(self) -> QHBoxLayout:
        segments = row(*self._buttons.values())
        segments.setSpacing(1)
        return segments

    def _make_button(self, mode: str) -> QPushButton:
        button = QPushButton(mode)
        button.setObjectName(f"view_{mode.lower().replace(' ', '_')}")
        button.setCheckable(True)
        button.setToolTip(TOOLTIPS[mode])
        button.setMinimumHeight(26)
        button.setStyleSheet("QPushButton:checked{background-color:#2f7fc1;color:white}")
        button.clicked.connect(lambda on: self._choose(mode))
        self._group.addButton(button)
        return button

    def _make_side(self, side: str) -> QComboBox:
        box = choice_box(f"What is {side} of the line", f"wipe_{side}")
        box.activated.connect(partial(self._choose_side, side))
        return box

    def _choose(self, mode: str) -> None:
        self._views.choose(mode)
        self._on_mode(self._views.mode)

    def _choose_side(self, side: str, place: int) -> None:
        self._views.wipe.choose(side, self._sides[side].itemData(place))

    def _move(self, value: int) -> None:
        self._views.wipe.move(value / FINE)

    def _on_mode(self, mode: str) -> None:
        self._buttons[mode].setChecked(True)
        self._note.setVisible(mode == GRID)
        self._wipe.setVisible(mode == WIPE)
        self._sync()

    def _on_tick(self) -> None:
        ready = self._bench.session.content is not None
        for button in self._buttons.values():
            if button.isEnabled() != ready:
                button.setEnabled(ready)

    def _sync(self) -> None:
        """Show which masks are wiped, and where the line is."""
        wipe = self._views.wipe
        if not wipe.active:
            return
        choices = wipe.choices()
        for side, box in self._sides.items():
            titles = [self._bench.layers.title(one) for one in choices]
            if titles != [box.itemText(place) for place in range(box.count())]:
                box.clear()
                for one, title in zip(choices, titles, strict=True):
                    box.addItem(title, one)
            box.setCurrentIndex(choices.index(wipe.side(side)))
        self._slider.blockSignals(True)
        self._slider.setValue(round(FINE * wipe.share))
        self._slider.blockSignals(False)
