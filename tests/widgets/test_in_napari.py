"""The whole loop in a real napari window, with real mouse and key events and real trainings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from napari_helpers import make_project, tiny_run
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLineEdit, QPushButton
from suspect_helpers import confidence, made_up_run

from napari_threestage import journal
from napari_threestage.project import Project
from napari_threestage.widgets.import_dialog import ImportDialog
from napari_threestage.widgets.layers import OURS
from napari_threestage.widgets.new_project import NewProjectDialog
from napari_threestage.widgets.workbench import Workbench, workbench

pytestmark = pytest.mark.gui

ALT, SHIFT = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def painting(person: Any, project: Project) -> Any:
    """Somebody with the brush over the second image, which has no labels."""
    person.open(project.path)
    person.key(Qt.Key.Key_N)
    person.wait_for_image(list(project.images)[1])
    person.key(Qt.Key.Key_U)
    person.bench.layers.truth.brush_size = 6
    return person


def counts_on_disk(path: Path, image_id: str) -> list[int]:
    return Project(path).label_counts(image_id).tolist()


def train(person: Any, **options: Any) -> None:
    runs = person.session.runs
    assert runs.start(tiny_run(**options))
    person.wait(lambda: not runs.active, 240)
    assert runs.state == "finished", runs.run and runs.run.log_text()


def test_a_stroke_is_on_disk_within_a_second(painting: Any, project: Project) -> None:
    image_id = list(project.images)[1]
    painting.key(Qt.Key.Key_2, ALT)
    assert painting.session.picked_class == 2
    painting.stroke((20, 20), (20, 40))
    painting.wait(lambda: painting.session.autosave.idle, 1)
    assert journal.entries(project.path, image_id)
    painted = int(painting.session.counts(image_id)[2])
    layer = painting.bench.layers.truth
    assert painted == int((layer.data == 2).sum()) > 100
    # The status bar names the class.
    assert "class: cell" in layer.get_status((20, 30), world=False)["value"]

    painting.key(Qt.Key.Key_N)  # leaving the image makes the strokes part of its label set
    painting.wait(lambda: not journal.entries(project.path, image_id))
    assert counts_on_disk(project.path, image_id)[2] == painted


def test_erasing_means_not_labelled_and_other_labels_cannot_be_painted(painting: Any) -> None:
    painting.key(Qt.Key.Key_1, ALT)
    painting.stroke((30, 10), (30, 50))
    painted = int(painting.session.counts(painting.session.image_id)[1])
    painting.key(Qt.Key.Key_0, ALT)
    painting.stroke((30, 10), (30, 50))
    assert painted > 0
    assert painting.session.counts(painting.session.image_id)[1:].sum() == 0

    painting.key(Qt.Key.Key_1, ALT)
    layer = painting.bench.layers.truth
    layer.selected_label = 9
    assert layer.selected_label == painting.session.picked_class == 1
    assert "no class 9" in painting.dock.banner.text


def test_undo_and_redo_by_keys_and_buttons_are_saved_too(painting: Any, project: Project) -> None:
    session, image_id = painting.session, painting.session.image_id
    painting.key(Qt.Key.Key_2, ALT)
    painting.stroke((20, 20), (20, 40))
    painted = int(session.counts(image_id)[2])
    painting.key(Qt.Key.Key_Z, CONTROL)
    painting.wait(lambda: session.counts(image_id)[2] == 0)
    painting.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    painting.wait(lambda: session.counts(image_id)[2] == painted)
    assert session.save()
    assert counts_on_disk(project.path, image_id)[2] == painted > 0

    painting.dock.open_tab("Label")  # whose buttons work whatever layer is active
    painting.bench.layers.activate(painting.bench.layers.find("image"))
    painting.click("paint_undo")
    painting.wait(lambda: session.counts(image_id)[2] == 0)
    painting.click("paint_redo")
    painting.wait(lambda: session.counts(image_id)[2] == painted)


def test_strokes_of_one_image_are_not_undone_on_the_next(painting: Any, project: Project) -> None:
    first, second = list(project.images)[1:3]
    painting.key(Qt.Key.Key_2, ALT)
    painting.stroke((20, 20), (20, 40))
    painted = int(painting.session.counts(first)[2])
    painting.key(Qt.Key.Key_N)
    painting.wait_for_image(second)
    painting.key(Qt.Key.Key_Z, CONTROL)
    assert not painting.bench.layers.truth.data.any()
    painting.key(Qt.Key.Key_N, SHIFT)
    painting.wait_for_image(first)
    assert int((painting.bench.layers.truth.data == 2).sum()) == painted


def test_stacks_are_painted_on_the_plane_that_is_shown(person: Any, tmp_path: Path) -> None:
    from napari_threestage.project_file import default_classes
    from napari_threestage.store import ImageArray

    project = Project.create(tmp_path / "project", default_classes(["background", "cell"]))
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 3, 64, 64), np.uint16)
    project.add_image("stack", ImageArray(pixels, "czyx", {"z": 2.0}))
    project.save()
    person.open(project.path)
    roles = [layer.metadata[OURS]["role"] for layer in person.viewer.layers]
    assert roles == ["image", "image", "truth"]
    person.viewer.dims.set_current_step(0, 2)
    person.key(Qt.Key.Key_U)
    person.stroke((20, 20), (20, 40))
    truth = person.bench.layers.truth.data
    assert truth[2].any() and not truth[:2].any()


def test_the_whole_loop(person: Any, project: Project) -> None:
    """Train, watch the stages arrive, flip, take over, undo, and run again."""
    person.open(project.path)
    image_id = list(project.images)[1]
    person.session.show(image_id)
    person.wait_for_image(image_id)
    layers, runs = person.bench.layers, person.session.runs
    train(person)
    person.wait(lambda: layers.stages == [1, 2, 3])  # without a click
    first = runs.run.id
    visible = [stage for stage in layers.stages if layers.find("stage", stage).visible]
    assert visible == [3]
    assert layers.find("stage", 3).data.min() >= 1

    person.key(Qt.Key.Key_Q)
    assert not any(layers.find("stage", stage).visible for stage in layers.stages)
    person.key(Qt.Key.Key_Q)
    assert layers.find("stage", 1).visible and not layers.find("stage", 3).visible

    person.dock.open_tab("Label")
    person.key(Qt.Key.Key_U)
    person.key(Qt.Key.Key_2, ALT)
    person.stroke((20, 20), (20, 40))
    before = layers.truth.data.copy()
    person.click("take_over")
    assert (layers.truth.data > 0).all()
    np.testing.assert_array_equal(layers.truth.data[before > 0], before[before > 0])
    person.key(Qt.Key.Key_Z, CONTROL)  # one undo
    np.testing.assert_array_equal(layers.truth.data, before)
    person.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    person.wait(lambda: person.session.counts(image_id)[0] == 0)
    assert person.session.save()
    origin, names = Project(project.path).provenance(image_id)
    assert set(names) == {"painted", f"stage-3 of run {first}"}
    from_stage = names.index(f"stage-3 of run {first}") + 1
    assert ((origin == from_stage) == (before == 0)).all()
    assert ((origin == names.index("painted") + 1) == (before > 0)).all()

    train(person, stages="1-1")
    assert runs.run.id != first
    assert len(runs.run.inputs.labels) == 2


def test_only_one_class_inside_a_region_is_taken_over(clerk: Any, project: Project) -> None:
    image_id = list(project.images)[2]
    mask = np.ones((64, 64), np.uint8)
    mask[:, 32:] = 2
    made_up_run(project, {image_id: ([mask], [confidence(mask, 0.9)])}, 1)
    clerk.open(project.path)
    clerk.session.show(image_id)
    clerk.wait_for_image(image_id)
    content, layers = clerk.session.content, clerk.bench.layers
    clerk.wait(lambda: 1 in content.masks)
    layers.ask_region(content).add_rectangles([[10, 10], [50, 50]])
    changed = clerk.bench.painter.take_over(1, classes=[2], inside_region=True)
    truth = layers.truth.data
    assert changed == int((truth == 2).sum()) > 0
    assert not (truth == 1).any()
    rows, columns = np.nonzero(truth)
    assert (rows.min(), rows.max()) == (10, 50) and (columns.min(), columns.max()) == (32, 50)


def test_closing_and_opening_again_finds_the_run_that_went_on(
    make_napari_viewer: Any, qtbot: Any, project: Project, monkeypatch: Any
) -> None:
    from napari_helpers import Person

    monkeypatch.setattr(Workbench, "ask_about_run", lambda bench: "keep")
    person = Person(make_napari_viewer(show=True), qtbot)
    person.open(project.path)
    assert person.session.runs.start(tiny_run(steps=100_000))
    person.wait(lambda: person.session.runs.view.fraction > 0, 120)
    run = person.session.runs.run
    person.viewer.close()
    assert run.is_running()

    again = Person(make_napari_viewer(show=True), qtbot)
    again.open(project.path)
    assert again.session.runs.run.id == run.id
    assert again.session.runs.state == "running"
    again.wait(lambda: again.session.runs.view.fraction > 0)
    again.session.runs.pause()
    again.wait(lambda: again.session.runs.state == "paused")
    again.session.runs.go_on()
    again.wait(lambda: again.session.runs.state == "running")
    again.session.runs.stop()
    again.wait(lambda: again.session.runs.state == "stopped")
    assert not run.is_running()


def test_a_killed_trainer_is_noticed_and_resumed(clerk: Any, project: Project) -> None:
    clerk.open(project.path)
    runs = clerk.session.runs
    assert runs.start(tiny_run(stages="1-1", steps=100_000))
    clerk.wait(lambda: runs.view.fraction > 0, 120)
    os.kill(json.loads((runs.run.path / "process.json").read_text())["pid"], signal.SIGKILL)
    clerk.wait(lambda: runs.state == "interrupted")
    run = runs.run
    assert runs.resume()
    clerk.wait(lambda: runs.state == "running", 120)
    assert runs.run.id == run.id
    runs.stop()
    clerk.wait(lambda: runs.state == "stopped")


def test_a_run_that_cannot_start_says_why(clerk: Any, project: Project) -> None:
    clerk.open(project.path)
    assert clerk.session.runs.start(["--set", "data.crop=[0,0]"])
    clerk.wait(lambda: clerk.dock.banner.text, 120)
    assert "data.crop" in clerk.dock.banner.text
    assert not clerk.session.runs.active


def test_from_a_folder_of_files_to_a_painted_project(person: Any, tmp_path: Path) -> None:
    """Make a project and import into it by the dialogs, then name a class and paint it."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
        tifffile.imwrite(files / f"leaf {number}.tif", pixels)

    def fill_in() -> None:
        dialog = person.dock.findChild(NewProjectDialog)
        folder = dialog.findChild(QLineEdit, "new_folder")
        folder.selectAll()
        person.qtbot.keyClicks(folder, str(tmp_path / "project"))
        create = dialog.findChild(QPushButton, "new_create")
        person.qtbot.mouseClick(create, Qt.MouseButton.LeftButton)

    QTimer.singleShot(200, fill_in)
    person.click("project_new")
    person.wait(lambda: person.session.project is not None)
    person.dock.data.ask_import([files])
    dialog = person.dock.findChild(ImportDialog)
    start = dialog.findChild(QPushButton, "import_start")
    person.wait(start.isEnabled)
    person.qtbot.mouseClick(start, Qt.MouseButton.LeftButton)
    person.wait(lambda: person.session.image_id)
    assert len(person.session.project.images) == 3
    assert person.session.project.images[person.session.image_id].name == "leaf 0"

    assert person.session.classes.edit(lambda table: table.add("vein"))
    person.key(Qt.Key.Key_U)
    person.key(Qt.Key.Key_3, ALT)
    person.bench.layers.truth.brush_size = 6
    person.stroke((20, 20), (20, 40))
    assert person.session.save()
    assert counts_on_disk(tmp_path / "project", person.session.image_id)[3] > 100


