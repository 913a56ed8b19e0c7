"""A line of text that is shortened where it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent


class ElidedLabel(QLabel):
    """One line; the tooltip has all of it.

    Parameters
    ----------
    mode
        Which end is left out.
    """

    def __init__(
        self,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._mode, self._full = mode, ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def full_text(self) -> str:
        """All of the text."""
        return self._full

    def setText(self, text: str | None) -> None:
        """Show a text, as much of it as fits."""
        self._full = text or ""
        self.setToolTip(self._full)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """Return the height alone."""
        return QSize(20, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the text anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        fitted = self.fontMetrics().elidedText(self._full, self._mode, max(20, self.width()))
        super().setText(fitted)
