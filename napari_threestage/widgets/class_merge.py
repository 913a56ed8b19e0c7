"""Asks which class another one becomes part of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QLabel, QWidget

from napari_threestage.widgets.controls import column, note, swatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.project import LabelClass

MOST_SHOWN = 12  # classes that the list shows before it scrolls


class MergeDialog(QDialog):
    """A choice of the other classes.

    Parameters
    ----------
    merged
        The class that becomes part of another.
    others
        The classes to choose from.
    pixels
        A sentence about the pixels of `merged`.
    """

    def __init__(
        self,
        merged: LabelClass,
        others: Sequence[LabelClass],
        pixels: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Merge classes")
        self.setMinimumWidth(320)
        self._choice = QComboBox()
        self._choice.setObjectName("merge_into")
        self._choice.setMaxVisibleItems(MOST_SHOWN)
        self._choice.setToolTip("The class that stays")
        for entry in others:
            self._choice.addItem(swatch(entry.color), entry.name, entry.id)
        title = QLabel(f"Merge '{merged.name}' into")
        title.setWordWrap(True)
        text = note(
            f"{pixels} They will mean the other class. The undo button below the classes "
            "brings both classes and their pixels back."
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        merge = buttons.addButton("Merge", QDialogButtonBox.ButtonRole.AcceptRole)
        merge.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.setLayout(column(title, self._choice, text, buttons, margins=12))

    @property
    def into(self) -> int:
        """Id of the class that stays."""
        return int(self._choice.currentData())
