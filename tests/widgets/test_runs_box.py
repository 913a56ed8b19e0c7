"""All runs of a project: named, pinned, refreshed and deleted, and what is out of date marked."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from data_helpers import make_project, new_session, paint
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton, QTableView
from run_helpers import make_run, progress

from napari_threestage import jobs
from napari_threestage.cli import main
from napari_threestage.events import Finished
from napari_threestage.files import write_json
from napari_threestage.project import content_hash
from napari_threestage.run_notes import read_notes
from napari_threestage.run_staleness import noted_labels
from napari_threestage.runs import list_runs
from napari_threestage.widgets import runs_dialog, set_up
from napari_threestage.widgets.options import Options
from napari_threestage.widgets.run_choice import RunChoice
from napari_threestage.widgets.runs_box import StaleBox, show_runs
from napari_threestage.widgets.runs_model import NAME, PINNED, SIZE, STAGES, STATE
from napari_threestage.widgets.train_part import TrainPart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui
LEFT, CTRL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier
IDLE = Qt.KeyboardModifier.NoModifier


def trained(project: Project, score: float = 0.5, **inputs: Any) -> Run:
    """A finished run that says which labels it learned from."""
    run = make_run(project, progress(10), Finished(run="", seconds=60))
    times = noted_labels(project)
    truths = {image_id: project.read_labels(image_id) for image_id in times}
    labels = {image_id: content_hash(truth) for image_id, truth in truths.items()}
    known = replace(run.inputs, labels=labels, label_times=times, pixels={"cell": 9}, **inputs)
    write_json(run.path / "inputs.json", asdict(known))
    run.stage_path(1).mkdir()
    write_json(run.stage_path(1) / "metrics.json", {"validation": {"miou": score}})
    (run.path / "model").write_bytes(b"0" * 2**22)
    return run


class Command(QObject):
    """The child process of a dialog, in this one."""

    progressed, finished, failed = Signal(int, int), Signal(object), Signal(str, str)

    def __init__(self, arguments: list[str], parent: QObject) -> None:
        super().__init__(parent)
        self.arguments = arguments

    def start(self) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = main([*self.arguments])
        document = json.loads(printed.getvalue())
        if code:
            self.failed.emit(document["message"], "")
        else:
            self.finished.emit(document)

    def close(self) -> None:
        pass


class Desk:
    """A choice of a run, the window of all runs, and a hand."""

    def __init__(self, path: Path, qtbot: Any) -> None:
        self.session, self.qtbot = new_session(path), qtbot
        self.choice, self.stale = RunChoice(self.session), StaleBox(self.session)
        for widget in (self.stale, self.choice):
            qtbot.addWidget(widget)
        self.choice.show()
        qtbot.mouseClick(self.choice.findChild(QPushButton, "show_runs"), LEFT)
        self.dialog = show_runs(self.session, self.choice)
        self.table = self.dialog.findChild(QTableView, "runs_table")
        qtbot.waitExposed(self.dialog)

    def cell(self, row: int, column: int) -> str:
        return str(self.table.model().index(row, column).data())

    def click(self, row: int, column: int, modifier: Any = IDLE) -> None:
        place = self.table.visualRect(self.table.model().index(row, column)).center()
        self.qtbot.mouseClick(self.table.viewport(), LEFT, modifier, pos=place)

    def find(self, name: str) -> QPushButton:
        made = self.dialog.findChild(QPushButton, name)
        assert isinstance(made, QPushButton)
        return made

    def press(self, name: str) -> None:
        assert self.find(name).isEnabled(), self.find(name).toolTip()
        self.qtbot.mouseClick(self.find(name), LEFT)

    def text(self, name: str) -> str:
        return str(self.dialog.findChild(QLabel, name).text())

    def name(self, row: int, text: str) -> None:
        """Click on a run, press F2 and type a name."""
        self.click(row, NAME)
        self.qtbot.keyClick(self.table, Qt.Key.Key_F2)
        editor = self.table.findChild(QLineEdit)
        editor.selectAll()
        self.qtbot.keyClick(editor, Qt.Key.Key_Backspace)
        self.qtbot.keyClicks(editor, text)
        self.qtbot.keyClick(editor, Qt.Key.Key_Return)
        self.qtbot.waitUntil(lambda: self.table.findChild(QLineEdit) is None)

    @property
    def listed(self) -> list[str]:
        box = self.choice.findChild(QComboBox)
        return [box.itemText(place) for place in range(box.count())]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def open_desk(project: Project, qtbot: Any) -> Iterator[Any]:
    desks: list[Desk] = []

    def make() -> Desk:
        desks.append(Desk(project.path, qtbot))
        return desks[-1]

    yield make
    for desk in desks:
        assert desk.session.close()
        assert not desk.dialog.isVisible()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked before deleting, always answered with yes."""
    texts: list[str] = []

    def confirm(parent: Any, title: str, text: str, yes: str) -> bool:
        texts.append(text)
        return True

    monkeypatch.setattr(runs_dialog, "confirm", confirm)
    monkeypatch.setattr(runs_dialog, "CommandProcess", Command)
    return texts


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was typed for each run that was started."""
    started: list[list[str]] = []

    class Launch:
        def __init__(self, project: Project, arguments: list[str]) -> None:
            started.append(arguments)

        def poll(self) -> None:
            return None

        def cancel(self) -> None:
            pass

    monkeypatch.setattr(jobs, "launch", Launch)
    return started


def test_a_run_is_named_in_place(open_desk: Any, project: Project) -> None:
    run, later = trained(project), trained(project)
    desk = open_desk()
    assert [desk.cell(row, NAME) for row in (0, 1)] == [later.id, run.id]
    desk.name(1, "  before the   vessels ")
    assert read_notes(project)[run.id].name == "before the vessels"
    assert desk.cell(1, NAME) == "before the vessels"
    assert desk.listed[1].startswith("before the vessels · finished")
    desk.name(0, "before the vessels")  # which another one is called
    assert later.id not in read_notes(project) and desk.cell(0, NAME) == later.id
    assert "already" in desk.dialog.banner.text and desk.dialog.banner.isVisible()
    desk.name(1, "")
    assert desk.cell(1, NAME) == run.id and desk.listed[1].startswith(run.id)


def test_a_run_is_pinned_and_then_not_deleted(
    open_desk: Any, project: Project, asked: list[str]
) -> None:
    run = trained(project)
    desk = open_desk()
    desk.click(0, PINNED)
    assert read_notes(project)[run.id].pinned and desk.listed[0].startswith("★")
    assert not desk.find("runs_delete").isEnabled() and "is pinned" in desk.text("runs_why_not")
    desk.qtbot.keyClick(desk.table, Qt.Key.Key_Delete)
    assert not asked and run.path.is_dir()
    desk.press("runs_pin")
    assert not read_notes(project)[run.id].pinned
    assert desk.find("runs_delete").isEnabled() and desk.text("runs_why_not") == ""


def test_runs_are_deleted_with_the_one_that_is_shown(
    open_desk: Any, project: Project, asked: list[str]
) -> None:
    oldest, middle, latest = (trained(project) for _ in range(3))
    truth = project.read_labels(next(iter(project.images)))
    desk = open_desk()
    assert desk.session.runs.run.id == latest.id
    desk.session.second.compare_with(oldest)
    assert "3 runs · 12 MB" in desk.text("runs_total") and desk.cell(0, SIZE) == "4 MB"
    desk.click(0, NAME)
    desk.click(2, NAME, CTRL)
    desk.qtbot.keyClick(desk.table, Qt.Key.Key_Delete)
    (text,) = asked
    assert all((f"{run.id} (" in text) == (run is not middle) for run in (oldest, middle, latest))
    assert "frees 8 MB" in text and "labels are not touched" in text
    assert [run.id for run in list_runs(project)] == [middle.id]
    assert desk.text("runs_about").startswith("Up to date")  # which is chosen now
    assert desk.session.runs.run.id == middle.id
    assert desk.session.second.run is None
    assert desk.table.model().rowCount() == len(desk.listed) == 1
    assert desk.dialog.banner.text == "2 runs were deleted: 8 MB are free again."
    assert np.array_equal(project.read_labels(next(iter(project.images))), truth)


def test_a_run_that_goes_on_is_not_deleted_and_may_end_meanwhile(
    open_desk: Any, project: Project, asked: list[str]
) -> None:
    trained(project)
    desk = open_desk()
    going = make_run(project, progress(10), alive=True)
    desk.click(0, NAME)
    desk.qtbot.keyClick(desk.table, Qt.Key.Key_F2)
    editor = desk.table.findChild(QLineEdit)
    desk.qtbot.keyClicks(editor, "half a na")
    desk.session.runs.find()  # as somebody started it elsewhere
    assert desk.cell(0, STATE).startswith("running") and editor.text() == "half a na"
    desk.qtbot.keyClick(editor, Qt.Key.Key_Escape)
    for name in ("runs_delete", "runs_refresh", "runs_baseline"):
        assert not desk.find(name).isEnabled()
    assert "going on" in desk.text("runs_why_not")
    going.record(Finished(run=going.id, seconds=1))
    going.leave_process()
    desk.session.runs._looked = -1e9
    desk.session.tick()
    assert desk.cell(0, STATE).startswith("finished") and desk.find("runs_delete").isEnabled()


def test_new_labels_and_classes_make_a_run_stale(open_desk: Any, project: Project) -> None:
    trained(project)
    desk = open_desk()
    assert desk.choice.findChild(QComboBox).itemIcon(0).isNull()
    assert desk.cell(0, STATE) == "finished" and "Up to date" in desk.text("runs_about")
    first, second, *_ = project.images
    desk.session.show(second)
    paint(desk.session, np.s_[2:4, 2:4], 2)
    assert desk.cell(0, STATE) == "finished"  # not at each stroke
    desk.session.show(first)
    assert desk.cell(0, STATE) == "finished, out of date"
    assert "1 image has been labelled since." in desk.text("runs_about")
    box = desk.choice.findChild(QComboBox)
    assert not box.itemIcon(0).isNull() and "1 image has" in box.toolTip()
    assert desk.stale.isVisibleTo(None)
    desk.session.classes.edit(lambda table: table.add("<b>"))
    assert "&lt;b&gt;&#x27; has been added" in desk.text("runs_about")
    tip = desk.table.model().index(0, STATE).data(Qt.ItemDataRole.ToolTipRole)
    assert "1 image has been labelled since." in tip and "'<b>' has been added" in tip


def test_a_stale_run_is_refreshed_and_compared_with_labels_only(
    open_desk: Any,
    project: Project,
    launched: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = trained(project)
    alone = trained(project, baseline_of=run.id)
    desk = open_desk()
    monkeypatch.setattr(set_up, "CommandProcess", Command)
    monkeypatch.setattr(Command, "start", lambda self: None)
    train, tabs = TrainPart(desk.session, Options()), []
    desk.qtbot.addWidget(train)
    train.wants_tab.connect(tabs.append)
    assert desk.session.runs.run.id == run.id and desk.cell(0, STAGES) == "labels only"
    desk.click(1, NAME)
    assert not desk.find("runs_refresh").isEnabled()
    assert "Nothing has changed" in desk.find("runs_refresh").toolTip()
    desk.session.classes.edit(lambda table: table.add("vessel"))
    desk.press("runs_refresh")
    assert launched == [["--refresh", run.id]] and tabs == ["Train"] and desk.session.runs.active
    desk.session.runs.stop()
    desk.qtbot.mouseClick(train.findChild(QPushButton, "refresh_run"), LEFT)
    desk.session.runs.stop()
    desk.press("runs_baseline")
    desk.session.runs.stop()
    assert launched[1:] == [["--refresh", run.id], ["--baseline", run.id]] and len(tabs) == 3
    desk.click(0, NAME)
    for name in ("runs_refresh", "runs_baseline"):
        assert not desk.find(name).isEnabled()
    desk.press("runs_show")
    assert desk.session.runs.run.id == alone.id


def test_a_project_that_is_read_only_shows_its_runs(
    open_desk: Any, project: Project, asked: list[str]
) -> None:
    trained(project)
    with project.editing():
        desk = open_desk()
        desk.click(0, PINNED)
        desk.qtbot.keyClick(desk.table, Qt.Key.Key_Delete)
        desk.qtbot.keyClick(desk.table, Qt.Key.Key_F2)
        assert desk.table.findChild(QLineEdit) is None and not asked
        assert not read_notes(project) and "read only" in desk.text("runs_why_not")


def test_a_deletion_that_fails_says_why(open_desk: Any, project: Project, asked: list[str]) -> None:
    run = trained(project)
    desk = open_desk()
    with project.running():  # a run was started elsewhere right now
        desk.press("runs_delete")
    assert run.path.is_dir() and "going on" in desk.dialog.banner.text
    desk.press("runs_delete")
    assert not run.path.is_dir() and desk.session.runs.run is None
    assert not desk.choice.findChild(QPushButton, "show_runs").isVisible()
