"""The classes: changed in the table, picked in the list, counted in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.gui


@pytest.fixture
def session(tmp_path: Path, qapp: Any) -> Iterator[Any]:
    from data_helpers import make_project, new_session

    make_project(tmp_path / "project", images=3, labelled=2)
    session = new_session(tmp_path / "project")
    yield session
    session.close()


@pytest.fixture
def table(session: Any, qtbot: Any) -> Any:
    from napari_threestage.widgets.class_table import ClassTable

    widget = ClassTable(session)
    qtbot.addWidget(widget)
    widget.resize(340, 260)
    with qtbot.waitExposed(widget):
        widget.show()
    qtbot.waitUntil(lambda: widget.counts.complete)
    return widget


@pytest.fixture
def picker(session: Any, qtbot: Any) -> Any:
    from napari_threestage.widgets.class_table import ClassPicker

    widget = ClassPicker(session)
    qtbot.addWidget(widget)
    widget.resize(340, 200)
    with qtbot.waitExposed(widget):
        widget.show()
    return widget


def names(session: Any) -> list[str]:
    return [entry.name for entry in session.project.classes]


def click(qtbot: Any, widget: Any, name: str) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QAbstractButton

    control = widget.findChild(QAbstractButton, name)
    assert control.isEnabled(), name
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)


def click_row(qtbot: Any, view: Any, row: int, *, double: bool = False) -> None:
    from qtpy.QtCore import Qt

    place = view.visualRect(view.model().index(row, 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    if double:
        qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def type_name(qtbot: Any, view: Any, text: str) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QLineEdit

    editor = view.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, text)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: view.state() != view.State.EditingState)


def texts(model: Any, row: int) -> list[str]:
    return [str(model.index(row, column).data()) for column in range(model.columnCount())]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 k"),
        (1234, "1.2 k"),
        (99_949, "99.9 k"),
        (123_456, "123 k"),
        (999_960, "1.0 M"),
        (3_400_000, "3.4 M"),
        (2_500_000_000, "2.5 G"),
    ],
)
def test_numbers_are_short(number: int, text: str) -> None:
    from napari_threestage.widgets.class_model import short_number

    assert short_number(number) == text


def test_the_table_tells_name_key_and_pixels(table: Any, session: Any) -> None:
    from qtpy.QtCore import Qt

    here = session.counts(session.image_id)
    total = sum(session.counts(image_id) for image_id in session.project.images)
    name, key, shown, everywhere = texts(table.model, 1)
    assert (name, key) == ("cell", "Alt+2")
    assert shown == str(here[2])
    assert everywhere == str(total[2])
    tip = table.model.index(1, 3).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == f"{total[2]:,} pixels in 2 images"
    assert (table.counts.labelled, table.counts.part) == (2, 0)


def test_painting_changes_both_numbers(table: Any, session: Any) -> None:
    from data_helpers import paint

    before = int(table.counts.totals[2])
    here = session.counts(session.image_id)[2]
    paint(session, np.s_[:, :], 2)
    assert table.counts.totals[2] == before - here + 64 * 64
    assert texts(table.model, 1)[2] == "4.1 k"
    paint(session, np.s_[:10], 0)
    assert (table.counts.labelled, table.counts.part) == (1, 1)


def test_a_class_is_renamed_by_double_click(table: Any, session: Any, qtbot: Any) -> None:
    from napari_threestage.project import Project

    click_row(qtbot, table.view, 1, double=True)
    type_name(qtbot, table.view, "nucleus")
    assert names(session) == ["background", "nucleus"]
    assert [one.name for one in Project(session.project.path).classes] == names(session)
    assert table.chosen.name == "nucleus"


def test_a_class_is_renamed_by_f2(table: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    click_row(qtbot, table.view, 0)
    qtbot.keyClick(table.view, Qt.Key.Key_F2)
    type_name(qtbot, table.view, "nothing")
    assert names(session) == ["nothing", "cell"]


def test_a_name_that_is_taken_is_refused_with_a_sentence(
    table: Any, session: Any, qtbot: Any
) -> None:
    from data_helpers import Listener

    heard = Listener(session)
    click_row(qtbot, table.view, 1, double=True)
    type_name(qtbot, table.view, "Background")
    assert names(session) == ["background", "cell"]
    assert heard.last.startswith("There is a class 'background' already.")
    assert texts(table.model, 1)[0] == "cell"


def test_a_new_class_asks_for_its_name(table: Any, session: Any, qtbot: Any) -> None:
    click(qtbot, table, "class_add")
    assert names(session) == ["background", "cell", "class 3"]
    type_name(qtbot, table.view, "fibre")
    assert names(session) == ["background", "cell", "fibre"]
    assert table.chosen.name == "fibre"
    click(qtbot, table, "class_undo")
    click(qtbot, table, "class_undo")
    assert names(session) == ["background", "cell"]


def test_deleting_warns_and_undo_brings_the_pixels_back(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtCore import Qt

    from napari_threestage.widgets import class_table

    asked: list[str] = []
    monkeypatch.setattr(class_table, "confirm", lambda *words: not asked.append(words[2]))
    pixels = int(table.counts.totals[2])
    session.classes.edit(lambda classes: classes.add("fibre"))
    click_row(qtbot, table.view, 1)
    qtbot.keyClick(table.view, Qt.Key.Key_Delete)
    assert names(session) == ["background", "fibre"]
    assert asked[0].startswith(f"'cell' has {pixels:,} labelled pixels in 2 images.")
    qtbot.waitUntil(lambda: table.counts.complete)
    assert table.counts.totals[2] == 0
    click(qtbot, table, "class_undo")
    assert names(session) == ["background", "cell", "fibre"]
    qtbot.waitUntil(lambda: table.counts.complete)
    assert table.counts.totals[2] == pixels


def test_a_class_without_pixels_is_deleted_without_a_question(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import class_table

    monkeypatch.setattr(class_table, "confirm", lambda *words: pytest.fail("asked"))
    session.classes.edit(lambda classes: classes.add("fibre"))
    qtbot.waitUntil(lambda: table.counts.complete)
    click_row(qtbot, table.view, 2)
    click(qtbot, table, "class_delete")
    assert names(session) == ["background", "cell"]


def test_no_answer_keeps_the_class(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import class_table

    monkeypatch.setattr(class_table, "confirm", lambda *words: False)
    session.classes.edit(lambda classes: classes.add("fibre"))
    click_row(qtbot, table.view, 1)
    click(qtbot, table, "class_delete")
    assert names(session) == ["background", "cell", "fibre"]


def test_undoing_a_painted_class_warns_and_redo_brings_its_pixels_back(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_helpers import paint
    from qtpy.QtWidgets import QAbstractButton

    from napari_threestage.widgets import class_table

    asked: list[str] = []
    answers = [False, True]
    monkeypatch.setattr(
        class_table, "confirm", lambda *words: bool(asked.append(words[2]) or answers.pop(0))
    )
    undo, redo = (table.findChild(QAbstractButton, f"class_{name}") for name in ("undo", "redo"))
    session.classes.edit(lambda classes: classes.add("fibre"))
    added = session.project.classes[2].id
    paint(session, np.s_[:20, :20], 3)
    assert undo.toolTip() == "Undo: add 'fibre'" and not redo.isEnabled()
    click(qtbot, table, "class_undo")
    assert names(session) == ["background", "cell", "fibre"]
    assert asked[0].startswith("'fibre' has 400 labelled pixels in 1 image.")

    click(qtbot, table, "class_undo")
    assert names(session) == ["background", "cell"]
    assert not undo.isEnabled() and redo.toolTip() == "Redo: add 'fibre'"
    qtbot.waitUntil(lambda: table.counts.complete)
    click(qtbot, table, "class_redo")
    assert names(session) == ["background", "cell", "fibre"]
    assert session.project.classes[2].id == added
    assert session.counts(session.image_id)[3] == 400
    qtbot.waitUntil(lambda: table.counts.complete and table.counts.totals[3] == 400)
    assert session.save() and session.project.label_counts(session.image_id)[3] == 400


def test_a_new_change_ends_what_can_be_redone(table: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton

    session.classes.edit(lambda classes: classes.add("fibre"))
    click(qtbot, table, "class_undo")
    session.classes.edit(lambda classes: classes.rename(2, "nucleus"))
    redo = table.findChild(QAbstractButton, "class_redo")
    assert not redo.isEnabled() and redo.toolTip() == "No change of the classes to redo"
    assert names(session) == ["background", "nucleus"]


def test_redoing_a_deletion_warns_again(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import class_table

    asked: list[str] = []
    monkeypatch.setattr(class_table, "confirm", lambda *words: bool(asked.append(words[2])))
    session.classes.edit(lambda classes: classes.add("fibre"))
    session.classes.edit(lambda classes: classes.remove(2))
    click(qtbot, table, "class_undo")
    assert not asked
    qtbot.waitUntil(lambda: table.counts.complete)
    click(qtbot, table, "class_redo")
    assert asked[0].startswith("'cell' has ")
    assert names(session) == ["background", "cell", "fibre"]


def test_each_change_has_its_words(session: Any) -> None:
    history, told = session.classes, []
    for change in (
        lambda classes: classes.add("fibre"),
        lambda classes: classes.rename(3, "wool"),
        lambda classes: classes.recolour(3, (1, 2, 3)),
        lambda classes: classes.move(3, 0),
        lambda classes: classes.merge(3, 2),
        lambda classes: classes.add("dust"),
        lambda classes: classes.remove(4),
    ):
        assert history.edit(change)
        told.append(history.to_undo)
    assert told == [
        "add 'fibre'",
        "rename 'fibre' to 'wool'",
        "colour of 'wool'",
        "order of the classes",
        "merge 'wool' into 'cell'",
        "add 'dust'",
        "delete 'dust'",
    ]
    history.undo()
    assert (history.to_undo, history.to_redo) == ("add 'dust'", "delete 'dust'")


def test_merging_asks_for_the_other_class(table: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton

    said: list[str] = []

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        said.extend(label.text() for label in dialog.findChildren(QLabel))
        dialog.findChild(QComboBox, "merge_into").setCurrentText("fibre")
        merge = next(one for one in dialog.findChildren(QPushButton) if one.text() == "Merge")
        qtbot.mouseClick(merge, Qt.MouseButton.LeftButton)

    pixels = int(table.counts.totals[2])
    session.classes.edit(lambda classes: classes.add("fibre"))
    qtbot.waitUntil(lambda: table.counts.complete)
    click_row(qtbot, table.view, 1)
    QTimer.singleShot(0, answer)
    click(qtbot, table, "class_merge")
    assert names(session) == ["background", "fibre"]
    assert table.chosen.name == "fibre"
    assert any(f"{pixels:,} labelled pixels in 2 images" in text for text in said)
    qtbot.waitUntil(lambda: table.counts.complete)
    assert table.counts.totals[2] == pixels


def test_a_class_moves_and_stays_chosen(table: Any, session: Any, qtbot: Any) -> None:
    click_row(qtbot, table.view, 1)
    click(qtbot, table, "class_up")
    assert names(session) == ["cell", "background"]
    assert table.chosen.name == "cell"
    assert texts(table.model, 0)[1] == "Alt+1"
    click(qtbot, table, "class_down")
    assert names(session) == ["background", "cell"]


def test_a_colour_is_asked_for(
    table: Any, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtGui import QColor
    from qtpy.QtWidgets import QColorDialog

    monkeypatch.setattr(QColorDialog, "getColor", lambda *words: QColor(1, 2, 3))
    click_row(qtbot, table.view, 1)
    click(qtbot, table, "class_colour")
    assert session.project.classes[1].color == (1, 2, 3)


def test_two_classes_have_to_stay(table: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton

    click_row(qtbot, table.view, 1)
    assert not table.findChild(QAbstractButton, "class_delete").isEnabled()
    assert not table.findChild(QAbstractButton, "class_merge").isEnabled()


def test_nothing_can_be_changed_in_a_project_that_is_read_only(
    tmp_path: Path, session: Any, qtbot: Any
) -> None:
    from data_helpers import new_session
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QAbstractButton

    from napari_threestage.widgets.class_table import ClassTable

    second = new_session(session.project.path)
    widget = ClassTable(second)
    qtbot.addWidget(widget)
    widget.view.setCurrentIndex(widget.model.index(1, 0))
    assert second.read_only
    for name in ("add", "delete", "merge", "up", "down", "colour", "undo", "redo"):
        assert not widget.findChild(QAbstractButton, f"class_{name}").isEnabled()
    assert not widget.model.flags(widget.model.index(1, 0)) & Qt.ItemFlag.ItemIsEditable
    second.close()


def test_a_click_picks_what_is_painted(picker: Any, session: Any, qtbot: Any) -> None:
    click_row(qtbot, picker.view, 2)
    assert session.picked_class == 2
    click_row(qtbot, picker.view, 0)
    assert session.picked_class == 0
    assert texts(picker.model, 0)[:2] == ["Not labelled (eraser)", "Alt+0"]


def test_the_picker_follows_the_keys_of_the_viewer(picker: Any, session: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    session.pick_class(2)
    assert picker.view.currentIndex().row() == 2
    qtbot.keyClick(picker.view, Qt.Key.Key_Up)
    assert session.picked_class == 1


def test_the_picker_counts_what_is_painted_here(picker: Any, session: Any) -> None:
    from data_helpers import paint

    paint(session, np.s_[:, :], 0)
    assert [texts(picker.model, row)[2] for row in range(3)] == ["4.1 k", "0", "0"]
    paint(session, np.s_[:2, :5], 1)
    assert texts(picker.model, 1)[2] == "10"


def test_the_picker_stays_on_its_class_when_others_change(picker: Any, session: Any) -> None:
    session.pick_class(2)
    session.classes.edit(lambda classes: classes.add("fibre"))
    assert picker.view.currentIndex().row() == 2
    assert picker.model.rowCount() == 4


def test_forty_classes_scroll_to_the_picked_one(picker: Any, session: Any, qtbot: Any) -> None:
    for number in range(38):
        session.classes.edit(lambda classes, number=number: classes.add(f"kind {number}"))
    session.pick_class(40)
    index = picker.model.index(40, 0)
    assert picker.view.viewport().rect().contains(picker.view.visualRect(index).center())
    assert picker.height() < 220
    assert texts(picker.model, 10)[1] == ""  # only nine have a key


def test_a_long_name_is_whole_in_the_tooltip(picker: Any, session: Any) -> None:
    from qtpy.QtCore import Qt

    name = "a very long name of a class " * 4
    session.classes.edit(lambda classes: classes.add(name.strip()))
    index = picker.model.index(3, 0)
    assert index.data(Qt.ItemDataRole.ToolTipRole) == name.strip()
    assert picker.view.columnWidth(0) < 260


def test_without_a_project_the_picker_says_what_to_do(picker: Any, session: Any) -> None:
    from qtpy.QtWidgets import QLabel

    session.close()
    assert not picker.view.isVisible()
    assert picker.findChild(QLabel).text() == "Open a project on the Data tab first."
