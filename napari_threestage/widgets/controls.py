"""The pieces that all parts of the dock are made of, so that they look and read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPACE = 6
SWATCH = 14
# Red, amber and blue that are told apart on the dark and on the light theme.
LEVEL_COLOURS = {"error": "#d9534f", "warning": "#e0912f", "info": "#3f8fd2"}
LEVEL_MARKS = {"error": "✕", "warning": "!", "info": "i"}


def button(
    text: str, tooltip: str, action: Callable[[], object], *, main: bool = False
) -> QPushButton:
    """Return a button; `main` marks the one that a part is about."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.clicked.connect(lambda: action())
    made.setMinimumHeight(26)
    if main:
        made.setStyleSheet(
            "QPushButton{background-color:#2f7fc1;color:white;font-weight:bold}"
            "QPushButton:hover{background-color:#3f8fd2}"
            "QPushButton:disabled{background-color:rgba(128,128,128,60);color:gray}"
        )
    return made


def small_button(text: str, tooltip: str, action: Callable[[], object]) -> QToolButton:
    """Return a button for a sign such as + or ▲."""
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tooltip)
    made.setFixedSize(26, 24)
    made.clicked.connect(lambda: action())
    return made


def row(*widgets: QWidget | int, stretch: int | None = None) -> QHBoxLayout:
    """Return widgets beside each other; a number is a stretch, `stretch` the widest one's place."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for widget in widgets:
        if isinstance(widget, int):
            layout.addStretch(widget)
        else:
            layout.addWidget(widget)
    if stretch is not None:
        layout.setStretch(stretch, 1)
    return layout


def column(*items: QWidget | QLayout | int, margins: int = 0) -> QVBoxLayout:
    """Return widgets and layouts below each other; a number is a stretch."""
    layout = QVBoxLayout()
    layout.setContentsMargins(margins, margins, margins, margins)
    layout.setSpacing(SPACE)
    for item in items:
        if isinstance(item, int):
            layout.addStretch(item)
        elif isinstance(item, QLayout):
            layout.addLayout(item)
        else:
            layout.addWidget(item)
    return layout


def heading(text: str) -> QLabel:
    """Return the title of a group of controls."""
    label = QLabel(text)
    label.setStyleSheet("font-weight:bold;padding-top:4px")
    return label


def caption(text: str) -> QLabel:
    """Return the name of the control beside it."""
    label = QLabel(text)
    label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
    return label


def note(text: str = "") -> QLabel:
    """Return a sentence that wraps and steps back behind the controls."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setStyleSheet("color:rgba(128,134,142,255)")
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def line() -> QFrame:
    """Return a thin line between two groups."""
    made = QFrame()
    made.setFixedHeight(1)
    made.setStyleSheet("background:rgba(128,128,128,90)")
    return made


def scrolled(layout: QLayout) -> QScrollArea:
    """Return a layout that scrolls up and down where the window is too low."""
    inner = QWidget()
    inner.setLayout(layout)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inner)
    return area


def swatch(colour: Sequence[int], size: int = SWATCH) -> QIcon:
    """Return a small field of a class's colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(*colour))
    painter.setPen(QColor(128, 128, 128, 160))
    painter.drawRoundedRect(1, 1, size - 2, size - 2, 3, 3)
    painter.end()
    return QIcon(pixmap)


def is_dark(widget: QWidget) -> bool:
    """Whether a widget is shown light on dark."""
    return bool(widget.palette().color(QPalette.ColorRole.Window).lightness() < 128)


def confirm(parent: QWidget, title: str, text: str, yes: str) -> bool:
    """Ask before something that cannot be overlooked; `yes` is the text of the button."""
    box = QMessageBox(QMessageBox.Icon.Warning, title, text, parent=parent)
    agree = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.exec()
    return box.clickedButton() is agree


class Banner(QFrame):
    """A sentence in its place, with what to do about it; stays until it is closed or replaced."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mark = QLabel()
        self._mark.setFixedSize(QSize(20, 20))
        self._mark.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        close = small_button("✕", "Close this message", self.hide)
        close.setFixedSize(20, 20)
        close.setAutoRaise(True)
        layout = row(self._mark, self._text, close, stretch=1)
        layout.setContentsMargins(SPACE, SPACE, SPACE, SPACE)
        for widget in (self._mark, close):
            layout.setAlignment(widget, Qt.AlignmentFlag.AlignTop)
        self.setLayout(layout)
        self.hide()

    @property
    def text(self) -> str:
        """What is said."""
        return self._text.text()

    def say(self, level: str, text: str, hint: str = "") -> None:
        """Show a sentence, and below it what to do."""
        colour = QColor(LEVEL_COLOURS.get(level, LEVEL_COLOURS["info"]))
        fill = f"rgba({colour.red()},{colour.green()},{colour.blue()},45)"
        self.setStyleSheet(f"Banner{{background:{fill};border-left:3px solid {colour.name()}}}")
        self._mark.setText(LEVEL_MARKS.get(level, "i"))
        self._mark.setStyleSheet(
            f"background:{colour.name()};color:white;border-radius:10px;font-weight:bold"
        )
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setText(f"{text}\n{hint}" if hint else text)
        self.show()
