"""Bringing in images: what is shown before, what is done, what is said after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.gui
SECONDS = 60_000


@pytest.fixture
def session(tmp_path: Path, qapp: Any) -> Iterator[Any]:
    from data_helpers import new_session

    from napari_threestage.project import Project, default_classes

    Project.create(tmp_path / "project", default_classes(["background", "nucleus"]))
    session = new_session(tmp_path / "project")
    yield session
    session.close()


@pytest.fixture
def ask(session: Any, qtbot: Any) -> Iterator[Callable[..., Any]]:
    """Open the dialog, with files to begin with."""
    from napari_threestage.widgets.import_dialog import ImportDialog

    opened = []

    def ask(*paths: Path) -> Any:
        dialog = ImportDialog(session, paths)
        qtbot.addWidget(dialog)
        opened.append(dialog)
        with qtbot.waitExposed(dialog):
            dialog.show()
        return dialog

    yield ask
    for dialog in opened:
        for process in (dialog._looking, dialog._importing):
            if process is not None:
                process.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Five grey images and three masks of 0 and 255."""
    import tifffile

    folder = tmp_path / "files"
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(5):
        pixels = rng.integers(0, 255, (40, 50), np.uint8)
        tifffile.imwrite(folder / "images" / f"{number}.tif", pixels)
    for number in range(3):
        mask = np.zeros((40, 50), np.uint8)
        mask[:10] = 255
        tifffile.imwrite(folder / "masks" / f"{number}.tif", mask)
    return folder


def find(dialog: Any, name: str) -> Any:
    from qtpy.QtWidgets import QWidget

    found = dialog.findChild(QWidget, name)
    assert found is not None, name
    return found


def click(qtbot: Any, dialog: Any, name: str) -> None:
    from qtpy.QtCore import Qt

    control = find(dialog, name)
    assert control.isEnabled(), name
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)


def looked(dialog: Any, qtbot: Any) -> None:
    qtbot.waitUntil(
        lambda: not dialog._clock.isActive() and dialog._looking is None, timeout=SECONDS
    )


def rows(dialog: Any) -> list[tuple[str, ...]]:
    model = dialog._model
    columns = range(model.columnCount())
    return [
        tuple(str(model.index(row, column).data()) for column in columns)
        for row in range(model.rowCount())
    ]


def text(dialog: Any, name: str) -> str:
    return str(find(dialog, name).text())


def test_what_a_person_chose_is_what_they_could_type() -> None:
    from napari_threestage.widgets.import_choice import ImportChoice

    assert ImportChoice((Path("/a"),)).arguments(Path("/p"), preview=True) == [
        *("import", "/p", "--images", "/a", "--mask-values", "index"),
        *("--unlabelled-value", "255", "--split", "train", "--preview", "--json", "--progress"),
    ]
    choice = ImportChoice(
        images=(Path("/a"), Path("/b.tif")),
        masks=Path("/m"),
        mask_values={"0": 1, "255": 2},
        unlabelled="none",
        split="validation",
        link=True,
        axes="zyx",
        channels=(0, 2),
        replace=True,
    )
    given = choice.arguments(Path("/p"))
    assert json.loads(given[given.index("--mask-values") + 1]) == {"0": 1, "255": 2}
    for pair in (("--masks", "/m"), ("--axes", "zyx"), ("--channels", "0,2")):
        assert given[given.index(pair[0]) + 1] == pair[1]
    assert {"--link", "--replace-masks"} <= set(given)


def test_a_folder_of_images_and_masks_is_taken_apart(tmp_path: Path) -> None:
    from napari_threestage.widgets.import_choice import guess_sources

    for name in ("Images", "labels", "other"):
        (tmp_path / name).mkdir()
    assert guess_sources([tmp_path]) == ([tmp_path / "Images"], tmp_path / "labels")
    assert guess_sources([tmp_path / "other"]) == ([tmp_path / "other"], None)


def test_sentences_name_controls_and_not_options() -> None:
    from napari_threestage.widgets.import_choice import for_window

    kept = "It has other ground truth, which would be kept; --replace-masks would replace it."
    assert "--" not in for_window(kept)


def test_without_images_there_is_nothing_to_import(ask: Any) -> None:
    dialog = ask()
    assert not find(dialog, "import_start").isEnabled()
    assert text(dialog, "import_counts").startswith("Add a folder or files")


