"""Compare in a real napari window: masks over each other, side by side, wiped; changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari_helpers import make_project
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QComboBox, QLabel, QSlider, QWidget
from run_helpers import make_run

from napari_threestage.compare import changes
from napari_threestage.events import Predicted
from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.store import ImageArray
from napari_threestage.widgets.compare_columns import Column
from napari_threestage.widgets.view_modes import GRID, OVERLAY, WIPE

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui

LEFT = Qt.MouseButton.LeftButton
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier


def run_with_masks(project: Project, seed: int, stages: int = 3) -> Run:
    """A run with random masks of all images, no two alike."""
    run, rng = make_run(project), np.random.default_rng(seed)
    for stage in range(1, stages + 1):
        for image_id, record in project.images.items():
            write_mask(run, stage, image_id, rng.integers(1, 3, record.label_shape))
    return run


def write_mask(run: Run, stage: int, image_id: str, mask: np.ndarray) -> None:
    mask = mask.astype(np.uint8)
    run.write_mask(stage, image_id, mask, mask * 100, "zyx"[-mask.ndim :])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", images=3)


def look(person: Any, project: Project, run: Run) -> list[str]:
    """Open a project in Compare and look at the masks of a run."""
    person.open(project.path)
    person.dock.open_tab("Compare")
    person.session.runs.follow(run)
    person.wait(lambda: person.session.content.run == run.id)
    person.wait(lambda: person.bench.layers.stages == [1, 2, 3])
    return list(project.images)


def turn(person: Any, image_id: str) -> None:
    person.key(Qt.Key.Key_N)
    person.wait_for_image(image_id)


def compare_with(person: Any, run: Run) -> None:
    """Choose a second run in the dock."""
    box = person.find("second_run", QComboBox)
    person.wait(lambda: box.findData(run.id) > 0)
    box.setCurrentIndex(box.findData(run.id))
    box.activated.emit(box.currentIndex())
    count = len(run.finished_stages()) or 3
    person.wait(lambda: len(person.bench.layers.columns) == 3 + count)


def cells(person: Any) -> list[list[Any]]:
    """The visible layers in each cell of the grid."""
    layers = person.viewer.layers
    found = person.viewer.canvas.grid.iter_viewboxes(layers)
    return [[layers[place] for place in places if layers[place].visible] for _, places in found]


def settled(person: Any) -> Any:
    """Wait until the grid shows what it is to show."""
    grid = person.bench.views.grid
    person.wait(lambda: grid.shown and not grid.busy)
    return grid


def test_keys_flip_through_the_masks_of_both_runs(person: Any, project: Project) -> None:
    first, second = run_with_masks(project, 1), run_with_masks(project, 2)
    images = look(person, project, first)
    compare_with(person, second)
    layers = person.bench.layers
    everything = [Column(role, stage) for role in ("stage", "second") for stage in (1, 2, 3)]
    assert layers.columns == everything
    assert [one for one in everything if layers.find(*one).visible] == [Column("stage", 3)]
    for one in (*everything[3:], None, everything[0]):
        person.key(Qt.Key.Key_Q)
        assert [it for it in everything if layers.find(*it).visible] == ([one] if one else [])
    person.key(Qt.Key.Key_Q, SHIFT)
    assert not any(layers.find(*one).visible for one in everything)

    turn(person, images[1])
    for one, run in zip(everything, [first] * 3 + [second] * 3, strict=True):
        mask = run.read_mask(one.stage, images[1])
        np.testing.assert_array_equal(layers.find(*one).data, mask)
    assert second.id[-11:] in layers.find("second", 2).name
    person.wait(lambda: person.find("show_second_2").isVisible())
    person.click("show_second_2")
    assert layers.find("second", 2).visible
    assert person.dock.findChild(QWidget, "second_name").full_text == second.id


def test_masks_of_a_second_run_come_while_it_trains(person: Any, project: Project) -> None:
    first, second = run_with_masks(project, 1), make_run(project, alive=True)
    images = look(person, project, first)
    person.session.second.compare_with(second)
    assert person.bench.layers.columns == [Column("stage", stage) for stage in (1, 2, 3)]
    mask = np.full((64, 64), 2)
    write_mask(second, 1, images[0], mask)
    second.record(Predicted(stage=1, image=images[0], done=1, total=3))
    person.wait(lambda: Column("second", 1) in person.bench.layers.columns)
    np.testing.assert_array_equal(person.bench.layers.find("second", 1).data, mask)
    assert person.session.runs.run.id == first.id
    second.leave_process()


def test_side_by_side_each_mask_has_a_cell_and_all_is_as_before_afterwards(
    person: Any, project: Project
) -> None:
    images = look(person, project, run_with_masks(project, 1))
    viewer, layers = person.viewer, person.bench.layers
    points = viewer.add_points(np.array([[5, 5]]), name="somebody's")
    viewer.layers.move(viewer.layers.index(points), 1)
    viewer.layers[0].name_overlay.visible = True
    viewer.canvas.grid.stride, viewer.canvas.grid.spacing = 3, 0.1
    viewer.scene.camera.zoom *= 1.5
    person.bench.painter.start_painting()

    def state() -> list[Any]:
        camera = viewer.scene.camera
        shown = [(id(one), one.visible, one.name_overlay.visible) for one in viewer.layers]
        return [shown, viewer.canvas.grid.model_dump(), camera.center, camera.zoom]

    before = state()
    person.key(Qt.Key.Key_W)
    settled(person)
    assert person.bench.views.mode == GRID
    image = layers.find("image")
    masks = [layers.truth, *(layers.find("stage", stage) for stage in (1, 2, 3))]
    expected = [{"Image", mask.name} for mask in masks] + [{"somebody's"}]
    found = cells(person)
    assert [{one.name.split(" (")[0] for one in cell} for cell in found if cell] == expected
    for (pixels, mask), wanted in zip(found, masks, strict=False):
        assert pixels.data is image.data and mask is wanted and mask.name_overlay.visible
    pixels.contrast_limits = (3, 99)
    assert tuple(image.contrast_limits) == (3, 99)

    turn(person, images[1])  # stays side by side, with the pixels of this image
    settled(person)
    assert person.bench.views.mode == GRID and viewer.canvas.grid.enabled
    assert len([cell for cell in cells(person) if cell]) == 5
    assert all(cell[0].data is image.data for cell in cells(person)[:4])
    person.click("show_stage_2")
    settled(person)
    assert [cell[-1] for cell in cells(person)[:3]] == [masks[0], masks[1], masks[3]]

    layers.truth.brush_size = 6
    person.key(Qt.Key.Key_2, ALT)
    paint_in_cell(person, 0, 0, (20, 20), (20, 40))
    assert int(person.session.counts(images[1])[2]) > 60
    assert person.session.save()
    assert Project(project.path).label_counts(images[1])[2] > 60

    person.key(Qt.Key.Key_W, SHIFT)
    assert person.bench.views.mode == OVERLAY
    person.wait(lambda: len(viewer.layers) == len(before[0]))
    after = state()
    assert after == before


def paint_in_cell(person: Any, row: int, column: int, *places: tuple[float, float]) -> None:
    """Paint with the mouse through pixels of the image in a cell."""
    viewer, canvas = person.viewer, person.canvas
    height, width = viewer.canvas.viewbox_size(viewer.layers)
    space = viewer.canvas.grid.spacing
    camera = viewer.scene.camera
    points = []
    for place in places:
        down, right = (np.array(place) - camera.center[-2:]) * camera.zoom
        x, y = (column + 0.5) * width + column * space, (row + 0.5) * height + row * space
        points.append(QPoint(round(x + right), round(y + down)))
    person.qtbot.mouseMove(canvas, points[0])
    person.qtbot.mousePress(canvas, LEFT, pos=points[0])
    for point in points[1:]:
        person.qtbot.mouseMove(canvas, point)
        person.qtbot.wait(20)  # napari drops movements that follow each other faster
    person.qtbot.mouseRelease(canvas, LEFT, pos=points[-1])


def test_the_line_of_the_wipe_is_dragged_through_a_stack(person: Any, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", default_classes(["background", "cell"]))
    pixels = np.random.default_rng(0).integers(0, 4000, (1, 3, 40, 64), np.uint16)
    image = ImageArray(pixels, "czyx", {"z": 2.0, "y": 0.5, "x": 0.5})
    record, _ = project.add_image("stack", image)
    project.write_ground_truth(record.id, np.ones((3, 40, 64), np.uint8), "imported")
    project.save()
    look(person, project, run_with_masks(project, 1))
    views, layers, dims = person.bench.views, person.bench.layers, person.viewer.dims
    masks = person.session.content.masks
    before = [(layer.name, layer.visible) for layer in person.viewer.layers]
    person.click("view_wipe")
    wiped = layers.find("wipe")
    assert [layer.name for layer in person.viewer.layers if layer.visible] == ["Image", "Wipe"]
    line = person.canvas.findChild(QWidget, "wipe_line")
    assert line.isVisible() and line.cursor().shape() == Qt.CursorShape.SplitHCursor

    def expect(plane: int, column: int, left: Any, right: Any) -> None:
        shown = np.where(np.arange(64) < column, left, right)[plane]
        np.testing.assert_array_equal(wiped.data[plane], shown)

    plane = dims.current_step[0]
    expect(plane, 32, masks[1], masks[3])
    for column in (50, 7):
        at = person.on_canvas(0, 0.5 * column - 0.25).x()
        start = QPoint(line.width() // 2, 150)
        person.qtbot.mousePress(line, LEFT, pos=start)
        person.qtbot.mouseMove(line, QPoint(start.x() + at - line.geometry().center().x(), 150))
        person.qtbot.mouseRelease(line, LEFT, pos=QPoint(line.width() // 2, 150))
        expect(plane, column, masks[1], masks[3])
        assert abs(line.geometry().center().x() - at) <= 3
        assert person.find("wipe_place", QSlider).value() == round(1000 * views.wipe.share)
    dims.set_current_step(0, plane - 1)
    expect(plane - 1, 7, masks[1], masks[3])
    for side, column in (("left", "Image alone"), ("right", "Stage 2")):
        box = person.find(f"wipe_{side}", QComboBox)
        box.setCurrentText(column)
        box.activated.emit(box.currentIndex())
    person.find("wipe_place", QSlider).setValue(250)
    expect(plane - 1, 16, 0, masks[2])
    dims.order = (1, 0, 2)  # another axis is sliced
    row = dims.current_step[1]
    np.testing.assert_array_equal(wiped.data[:, row, 16:], masks[2][:, row, 16:])
    assert not wiped.data[:, row, :16].any()
    dims.order = (0, 1, 2)

    person.key(Qt.Key.Key_U)  # to paint, one has to see the ground truth
    assert views.mode == OVERLAY and layers.truth.mode == "paint" and layers.truth.visible
    left = [(one.name, one.visible) for one in person.viewer.layers if one.name != "Wipe"]
    assert left == before and not wiped.visible
    assert views.choose(WIPE) is None and wiped.visible
    assert person.session.close()  # and with the project, all is gone
    assert views.mode == OVERLAY and not wiped.visible


@pytest.mark.parametrize("mode", [OVERLAY, GRID, WIPE])
def test_one_mask_is_seen_alone_in_every_view(clerk: Any, project: Project, mode: str) -> None:
    look(clerk, project, run_with_masks(project, 1))
    clerk.bench.views.choose(mode)
    clerk.bench.layers.show_alone(Column("stage", 2))
    layers = clerk.bench.layers
    assert [layers.find(*one).visible for one in layers.columns] == [False, True, False]
    assert clerk.bench.views.mode == (OVERLAY if mode == WIPE else mode)


def test_changes_are_those_of_the_masks_that_are_shown(clerk: Any, project: Project) -> None:
    first, second = run_with_masks(project, 1), run_with_masks(project, 2)
    images = look(clerk, project, first)
    compare_with(clerk, second)
    view, layers, session = clerk.bench.changes, clerk.bench.layers, clerk.session
    masks, others, truth = session.content.masks, session.content.second, layers.truth.data

    def expect(values: np.ndarray) -> None:
        clerk.wait(lambda: layers.find("changes") is not None)
        clerk.wait(lambda: np.array_equal(layers.find("changes").data, values), 10)

    visible = [one for one in clerk.viewer.layers if one.visible]
    view.cycle()
    expect(changes.changed_to(masks[1], masks[2]))
    assert [one.name for one in clerk.viewer.layers if one.visible] == ["Image", "Changes"]
    assert list(layers.find("changes").features["class"]) == ["not labelled", "background", "cell"]
    pairs, what = clerk.find("change_pair", QComboBox), clerk.find("change_what", QComboBox)
    for title, values in (
        ("Stage 2 → 3", changes.changed_to(masks[2], masks[3])),
        ("Stage 1 → 3 (first → last)", changes.changed_to(masks[1], masks[3])),
        (f"Stage 3 → {second.id}", changes.changed_to(masks[3], others[3])),
        ("All stages: where they disagree", changes.disagreement([masks[1], masks[2], masks[3]])),
        ("Stage 1 → 2", changes.changed_to(masks[1], masks[2])),
    ):
        pairs.setCurrentText(title)
        pairs.activated.emit(pairs.currentIndex())
        expect(values)
    for title, values in (
        ("Right or wrong", changes.judged(masks[1], masks[2], truth)),
        ("cell", changes.gained_lost(masks[1], masks[2], 2)),
    ):
        what.setCurrentText(title)
        what.activated.emit(what.currentIndex())
        expect(values)
        if title == "Right or wrong":  # judged anew while a person paints, who sees what it is
            clerk.bench.painter.start_painting()
            clerk.stroke((40, 40))
            expect(changes.judged(masks[1], masks[2], truth))
            assert layers.truth.visible and not np.array_equal(layers.find("changes").data, values)
            layers.truth.visible = False
    share = 100 * changes.changed(masks[1], masks[2]).mean()
    assert clerk.find("change_text", QLabel).text().startswith(f"{share:.1f} %")
    gained = 100 * (values == changes.Change.GAINED).mean()
    assert f"{gained:.1f} %" in clerk.find("change_legend", QLabel).text()

    clerk.session.show(images[1])
    clerk.wait_for_image(images[1])
    masks = session.content.masks
    expect(changes.gained_lost(masks[1], masks[2], 2))
    assert session.classes.edit(lambda table: table.add("edge"))
    assert session.classes.edit(lambda table: table.remove(2))  # the class that is shown is gone
    clerk.wait(lambda: session.content.masks[1].max() < 2)
    expect(np.zeros((64, 64), np.uint8))
    clerk.wait(lambda: what.currentText() == "What it became")
    session.second.compare_with(None)
    for _ in range(5):
        view.cycle()
    assert pairs.currentText() == "None" and layers.find("changes").visible is False
    assert [one for one in clerk.viewer.layers if one.visible] == visible
