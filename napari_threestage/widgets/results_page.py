"""A page of results: what it is about, a picture, its table, and a button that saves them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_threestage.files import safe_name
from napari_threestage.result_figures import Look, new_figure, write_figure, write_rows
from napari_threestage.results_pages import Page
from napari_threestage.widgets.controls import button, column, note, row
from napari_threestage.widgets.results_plots import Picture
from napari_threestage.widgets.results_table import ResultsTable

if TYPE_CHECKING:
    from napari_threestage.widgets.session import Session

FIGURE_WIDTH = 6.0  # inches, in a file
PICTURES = {".png": "Picture (*.png)", ".svg": "Drawing (*.svg)"}
TABLES = {".csv": "Table (*.csv)"}


class PageView(QWidget):
    """Shows one page at a time.

    Parameters
    ----------
    name
        Begins the names of the controls.
    """

    def __init__(self, session: Session, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.page = Page("", "")
        self._note = note()
        self._note.setObjectName(f"{name}_note")
        self._note.setTextFormat(Qt.TextFormat.PlainText)
        self.picture = Picture(session, f"{name}_picture")
        self.table = ResultsTable(f"{name}_table")
        self._save = button("Save …", "", self._choose_file)
        self._save.setObjectName(f"{name}_save")
        self.setLayout(column(self._note, self.picture, self.table, row(1, self._save)))

    def show_page(self, page: Page) -> None:
        """Show another page."""
        self.page = page
        self._note.setText(page.note)
        self.picture.show_figure(page.draw, page.note)
        self.table.setVisible(page.table is not None)
        if page.table is not None:
            self.table.setAccessibleName(page.note)
            self.table.show_table(page.table)
        self._save.setVisible(page.numbers is not None)
        kinds = "PNG, SVG or CSV" if page.draw is not None else "CSV"
        self._save.setToolTip(f"Save what is shown as {kinds}")

    def save(self, path: Path) -> None:
        """Write the picture or the numbers, in the format that the name ends with."""
        page, session = self.page, self._session

        def write() -> None:
            if path.suffix.lower() in TABLES and page.numbers is not None:
                write_rows(path, page.numbers())
            elif page.draw is not None:
                figure = new_figure(FIGURE_WIDTH)
                page.draw(figure, Look())
                write_figure(figure, path)

        session.background(write, lambda result: session.say(f"Saved {path}."), session.fail)

    def _choose_file(self) -> None:
        kinds = PICTURES | TABLES if self.page.draw is not None else TABLES
        run = self._session.runs.run
        name = f"{safe_name(run.id)}-" if run is not None else ""
        name += safe_name(self.page.name) + next(iter(kinds))
        chosen, kind = QFileDialog.getSaveFileName(self, "Save", name, ";;".join(kinds.values()))
        if chosen:
            path = Path(chosen)
            if path.suffix.lower() not in kinds:
                ending = next(
                    (end for end, text in kinds.items() if text == kind), next(iter(kinds))
                )
                path = path.with_name(path.name + ending)
            self.save(path)
