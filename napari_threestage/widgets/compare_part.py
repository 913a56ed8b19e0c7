"""The part Compare: the masks of the shown image, and what the numbers of all images say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

from napari_threestage.widgets.change_box import ChangeBox
from napari_threestage.widgets.change_view import NOTHING
from napari_threestage.widgets.command_box import Turns
from napari_threestage.widgets.confidence_box import ConfidenceBox
from napari_threestage.widgets.controls import column, line, scrolled
from napari_threestage.widgets.cursor_box import CursorBox
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.mask_boxes import MaskBoxes
from napari_threestage.widgets.report_box import ReportBox
from napari_threestage.widgets.results_view import ResultsView
from napari_threestage.widgets.run_choice import RunChoice, WayBack
from napari_threestage.widgets.second_choice import SecondChoice
from napari_threestage.widgets.view_box import ViewBox

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench

MARGIN = 6


class ComparePart(QWidget):
    """Which masks are shown, how, and what they say."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self.cursor = CursorBox(bench)
        self._changes = Disclosure(
            "Changes", "What became of each pixel from stage to stage (G)", lambda: ChangeBox(bench)
        )
        self._changes.button.setObjectName("changes_group")
        self._results = ResultsView(bench)
        self._report = Disclosure(
            "Report", "All of it as one file for a browser", lambda: self._make_report()
        )
        self._report.button.setObjectName("report_group")
        self._tabs, self._pages = QTabBar(), QStackedWidget()
        self._tabs.setObjectName("compare_pages")
        self._tabs.setExpanding(True)
        self._tabs.setDrawBase(False)
        for title, tooltip, page in (
            ("This image", "The masks of the image that is shown", self._of_image()),
            ("All images", "Did the stages help, and where did they not?", self._of_all()),
        ):
            self._tabs.setTabToolTip(self._tabs.addTab(title), tooltip)
            self._pages.addWidget(scrolled(page))
        self._tabs.currentChanged.connect(self._pages.setCurrentIndex)
        self.setLayout(
            column(
                RunChoice(bench.session),
                WayBack(bench.session),
                SecondChoice(bench.session),
                self._tabs,
                self._pages,
                margins=MARGIN,
            )
        )
        listen(self, (bench.changes.changed, self._on_changes))

    def end(self) -> None:
        """End what goes on: the dock is going."""
        self._results.end()
        if isinstance(self._report.body, ReportBox):
            self._report.body.box.drop()

    def _make_report(self) -> ReportBox:
        return ReportBox(self._bench.session, Turns(self), self._bench)

    def _of_all(self) -> QVBoxLayout:
        return column(self._results, line(), self._report, 1)

    def _of_image(self) -> QVBoxLayout:
        return column(
            MaskBoxes(self._bench),
            ViewBox(self._bench),
            line(),
            self._changes,
            ConfidenceBox(self._bench),
            line(),
            self.cursor,
            1,
        )

    def _on_changes(self) -> None:
        """Show the legend of what was chosen by key."""
        if self._bench.changes.comparison != NOTHING:
            self._changes.open()
