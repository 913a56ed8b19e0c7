"""The ways in from napari: menus, samples, dropped projects, preferences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari_helpers import Clerk, make_project
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QMenu, QRadioButton

from napari_threestage.widgets.dock import ThreeStageDock
from napari_threestage.widgets.layers import OURS
from napari_threestage.widgets.recent import sample_folder
from napari_threestage.widgets.workbench import workbench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.project import Project

pytestmark = pytest.mark.gui

PLUGIN, TITLE = "napari-threestage", "Three-Stage Self-Training"
COMMAND = f"{PLUGIN}.open_dock"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


def docks(viewer: Any) -> list[ThreeStageDock]:
    found = viewer.window.dock_widgets.values()
    return [widget for widget in found if isinstance(widget, ThreeStageDock)]


def wait_for_project(qtbot: Any, viewer: Any, path: Path) -> Any:
    """Wait until the first image of a project is shown; return the session."""
    session = workbench(viewer).session
    qtbot.waitUntil(
        lambda: (
            session.project is not None
            and session.project.path == path
            and session.image_id != ""
            and workbench(viewer).layers.truth is not None
        ),
        timeout=120_000,
    )
    return session


# --- what napari imports --------------------------------------------------------------------------

IMPORT = """
import importlib, json, pkgutil, sys
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name
import napari_threestage.widgets as widgets

manifest = PluginManifest.from_distribution("napari-threestage")
found = {}
for command in manifest.contributions.commands:
    try:
        import_python_name(command.python_name)
    except Exception as error:
        found[command.id] = str(error)
    else:
        found[command.id] = "torch" if "torch" in sys.modules else ""
for module in pkgutil.iter_modules(widgets.__path__):
    importlib.import_module(f"napari_threestage.widgets.{module.name}")
    found[module.name] = "torch" if "torch" in sys.modules else ""
print(json.dumps({name: trouble for name, trouble in found.items() if trouble}))
"""


def test_everything_that_napari_imports_is_there_and_loads_no_torch() -> None:
    environment = {**os.environ, "QT_API": "pyqt6"}
    child = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(child.stdout) == {}


# --- menus ----------------------------------------------------------------------------------------


def titles(menu: QMenu) -> list[str]:
    """Return the entries of a menu and of those inside it, as a person reads them."""
    menu.aboutToShow.emit()
    found = []
    for action in menu.actions():
        found.append(action.text().replace("&", ""))
        if action.menu() is not None:
            found += titles(action.menu())
    return found


def test_the_menus_have_the_dock_and_the_samples(viewer: Any) -> None:
    window = viewer.window
    assert sum(TITLE in title for title in titles(window.plugins_menu)) == 1
    assert sum(TITLE in title for title in titles(window.layers_menu)) == 2  # segment, annotate
    entries = titles(window.file_menu)
    assert TITLE in entries
    assert sum("offline" in title for title in entries) == 2
    assert sum("download" in title for title in entries) == 2


def open_in_menu(viewer: Any) -> None:
    """Click the plugin's entry in the menu Plugins."""
    menu = viewer.window.plugins_menu
    menu.aboutToShow.emit()
    next(action for action in menu.actions() if TITLE in action.text()).trigger()


def test_the_menu_opens_the_dock_and_hides_it(viewer: Any, qtbot: Any) -> None:
    open_in_menu(viewer)
    [dock] = docks(viewer)
    qtbot.waitUntil(dock.isVisible)
    assert dock.bench is workbench(viewer)
    open_in_menu(viewer)
    assert not dock.isVisible()
    open_in_menu(viewer)
    assert docks(viewer) == [dock] and dock.isVisible()


def test_a_project_opens_in_the_dock_that_is_there_even_if_it_is_hidden(
    viewer: Any, qtbot: Any, project: Project, tmp_path: Path
) -> None:
    open_in_menu(viewer)
    viewer.open(str(project.path), plugin=PLUGIN)
    wait_for_project(qtbot, viewer, project.path)
    [dock] = docks(viewer)
    open_in_menu(viewer)
    assert not dock.isVisible()
    other = make_project(tmp_path / "other")
    viewer.open(str(other.path), plugin=PLUGIN)
    wait_for_project(qtbot, viewer, other.path)
    assert docks(viewer) == [dock] and dock.isVisible()


# --- File > Open Sample ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param("tissue", marks=pytest.mark.slow), "stack"])
def test_a_sample_is_made_once_and_keeps_what_was_painted(
    viewer: Any, qtbot: Any, own_folders: Path, name: str
) -> None:
    folder = sample_folder(name)
    assert own_folders in folder.parents and not folder.exists()
    assert viewer.open_sample(PLUGIN, name)  # napari wants a layer at once
    session = wait_for_project(qtbot, viewer, folder)
    assert session.writable
    assert all(OURS in layer.metadata for layer in viewer.layers)
    shown = [layer.metadata[OURS]["role"] for layer in viewer.layers]
    assert shown == sorted(shown)  # images, then the ground truth, and nothing that was waiting
    layer = workbench(viewer).layers.truth
    layer.paint((0,) * layer.ndim, 2)
    painted = layer.data.copy()
    made = folder.stat().st_ino
    content = session.content

    viewer.open_sample(PLUGIN, name)
    qtbot.waitUntil(lambda: session.content is not None and session.content is not content)
    wait_for_project(qtbot, viewer, folder)
    assert folder.stat().st_ino == made
    np.testing.assert_array_equal(workbench(viewer).layers.truth.data, painted)
    shown_again = [layer.metadata[OURS]["role"] for layer in viewer.layers]
    assert shown_again == shown


