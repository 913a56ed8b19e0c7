"""A sentence with a coloured mark, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy

from napari_threestage.widgets.controls import SPACE, column, note, row

if TYPE_CHECKING:
    from qtpy.QtWidgets import QPushButton, QWidget

# Told apart by the sign as well.
MARKS = {
    "yes": ("✓", "#3fa045"),
    "no": ("✕", "#d9534f"),
    "unclear": ("?", "#e0912f"),
    "unknown": ("–", "#808690"),
    "warning": ("!", "#e0912f"),
}


class Statement(QFrame):
    """Stays until it is replaced.

    Parameters
    ----------
    name
        Of the text.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mark = QLabel()
        self.mark.setFixedSize(QSize(20, 20))
        self.mark.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = QLabel()
        self.text.setObjectName(name)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.advice = note()
        self.advice.setTextFormat(Qt.TextFormat.PlainText)
        self._texts = column(self.text, self.advice)
        layout = row(self.mark)
        layout.addLayout(self._texts, 1)
        layout.setContentsMargins(SPACE, SPACE, SPACE, SPACE)
        layout.setAlignment(self.mark, Qt.AlignmentFlag.AlignTop)
        self.setLayout(layout)

    def say(self, kind: str, text: str, advice: str = "", hint: str = "") -> None:
        """Show a sentence of a kind, one of `MARKS`; `hint` is the tooltip."""
        sign, name = MARKS.get(kind, MARKS["unknown"])
        colour = QColor(name)
        fill = f"rgba({colour.red()},{colour.green()},{colour.blue()},40)"
        self.setStyleSheet(f"Statement{{background:{fill};border-left:3px solid {name}}}")
        self.mark.setText(sign)
        self.mark.setStyleSheet(
            f"background:{name};color:white;border-radius:10px;font-weight:bold"
        )
        self.mark.setAccessibleName(kind)
        self.text.setText(text)
        self.advice.setText(advice)
        self.advice.setVisible(bool(advice))
        self.setToolTip(hint)

    def offer(self, button: QPushButton) -> None:
        """Put a button below the sentence."""
        line = row(button, 1)
        self._texts.addLayout(line)
