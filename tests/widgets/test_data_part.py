"""The part Data: projects made, opened and found again, samples, files dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.gui
SECONDS = 60_000


@pytest.fixture
def session(qapp: Any) -> Iterator[Any]:
    from data_helpers import new_session

    session = new_session()
    yield session
    session.close()


@pytest.fixture
def part(session: Any, qtbot: Any) -> Any:
    from napari_threestage.widgets.data_part import DataPart

    widget = DataPart(session)
    qtbot.addWidget(widget)
    widget.resize(340, 560)
    with qtbot.waitExposed(widget):
        widget.show()
    return widget


@pytest.fixture
def project(tmp_path: Path) -> Path:
    from data_helpers import make_project

    return make_project(tmp_path / "cells", images=4, labelled=1).path


def find(part: Any, name: str) -> Any:
    from qtpy.QtWidgets import QWidget

    found = part.findChild(QWidget, name)
    assert found is not None, name
    return found


def click(qtbot: Any, part: Any, name: str) -> None:
    from qtpy.QtCore import Qt

    control = find(part, name)
    assert control.isEnabled(), name
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)


def entries(part: Any, name: str) -> dict[str, Any]:
    """What a menu offers when it is opened."""
    menu = find(part, name).menu()
    menu.aboutToShow.emit()
    return {action.text(): action for action in menu.actions() if action.text()}


def drop(widget: Any, *paths: Path) -> None:
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    widget.dropEvent(event)


def test_at_first_it_says_what_to_do(part: Any) -> None:
    assert find(part, "project_name").text() == "No project is open"
    assert "take a sample" in find(part, "data_empty").text()
    assert not find(part, "import_images_button").isVisible()


def test_a_project_is_summarised(part: Any, session: Any, project: Path, qtbot: Any) -> None:
    session.open(project)
    assert find(part, "project_name").full_text == "cells"
    assert find(part, "project_path").toolTip() == str(project)
    assert find(part, "image_summary").text() == "4 images, 64 x 64 pixels\nuint8, 1 channel"
    qtbot.waitUntil(lambda: part.classes.counts.complete)
    assert find(part, "label_summary").text() == "1 labelled, 3 not labelled"
    assert not find(part, "read_only").isVisible()


def test_painting_changes_the_summary(part: Any, session: Any, project: Path, qtbot: Any) -> None:
    from data_helpers import paint

    session.open(project)
    qtbot.waitUntil(lambda: part.classes.counts.complete)
    session.show(list(session.project.images)[2])
    paint(session, np.s_[:3], 1)
    assert find(part, "label_summary").text() == "1 labelled, 1 partly labelled, 2 not labelled"


def test_a_project_in_use_is_read_only_and_says_why(part: Any, session: Any, project: Path) -> None:
    from data_helpers import new_session

    first = new_session(project)
    session.open(project)
    assert find(part, "read_only").isVisible()
    assert "is being changed" in find(part, "read_only").toolTip()
    assert not find(part, "import_images_button").isEnabled()
    first.close()


def test_recent_projects_are_found_again(
    part: Any, session: Any, project: Path, tmp_path: Path
) -> None:
    from data_helpers import make_project

    other = make_project(tmp_path / "other", images=1).path
    session.open(project)
    session.open(other)
    offered = entries(part, "project_recent")
    assert list(offered) == ["other", "cells"]
    offered["cells"].trigger()
    assert session.project.path == project
    assert next(iter(entries(part, "project_recent"))) == "cells"


def test_projects_that_are_gone_are_grey_and_can_be_forgotten(
    part: Any, session: Any, project: Path
) -> None:
    session.open(project)
    session.close()
    project.rename(project.with_name("moved"))
    offered = entries(part, "project_recent")
    assert not offered["cells"].isEnabled()
    assert offered["cells"].toolTip().endswith("is gone")
    offered["Forget those that are gone"].trigger()
    assert list(entries(part, "project_recent")) == ["None yet"]


def test_a_damaged_list_of_recent_projects_does_no_harm(part: Any, tmp_path: Path) -> None:
    from napari_threestage.widgets import recent

    recent._file().parent.mkdir(parents=True)
    recent._file().write_text("nonsense")
    assert list(entries(part, "project_recent")) == ["None yet"]


def test_a_new_project_is_made_and_opened(session: Any, qtbot: Any, tmp_path: Path) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QLineEdit

    from napari_threestage.widgets.new_project import NewProjectDialog

    dialog = NewProjectDialog(session, tmp_path / "new" / "leaves")
    qtbot.addWidget(dialog)
    dialog.show()
    click(qtbot, dialog, "new_add")
    classes = find(dialog, "new_classes")
    editor = classes.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "leaf")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: classes.item(2).text() == "leaf")
    assert dialog.isVisible()  # Return ends the name, not the dialog
    click(qtbot, dialog, "new_create")
    assert session.project.path == tmp_path / "new" / "leaves"
    assert [one.name for one in session.project.classes] == ["background", "object", "leaf"]
    assert len({one.color for one in session.project.classes}) == 3
    assert not dialog.isVisible()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: (path / "a.txt").write_text("x"), "This folder is not empty."),
        (lambda path: (path / "project.json").write_text("{}"), "is a project already"),
    ],
)
def test_a_folder_that_will_not_do_is_told_in_place(
    session: Any, qtbot: Any, tmp_path: Path, make: Any, words: str
) -> None:
    from napari_threestage.widgets.new_project import NewProjectDialog

    folder = tmp_path / "used"
    folder.mkdir()
    make(folder)
    dialog = NewProjectDialog(session, folder)
    qtbot.addWidget(dialog)
    assert words in find(dialog, "new_message").text()
    assert not find(dialog, "new_create").isEnabled()
    find(dialog, "new_folder").setText(str(tmp_path / "free"))
    assert find(dialog, "new_message").text() == ""
    assert find(dialog, "new_create").isEnabled()


def test_two_classes_of_one_name_are_told_in_place(
    session: Any, qtbot: Any, tmp_path: Path
) -> None:
    from napari_threestage.widgets.new_project import NewProjectDialog

    dialog = NewProjectDialog(session, tmp_path / "free")
    qtbot.addWidget(dialog)
    find(dialog, "new_classes").item(1).setText("background")
    assert "same name" in find(dialog, "new_message").text()
    assert not find(dialog, "new_create").isEnabled()


def test_a_disk_that_cannot_be_written_is_told_in_place(
    session: Any, qtbot: Any, tmp_path: Path
) -> None:
    from napari_threestage.widgets.new_project import NewProjectDialog

    (tmp_path / "file").write_text("x")
    dialog = NewProjectDialog(session, tmp_path / "file" / "below")
    qtbot.addWidget(dialog)
    click(qtbot, dialog, "new_create")
    assert "cannot be written" in find(dialog, "new_message").text()
    assert session.project is None
    assert find(dialog, "new_create").isEnabled()


def test_a_sample_is_made_once_and_then_opened_as_it_is(
    part: Any, session: Any, qtbot: Any, own_folders: Path
) -> None:
    from data_helpers import paint

    offered = entries(part, "project_samples")
    [title] = [one for one in offered if one.startswith("Tissue")]
    assert "offline" in title
    assert any("downloads 83 MB; CC0-1.0" in one for one in offered)
    offered[title].trigger()
    assert find(part, "sample_progress").isVisible()
    qtbot.waitUntil(lambda: session.project is not None, timeout=SECONDS)
    path = session.project.path
    assert own_folders in path.parents
    assert len(session.project.images) == 46
    assert not find(part, "sample_progress").isVisible()
    assert [one.name for one in path.parent.iterdir()] == ["tissue"]

    unlabelled = next(one for one in session.project.images if session.counts(one)[1:].sum() == 0)
    session.show(unlabelled)
    paint(session, np.s_[:5], 1)
    session.close()
    offered = entries(part, "project_samples")
    next(action for text, action in offered.items() if text.startswith("Tissue")).trigger()
    assert session.project.label_counts(unlabelled)[1] == 5 * 160


def test_a_sample_that_is_stopped_leaves_nothing(
    part: Any, session: Any, qtbot: Any, own_folders: Path
) -> None:
    part.samples.open("stack")
    bar = find(part, "sample_progress")
    qtbot.waitUntil(lambda: bar.value() > 0, timeout=SECONDS)
    click(qtbot, part, "sample_cancel")
    qtbot.waitUntil(lambda: not part.samples.isVisible(), timeout=SECONDS)
    assert session.project is None
    assert list((own_folders / "napari-threestage" / "samples").iterdir()) == []


def test_a_project_that_is_dropped_is_opened(part: Any, session: Any, project: Path) -> None:
    drop(part, project)
    assert session.project.path == project


def test_images_that_are_dropped_are_asked_about(
    part: Any, session: Any, project: Path, tmp_path: Path, qtbot: Any
) -> None:
    from data_helpers import Listener

    from napari_threestage.widgets.import_dialog import ImportDialog

    heard = Listener(session)
    drop(part, tmp_path / "a.tif")
    assert heard.last.startswith("There is no project to import into.")
    session.open(project)
    drop(part, tmp_path / "a.tif", tmp_path / "b.tif")
    dialog = part.findChild(ImportDialog)
    assert dialog.isVisible()
    assert dialog.form.choice.images == (tmp_path / "a.tif", tmp_path / "b.tif")
    dialog.reject()


def test_channels_and_brightness_are_asked_for_only_where_they_matter(
    part: Any, session: Any, project: Path, tmp_path: Path, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    from napari_threestage.project import Project, default_classes
    from napari_threestage.store import ImageArray

    session.open(project)
    assert not find(part, "channels").isVisible()
    assert not find(part, "normalisation").isVisible()

    made = Project.create(tmp_path / "five", default_classes(["background", "cell"]))
    pixels = np.zeros((5, 16, 16), np.uint16)
    made.add_image("a", ImageArray(pixels, "cyx", channel_names=("dapi", *"bcde")))
    made.save()
    session.open(made.path)
    channels, method = find(part, "channels"), find(part, "normalisation")
    assert channels.isVisible()
    assert channels.item(0).text() == "0: dapi"
    for number in (1, 2, 4):
        channels.item(number).setCheckState(Qt.CheckState.Unchecked)
    assert Project(made.path).channels == [0, 3]
    place = method.findText("Range of the data type")
    method.setCurrentIndex(place)
    method.activated.emit(place)
    assert Project(made.path).normalisation == "range"
    for number in (0, 3):
        channels.item(number).setCheckState(Qt.CheckState.Unchecked)
    assert Project(made.path).channels == [3]  # the last one stays
    qtbot.waitUntil(lambda: channels.chosen == [3])


def test_a_long_name_is_shortened_and_whole_in_the_tooltip(
    part: Any, session: Any, tmp_path: Path
) -> None:
    from data_helpers import make_project

    path = make_project(tmp_path / ("a long name of a project " * 5).strip(), images=1).path
    session.open(path)
    name = find(part, "project_name")
    assert name.toolTip() == path.name
    assert name.text().endswith("…")
    assert part.width() == 340
