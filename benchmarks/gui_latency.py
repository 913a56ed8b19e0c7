"""Does the window stay alive? Stalls of the event loop while a run trains and images are switched.

    xvfb-run -a -s "-screen 0 1366x768x24" python benchmarks/gui_latency.py --output results.json

A timer ticks every few milliseconds; how much later than due it comes is a stall.  What napari
without the dock needs for the same comes first, as the rows "napari: …", so that the others can be
read as ratios on a machine that does other things too.  The time to the next image is from the key
to the frame that shows it with ground truth and the masks of three stages.  Needs a display and a
Qt binding.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from gui_projects import make_large_project, make_long_list, make_small_project
from gui_pulse import (
    LONG_MS,
    Pulse,
    Switcher,
    jumper,
    painter,
    pump,
    roller,
    time_frames,
)
from qtpy.QtCore import QStringListModel
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QListView
from rich.console import Console
from rich.table import Table

from napari_threestage.widgets.content import load_content
from napari_threestage.widgets.layers import ProjectLayers

if TYPE_CHECKING:
    from napari_threestage.project import Project

PARTS = ("start", "switching", "training", "list")
DOCK_WIDTH = 340


def main() -> None:
    options = parse_arguments()
    results: dict[str, Any] = {"size": options.size, "cores": os.cpu_count(), "stalls": {}}
    with tempfile.TemporaryDirectory() as name:
        if "start" in options.only:
            results["start_s"] = measure_start()
        if set(options.only) - {"start"}:
            measure(Path(name), options, results)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))
    show(results)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--size", type=int, default=2048, help="of the images, in pixels")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--list", type=int, default=10_000, help="images in the long list")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace, results: dict[str, Any]) -> None:
    pulse, stalls = Pulse(), results["stalls"]
    begun = time.perf_counter()
    viewer = napari.Viewer()
    QApplication.processEvents()
    results["napari_s"] = time.perf_counter() - begun
    large = make_large_project(folder / "large", options.images, options.size)
    names = [f"image {number}" for number in range(options.list)]
    measure_napari(viewer, pulse, large, names, options, results)
    begun = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-threestage", "Three-Stage Self-Training")
    QApplication.processEvents()
    results["dock_s"] = time.perf_counter() - begun
    if "switching" in options.only:
        results["next_image_ms"]["dock"] = measure_switching(dock, pulse, large, options, stalls)
    if "training" in options.only:
        with contextlib.redirect_stdout(io.StringIO()):
            small = make_small_project(folder / "small")
        measure_training(dock, pulse, small, options.seconds, stalls)
    if "list" in options.only:
        many = make_long_list(folder / "many", options.list)
        results["open_list_s"] = measure_list(dock, pulse, many, options.seconds, stalls)
    dock.bench.close()
    viewer.close()


# --- starting -------------------------------------------------------------------------------------


def measure_start() -> dict[str, float]:
    """Return the seconds, least of 3, that the dock's import takes after napari's window."""
    script = (
        "import time, napari; viewer = napari.Viewer(show=False); begun = time.perf_counter();"
        "import napari_threestage.widgets.dock; print(time.perf_counter() - begun); viewer.close()"
    )
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return {"import": min(float(run.stdout.split()[-1]) for run in runs)}


# --- napari without the dock ----------------------------------------------------------------------


def measure_napari(
    viewer: Any,
    pulse: Pulse,
    project: Project,
    names: list[str],
    options: argparse.Namespace,
    results: dict[str, Any],
) -> None:
    """Do the same with napari's own layers, and with a bare list, beside a dock of our width."""
    view = QListView()
    view.setUniformItemSizes(True)
    view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
    view.setStyleSheet("QListView::item { height: 56px }")
    view.setModel(QStringListModel(names))
    view.setMinimumWidth(DOCK_WIDTH)
    holder = viewer.window.add_dock_widget(view, name="bare")
    stalls, seconds = results["stalls"], options.seconds
    stalls["napari: idle"] = pulse.measure(seconds)
    if "switching" in options.only:
        layers = BareLayers(viewer, project)
        results["next_image_ms"] = {"napari": time_frames(viewer, layers.show_next, 3)}
        stalls["napari: other pixels in the same layers"] = pulse.measure(seconds, layers.show_next)
        stalls["napari: painting"] = pulse.measure(seconds, painter(layers.truth))
        viewer.layers.clear()
    if "list" in options.only:
        stalls["napari: a bare list, jumps"] = pulse.measure(seconds, jumper(view))
        stalls["napari: a bare list, wheel"] = pulse.measure(seconds, roller(view), 0.05)
    viewer.window.remove_dock_widget(holder)


