"""Rows of a form: a name, and a field that takes the room beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from napari_threestage.widgets.controls import SPACE, button, row

if TYPE_CHECKING:
    from collections.abc import Callable

CAPTION_WIDTH = 84
BROWSE_WIDTH = 34
# napari's themes leave fields of several lines without a look.
FIELD_STYLE = "QPlainTextEdit{background:rgba(128,134,142,70);border:none;border-radius:2px}"


def form(*rows: tuple[str, QWidget] | QWidget) -> QFormLayout:
    """Return fields below each other, each with its name; a widget alone takes the whole width.

    Notes go between forms, not into them: a note that becomes higher is cut off there.
    """
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for entry in rows:
        if isinstance(entry, tuple):
            label = QLabel(entry[0])
            label.setMinimumWidth(CAPTION_WIDTH)
            layout.addRow(label, entry[1])
        else:
            layout.addRow(entry)
    return layout


def text_field(name: str, tooltip: str, placeholder: str = "") -> QLineEdit:
    """Return a line to write into."""
    field = QLineEdit()
    field.setObjectName(name)
    field.setToolTip(tooltip)
    field.setPlaceholderText(placeholder)
    field.setMinimumWidth(60)
    field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return field


class PathField(QWidget):
    """A file or folder: a line to write into, and a button that asks.

    Parameters
    ----------
    ask
        Asks a person, beginning at a path; returns an empty text when nothing was chosen.
    """

    def __init__(
        self,
        name: str,
        tooltip: str,
        ask: Callable[[str], str],
        placeholder: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._ask = ask
        self.line = text_field(name, tooltip, placeholder)
        self.line.textChanged.connect(lambda text: self.line.setToolTip(text or tooltip))
        browse = button("…", "Choose", self._browse)
        browse.setFixedWidth(BROWSE_WIDTH)
        browse.setObjectName(f"{name}_browse")
        self.setLayout(row(self.line, browse, stretch=0))

    @property
    def path(self) -> Path | None:
        """What stands there; None for nothing."""
        text = self.line.text().strip()
        return Path(text).expanduser().absolute() if text else None

    def set_path(self, path: Path | None) -> None:
        """Write a path."""
        self.line.setText("" if path is None else str(path))

    def _browse(self) -> None:
        chosen = self._ask(str(self.path or Path.home()))
        if chosen:
            self.line.setText(chosen)
