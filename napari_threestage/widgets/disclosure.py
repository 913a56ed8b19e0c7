"""Parts that fold away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QToolButton, QWidget

from napari_threestage.widgets.controls import column

if TYPE_CHECKING:
    from collections.abc import Callable


class Disclosure(QWidget):
    """A title that opens and closes what is below it.

    Parameters
    ----------
    make
        Makes the body, when it is first opened.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, tooltip: str, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self._make = make
        self.body: QWidget | None = None
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setToolTip(tooltip)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setIconSize(QSize(10, 10))
        self.button.setStyleSheet("QToolButton{border:none;font-weight:bold;padding:3px 0}")
        self.button.toggled.connect(self._show)
        self._layout = column(self.button)
        self._layout.setSpacing(2)
        self.setLayout(self._layout)
        self._title = title
        self.set_title(title)

    @property
    def opened(self) -> bool:
        """Whether the body is shown."""
        return bool(self.button.isChecked())

    def open(self, opened: bool = True) -> None:
        """Show or hide the body."""
        self.button.setChecked(opened)

    def set_title(self, title: str) -> None:
        """Change the words beside the arrow."""
        self._title = title
        # A sign of the font follows the theme; the arrows of the style do not.
        self.button.setText(f"{'▾' if self.opened else '▸'}  {title}")

    def _show(self, opened: bool) -> None:
        if opened and self.body is None:
            self.body = self._make()
            self._layout.addWidget(self.body)
        if self.body is not None:
            self.body.setVisible(opened)
        self.set_title(self._title)
        self.toggled.emit(opened)
