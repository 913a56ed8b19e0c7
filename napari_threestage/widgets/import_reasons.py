"""The files that an import leaves out, each with its reason, below a title that opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPlainTextEdit, QWidget

from napari_threestage.widgets.controls import column, row, small_button
from napari_threestage.widgets.import_choice import for_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_FILES = 500  # listed with a reason


class ImportReasons(QWidget):
    """Out of sight as long as there is no such file."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = ""
        self._more = small_button("", "Files that are not imported, and why", self._toggle)
        self._more.setObjectName("import_more")
        self._more.setMinimumWidth(0)
        self._more.setMaximumWidth(16777215)
        self._more.setAutoRaise(True)
        self._files = QPlainTextEdit()
        self._files.setObjectName("import_files")
        self._files.setReadOnly(True)
        self._files.setFixedHeight(84)
        self._files.hide()
        self.setLayout(column(row(self._more, 1), self._files))
        self.hide()

    def show_files(
        self, files: Sequence[Mapping[str, str]], what: str = "", *, opened: bool = False
    ) -> None:
        """List files.

        Parameters
        ----------
        files
            Each with a ``file`` and a ``reason``.
        what
            What became of them; that they are not used if empty.
        opened
            Open the list; otherwise it stays as it is.
        """
        lines = [f"{one['file']}: {for_window(one['reason'])}" for one in files[:MOST_FILES]]
        if len(files) > MOST_FILES:
            lines.append(f"… and {len(files) - MOST_FILES:,} more")
        self._files.setPlainText("\n".join(lines))
        one = len(files) == 1
        what = what or f"{'is' if one else 'are'} not used"
        self._title = f"{len(files):,} file{'' if one else 's'} {what}"
        self._open(bool(files) and (opened or not self._files.isHidden()))
        self.setVisible(bool(files))

    def _toggle(self) -> None:
        self._open(self._files.isHidden())

    def _open(self, opened: bool) -> None:
        self._files.setVisible(opened)
        self._more.setText(f"{'▾' if opened else '▸'} {self._title}")
