"""The part Compare over the layers of a viewer without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari_helpers import make_project
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton
from run_helpers import make_run

from napari_threestage.widgets.change_view import ChangeView
from napari_threestage.widgets.compare_columns import Column
from napari_threestage.widgets.compare_part import ComparePart
from napari_threestage.widgets.cursor_box import CursorBox
from napari_threestage.widgets.layer_data import Channel
from napari_threestage.widgets.layers import ProjectLayers
from napari_threestage.widgets.session import Session
from napari_threestage.widgets.view_modes import ViewModes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.widgets.content import ImageContent

pytestmark = pytest.mark.gui


class Bench(QObject):
    """What Compare needs of the workbench; its background works at once."""

    ticked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.slow: list[Callable[[], None]] | None = None  # work that waits
        self.viewer = ViewerModel()
        self.layers = ProjectLayers(self.viewer)
        self.session = Session(self._work)
        self.session.image_shown.connect(self._show)
        self.session.masks_read.connect(self.layers.show_masks)
        self.views = ViewModes(self.viewer, self.session, self.layers)
        self.changes = ChangeView(self.session, self.layers, self.views)

    def _work(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None] = lambda result: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        if self.slow is None:
            done(work())
        else:
            self.slow.append(lambda: done(work()))

    def finish(self) -> None:
        """Do all the work that waits."""
        slow, self.slow = self.slow or [], None
        for work in slow:
            work()

    def _show(self, content: ImageContent | None) -> None:
        if content is None or self.session.project is None:
            self.layers.blank()
        else:
            self.layers.show(content, self.session.project.classes, editable=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def bench(qtbot: Any, project: Project) -> Iterator[Bench]:
    bench = Bench()
    assert bench.session.open(project.path)
    yield bench
    assert bench.session.close()


def with_masks(project: Project, stages: int, images: int = 2) -> Run:
    """A run with masks of some images, as confident as the image is far down the list."""
    run = make_run(project)
    for stage in range(1, stages + 1):
        for place, image_id in enumerate(list(project.images)[:images], 1):
            mask = np.full((64, 64), 2, np.uint8)
            run.write_mask(stage, image_id, mask, np.full((64, 64), 51 * place, np.uint8), "yx")
    return run


def show(bench: Bench, qtbot: Any) -> ComparePart:
    part = ComparePart(bench)
    qtbot.addWidget(part)
    part.resize(340, 600)
    part.show()
    return part


def test_the_confidence_that_was_chosen_is_shown_of_the_next_image_too(
    bench: Bench, project: Project, qtbot: Any
) -> None:
    bench.session.runs.follow(with_masks(project, stages=2))
    part = show(bench, qtbot)
    box = part.findChild(QComboBox, "confidence")
    box.setCurrentIndex(2)
    box.activated.emit(2)
    assert (bench.layers.find("confidence", 2).data == 51).all()
    first, second, third, _ = project.images
    bench.session.show(second)
    bench.ticked.emit()
    assert box.currentText() == "Stage 2"
    assert (bench.layers.find("confidence", 2).data == 102).all()
    said = part.cursor.describe((5.0, 5.0))
    assert "20 %" not in said and "40 %" in said

    bench.session.show(third)  # has no masks
    bench.ticked.emit()
    assert bench.layers.find("confidence", 2) is None
    bench.session.show(first)
    bench.ticked.emit()
    assert box.currentText() == "Stage 2"
    assert (bench.layers.find("confidence", 2).data == 51).all()
    box.setCurrentIndex(0)
    box.activated.emit(0)
    bench.session.show(second)
    assert bench.layers.find("confidence", 2) is None


def test_confidence_that_arrives_late_is_not_shown_of_another_run(
    bench: Bench, project: Project, qtbot: Any
) -> None:
    full, short = with_masks(project, 2), with_masks(project, 1)
    bench.session.runs.follow(full)
    part = show(bench, qtbot)
    box = part.findChild(QComboBox, "confidence")
    bench.ticked.emit()
    bench.slow = []
    box.setCurrentIndex(2)
    box.activated.emit(2)
    late, bench.slow = bench.slow, None
    bench.session.runs.follow(short)
    bench.slow = late
    bench.finish()
    assert bench.layers.columns == [Column("stage", 1)]
    assert bench.layers.confidence(Column("stage", 2)) is None


def test_a_resting_cursor_tells_of_the_next_image_once_its_confidence_is_there(
    bench: Bench, project: Project, qtbot: Any
) -> None:
    bench.session.runs.follow(with_masks(project, 1))
    part = show(bench, qtbot)
    bench.ticked.emit()
    box = part.findChild(QComboBox, "confidence")
    box.setCurrentIndex(1)
    box.activated.emit(1)
    bench.viewer.cursor.position = (5.0, 5.0)

    def told() -> str:
        bench.ticked.emit()
        return str(part.findChild(CursorBox).findChildren(QLabel)[-1].text())

    assert "20 %" in told()
    bench.slow = []
    second = list(project.images)[1]
    bench.session.show(second)
    waiting, bench.slow = bench.slow, []
    for work in waiting:  # the image, and then what is asked for with it
        work()
    assert bench.session.image_id == second
    assert "Stage 1" in told() and "%" not in told()
    bench.finish()
    assert "40 %" in told()


def test_a_deleted_class_under_the_cursor_is_nothing(
    bench: Bench, project: Project, qtbot: Any
) -> None:
    bench.session.runs.follow(with_masks(project, stages=1))
    part = show(bench, qtbot)
    assert "cell" in part.cursor.describe((5.0, 5.0))
    bench.session.content.masks[1][:] = 9
    assert "Stage 1: –" in part.cursor.describe((5.0, 5.0))


def test_another_run_is_chosen_and_the_one_that_trains_found_again(
    bench: Bench, project: Project, qtbot: Any
) -> None:
    earlier, going = with_masks(project, stages=1), make_run(project, alive=True)
    bench.session.runs.follow(going)
    part = show(bench, qtbot)
    box = part.findChild(QComboBox, "run_choice")
    back = part.findChild(QPushButton, "show_going_run")
    assert box.count() == 2 and "running" in box.currentText() and not back.isVisible()
    box.setCurrentIndex(1)
    box.activated.emit(1)
    assert bench.session.runs.run.id == earlier.id and bench.session.runs.active
    bench.ticked.emit()
    assert part.findChild(QCheckBox, "show_stage_1").isChecked()
    assert back.isVisible()
    back.click()
    assert bench.session.runs.run.id == going.id and not back.isVisible()
    assert "running" in box.currentText()


def test_channels_of_a_large_image_are_what_napari_takes_as_a_pyramid() -> None:
    levels = [np.full((2, side, side), (side,), np.uint8) for side in (64, 32)]
    layer = ViewerModel().add_image([Channel(level, 0, 1) for level in levels], multiscale=True)
    assert layer.multiscale and [level.shape for level in layer.data] == [(64, 64), (32, 32)]
