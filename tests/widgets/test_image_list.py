"""The list of images: found, shown, marked, drawn small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.gui


@pytest.fixture
def session(tmp_path: Path, qapp: Any) -> Iterator[Any]:
    from data_helpers import make_project, new_session

    make_project(tmp_path / "project", images=12, labelled=2)
    session = new_session(tmp_path / "project")
    yield session
    session.close()


@pytest.fixture
def show(qtbot: Any) -> Callable[[Any], Any]:
    from napari_threestage.widgets.image_list import ImageList

    def show(session: Any) -> Any:
        widget = ImageList(session)
        qtbot.addWidget(widget)
        widget.resize(340, 400)
        with qtbot.waitExposed(widget):
            widget.show()
        return widget

    return show


@pytest.fixture
def images(session: Any, show: Any, qtbot: Any) -> Any:
    widget = show(session)
    qtbot.waitUntil(lambda: widget.model.complete)
    return widget


def listed(images: Any) -> list[str]:
    return [images.model.index(row).data() for row in range(images.model.rowCount())]


def ids(session: Any) -> list[str]:
    return list(session.project.images)


def choose(images: Any, name: str, text: str) -> None:
    from qtpy.QtWidgets import QComboBox

    images.findChild(QComboBox, name).setCurrentText(text)


def search(images: Any, qtbot: Any, text: str) -> None:
    from qtpy.QtWidgets import QLineEdit

    qtbot.keyClicks(images.findChild(QLineEdit, "image_search"), text)


def click_row(qtbot: Any, images: Any, row: int, modifier: Any = None) -> None:
    from qtpy.QtCore import Qt

    view = images.view
    view.scrollTo(images.model.index(row))
    place = view.visualRect(images.model.index(row)).center()
    modifier = modifier or Qt.KeyboardModifier.NoModifier
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def act(images: Any, text: str) -> None:
    menu = images.make_menu()
    [action] = [action for action in menu.actions() if action.text() == text]
    assert action.isEnabled()
    action.trigger()


def test_images_are_listed_by_name_with_their_state(images: Any, session: Any) -> None:
    assert listed(images) == [f"image {number}" for number in range(12)]
    assert images.model.text(ids(session)[0]) == "labelled"
    assert images.model.text(ids(session)[5]) == "not labelled"
    assert list(session.order) == ids(session)


def test_a_click_shows_the_image(images: Any, session: Any, qtbot: Any) -> None:
    click_row(qtbot, images, 3)
    assert session.image_id == ids(session)[3]


def test_enter_shows_the_current_row(images: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    qtbot.keyClick(images.view, Qt.Key.Key_Down)
    assert session.image_id == ids(session)[0]
    qtbot.keyClick(images.view, Qt.Key.Key_Return)
    assert session.image_id == ids(session)[1]


def test_the_list_follows_the_image_that_is_shown(images: Any, session: Any) -> None:
    session.show(ids(session)[11])
    index = images.view.currentIndex()
    assert index.row() == 11
    assert images.view.viewport().rect().contains(images.view.visualRect(index).center())
    session.step(-1)
    assert images.view.currentIndex().row() == 10


def test_finding_by_name_decides_about_next_and_previous(
    images: Any, session: Any, qtbot: Any
) -> None:
    search(images, qtbot, "IMAGE 1")
    assert listed(images) == ["image 1", "image 10", "image 11"]
    session.show(ids(session)[1])
    session.step(1)
    assert session.image_id == ids(session)[10]


def test_filters_by_state(images: Any, session: Any) -> None:
    from data_helpers import paint

    session.show(ids(session)[7])
    paint(session, np.s_[:4, :4], 2)
    choose(images, "image_filter", "Partly labelled")
    assert listed(images) == ["image 7"]
    choose(images, "image_filter", "Labelled")
    assert listed(images) == ["image 0", "image 1"]
    choose(images, "image_filter", "Not labelled")
    assert len(listed(images)) == 9
    choose(images, "image_filter", "All")
    assert len(listed(images)) == 12


def test_sorts(images: Any, session: Any) -> None:
    choose(images, "image_sort", "Unlabelled first")
    assert listed(images)[-2:] == ["image 0", "image 1"]
    choose(images, "image_sort", "Most labels first")
    assert listed(images)[:2] == ["image 0", "image 1"]
    choose(images, "image_sort", "As imported")
    assert listed(images) == [f"image {number}" for number in range(12)]


def test_nothing_found_is_said(images: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QLabel

    search(images, qtbot, "zebra")
    assert images.findChild(QLabel, "images_empty").text() == "No image is like that."
    assert not images.view.isVisible()


def test_an_image_that_is_painted_stays_in_its_place(images: Any, session: Any) -> None:
    from data_helpers import paint

    choose(images, "image_filter", "Not labelled")
    session.show(ids(session)[4])
    before = listed(images)
    paint(session, np.s_[:4, :4], 2)
    assert listed(images) == before
    assert images.model.text(session.image_id) == "< 1 % labelled"
    paint(session, np.s_[:32], 1)
    assert images.model.text(session.image_id) == "50 % labelled"
    session.step(1)
    assert session.image_id == ids(session)[5]


def test_an_image_that_was_left_keeps_its_state(images: Any, session: Any, qtbot: Any) -> None:
    from data_helpers import paint

    painted = session.image_id
    paint(session, np.s_[:32], 0)
    session.step(1)
    session.save()
    images.model._reread(painted)
    assert images.model.text(painted) == "50 % labelled"


def test_several_images_are_marked_as_reviewed(images: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    click_row(qtbot, images, 1)
    click_row(qtbot, images, 3, Qt.KeyboardModifier.ControlModifier)
    assert session.image_id == ids(session)[1]  # Ctrl selects without showing
    act(images, "Mark as reviewed (2 images)")
    assert set(session.reviewed) == {ids(session)[1], ids(session)[3]}
    choose(images, "image_filter", "Reviewed")
    assert listed(images) == ["image 1", "image 3"]
    images.view.selectAll()
    act(images, "Mark as not reviewed (2 images)")
    assert not session.reviewed


def test_several_images_are_used_for_validation(images: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    from napari_threestage.project import Project

    click_row(qtbot, images, 2)
    click_row(qtbot, images, 4, Qt.KeyboardModifier.ShiftModifier)
    act(images, "Use for validation (3 images)")
    saved = Project(session.project.path)
    assert [one.split for one in saved.images.values()].count("validation") == 3
    assert "for validation only" in images.model.index(3).data(Qt.ItemDataRole.ToolTipRole)
    click_row(qtbot, images, 3)
    act(images, "Use for training")
    assert Project(session.project.path).images[ids(session)[3]].split == "train"


def test_a_full_disk_leaves_the_project_as_it_was(
    images: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_helpers import Listener

    from napari_threestage import store

    def full(*unused: object) -> None:
        raise OSError(28, "No space left on device")

    heard = Listener(session)
    monkeypatch.setattr(store, "write_json", full)
    click_row(qtbot, images, 2)
    act(images, "Use for validation")
    assert "No space left on device" in heard.last
    assert session.project.images[ids(session)[2]].split == "train"


def test_a_project_that_is_read_only_cannot_be_marked(session: Any, show: Any) -> None:
    from data_helpers import new_session

    second = new_session(session.project.path)
    images = show(second)
    images.view.selectAll()
    assert not any(action.isEnabled() for action in images.make_menu().actions())
    second.close()


def test_ten_thousand_images_are_read_little_by_little(
    tmp_path: Path, show: Any, qtbot: Any
) -> None:
    from data_helpers import many_images, new_session

    many_images(tmp_path / "many", 10_000)
    session = new_session(tmp_path / "many")
    images = show(session)
    assert images.model.rowCount() == 10_000
    assert len(list(images.model.known_states())) < 10_000  # not before the list is there
    assert images.thumbnails.kept < 30  # only what is seen is drawn
    search(images, qtbot, "9999")
    assert images.model.rowCount() == 0
    assert len(listed(images)) == 0
    session.close()


def test_a_damaged_label_set_is_told_in_its_row(session: Any, show: Any, qtbot: Any) -> None:
    damaged = ids(session)[1]
    path = session.project.image_path(damaged) / "labels" / "ground_truth" / "zarr.json"
    path.write_text("nonsense")
    images = show(session)
    qtbot.waitUntil(lambda: images.model.complete)
    assert images.model.text(damaged) == "labels cannot be read"
    assert len(listed(images)) == 12


def test_a_thumbnail_shows_what_is_painted(images: Any, session: Any, qtbot: Any) -> None:
    from data_helpers import paint
    from qtpy.QtGui import QColor

    image_id = session.image_id
    qtbot.waitUntil(lambda: images.thumbnails.get(image_id) is not None)
    paint(session, np.s_[:, :], 2)
    wanted = session.project.classes[1].color

    def painted() -> bool:
        picture = images.thumbnails.get(image_id).toImage()
        colour = QColor(picture.pixel(2, 2))
        return colour.red() > 0.5 * wanted[0] and colour.red() > colour.blue() + 40

    qtbot.waitUntil(painted)


def test_thumbnails_of_all_kinds_of_images(tmp_path: Path) -> None:
    from napari_threestage.project import Project, default_classes
    from napari_threestage.store import ImageArray
    from napari_threestage.widgets.thumbnails import make_thumbnail

    project = Project.create(tmp_path / "kinds", default_classes(["background", "cell"]))
    rng = np.random.default_rng(0)
    kinds = {
        "cyx": ((3, 300, 200), np.uint8),
        "czyx": ((2, 5, 40, 90), np.uint16),
        "tczyx": ((3, 7, 2, 30, 30), np.float32),
    }
    for axes, (shape, dtype) in kinds.items():
        pixels = (rng.random(shape) * 200).astype(dtype)
        record, _ = project.add_image(axes, ImageArray(pixels, axes))
        picture = make_thumbnail(project, record.id, 96)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert max(picture.shape[:2]) == min(96, max(shape[-2:]))
        assert picture.std() > 5


def test_a_thin_stroke_is_seen_in_the_thumbnail_of_a_large_image(tmp_path: Path) -> None:
    from napari_threestage.project import Project, default_classes
    from napari_threestage.store import ImageArray
    from napari_threestage.widgets.thumbnails import make_thumbnail, middle_labels

    project = Project.create(tmp_path / "large", default_classes(["background", "cell"]))
    black = np.zeros((1, 600, 800), np.uint8)
    record, _ = project.add_image("large", ImageArray(black, "cyx"))
    truth = np.zeros((600, 800), np.uint8)
    truth[300:304] = 2
    before = make_thumbnail(project, record.id, 96, middle_labels(truth, 96))
    project.write_ground_truth(record.id, truth, "painted")
    for picture in (before, make_thumbnail(project, record.id, 96)):
        drawn = (picture.max(axis=2) > 0).mean(axis=1)
        assert drawn.max() == 1
        assert (drawn > 0).sum() <= 3


def test_an_image_that_could_not_be_read_can_be_chosen_again(
    images: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_helpers import Listener

    from napari_threestage.errors import ProjectError
    from napari_threestage.widgets import turning

    def fail(*unused: object) -> None:
        raise ProjectError("It cannot be read.", "Choose the image again.")

    heard, shown = Listener(session), []
    session.image_shown.connect(shown.append)
    index = images.model.index(images.model.row_of(session.image_id))
    images.view.clicked.emit(index)
    assert not shown  # it is there already, with its steps to undo
    with monkeypatch.context() as patch:
        patch.setattr(turning, "load_content", fail)
        session.show(session.image_id)
        assert heard.last == "It cannot be read. Choose the image again."
    images.view.clicked.emit(index)
    assert [content.record.id for content in shown] == [session.image_id]
    images.view.clicked.emit(index)
    assert len(shown) == 1