class BareLayers:
    """The layers of the project without anything of ours that follows them."""

    def __init__(self, viewer: Any, project: Project) -> None:
        from napari_threestage.runs import list_runs
        from napari_threestage.widgets.content import PixelCache

        run, cache = list_runs(project)[-1], PixelCache()
        made = [load_content(project, one, run, cache, False) for one in project.images]
        ProjectLayers(viewer).show(made[0], project.classes, editable=True)
        self._layers, self._place = list(viewer.layers), 0
        self.truth = viewer.layers[-1]
        self._data = [[one.pixels.levels[0], *one.masks.values(), one.editor.truth] for one in made]

    def show_next(self) -> None:
        self._place = (self._place + 1) % len(self._data)
        for layer, data in zip(self._layers, self._data[self._place], strict=True):
            layer.data = data


# --- with the dock --------------------------------------------------------------------------------


def measure_switching(
    dock: Any, pulse: Pulse, project: Project, options: argparse.Namespace, stalls: dict[str, Any]
) -> dict[str, float]:
    """Switch and paint large images; return how long the next image takes."""
    bench = dock.bench
    open_project(bench, project.path)
    dock.open_tab("Label")
    QTest.qWait(500)
    stalls["idle"] = pulse.measure(options.seconds)
    turns = Switcher(bench)
    following = time_frames(bench.viewer, turns, 3 * options.images, turns.wait)
    stalls["switching images"] = pulse.measure(options.seconds, turns)
    turns.wait()
    stalls["painting"] = pulse.measure(options.seconds, painter(bench.layers.truth))
    return following


def measure_training(
    dock: Any, pulse: Pulse, project: Project, seconds: float, stalls: dict[str, Any]
) -> None:
    """Stalls while the same machine trains: with the curves in view, and while a person paints."""
    open_project(dock.bench, project.path)
    runs = dock.bench.session.runs
    settings = ["network.backbone=compact", "network.weights=none"]
    changes = [part for setting in settings for part in ("--set", setting)]
    assert runs.start(["--device", "cpu", "--steps", "100000", *changes])
    pump(lambda: runs.view.fraction > 0, 300)
    bare = dock.bench.viewer.add_labels(np.zeros_like(dock.bench.layers.truth.data))
    dock.open_tab("Data")
    stalls["training, nothing done"] = pulse.measure(seconds)
    stalls["training, painting a layer of napari's"] = pulse.measure(seconds, painter(bare))
    dock.bench.viewer.layers.remove(bare)
    dock.open_tab("Train")
    stalls["training, curves in view"] = pulse.measure(seconds)
    dock.open_tab("Label")
    stalls["training, painting"] = pulse.measure(seconds, painter(dock.bench.layers.truth))
    stalls["training, switching images"] = pulse.measure(seconds, Switcher(dock.bench))
    runs.stop()
    pump(lambda: not runs.active, 120)


def measure_list(
    dock: Any, pulse: Pulse, project: Project, seconds: float, stalls: dict[str, Any]
) -> float:
    """Scroll a long list; return how long it took to open it."""
    open_project(dock.bench, project.path)  # with what is only loaded the first time
    stalls["a long list opened, in Data"] = pulse.measure(seconds)
    begun = time.perf_counter()
    open_project(dock.bench, project.path)
    opened = time.perf_counter() - begun
    dock.open_tab("Label")
    view = max(dock.findChildren(QListView), key=lambda one: one.model().rowCount())
    stalls["a long list opened, in Label"] = pulse.measure(seconds)
    stalls["a long list, jumps"] = pulse.measure(seconds, jumper(view))
    stalls["a long list, wheel"] = pulse.measure(seconds, roller(view), 0.05)
    return opened


def open_project(bench: Any, path: Path) -> None:
    assert bench.session.open(path)
    pump(lambda: bench.session.image_id != "", 120)


def show(results: dict[str, Any]) -> None:
    columns = ("median ms", "99 % ms", "longest ms", f"over {LONG_MS} ms")
    table = Table("", *columns, title="Stalls of the event loop")
    for name, row in results["stalls"].items():
        values = (f"{row[key]:.1f}" for key in ("median_ms", "p99_ms", "longest_ms"))
        table.add_row(name, *values, str(row["long"]))
    console = Console()
    console.print(table)
    for who, times in results.get("next_image_ms", {}).items():
        console.print(
            f"Next image at {results['size']} px with all overlays, {who}: "
            f"median {times['median']:.0f} ms, longest {times['longest']:.0f} ms"
        )
    if "open_list_s" in results:
        console.print(f"Opening the long list: {results['open_list_s']:.2f} s.")
    if "start_s" in results:
        console.print(f"Importing the dock after napari: {results['start_s']['import']:.2f} s.")
    if "dock_s" in results:
        console.print(
            f"The dock's first window: {results['dock_s']:.2f} s "
            f"(napari's: {results['napari_s']:.2f} s)."
        )


if __name__ == "__main__":
    main()
