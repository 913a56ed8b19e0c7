"""The part Export: the segmenter as a file, applied to other images, and masks as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_threestage.widgets.apply_box import ApplyBox
from napari_threestage.widgets.command_box import Turns
from napari_threestage.widgets.controls import column, line, scrolled
from napari_threestage.widgets.disclosure import Disclosure
from napari_threestage.widgets.export_masks_box import ExportMasksBox
from napari_threestage.widgets.export_model import ExportModelBox
from napari_threestage.widgets.run_choice import WayBack
from napari_threestage.widgets.stage_choice import StageChoice

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench


class ExportPart(QWidget):
    """A stage of a run, and what can be made of it."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        session = bench.session
        turns = Turns(self)
        self.stages = StageChoice(session)
        self.model = ExportModelBox(session, self.stages, turns, bench)
        self.apply = ApplyBox(bench, self.stages, turns)
        self.masks = ExportMasksBox(session, self.stages, turns, bench)
        groups = [
            _group("Segmenter", "The network as one file", "export_group", self.model),
            _group("Apply", "Segment a layer or files", "apply_group", self.apply),
            _group("Masks", "Those of this project as files", "masks_group", self.masks),
        ]
        self.setLayout(
            column(
                scrolled(
                    column(
                        self.stages,
                        WayBack(session),
                        line(),
                        groups[0],
                        line(),
                        groups[1],
                        line(),
                        groups[2],
                        1,
                        margins=6,
                    )
                )
            )
        )

    def end(self) -> None:
        """End what goes on: the dock is going."""
        for one in (self.model.box, self.apply, self.masks.box):
            one.drop()


def _group(title: str, tooltip: str, name: str, body: QWidget) -> Disclosure:
    group = Disclosure(title, tooltip, lambda: body)
    group.button.setObjectName(name)
    group.open()
    return group
