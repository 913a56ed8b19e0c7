"""A real napari window with the dock, and a person's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.store import ImageArray
from napari_threestage.widgets.dock import ThreeStageDock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY = ["network.backbone=compact", "network.weights=none", "data.crop=[32,32]", "threads=1"]
CLASSES = ["background", "cell"]


def make_project(path: Path, *, images: int = 4, labelled: int = 1, size: int = 64) -> Project:
    """A project of grey squares on black, the first of them labelled."""
    project = Project.create(path, default_classes(CLASSES))
    rng = np.random.default_rng(0)
    for number in range(images):
        truth = np.ones((size, size), np.uint8)
        top, left = rng.integers(4, size // 2, 2)
        truth[top : top + size // 3, left : left + size // 3] = 2
        pixels = (rng.integers(0, 60, (1, size, size)) + (truth == 2) * 150).astype(np.uint8)
        record, _ = project.add_image(f"image {number}", ImageArray(pixels, "cyx"))
        if number < labelled:
            project.write_ground_truth(record.id, truth, "imported")
    project.save()
    return project


def tiny_run(stages: str = "1-3", steps: int = 2) -> list[str]:
    """What to type for a training of a few seconds."""
    changes = [part for change in TINY for part in ("--set", change)]
    return ["--stages", stages, "--steps", str(steps), "--device", "cpu", *changes]


class Person:
    """Opens the dock in a viewer and acts with mouse and keys."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.dock = self.find_dock()
        self.bench = self.dock.bench
        self.session = self.bench.session

    def find_dock(self) -> Any:
        _, dock = self.viewer.window.add_plugin_dock_widget(
            "napari-threestage", "Three-Stage Self-Training"
        )
        return dock

    @property
    def canvas(self) -> QWidget:
        return self.viewer.window._qt_viewer.canvas.native

    def find(self, name: str, kind: type = QWidget) -> Any:
        """The control of this name, in the dock."""
        found = self.dock.findChild(kind, name)
        assert found is not None, f"there is no {name}"
        return found

    def click(self, name: str) -> None:
        control = self.find(name)
        assert control.isEnabled(), f"{name} is disabled"
        self.qtbot.mouseClick(control, Qt.MouseButton.LeftButton)

    def key(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key while the canvas has the focus."""
        self.canvas.setFocus()
        self.qtbot.keyClick(self.canvas, key, modifier)

    def wait(self, condition: Callable[[], object], seconds: float = 60) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * 1000))

    def open(self, path: Path) -> None:
        assert self.session.open(path)
        self.wait_for_image(next(iter(self.session.project.images)))

    def wait_for_image(self, image_id: str) -> None:
        self.wait(lambda: self.session.image_id == image_id)
        self.wait(lambda: self.bench.layers.truth is not None)

    def on_canvas(self, row: float, column: float) -> QPoint:
        """Where on the canvas a pixel of the shown plane is."""
        scene = self.viewer.scene
        height, width = self.canvas.height(), self.canvas.width()
        centre = np.array(scene.camera.center[-2:])
        offset = (np.array([row, column]) - centre) * scene.camera.zoom
        return QPoint(round(width / 2 + offset[1]), round(height / 2 + offset[0]))

    def stroke(self, *places: tuple[float, float]) -> None:
        """Paint with the mouse through some pixels of the plane."""
        points = [self.on_canvas(*place) for place in places]
        left = Qt.MouseButton.LeftButton
        self.qtbot.mouseMove(self.canvas, points[0])
        self.qtbot.mousePress(self.canvas, left, pos=points[0])
        for point in points[1:]:
            self.qtbot.mouseMove(self.canvas, point)
            QApplication.processEvents()
        self.qtbot.mouseRelease(self.canvas, left, pos=points[-1])


class Clerk(Person):
    """Has the dock beside layers that no window shows, which takes a tenth of the time."""

    def find_dock(self) -> Any:
        dock = ThreeStageDock(self.viewer)
        self.qtbot.addWidget(dock, before_close_func=lambda dock: dock.bench.close())
        dock.resize(360, 900)
        with self.qtbot.waitExposed(dock):
            dock.show()
        return dock

    def stroke(self, *places: tuple[float, float]) -> None:
        """Paint some pixels with napari's brush, which follows no mouse here."""
        layer = self.bench.layers.truth
        with layer.block_history():
            for place in places:
                layer.paint(place, layer.selected_label)
