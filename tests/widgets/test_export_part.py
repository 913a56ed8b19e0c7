"""Exporting, applying and masks as a person does it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari_helpers import make_project, tiny_run
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
)

pytestmark = pytest.mark.gui

# What stands in for the command: it writes what the real one would, at once or slowly.
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path

import numpy as np
import tifffile

arguments = sys.argv[3:]
if arguments[0] not in ("export", "predict", "export-masks"):
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
here = Path(__file__).parent
(here / "typed.json").write_text(json.dumps(arguments))
(here / "child.pid").write_text(str(os.getpid()))
signal.signal(signal.SIGTERM, lambda *unused: sys.exit(3))
behaviour = json.loads((here / "behaviour.json").read_text())


def after(name):
    return arguments[arguments.index(name) + 1]


def tell(done, total):
    line = {"step": "predicting", "done": done, "total": total}
    print(json.dumps(line), file=sys.stderr, flush=True)


tell(1, 4)
while behaviour.get("hang"):
    time.sleep(0.05)
if behaviour.get("error"):
    print("error:", behaviour["error"], file=sys.stderr)
    sys.exit(1)
output = Path(after("--output"))
if arguments[0] == "export":
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(b"0" * 2048)
    found = {"file": str(output), "largest_difference": 3e-7, "checked_with": "onnxruntime"}
    print(json.dumps(found | {"bytes": 2048}))
elif arguments[0] == "export-masks":
    print(json.dumps({"files": ["a.tif", "b.tif"], "without_mask": 2, "statistics": []}))
else:
    output.mkdir(parents=True)
    image = Path(after("--images"))
    if image.suffix == ".npy":
        np.save(here / "handed.npy", np.load(image))
        sides = zip(after("--axes"), np.load(image).shape)
        shape = [side for axis, side in sides if axis != "c"]
    else:
        shape = behaviour.get("shape", [64, 64])
    mask = np.zeros(shape, np.uint8)
    mask[..., :4] = 1
    mask[..., 0, 0] = 255
    files = {"files": mask, "confidence": np.full(shape, 200, np.uint8)}
    report = {}
    for name, values in files.items():
        if name == "files" or "--confidence" in arguments:
            report[name] = [str(output / f"{name}.tif")]
            tifffile.imwrite(report[name][0], values, photometric="minisblack")
    report["other_pixels"] = behaviour.get("other_pixels", [])
    print(json.dumps(report | {"failed": behaviour.get("failed", [])}))
    sys.exit(bool(behaviour.get("failed")))
"""


