"""What a person painted stays, whatever happens to windows, layers, runs and disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari_helpers import make_project
from qtpy.QtCore import Qt

from napari_threestage import journal
from napari_threestage.errors import ProjectError
from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.store import ImageArray
from napari_threestage.widgets import autosave

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", labelled=0)


@pytest.fixture
def painting(person: Any, project: Project) -> Any:
    """Somebody with the brush."""
    person.open(project.path)
    person.key(Qt.Key.Key_U)
    person.bench.layers.truth.brush_size = 6
    return person


@pytest.fixture
def writing(clerk: Any, project: Project) -> Any:
    """Somebody who changes the layer without a mouse."""
    clerk.open(project.path)
    clerk.bench.layers.truth.brush_size = 6
    return clerk


def stroke(person: Any) -> int:
    """Paint, and return how many pixels of the first class there are now."""
    person.stroke((20, 20), (20, 40))
    return int((person.bench.layers.truth.data == 1).sum())


def saved(person: Any) -> int:
    """How many pixels of the first class the disk holds."""
    image_id, path = person.session.image_id, person.session.project.path
    assert person.session.save()
    return int(Project(path).label_counts(image_id)[1])


def test_the_window_stays_open_and_saves_on_when_napari_is_told_not_to_close(
    painting: Any, monkeypatch: Any
) -> None:
    window = painting.viewer.window._qt_window
    monkeypatch.setattr(type(window), "closeEvent", lambda window, event: event.ignore())
    assert not window.close()
    monkeypatch.undo()
    assert painting.session.writable
    painted = stroke(painting)
    assert saved(painting) == painted > 0


def test_closing_a_dock_that_floats_closes_no_project(painting: Any) -> None:
    shell = painting.dock.parentWidget()
    shell.setFloating(True)
    painting.qtbot.wait(50)
    shell.close()
    painting.qtbot.wait(50)
    painted = stroke(painting)
    assert saved(painting) == painted > 0


def test_a_copy_of_the_ground_truth_layer_is_no_ground_truth(writing: Any) -> None:
    layers, original = writing.viewer.layers, writing.bench.layers.truth
    painted = stroke(writing)
    copy = original.__class__.create(*_copied(original))
    layers.append(copy)
    assert writing.bench.layers.truth is original
    layers.remove(original)
    writing.wait(lambda: writing.bench.layers.truth is not None)
    assert writing.bench.layers.truth is not copy
    assert int((writing.bench.layers.truth.data == 1).sum()) == painted


def _copied(layer: Any) -> Any:
    data, state, kind = layer.as_layer_data_tuple()
    return data.copy(), {**state, "name": "copy"}, kind


def test_other_data_given_to_the_layer_are_saved(writing: Any) -> None:
    layer = writing.bench.layers.truth
    given = np.zeros_like(layer.data)
    given[10:20] = 1
    layer.data = given
    writing.wait(lambda: writing.session.counts(writing.session.image_id)[1] == given.sum())
    assert layer.data is writing.session.content.editor.truth
    assert saved(writing) == given.sum()


def test_a_label_set_that_cannot_be_written_holds_up_no_stroke(
    writing: Any, project: Project, monkeypatch: Any
) -> None:
    def refuse(project: Project, image_id: str) -> int:
        raise ProjectError("The label set is damaged.", "Restore a copy.")

    first, second = list(project.images)[:2]
    stroke(writing)
    monkeypatch.setattr(journal, "fold", refuse)
    writing.session.show(second)
    writing.wait_for_image(second)
    painted = stroke(writing)
    writing.wait(lambda: journal.entries(project.path, second))
    writing.wait(lambda: "label set is damaged" in writing.dock.banner.text)
    assert "kept in the project's journal" in writing.dock.banner.text
    monkeypatch.undo()
    assert writing.session.close()
    with Project(project.path).editing():
        pass
    assert Project(project.path).label_counts(second)[1] == painted > 0
    assert Project(project.path).label_counts(first)[1] > 0


def test_strokes_are_kept_and_tried_again_while_the_disk_is_full(
    writing: Any, project: Project, monkeypatch: Any
) -> None:
    def full(*arguments: object) -> None:
        raise ProjectError("There is no space left.", "Free some.")

    monkeypatch.setattr(autosave, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(journal, "append", full)
    painted = stroke(writing)
    label = writing.find("save_state")
    writing.wait(lambda: "no space" in label.text())
    monkeypatch.undo()
    writing.wait(lambda: "saved" in label.text())
    assert saved(writing) == painted > 0


def test_undo_survives_a_new_class_and_another_run(painting: Any) -> None:
    painted = stroke(painting)
    session = painting.session
    session.classes.edit(lambda table: table.add("debris"))
    session.runs.follow(None)
    painting.qtbot.wait(300)
    assert int((painting.bench.layers.truth.data == 1).sum()) == painted
    painting.key(Qt.Key.Key_Z, CONTROL)
    painting.wait(lambda: session.counts(session.image_id)[1] == 0)


def test_painted_pixels_keep_their_class_when_the_classes_are_reordered(painting: Any) -> None:
    painted = stroke(painting)
    session = painting.session
    background = session.project.classes[0].id
    session.classes.edit(lambda table: table.move(background, 1))
    assert not painting.bench.layers.truth.editable  # until the pixels have their new meaning
    painting.wait(lambda: painting.bench.layers.truth.editable)
    assert int((painting.bench.layers.truth.data == 2).sum()) == painted
    assert session.picked_class == 2  # the brush kept its class too
    painting.key(Qt.Key.Key_U)
    painting.stroke((50, 20), (50, 40))
    assert session.save()
    counts = Project(session.project.path).label_counts(session.image_id)
    assert counts[1] == 0 and counts[2] > painted


@pytest.mark.parametrize("order", [(0, 1, 0, 2), (1, 0, 2, 1)])
def test_planes_and_stacks_follow_each_other(
    clerk: Any, tmp_path: Path, order: tuple[int, ...]
) -> None:
    project = Project.create(tmp_path / "mixed", default_classes(["a", "b"]))
    shapes = {"plane": (1, 64, 64), "stack": (1, 5, 64, 64), "colours": (2, 3, 70, 60)}
    ids = []
    for name, shape in shapes.items():
        axes = "cyx" if len(shape) == 3 else "czyx"
        ids.append(project.add_image(name, ImageArray(np.zeros(shape, np.uint8), axes))[0].id)
    project.save()
    assert clerk.session.open(project.path)
    clerk.wait(lambda: clerk.session.image_id)
    for number in order:
        clerk.session.show(ids[number])
        clerk.wait_for_image(ids[number])
        clerk.qtbot.wait(100)
        truth = clerk.bench.layers.truth
        assert truth.data.shape == project.images[ids[number]].label_shape
        place = (2, 20, 20)[-truth.ndim :]
        truth.paint(place, 1)
        clerk.qtbot.wait(50)
    assert clerk.session.save()
    for number in set(order):
        assert Project(project.path).label_counts(ids[number])[1] > 0