def test_masks_of_0_and_255_are_suggested_used_and_imported(
    ask: Any, session: Any, qtbot: Any, files: Path
) -> None:
    from data_helpers import Listener

    heard = Listener(session)
    dialog = ask(files)
    looked(dialog, qtbot)
    assert text(dialog, "import_counts") == "5 images, 3 with a mask."
    assert "255 = not labelled (25 %)" in text(dialog, "import_legend")
    assert rows(dialog)[0] == ("0.tif", "0.tif", "50 x 40", "uint8", "1", "new")
    assert rows(dialog)[4] == ("4.tif", "–", "50 x 40", "uint8", "1", "new")

    click(qtbot, dialog, "import_use")
    looked(dialog, qtbot)
    assert "255 = nucleus (25 %)" in text(dialog, "import_legend")
    assert not find(dialog, "import_suggestion").isVisible()

    click(qtbot, dialog, "import_start")
    assert not dialog.form.isEnabled()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=SECONDS)
    assert heard.last == "Imported 5 images; 3 got a mask."
    names = {one.name: image_id for image_id, one in session.project.images.items()}
    assert sorted(names) == list("01234")
    assert session.project.label_counts(names["0"]).tolist() == [0, 1500, 500]
    assert session.image_id in names.values()


def test_problems_are_counted_explained_and_left_out(
    ask: Any, session: Any, qtbot: Any, files: Path
) -> None:
    import tifffile
    from qtpy.QtCore import Qt

    tifffile.imwrite(files / "masks" / "4.tif", np.zeros((9, 9), np.uint8))
    (files / "images" / "3.tif").write_bytes(b"nonsense")
    (files / "images" / "notes.txt").write_text("hello")
    dialog = ask(files)
    looked(dialog, qtbot)
    assert text(dialog, "import_counts") == "5 images, 4 with a mask; 2 with a problem."
    assert [row[-1] for row in rows(dialog)][:3] == ["✕ problem", "✕ problem", "new"]
    tips = [dialog._model.index(row, 0).data(Qt.ItemDataRole.ToolTipRole) for row in (0, 1)]
    assert any("A mask has to have the size of its image." in tip for tip in tips)

    assert text(dialog, "import_more") == "▸ 1 file is not used"
    assert not find(dialog, "import_files").isVisible()
    click(qtbot, dialog, "import_more")
    assert "notes.txt" in find(dialog, "import_files").toPlainText()

    click(qtbot, dialog, "import_start")
    qtbot.waitUntil(lambda: dialog._importing is None, timeout=SECONDS)
    assert dialog.isVisible()
    assert dialog._banner.text.startswith("Imported 3 images; 3 got a mask; 2 could not be")
    assert "3.tif" in find(dialog, "import_files").toPlainText()
    assert len(session.project.images) == 3
    assert text(dialog, "import_cancel") == "Close"
    click(qtbot, dialog, "import_cancel")
    assert not dialog.isVisible()


def test_channels_are_chosen_where_there_are_many(
    ask: Any, session: Any, qtbot: Any, tmp_path: Path
) -> None:
    import tifffile
    from qtpy.QtCore import Qt

    (tmp_path / "many").mkdir()
    pixels = np.random.default_rng(0).integers(0, 999, (6, 32, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "many" / "a.tif", pixels, metadata={"axes": "CYX"})
    dialog = ask(tmp_path / "many")
    looked(dialog, qtbot)
    assert "Tick the channels to use." in dialog._banner.text
    assert not find(dialog, "import_start").isEnabled()
    channels = find(dialog, "channels")
    assert channels.count() == 6
    for number in (1, 4):
        channels.item(number).setCheckState(Qt.CheckState.Checked)
    looked(dialog, qtbot)
    assert dialog.form.choice.channels == (1, 4)
    click(qtbot, dialog, "import_start")
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=SECONDS)
    assert session.project.channels == [1, 4]