class StandIn:
    """Tells the program in the place of the command what to do, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.be()

    def be(self, **behaviour: Any) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    @property
    def typed(self) -> list[str]:
        typed: list[str] = json.loads((self.folder / "typed.json").read_text())
        return typed

    def after(self, option: str) -> str:
        return self.typed[self.typed.index(option) + 1]

    @property
    def alive(self) -> bool:
        try:
            os.kill(int((self.folder / "child.pid").read_text()), 0)
        except (OSError, ValueError):
            return False
        return True


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    folder = tmp_path / "stand-in"
    folder.mkdir()
    script = folder / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    start = folder / "python"
    start.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    start.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(start))
    return StandIn(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run of two stages."""
    import subprocess

    path = make_project(tmp_path_factory.mktemp("trained") / "cells").path
    command = [sys.executable, "-m", "napari_threestage", "run", str(path), *tiny_run("1-2")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return path


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    import shutil

    return Path(shutil.copytree(trained, tmp_path / "cells"))


class Exporter:
    """Somebody who looks at the part Export."""

    def __init__(self, person: Any) -> None:
        self.person, self.viewer = person, person.viewer
        self.part = person.dock.export
        person.dock.open_tab("Export")

    def open(self, project: Path) -> None:
        """Open a project and come back to this part."""
        self.person.open(project)
        self.person.dock.open_tab("Export")

    def find(self, name: str, kind: type) -> Any:
        found = self.part.findChild(kind, name)
        assert found is not None, f"there is no {name}"
        return found

    def scroll_to(self, name: str, kind: type = QPushButton) -> Any:
        """Bring a control into view and return it."""
        from qtpy.QtWidgets import QApplication, QScrollArea

        control = self.find(name, kind)
        QApplication.processEvents()
        self.part.findChild(QScrollArea).ensureWidgetVisible(control)
        return control

    def click(self, name: str, kind: type = QPushButton) -> None:
        control = self.scroll_to(name, kind)
        assert control.isVisible() and control.isEnabled(), name
        self.person.qtbot.mouseClick(control, Qt.MouseButton.LeftButton)

    def tick(self, name: str) -> None:
        control = self.scroll_to(name, QCheckBox)
        place = QPoint(8, control.height() // 2)
        self.person.qtbot.mouseClick(control, Qt.MouseButton.LeftButton, pos=place)
        assert control.isChecked()

    def choose(self, name: str, text: str) -> None:
        """Choose an entry with keys."""
        box = self.scroll_to(name, QComboBox)
        texts = [box.itemText(place) for place in range(box.count())]
        [wanted] = [place for place, one in enumerate(texts) if text in one]
        box.setFocus()
        self.person.qtbot.keyClick(box, Qt.Key.Key_Home)
        for _ in range(wanted):
            self.person.qtbot.keyClick(box, Qt.Key.Key_Down)
        assert text in box.currentText()

    def write(self, name: str, text: str) -> None:
        field = self.scroll_to(name, QLineEdit)
        field.selectAll()
        self.person.qtbot.keyClicks(field, text)

    def text(self, name: str, kind: type = QLineEdit) -> str:
        return str(self.find(name, kind).text())

    def why_not(self, name: str) -> str:
        button, reason = (
            self.find(f"{name}_start", QPushButton),
            self.find(f"{name}_why_not", QLabel),
        )
        assert button.isEnabled() == (not reason.text())
        return str(reason.text())

    def wait(self, box: Any) -> None:
        self.person.wait(lambda: not box.busy and box.banner.isVisible(), 120)

    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]


@pytest.fixture
def nobody(clerk: Any, program: StandIn) -> Exporter:
    """The part without a project."""
    return Exporter(clerk)


def opened(exporter: Exporter, project: Path) -> Exporter:
    exporter.open(project)
    exporter.person.wait(lambda: exporter.part.stages.model is not None)
    return exporter


@pytest.fixture
def exporter(nobody: Exporter, project: Path) -> Exporter:
    return opened(nobody, project)


def run_id(project: Path) -> str:
    [run] = (project / "runs").iterdir()
    return run.name


# --- what can be started --------------------------------------------------------------------------


def test_without_a_project_each_task_says_why_it_cannot_start(nobody: Exporter) -> None:
    nobody.part.apply.layer.sync()
    assert nobody.why_not("export") == "Open a project first."
    assert nobody.why_not("apply") == "Open a project first. Or choose a model file."
    assert nobody.why_not("masks") == "Open a project first."


def test_without_a_finished_stage_only_ground_truth_can_be_exported(
    nobody: Exporter, tmp_path: Path
) -> None:
    nobody.open(make_project(tmp_path / "fresh").path)
    assert nobody.why_not("export") == "No run yet: start one in Train."
    assert nobody.why_not("masks") == "No run yet: start one in Train."
    nobody.choose("masks_which", "Ground truth")
    assert nobody.why_not("masks") == ""


def test_the_last_finished_stage_is_meant_and_another_one_can_be_chosen(
    exporter: Exporter, project: Path
) -> None:
    assert exporter.part.stages.model.arguments() == [
        *(str(project), "--run", run_id(project), "--stage", "2")
    ]
    assert exporter.text("export_file").endswith("exports/cells-stage-2.safetensors")
    exporter.choose("export_stage", "Stage 1")
    assert exporter.part.stages.model.stage == 1
    assert exporter.text("export_file").endswith("exports/cells-stage-1.safetensors")
    assert exporter.text("masks_folder").endswith("exports/masks-stage-1")
    exporter.part.stages.refresh()  # as when a run has news: the choice stays
    exporter.person.wait(lambda: not exporter.part.stages._reading)
    assert exporter.part.stages.model.stage == 1


def test_of_several_runs_one_is_chosen(exporter: Exporter, project: Path) -> None:
    from run_helpers import make_run

    session = exporter.person.session
    session.runs.follow(make_run(session.project))
    exporter.person.wait(
        lambda: exporter.why_not("export") == "No stage of this run is finished yet."
    )
    exporter.person.wait(lambda: exporter.find("export_run", QComboBox).count() == 2)
    box = exporter.scroll_to("export_run", QComboBox)
    box.setFocus()
    exporter.person.qtbot.keyClick(box, Qt.Key.Key_End)  # the earlier one
    exporter.person.wait(lambda: exporter.part.stages.model is not None)
    assert exporter.part.stages.model.run == min(one.name for one in (project / "runs").iterdir())


# --- the segmenter --------------------------------------------------------------------------------


def test_an_export_says_where_and_how_exact(
    exporter: Exporter, program: StandIn, project: Path
) -> None:
    exporter.choose("export_format", "ONNX")
    exporter.click("export_card", QToolButton)
    exporter.write("card_authors", "Ada L.; Alan T.")
    exporter.write("card_name", "Cells")
    exporter.click("export_start")
    box = exporter.part.model.box
    exporter.wait(box)
    assert "Verified with onnxruntime: largest difference 3e-7." in box.banner.text
    assert exporter.find("export_show_folder", QPushButton).isVisible()
    written = project / "exports" / "cells-stage-2.onnx"
    assert program.typed[:8] == [
        *("export", str(project), "--run", run_id(project), "--stage", "2", "--format", "onnx")
    ]
    assert program.after("--output") == str(written) and written.is_file()
    assert {"--name=Cells", "--author=Ada L.", "--author=Alan T."} < set(program.typed)
    assert not any(part.startswith("--licence") for part in program.typed)
    assert not exporter.find("export_exists", QLabel).isVisible()


def test_a_file_that_is_there_is_told_before(exporter: Exporter, tmp_path: Path) -> None:
    note = exporter.find("export_exists", QLabel)
    exporter.write("export_file", f"{tmp_path}/mine")
    assert not note.isVisible()
    (tmp_path / "mine.safetensors").touch()
    exporter.write("export_file", f"{tmp_path}/mine")  # as the command names it
    assert note.isVisible() and "is no export: choose another name" in note.text()
    (tmp_path / "mine.safetensors.json").touch()
    exporter.write("export_file", f"{tmp_path}/mine")
    assert note.isVisible() and "will be replaced" in note.text()
    exporter.write("export_file", f"{tmp_path}/mine.onnx")
    assert not note.isVisible()
    assert exporter.why_not("export") == "mine.onnx has the ending of the format ONNX."
    exporter.write("export_file", "/")
    assert exporter.why_not("export") == "/ is no file."


def test_a_project_that_cannot_be_written_can_be_exported(
    exporter: Exporter, program: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import export_model

    def forget(*unused: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(export_model, "forget_emptied", forget)
    exporter.write("export_file", f"{tmp_path}/mine.safetensors")
    exporter.click("export_start")
    exporter.wait(exporter.part.model.box)
    assert (tmp_path / "mine.safetensors").is_file(), exporter.part.model.box.banner.text


def test_what_was_filled_in_last_is_there_again(nobody: Exporter, project: Path) -> None:
    card = {"name": "Cells", "authors": ["Ada L.", "Alan T."], "licence": "MIT"}
    (project / "exports" / "card.json").write_text(json.dumps(card))
    nobody.open(project)
    found = nobody.part.model.card.card
    assert (found.name, found.authors, found.licence) == ("Cells", "Ada L.; Alan T.", "MIT")


def test_a_file_of_ones_own_keeps_its_name_with_another_format(
    exporter: Exporter, tmp_path: Path
) -> None:
    exporter.write("export_file", f"{tmp_path}/mine.safetensors")
    exporter.choose("export_format", "pt2")
    assert exporter.text("export_file") == f"{tmp_path}/mine.pt2"
    exporter.choose("export_stage", "Stage 1")
    assert exporter.text("export_file") == f"{tmp_path}/mine.pt2"


def test_what_goes_wrong_is_said_in_its_place(exporter: Exporter, program: StandIn) -> None:
    program.be(error="The disk is full. Make room.")
    exporter.click("export_start")
    exporter.wait(exporter.part.model.box)
    assert exporter.part.model.box.banner.text == "The disk is full. Make room."
    assert not exporter.find("export_show_folder", QPushButton).isVisible()
    assert exporter.why_not("export") == ""  # and can be tried again


def test_one_task_at_a_time_and_cancel(exporter: Exporter, program: StandIn) -> None:
    program.be(hang=True)
    exporter.click("export_start")
    bar = exporter.find("export_progress", QProgressBar)
    exporter.person.wait(lambda: bar.maximum() == 4)
    assert bar.text() == "Predicting 25 %"
    assert exporter.why_not("masks") == "The export is going on; one at a time."
    assert exporter.why_not("apply") == "The export is going on; one at a time."
    exporter.click("export_cancel")
    exporter.wait(exporter.part.model.box)
    assert exporter.part.model.box.banner.text == "The export was stopped."
    assert not program.alive
    assert exporter.why_not("masks") == exporter.why_not("apply") == ""


def begin_endless(exporter: Exporter, program: StandIn) -> None:
    program.be(hang=True)
    exporter.click("export_start")
    exporter.person.wait(lambda: program.alive)
    bar = exporter.find("export_progress", QProgressBar)
    exporter.person.wait(lambda: bar.maximum() == 4)


def test_a_child_ends_with_its_project(exporter: Exporter, program: StandIn) -> None:
    begin_endless(exporter, program)
    assert exporter.person.session.close()
    assert not exporter.part.model.box.busy
    exporter.person.wait(lambda: not program.alive)


@pytest.mark.parametrize("end", ["dock", "window"])
def test_a_child_ends_with_its_dock_or_its_window(
    person: Any, program: StandIn, project: Path, end: str
) -> None:
    exporter = opened(Exporter(person), project)
    begin_endless(exporter, program)
    if end == "dock":
        exporter.viewer.window.remove_dock_widget(exporter.person.dock)
    else:
        exporter.viewer.close()
    exporter.person.wait(lambda: not program.alive)


# --- apply ----------------------------------------------------------------------------------------


def test_a_layer_gets_a_mask_in_its_place(exporter: Exporter, program: StandIn) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (3, 40, 50), np.uint16)
    before = pixels.copy()
    layer = exporter.viewer.add_image(
        pixels, name="stack", scale=(2, 0.5, 0.5), translate=(1, 10, 20), rotate=(0, 0, 30)
    )
    exporter.part.apply.layer.sync()
    assert exporter.find("apply_layer", QComboBox).currentText() == "stack"  # the selected one
    exporter.tick("apply_confidence")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    exporter.person.wait(lambda: "stack – stage 2" in exporter.names())
    assert program.after("--axes") == "zyx" and program.after("--as") == "tiff"
    np.testing.assert_array_equal(np.load(program.folder / "handed.npy"), before)

    mask = exporter.viewer.layers["stack – stage 2"]
    assert mask.data.shape == (3, 40, 50)
    assert (mask.data[:, :, 5:] == 1).all() and (mask.data[:, 1:, :4] == 2).all()
    assert (mask.data[:, 0, 0] == 0).all()
    assert list(mask.features["class"]) == ["not labelled", "background", "cell"]
    classes = exporter.person.session.project.classes
    np.testing.assert_allclose(mask.colormap.map(2)[:3], np.array(classes[1].color) / 255)
    for name in ("scale", "translate", "rotate"):
        np.testing.assert_allclose(getattr(mask, name), getattr(layer, name))
    sure = exporter.viewer.layers["stack – stage 2, confidence"]
    assert (sure.data == 200).all() and not sure.visible

    np.testing.assert_array_equal(layer.data, before)
    assert exporter.person.bench.layers.truth.data.max() == 2  # as it was
    handed = Path(program.after("--images"))
    exporter.person.wait(lambda: not handed.exists())  # a thread removes it, a little later


def test_a_layer_is_magnified_and_what_its_pixels_are_is_told(
    exporter: Exporter, program: StandIn
) -> None:
    program.be(other_pixels=[["layer.npy", 2.0]])
    exporter.viewer.add_image(np.zeros((40, 50), np.uint8), name="cells")
    exporter.part.apply.layer.sync()
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    assert "--magnify" not in program.typed
    assert exporter.part.apply.box.banner.text == (
        "Added the layer “cells – stage 2”.\nPixels are not as large as in the training: "
        "2 times in layer.npy. If masks are poor, set Magnify to that."
    )
    program.be()
    factor = exporter.scroll_to("apply_magnify", QDoubleSpinBox)
    factor.setFocus()
    factor.selectAll()
    exporter.person.qtbot.keyClicks(factor, "2.5")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    assert program.after("--magnify") == "2.5"
    exporter.person.qtbot.keyClick(factor, Qt.Key.Key_Up)
    assert factor.value() == 2.6
    factor.selectAll()
    exporter.person.qtbot.keyClicks(factor, "90\t")
    assert factor.value() == 2.6  # not beyond what can be done


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@pytest.mark.parametrize("mixed", [False, True])
def test_a_mask_lies_on_a_layer_with_channels_that_is_turned(mixed: bool) -> None:
    from napari.layers import Image, Labels

    from napari_threestage.widgets.layer_source import LayerSource

    affine = np.eye(4)
    affine[1:3, 1:] = [[1.2, 0.3, 7], [0.1, 0.9, -5]]
    if mixed:  # the channels lie beside each other; the mask is where the first one is
        affine[2, 0] = 4
    layer = Image(
        np.zeros((3, 40, 50)),
        rotate=30,
        shear=[0, 0, 0.2],
        scale=(9, 2, 3),
        translate=(1, 10, 20),
        affine=affine,
    )
    place = LayerSource("key", "name", layer, ("cyx",)).place("cyx")
    mask = Labels(np.zeros((40, 50), np.uint8), **place)
    for y, x in ((0, 0), (39, 0), (0, 49), (12, 31)):
        np.testing.assert_allclose(
            mask.data_to_world((y, x)), layer.data_to_world((0, y, x))[1:], atol=1e-9
        )
    np.testing.assert_allclose(mask.scale, (2, 3))


def test_a_layer_of_no_number_is_told(exporter: Exporter, program: StandIn) -> None:
    exporter.viewer.add_image(np.full((40, 50), np.nan), name="nothing", contrast_limits=(0, 1))
    exporter.part.apply.layer.sync()
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    assert exporter.part.apply.box.banner.text == "The layer has no finite value."
    assert not (program.folder / "typed.json").exists()


def test_the_shown_image_is_taken_from_the_project(
    exporter: Exporter, program: StandIn, project: Path
) -> None:
    image_id = exporter.person.session.image_id
    truth = exporter.person.bench.layers.truth.data.copy()
    layers = exporter.find("apply_layer", QComboBox)
    exporter.person.wait(lambda: layers.currentText() == "image 0 (of the project)")
    exporter.click("apply_start")
    exporter.person.wait(lambda: "image 0 – stage 2" in exporter.names())
    assert program.after("--images") == str(project / "images" / f"{image_id}.ome.zarr")
    assert "--axes" not in program.typed
    np.testing.assert_array_equal(exporter.person.bench.layers.truth.data, truth)
    assert exporter.viewer.layers["image 0 – stage 2"].data.shape == (64, 64)


def test_every_kind_of_layer_is_handed_over(
    exporter: Exporter, program: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import apply_layer

    monkeypatch.setattr(apply_layer, "channel_problem", lambda info, count: "")
    rng = np.random.default_rng(0)
    grey, colours = (rng.integers(0, 255, shape, np.uint8) for shape in ((48, 56), (48, 56, 4)))
    kinds: dict[str, tuple[Any, np.ndarray]] = {
        "multiscale": ([grey, grey[::2, ::2]], grey),
        "dask": (pytest.importorskip("dask.array").from_array(grey, chunks=20), grey),
        "zarr": (pytest.importorskip("zarr").array(grey), grey),
        "rgb": (colours[..., :3], colours[..., :3].transpose(2, 0, 1)),
        "rgba": (colours, colours[..., :3].transpose(2, 0, 1)),
    }
    for kind, (data, expected) in kinds.items():
        exporter.viewer.add_image(data, name=kind, rgb=kind.startswith("rgb"))
        exporter.part.apply.layer.sync()
        exporter.click("apply_start")
        exporter.person.wait(lambda kind=kind: f"{kind} – stage 2" in exporter.names())
        np.testing.assert_array_equal(np.load(program.folder / "handed.npy"), expected)
        assert program.after("--axes") == "cyx"[-expected.ndim :]
        assert exporter.viewer.layers[f"{kind} – stage 2"].data.shape == (48, 56)


def test_a_person_says_what_the_axes_are(exporter: Exporter, program: StandIn) -> None:
    exporter.viewer.add_image(np.zeros((2, 40, 50)), name="two", scale=(9, 2, 3))
    exporter.part.apply.layer.sync()
    exporter.choose("apply_axes", "cyx")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    assert exporter.part.apply.box.banner.text == (
        "two cannot be segmented. It has 2 channels, and the segmenter takes 1 channel."
    )
    assert not (program.folder / "typed.json").exists()
    exporter.choose("apply_axes", "tyx")
    exporter.click("apply_start")
    exporter.person.wait(lambda: "two – stage 2" in exporter.names())
    assert program.after("--axes") == "tyx"


def test_a_layer_that_is_too_large_is_told(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    exporter.viewer.add_image(np.zeros((40, 50)), name="large")
    exporter.part.apply.layer.sync()
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    assert "large cannot be segmented. It needs 0.0 GiB" in exporter.part.apply.box.banner.text


def test_handing_over_does_not_hold_the_window_up_and_can_be_cancelled(
    exporter: Exporter, program: StandIn
) -> None:
    class Slow:
        shape, dtype, ndim = (1000, 8, 8), np.dtype(np.uint8), 3

        def __getitem__(self, place: Any) -> np.ndarray:
            if not isinstance(place[0], slice) and exporter.part.apply.box.busy:
                time.sleep(0.02)
            return np.zeros(self.shape, np.uint8)[place]

    exporter.viewer.add_image(Slow(), name="slow", contrast_limits=(0, 1))
    exporter.part.apply.layer.sync()
    ticks: list[str] = []
    clock = QTimer(exporter.part)
    clock.timeout.connect(lambda: ticks.append(exporter.text("apply_doing", QLabel)))
    exporter.click("apply_start")
    assert exporter.text("apply_doing", QLabel) == "Handing over …"
    clock.start(5)
    exporter.person.wait(lambda: len(ticks) > 60)  # while it writes for twenty seconds
    assert set(ticks) == {"Handing over …"}
    exporter.click("apply_cancel")
    exporter.wait(exporter.part.apply.box)
    assert exporter.part.apply.box.banner.text == "The segmentation was stopped."
    exporter.person.qtbot.wait(300)
    assert not (program.folder / "typed.json").exists()


def test_files_are_segmented_into_a_folder(
    exporter: Exporter, program: StandIn, tmp_path: Path
) -> None:
    images = tmp_path / "new"
    images.mkdir()
    program.be(failed=[["b.tif", "b.tif is empty: it has 0 bytes."]])
    exporter.choose("apply_to", "Files")
    assert exporter.why_not("apply") == "Choose images."
    exporter.part.apply.files.choose([images])
    exporter.choose("apply_format", "GeoJSON")
    for name in ("flips", "skip_empty", "probabilities", "statistics"):
        exporter.tick(f"apply_{name}")
    exporter.click("apply_start")
    box = exporter.part.apply.box
    exporter.wait(box)
    assert box.banner.text == (
        "Wrote 1 file. 1 could not be segmented:\nb.tif is empty: it has 0 bytes."
    )
    assert exporter.find("apply_show_folder", QPushButton).isVisible()
    assert program.after("--images") == str(images)
    assert program.after("--output") == str(tmp_path / "new-stage-2")
    assert program.after("--as") == "geojson"
    assert {"--flips", "--skip-empty", "--probabilities", "--statistics"} <= set(program.typed)


def test_a_model_file_needs_no_project(nobody: Exporter, program: StandIn, project: Path) -> None:
    model = project / "runs" / run_id(project) / "stage-1" / "model.safetensors"
    nobody.viewer.add_image(np.zeros((40, 50), np.uint8), name="plain")
    nobody.choose("apply_model", "A file")
    assert nobody.why_not("apply") == "Choose a model file."
    nobody.write("apply_model_file", str(model.with_name("gone")))
    nobody.part.apply.layer.sync()
    nobody.click("apply_start")
    nobody.wait(nobody.part.apply.box)
    assert nobody.part.apply.box.banner.text.startswith("There is no file")
    nobody.write("apply_model_file", str(model))
    nobody.click("apply_start")
    nobody.person.wait(lambda: "plain – model" in nobody.names())
    assert program.typed[:2] == ["predict", str(model)]


# --- masks ----------------------------------------------------------------------------------------


def test_masks_go_into_a_folder(exporter: Exporter, program: StandIn, project: Path) -> None:
    exporter.choose("masks_format", "COCO")
    exporter.tick("masks_statistics")
    exporter.click("masks_start")
    exporter.wait(exporter.part.masks.box)
    assert exporter.part.masks.box.banner.text.startswith("Wrote 2 files.\n2 images have no such")
    assert program.typed == [
        *("export-masks", str(project), "--output", str(project / "exports" / "masks-stage-2")),
        *("--as", "coco", "--stage", "2", "--run", run_id(project), "--statistics"),
        *("--json", "--progress"),
    ]


def test_the_masks_that_were_chosen_are_exported_whatever_is_changed_meanwhile(
    exporter: Exporter, program: StandIn, project: Path
) -> None:
    exporter.part.masks.start()  # which saves labels first
    exporter.find("masks_folder", QLineEdit).clear()
    exporter.choose("masks_which", "Ground truth")
    exporter.wait(exporter.part.masks.box)
    assert program.after("--output") == str(project / "exports" / "masks-stage-2")
    assert program.after("--stage") == "2"


def test_what_was_just_painted_is_among_the_ground_truth(
    exporter: Exporter, program: StandIn, project: Path
) -> None:
    from napari_threestage.project import Project

    session = exporter.person.session
    session.content.editor.truth[:] = 1
    session.commit("painted")
    exporter.choose("masks_which", "Ground truth")
    exporter.click("masks_start")
    exporter.wait(exporter.part.masks.box)
    assert program.after("--stage") == "ground_truth" and "--run" not in program.typed
    assert Project(project).label_counts(session.image_id).tolist() == [0, 64 * 64, 0]


# --- with the real commands -----------------------------------------------------------------------


def test_the_whole_way(person: Any, project: Path, tmp_path: Path) -> None:
    """Export a segmenter, apply that file and the stage, and export what is there."""
    exporter = opened(Exporter(person), project)
    exporter.click("export_card", QToolButton)
    exporter.write("card_authors", "Ada L.")
    exporter.click("export_start")
    exporter.wait(exporter.part.model.box)
    written = project / "exports" / "cells-stage-2.safetensors"
    assert written.is_file(), exporter.part.model.box.banner.text
    assert "Verified" in exporter.part.model.box.banner.text

    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 50), np.uint8)
    exporter.viewer.add_image(pixels, name="stack", scale=(2, 0.5, 0.5))
    exporter.part.apply.layer.sync()
    exporter.choose("apply_model", "A file")
    exporter.write("apply_model_file", str(written))
    exporter.tick("apply_confidence")
    exporter.tick("apply_flips")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    by_file = exporter.viewer.layers["stack – cells-stage-2"]
    assert by_file.data.shape == (2, 40, 50) and set(np.unique(by_file.data)) <= {1, 2}
    assert exporter.viewer.layers["stack – cells-stage-2, confidence"].data.max() > 127

    exporter.choose("apply_model", "Stage 2")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    by_stage = exporter.viewer.layers["stack – stage 2"]
    np.testing.assert_array_equal(by_stage.data, by_file.data)

    exporter.choose("masks_which", "Ground truth")
    exporter.choose("masks_format", "OME-Zarr")
    exporter.tick("masks_statistics")
    exporter.click("masks_start")
    exporter.wait(exporter.part.masks.box)
    assert exporter.part.masks.box.banner.text == (
        "Wrote 1 file and their statistics.\n3 images have no such mask."
    )
    assert (project / "exports" / "masks-ground-truth").is_dir()
    assert "torch" not in sys.modules


@pytest.mark.slow  # tests/cli knows what the command says, a test above what is made of it
def test_files_that_cannot_be_read_are_told(clerk: Any, project: Path, tmp_path: Path) -> None:
    images = tmp_path / "new"
    images.mkdir()
    tifffile.imwrite(images / "good.tif", np.zeros((40, 50), np.uint8))
    (images / "bad.tif").write_bytes(b"nothing")
    exporter = opened(Exporter(clerk), project)
    exporter.choose("apply_to", "Files")
    exporter.part.apply.files.choose([images])
    exporter.choose("apply_format", "PNG")
    exporter.click("apply_start")
    exporter.wait(exporter.part.apply.box)
    lines = exporter.part.apply.box.banner.text.splitlines()
    assert "1 could not be segmented" in lines[0] and lines[1].startswith("bad.tif")
    assert (tmp_path / "new-stage-2" / "good.png").is_file()


def test_the_part_fits_a_narrow_dock(exporter: Exporter) -> None:
    assert exporter.part.minimumSizeHint().width() <= 320
    exporter.choose("apply_to", "Files")
    exporter.click("export_card", QToolButton)
    assert exporter.part.minimumSizeHint().width() <= 320
    assert "torch" not in sys.modules