PAINT_AND_HANG = """
import sys
import napari
from pytestqt.qt_compat import qt_api
qt_api.set_qt_api("pyqt6")
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
sys.path.insert(0, sys.argv[2])
from napari_helpers import Person

class Request:
    def __getattr__(self, name):
        return lambda *arguments, **options: None

viewer = napari.Viewer()
person = Person(viewer, QtBot(Request()))
person.open(sys.argv[1])
person.key(Qt.Key.Key_U)
person.bench.layers.truth.brush_size = 6
person.stroke((20, 20), (20, 40))
print(int((person.bench.layers.truth.data == 1).sum()), flush=True)
napari.run()
"""


def test_killing_napari_a_second_after_a_stroke_loses_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", labelled=0)
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", PAINT_AND_HANG, str(project.path), here]
    napari = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert napari.stdout is not None
    painted = int(napari.stdout.readline())
    with pytest.raises(subprocess.TimeoutExpired):
        napari.wait(1)  # the second that the promise allows
    for child in psutil.Process(napari.pid).children(recursive=True):
        child.kill()
    napari.kill()
    napari.wait()
    napari.stdout.close()
    again = Project(project.path)
    with again.editing():
        assert again.label_counts(next(iter(again.images)))[1] == painted > 100


def test_a_second_napari_looks_and_changes_nothing(person: Any, project: Project) -> None:
    hold = "import sys; from pathlib import Path; from napari_threestage.project import Project\n"
    hold += "with Project(Path(sys.argv[1])).editing(): print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(project.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        holder.stdout.readline()
        person.open(project.path)
        assert f"process {holder.pid}" in person.dock.banner.text
        assert not person.bench.layers.truth.editable
        person.key(Qt.Key.Key_2)
        person.stroke((20, 20), (20, 40))
        assert person.session.save()
        holder.stdin.close()
    image_id = person.session.image_id
    assert counts_on_disk(project.path, image_id)[1] == project.label_counts(image_id)[1]


def test_a_dropped_project_folder_opens_in_the_dock(
    make_napari_viewer: Any, qtbot: Any, project: Project
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(str(project.path), plugin="napari-threestage")
    session = workbench(viewer).session
    qtbot.waitUntil(lambda: session.image_id != "")
    assert session.project.path == project.path
    assert "Ground truth" in viewer.layers


def test_the_ground_truth_layer_comes_back_with_its_labels(clerk: Any, project: Project) -> None:
    clerk.open(project.path)
    layer = clerk.bench.layers.truth
    layer.paint((20, 20), 2)
    painted = layer.data.copy()
    clerk.viewer.layers.remove(layer)
    clerk.wait(lambda: clerk.bench.layers.truth is not None)
    np.testing.assert_array_equal(clerk.bench.layers.truth.data, painted)