# --- what is dropped ------------------------------------------------------------------------------


def drop_on_canvas(viewer: Any, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    held = Qt.KeyboardModifier.NoModifier
    target = viewer.window._qt_viewer
    QApplication.sendEvent(target, QDragEnterEvent(QPoint(20, 20), copy, data, left, held))
    QApplication.sendEvent(target, QDropEvent(QPointF(20, 20), copy, data, left, held))


def choose_reader(title: str) -> QTimer:
    """Answer napari's question for a reader as soon as it is there."""
    timer = QTimer()

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if dialog is not None:
            timer.stop()
            [choice] = [one for one in dialog.findChildren(QRadioButton) if one.text() == title]
            choice.setChecked(True)
            buttons = dialog.findChild(QDialogButtonBox)
            buttons.button(QDialogButtonBox.StandardButton.Ok).click()

    timer.timeout.connect(answer)
    timer.start(10)
    return timer


def test_a_dropped_project_file_opens_the_project(
    viewer: Any, qtbot: Any, project: Project
) -> None:
    drop_on_canvas(viewer, project.path / "project.json")
    session = wait_for_project(qtbot, viewer, project.path)
    assert session.writable and len(docks(viewer)) == 1


def test_a_dropped_project_folder_is_offered_to_the_plugin(
    viewer: Any, qtbot: Any, project: Project
) -> None:
    timer = choose_reader(TITLE)  # napari asks, for it opens folders too
    drop_on_canvas(viewer, project.path)
    assert not timer.isActive()
    wait_for_project(qtbot, viewer, project.path)


def test_a_folder_that_is_no_project_is_left_to_other_readers(tmp_path: Path) -> None:
    from npe2.io_utils import read_get_reader

    from napari_threestage.widgets.reader import get_reader

    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "one.png")
    layers, reader = read_get_reader(str(folder))
    assert len(layers) == 1 and reader.plugin_name == "napari"
    for other in (str(folder), str(tmp_path / "gone"), str(folder / "one.png"), [str(folder)]):
        assert get_reader(other) is None


def test_a_project_file_of_another_program_is_said_not_to_be_ours(
    viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    file = tmp_path / "project.json"
    file.write_text('{"name": "a web page"}')
    drop_on_canvas(viewer, file)
    [dock] = docks(viewer)
    qtbot.waitUntil(lambda: "project.json" in dock.banner.text)
    assert dock.bench.session.project is None and not viewer.layers


# --- preferences ----------------------------------------------------------------------------------


@pytest.fixture
def preferences(plugin_settings: None, npe2pm: Any) -> Any:
    """The plugin's page of napari's preferences; what is set there is kept below tmp_path."""
    from napari.settings import get_plugin_settings
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_distribution(PLUGIN))
    return get_plugin_settings(PLUGIN).training


def test_the_preferences_reach_the_dock(preferences: Any, qtbot: Any) -> None:
    preferences.preset = "balanced"
    preferences.device = "cuda:1"
    preferences.threads = 3
    preferences.cache_gigabytes = 2.5
    clerk = Clerk(ViewerModel(), qtbot)
    choices = clerk.dock.train.set_up.choices()
    assert (choices.preset, choices.device) == ("balanced", "cuda:1")
    assert "threads=3" in choices.changes
    assert clerk.session.cache.limit == 2_500_000_000


@pytest.mark.parametrize("shown", [True, False])
def test_new_masks_are_shown_if_that_is_preferred(
    preferences: Any, qtbot: Any, project: Project, shown: bool
) -> None:
    preferences.show_new_masks = shown
    clerk = Clerk(ViewerModel(), qtbot)
    clerk.open(project.path)
    content, layers = clerk.session.content, clerk.bench.layers
    content.masks[1] = np.ones(content.record.label_shape, np.uint8)
    layers.show_mask(content, 1)
    assert layers.find("stage", 1).visible == shown


def test_the_preferences_have_a_page_of_ours(preferences: Any, viewer: Any) -> None:
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    pages = [dialog._list.item(number).text() for number in range(dialog._list.count())]
    dialog.close()
    assert TITLE in pages


# --- keys -----------------------------------------------------------------------------------------


def test_no_key_is_one_of_naparis_own(clerk: Any) -> None:
    from napari.settings import get_settings

    taken = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    ours = {key.key.replace("-", "+") for key in clerk.bench.keys}
    assert {key for key in taken if key.replace("-", "+") in ours} == set()


def test_keys_act_once_whichever_doors_were_used(person: Any, project: Project) -> None:
    open_in_menu(person.viewer)  # napari knows the dock there by another name, and may add one
    person.open(project.path)
    person.key(Qt.Key.Key_K)
    assert list(person.session.reviewed) == [person.session.image_id]  # twice would take it back
