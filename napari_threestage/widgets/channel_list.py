"""A choice of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_HEIGHT = 20
MOST_ROWS = 4


class ChannelList(QListWidget):
    """Channels with a tick for those to use."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("channels")
        self.setToolTip("Channels that training and prediction use; Space ticks one")
        self.itemChanged.connect(self._tell)
        self.setUniformItemSizes(True)

    @property
    def chosen(self) -> list[int]:
        """Numbers of the ticked channels, from 0."""
        items = [self.item(at) for at in range(self.count())]
        return [
            at
            for at, item in enumerate(items)
            if item is not None and item.checkState() == Qt.CheckState.Checked
        ]

    def offer(self, names: Sequence[str], chosen: Sequence[int]) -> None:
        """Show channels, some of them ticked."""
        self.blockSignals(True)
        self.clear()
        for number, name in enumerate(names):
            plain = name in ("", f"channel {number + 1}", f"channel {number}")
            item = QListWidgetItem(f"{number}" if plain else f"{number}: {name}")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            ticked = Qt.CheckState.Checked if number in chosen else Qt.CheckState.Unchecked
            item.setCheckState(ticked)
            self.addItem(item)
        self.blockSignals(False)
        height = max(ROW_HEIGHT, self.sizeHintForRow(0)) * min(max(1, len(names)), MOST_ROWS)
        self.setFixedHeight(height + 2 * self.frameWidth() + 2)

    def _tell(self, item: QListWidgetItem) -> None:
        self.changed.emit()
