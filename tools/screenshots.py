"""Pictures of the window in every state, made by doing what leads there.

    xvfb-run -a -s "-screen 0 1366x768x24" .venv/bin/python tools/screenshots.py docs/images

They are looked at before a release, in both themes; the best are in the README.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QTabBar,
    QWidget,
)

from napari_threestage.cli import main as threestage
from napari_threestage.project import Project
from napari_threestage.store import ImageArray
from napari_threestage.widgets.runs_dialog import RunsDialog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_threestage.widgets.command_box import CommandBox

SIZE = (1366, 768)
# Random weights and few steps: the pictures need masks, not good ones.
TRAINING = {
    "network.backbone": "compact",
    "network.weights": "none",
    "optimiser.learning_rate": "0.003",
    "augment.labelled": "[0]",
    "live.every_seconds": "3",
}


class Photographer:
    """Brings napari with the dock into a state and keeps a picture of it."""

    def __init__(self, folder: Path, theme: str) -> None:
        self.folder, self.theme = folder, theme
        get_settings().appearance.theme = theme
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.window.move(0, 0)
        _, self.dock = self.viewer.window.add_plugin_dock_widget(
            "napari-threestage", "Three-Stage Self-Training"
        )
        self.bench, self.session = self.dock.bench, self.dock.bench.session
        self.wait(0.5)

    def wait(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], object], seconds: float = 300) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            if condition():
                return True
            time.sleep(0.01)
        return False

    def take(self, name: str, widget: QWidget | None = None, settle: float = 1.0) -> None:
        """Keep a picture of the window, or of one widget."""
        self.wait(settle)
        path = self.folder / f"{name}-{self.theme}.png"
        if widget is None:
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        else:
            widget.grab().save(str(path))
        print(path)

    def take_dialog(self, name: str, open_it: Callable[[], object], settle: float = 1.5) -> None:
        """Keep a picture of a dialog that `open_it` opens, and close it."""
        QTimer.singleShot(int(1000 * settle), lambda: self._close_dialog(name))
        open_it()
        self.wait(settle + 0.5)

    def _close_dialog(self, name: str) -> None:
        dialogs = [one for one in QApplication.topLevelWidgets() if isinstance(one, QDialog)]
        for dialog in dialogs:
            if dialog.isVisible():
                self.take(name, dialog, 0.2)
                dialog.reject()

    def open(self, path: Path) -> None:
        assert self.session.open(path)
        self.until(lambda: self.session.image_id or not self.session.project.images)

    def tab(self, name: str) -> None:
        self.dock.open_tab(name)

    def close(self) -> None:
        self.bench.close()
        self.viewer.close()
        self.wait(0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--themes", nargs="+", default=["dark", "light"])
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CONFIG_HOME"] = name  # the list of recent projects stays as it is
        tissue = Path(name) / "tissue"
        assert threestage(["sample", "tissue", str(tissue), "--json"]) == 0
        many = make_many_classes(Path(name) / "many classes")
        for number, theme in enumerate(options.themes):
            one = Photographer(options.folder, theme)
            for step in states(one, tissue, many, options.steps, first=number == 0):
                print(step)
            one.close()


def states(
    one: Photographer, tissue: Path, many: Path, steps: int, *, first: bool
) -> Iterator[str]:
    one.tab("Data")
    one.take("01-data-empty")
    one.tab("Label")
    one.take("02-label-empty")
    one.tab("Train")
    one.take("03-train-empty")
    one.tab("Compare")
    one.take("04-compare-empty")
    one.tab("Export")
    one.take("05-export-empty")
    yield "empty"
    one.open(tissue)
    one.tab("Data")
    one.take("10-data")
    one.tab("Label")
    one.bench.painter.start_painting()
    one.take("11-label")
    paint(one)
    one.take("12-label-painted")
    yield "labelled"
    one.tab("Train")
    one.take("20-train-plan", settle=3)
    if first:
        train(one, steps)
    one.take("25-train-finished", settle=2)
    yield "trained"
    unlabelled = list(one.session.project.images)[-1]
    one.session.show(unlabelled)
    one.until(lambda: one.session.image_id == unlabelled)
    one.tab("Compare")
    one.take("30-compare-filled")
    one.bench.layers.set_style("Outlined")
    one.take("31-compare-outlined")
    one.bench.layers.flip(1)
    one.bench.layers.flip(1)
    one.take("32-compare-stage-1")
    one.bench.layers.flip(-2)
    for number, mode in enumerate(("Side by side", "Wipe"), start=33):
        one.bench.views.choose(mode)
        one.take(f"{number}-compare-{mode.replace(' ', '-').lower()}", settle=5)
    one.bench.views.choose("Overlay")
    pages = one.dock.findChild(QTabBar, "compare_pages")
    pages.setCurrentIndex(1)
    one.take("35-compare-all-images", settle=20)  # until the command has compared them
    pages.setCurrentIndex(0)
    one.tab("Label")
    lists = one.dock.findChild(QTabBar, "label_lists")
    lists.setCurrentIndex(1)
    one.take("36-label-next", settle=15)
    lists.setCurrentIndex(0)
    one.take("37-label-take-over")
    yield "compared"
    look_after_runs(one)
    yield "out of date"
    export(one)
    yield "exported"
    one.open(many)
    one.tab("Label")
    one.take("50-label-many")
    one.tab("Data")
    one.take("51-data-many")
    yield "many"


def look_after_runs(one: Photographer) -> None:
    """Pictures of a run that is out of date, and of all runs."""
    paint(one, -2)
    one.tab("Train")
    stale = one.dock.findChild(QWidget, "stale_run")
    one.until(lambda: one.session.runs.all.refresh() or stale.isVisible(), 20)
    one.take("38-train-out-of-date")
    one.tab("Compare")
    one.dock.findChild(QPushButton, "show_runs").click()
    dialogs = [one for one in QApplication.topLevelWidgets() if isinstance(one, RunsDialog)]
    one.take("39-runs", dialogs[-1], settle=3)
    dialogs[-1].close()


def paint(one: Photographer, place: int = 8) -> None:
    """Paint some strokes on an image that has no labels."""
    image_id = list(one.session.project.images)[place]
    one.session.show(image_id)
    one.until(lambda: one.session.image_id == image_id)
    layer = one.bench.layers.truth
    layer.brush_size = 7
    for index, row in ((1, 30), (2, 80), (3, 120)):
        one.session.pick_class(index)
        for column in range(30, 110, 3):
            layer.paint((row + 6 * np.sin(column / 9), column), index)


def train(one: Photographer, steps: int) -> None:
    """Pictures of a training as it goes: at work, killed, going on again."""
    runs = one.session.runs
    changes = [part for entry in TRAINING.items() for part in ("--set", "=".join(entry))]
    assert runs.start(["--device", "cpu", "--steps", str(steps), *changes])
    one.take("21-train-starting")
    one.until(lambda: runs.view.fraction > 0.05)
    one.take("22-train-running", settle=2)
    runs.pause()
    one.until(lambda: runs.state == "paused")
    one.take("23-train-paused")
    os.kill(int(runs.run.process()["pid"]), signal.SIGKILL)
    one.until(lambda: runs.state == "interrupted")
    one.take("24-train-killed")
    assert runs.resume()
    one.until(lambda: runs.state == "running")
    one.until(lambda: runs.view.fraction > 0.5)
    one.take("22-train-stage-2", settle=2)
    one.until(lambda: not runs.active, 1200)


def export(one: Photographer) -> None:
    """Pictures of Export: at rest, exported, applied to a layer and to files, an error."""
    part = one.dock.export
    bar = part.findChild(QScrollArea).verticalScrollBar()

    def go(name: str, box: CommandBox, picture: str) -> None:
        part.findChild(QPushButton, name).click()
        one.until(lambda: not box.busy and box.banner.isVisible())
        one.take(picture, settle=2)

    one.tab("Export")
    one.until(lambda: part.stages.model is not None)
    one.take("40-export")
    part.findChild(QPushButton, "apply_start").click()
    one.take("41-export-applying", settle=4)
    one.until(lambda: not part.apply.box.busy and any(" – " in x.name for x in one.viewer.layers))
    one.take("42-export-applied")
    bar.setValue(0)
    part.findChild(QComboBox, "export_format").setCurrentIndex(2)
    go("export_start", part.model.box, "43-export-segmenter")
    part.findChild(QComboBox, "masks_format").setCurrentIndex(4)
    part.findChild(QCheckBox, "masks_statistics").setChecked(True)
    go("masks_start", part.masks.box, "44-export-masks")
    bar.setValue(0)
    part.model.about.open()
    part.findChild(QLineEdit, "export_file").setText("/proc/nowhere/model.onnx")
    go("export_start", part.model.box, "45-export-error")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "damaged.tif").write_bytes(b"nothing")
        part.findChild(QComboBox, "apply_to").setCurrentIndex(1)
        part.apply.files.choose([Path(folder)])
        go("apply_start", part.apply.box, "46-export-files")


def make_many_classes(path: Path) -> Path:
    """A project with many images, 40 classes and long names."""
    names = [f"class {number}" for number in range(1, 39)]
    names += ["a class with a name that is much longer than the dock is wide", "ÄÖÜ 漢字"]
    assert threestage(["init", str(path), "--classes", ",".join(names), "--json"]) == 0
    project = Project(path)
    rng = np.random.default_rng(0)
    for number in range(300):
        pixels = rng.integers(0, 4000, (1, 48, 64), np.uint16)
        project.add_image(f"plate 7, well B03, site {number}", ImageArray(pixels, "cyx"))
    project.save()
    return path


if __name__ == "__main__":
    main()