def test_an_import_is_stopped_and_what_is_there_is_kept(
    ask: Any, session: Any, qtbot: Any, tmp_path: Path
) -> None:
    import tifffile

    from napari_threestage.project import Project

    (tmp_path / "lot").mkdir()
    rng = np.random.default_rng(0)
    for number in range(150):
        pixels = rng.integers(0, 255, (256, 256), np.uint8)
        tifffile.imwrite(tmp_path / "lot" / f"{number}.tif", pixels)
    dialog = ask()
    dialog.form.add([tmp_path / "lot"])
    click(qtbot, dialog, "import_start")
    progress = find(dialog, "import_progress")
    qtbot.waitUntil(lambda: progress.value() > 0, timeout=SECONDS)
    dialog.close()  # as the window's own button does
    assert dialog.isVisible()
    qtbot.waitUntil(lambda: dialog._importing is None, timeout=SECONDS)
    assert "what was imported so far is kept" in dialog._banner.text
    kept = len(Project(session.project.path).images)
    assert 0 < kept < 150
    assert len(session.project.images) == kept
    assert dialog.form.isEnabled()


def test_closing_the_dialog_ends_the_look_at_the_files(ask: Any, qtbot: Any, files: Path) -> None:
    dialog = ask(files)
    qtbot.waitUntil(lambda: dialog._looking is not None and dialog._looking.pid > 0)
    process = dialog._looking
    dialog.reject()
    assert not process.running


def test_a_change_starts_the_look_anew(ask: Any, qtbot: Any, files: Path) -> None:
    dialog = ask(files)
    qtbot.waitUntil(lambda: dialog._looking is not None, timeout=SECONDS)
    first = dialog._looking
    find(dialog, "import_split").setCurrentText("Validation only")
    assert not first.running
    looked(dialog, qtbot)
    assert dialog.form.choice.split == "validation"
    assert len(rows(dialog)) == 5


def test_a_wrong_option_is_told_in_place(ask: Any, qtbot: Any, files: Path) -> None:
    dialog = ask(files)
    find(dialog, "import_masks").setText(str(files / "nowhere"))
    looked(dialog, qtbot)
    assert "nowhere" in dialog._banner.text
    assert not find(dialog, "import_start").isEnabled()


def test_the_value_of_not_labelled(ask: Any) -> None:
    dialog = ask()
    other = find(dialog, "import_other")
    assert not other.isVisible()
    find(dialog, "import_unlabelled").setCurrentText("Another value")
    assert other.isVisible()
    other.setValue(7)
    assert dialog.form.choice.unlabelled == "7"
    find(dialog, "import_unlabelled").setCurrentText("No value")
    assert dialog.form.choice.unlabelled == "none"


def test_delete_takes_an_entry_away(ask: Any, qtbot: Any, files: Path) -> None:
    from qtpy.QtCore import Qt

    dialog = ask()
    dialog.form.add([files / "images", files / "masks"])
    dialog.form.add([files / "masks"])
    entries = find(dialog, "import_images")
    assert entries.count() == 2
    entries.setCurrentRow(1)
    qtbot.keyClick(entries, Qt.Key.Key_Delete)
    assert dialog.form.choice.images == (files / "images",)


def test_files_are_dropped(ask: Any, files: Path) -> None:
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    dialog = ask()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(files))])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    dialog.dropEvent(event)
    assert dialog.form.choice.images == (files / "images",)
    assert dialog.form.choice.masks == files / "masks"


def test_labels_that_are_there_are_replaced_only_after_a_question(
    ask: Any, session: Any, qtbot: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import import_dialog

    dialog = ask(files)
    find(dialog, "import_replace").setChecked(True)
    asked: list[str] = []
    monkeypatch.setattr(import_dialog, "confirm", lambda *words: bool(asked.append(words[2])))
    dialog.start()
    assert "do not come back" in asked[0]
    assert dialog._importing is None


def test_nothing_is_imported_before_labels_are_written(
    ask: Any, session: Any, qtbot: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.autosave, "wait", lambda seconds: False)
    session.autosave.problem = "No space left on device"
    dialog = ask(files)
    looked(dialog, qtbot)
    click(qtbot, dialog, "import_start")
    assert dialog._importing is None
    assert "(No space left on device)" in dialog._banner.text
    assert dialog.form.isEnabled() and find(dialog, "import_start").isEnabled()


def test_an_import_that_waits_for_labels_can_be_cancelled(
    ask: Any, session: Any, qtbot: Any, files: Path
) -> None:
    dialog = ask(files)
    looked(dialog, qtbot)
    tasks: list[Any] = []
    session.background = lambda *task: tasks.append(task)
    click(qtbot, dialog, "import_start")
    assert not dialog.form.isEnabled()
    click(qtbot, dialog, "import_cancel")
    assert not dialog.isVisible()
    work, done = tasks[0]
    done(work())
    assert dialog._importing is None and not session.project.images
