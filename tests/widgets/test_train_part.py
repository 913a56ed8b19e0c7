"""The part Train with a real session: set-up, plan, progress, steering, samples and log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari_helpers import TINY, make_project
from qtpy.QtCore import QObject, QPoint, QPointF, Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QPlainTextEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)
from run_helpers import make_run, progress

from napari_threestage import jobs
from napari_threestage.events import (
    Continued,
    Failed,
    Finished,
    Paused,
    Predicted,
    Sampled,
    StageFinished,
    StageStarted,
    Started,
    StoppedEvent,
    Validated,
    Warned,
)
from napari_threestage.widgets import live_view, set_up
from napari_threestage.widgets.background import Background
from napari_threestage.widgets.options import Options
from napari_threestage.widgets.session import Session
from napari_threestage.widgets.train_part import TrainPart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


class NoDoctor(QObject):
    """In place of the process that looks for devices."""

    finished = Signal(object)
    failed = Signal(str, str)

    def __init__(self, arguments: list[str], parent: QObject) -> None:
        super().__init__(parent)

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


class Trainer:
    """The part Train in a window, and a hand that clicks."""

    def __init__(self, session: Session, qtbot: Any, preferences: Options) -> None:
        self.session, self.qtbot = session, qtbot
        self.part = TrainPart(session, preferences)
        self.tabs: list[str] = []
        self.part.wants_tab.connect(self.tabs.append)
        qtbot.addWidget(self.part)
        self.part.resize(340, 900)
        self.part.show()

    def find(self, name: str, kind: type = QWidget) -> Any:
        found = self.part.findChildren(kind, name)
        assert found, f"there is no {name}"
        # A plan that is made anew leaves the buttons of the one before for a moment.
        return next((one for one in found if one.isVisible()), found[0])

    def click(self, name: str) -> None:
        control = self.find(name)
        assert control.isVisible() and control.isEnabled(), name
        self.qtbot.mouseClick(control, LEFT)

    def seen(self, *names: str) -> list[str]:
        """Which of some controls can be seen."""
        return [name for name in names if self.find(name).isVisible()]

    def text(self, name: str) -> str:
        return str(self.find(name, QLabel).text())

    def wait(self, condition: Any, seconds: float = 20) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=int(1000 * seconds))

    def planned(self) -> None:
        """Wait for the plan."""
        self.wait(lambda: self.part.plan.plan is not None)

    def follow(self, run: Run) -> None:
        self.session.runs.follow(run)
        self.tick()

    def tick(self) -> None:
        # The state is looked at once a second; here, at every tick.
        self.session.runs._looked = -1e9
        self.session.tick()


@pytest.fixture
def session(qtbot: Any) -> Iterator[Session]:
    failed: list[Exception] = []
    background = Background(failed.append)
    session = Session(background)
    yield session
    session.close()
    background.close()
    assert not failed


@pytest.fixture
def open_part(session: Session, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(set_up, "CommandProcess", NoDoctor)

    def make(project: Project | None, preferences: Options | None = None) -> Trainer:
        trainer = Trainer(session, qtbot, preferences or Options())
        if project is not None:
            assert session.open(project.path)
            trainer.wait(lambda: session.image_id or not project.images)
        return trainer

    return make


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


# --- set-up ---------------------------------------------------------------------------------------


def test_without_a_project_it_says_what_to_do_first(open_part: Any) -> None:
    trainer = open_part(None)
    assert not trainer.find("start_training").isVisible()
    trainer.click("go_to_data")
    assert trainer.tabs == ["Data"]


def test_choices_become_what_a_person_would_type(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    assert trainer.part.set_up.choices().arguments() == [
        *("--preset", "quick", "--device", "auto", "--stages", "1-3", "--seed", "0")
    ]
    trainer.find("preset", QComboBox).setCurrentText("balanced")
    assert "GPU" in trainer.text("preset_purpose")
    trainer.find("stages", QComboBox).setCurrentText("From stage 2 on")
    trainer.find("steps", QSpinBox).setValue(20)
    trainer.find("seed", QSpinBox).setValue(3)
    trainer.click("advanced")
    trainer.find("augment.count", QSpinBox).setValue(1)
    assert trainer.find("advanced").text().endswith("Advanced (1 changed)")
    expected = "--preset balanced --device auto --stages 2-3 --seed 3 --steps 20"
    expected += " --set augment.count=1"
    assert trainer.part.set_up.choices().arguments() == expected.split()


def test_preferences_are_chosen_at_first(open_part: Any) -> None:
    trainer = open_part(None, Options(device="cuda:1", threads=2, preset="balanced"))
    arguments = trainer.part.set_up.choices().arguments()
    assert arguments[:4] == ["--preset", "balanced", "--device", "cuda:1"]
    assert arguments[-2:] == ["--set", "threads=2"]
    assert trainer.part.set_up.choices().config().threads == 2


def test_devices_are_filled_in_when_they_are_known(open_part: Any) -> None:
    trainer = open_part(None, Options(device="cpu"))
    box = trainer.find("device", QComboBox)
    devices = [{"id": "cpu", "name": "A CPU", "cores": 2}]
    devices.append({"id": "cuda:0", "name": "A GPU", "memory": 16 * 2**30})
    trainer.part.set_up.set_devices({"devices": devices, "default_device": "cuda:0"})
    texts = [box.itemText(place) for place in range(box.count())]
    assert texts == ["auto (A GPU, 16 GB)", "CPU, 2 cores", "cuda:0: A GPU, 16 GB"]
    assert box.currentData() == "cpu"
    box.setCurrentIndex(0)
    assert trainer.part.set_up.device_kind == "cuda"
    assert trainer.part.set_up.device_memory == 16 * 2**30


@pytest.mark.slow
def test_the_real_doctor_tells_the_devices(session: Session, qtbot: Any) -> None:
    trainer = Trainer(session, qtbot, Options())
    session_part = trainer.part.set_up
    session_part.setParent(None)
    qtbot.addWidget(session_part)
    session_part.show()
    box = session_part.device
    trainer.wait(lambda: box.count() > 1, 60)
    assert box.itemData(1) == "cpu" and "CPU" in box.itemText(1)
    assert box.currentText().startswith("auto (")


# --- plan -----------------------------------------------------------------------------------------


def test_the_plan_tells_what_the_run_is_made_of(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.planned()
    assert trainer.text("plan_counts") == "Images: 1 labelled, 3 unlabelled"
    assert "rough guess" in trainer.text("plan_time")
    names = [name for name, _, count in trainer.part.plan.bars.entries if count]
    assert names == ["background", "cell"]
    assert trainer.find("start_training").isEnabled()
    assert "threestage run PROJECT --preset quick" in trainer.find("start_training").toolTip()


def test_the_plan_tells_the_memory_and_warns_when_there_is_too_little(
    open_part: Any, project: Project
) -> None:
    trainer = open_part(project)
    trainer.planned()
    assert trainer.text("plan_memory").startswith("Needs about ")
    assert not any(one.kind == "memory" for one in trainer.part.plan.plan.problems)
    devices = [{"id": "cuda:0", "name": "A small GPU", "memory": 50 * 2**20}]
    trainer.part.set_up.set_devices({"devices": devices, "default_device": "cuda:0"})
    trainer.wait(lambda: "of 50 MB on the GPU" in trainer.text("plan_memory"))
    shown = [one.text() for one in trainer.part.findChildren(QLabel, "problem_text")]
    assert any("the GPU's memory, 50 MB are there" in text for text in shown)
    assert trainer.find("start_training").isEnabled()  # it is only a warning


def test_without_labels_it_leads_to_where_they_are_made(open_part: Any, tmp_path: Path) -> None:
    trainer = open_part(make_project(tmp_path / "project", labelled=0))
    trainer.planned()
    assert not trainer.find("start_training").isEnabled()
    assert "nothing to learn" in trainer.text("why_no_start")
    trainer.wait(lambda: trainer.find("paint_some").isVisible())
    assert not trainer.find("plan_memory").isVisible()
    trainer.click("paint_some")
    trainer.click("import_masks")
    assert trainer.tabs == ["Label", "Data"]


def test_what_is_painted_but_not_yet_written_counts(open_part: Any, tmp_path: Path) -> None:
    trainer = open_part(make_project(tmp_path / "project", labelled=0))
    trainer.planned()
    session = trainer.session
    truth = session.content.editor.truth
    truth[:32], truth[32:] = 1, 2
    session.commit("painted")
    trainer.wait(lambda: trainer.find("start_training").isEnabled())
    assert trainer.text("plan_counts").startswith("Images: 1 labelled")


def test_a_class_that_is_never_labelled_is_deleted_by_a_button(
    open_part: Any, project: Project
) -> None:
    trainer = open_part(project)
    trainer.session.classes.edit(lambda table: table.add("ghost"))
    buttons = ("label_it", "delete_class")
    there = trainer.part.findChild
    trainer.wait(lambda: there(QWidget, "label_it") and trainer.seen(*buttons) == list(buttons))
    assert "'ghost' is never labelled" in trainer.text("why_no_start")
    trainer.click("label_it")
    assert trainer.tabs == ["Label"] and trainer.session.picked_class == 3
    trainer.click("delete_class")
    trainer.wait(lambda: trainer.find("start_training").isEnabled())
    assert [entry.name for entry in trainer.session.project.classes] == ["background", "cell"]
    trainer.session.classes.undo()
    trainer.wait(lambda: not trainer.find("start_training").isEnabled())


def test_a_wrong_setting_keeps_the_run_from_starting(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.planned()
    trainer.part.set_up.set_setting("data.crop=[0]")
    assert not trainer.find("start_training").isEnabled()
    assert "data.crop" in trainer.text("why_no_start")
    trainer.part.set_up.set_setting("data.crop=[32,32]")
    trainer.wait(lambda: trainer.find("start_training").isEnabled())


def test_the_paper_presets_follow_the_share_of_labelled_images(
    open_part: Any, tmp_path: Path
) -> None:
    trainer = open_part(make_project(tmp_path / "project", images=8))
    trainer.find("preset", QComboBox).setCurrentText("paper-voc")
    trainer.planned()
    trainer.click("advanced")
    trainer.wait(lambda: trainer.find("data.labelled_batch", QSpinBox).value() == 2)
    assert trainer.part.set_up.choices().changes == ()


def test_a_project_that_is_read_only_cannot_be_trained(open_part: Any, project: Project) -> None:
    with project.editing():
        trainer = open_part(project)
        trainer.planned()
        assert not trainer.find("start_training").isEnabled()
        assert "read only" in trainer.text("why_no_start")


def test_start_starts_what_was_chosen(
    open_part: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = open_part(project)
    trainer.planned()
    asked: list[list[str]] = []
    monkeypatch.setattr(trainer.session.runs, "start", asked.append)
    trainer.find("steps", QSpinBox).setValue(7)
    trainer.planned()
    trainer.click("start_training")
    assert asked == [trainer.part.set_up.choices().arguments()]
    assert "7" in asked[0]


# --- progress -------------------------------------------------------------------------------------

STEERING = ("pause", "continue", "stop", "resume", "end_now")


def test_a_run_is_followed_from_its_events(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    run = make_run(project, progress(30), Warned(message="Few pixels."), alive=True)
    trainer.follow(run)
    assert "step 30 of 300" in trainer.text("run_sentence")
    assert trainer.find("stage_bar_1").fraction == pytest.approx(0.09)
    assert trainer.text("stage_phase_1") == "30/300 steps"
    assert trainer.text("stage_phase_3") == "waiting"
    assert trainer.text("run_numbers") == "cpu · 12.5 images/s · 2.0 GB memory"
    assert "Few pixels." in trainer.text("run_warnings")
    assert trainer.seen(*STEERING) == ["pause", "stop"]
    assert not trainer.find("start_training").isVisible()
    image = next(iter(project.images))
    run.record(progress(300))
    run.record(Predicted(stage=1, image=image, done=1, total=4))
    trainer.tick()
    assert trainer.text("stage_phase_1") == "masks 1/4"
    run.record(Validated(stage=1, on="labelled", miou=0.5, iou={}, accuracy=1))
    run.record(StageFinished(stage=1, seconds=60))
    trainer.tick()
    assert trainer.text("stage_phase_1") == "✓ mIoU 50.0 %"
    run.record(Finished(run=run.id, seconds=100))
    run.leave_process()
    trainer.tick()
    assert "Finished in about 2 min" in trainer.text("run_sentence")
    assert trainer.seen(*STEERING) == []
    trainer.wait(lambda: trainer.find("start_training").isEnabled())


def test_pause_and_continue(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    run = make_run(project, progress(30), alive=True)
    trainer.follow(run)
    trainer.click("pause")
    assert run.command() == "pause"
    assert trainer.find("pause").text() == "Pausing …" and not trainer.find("pause").isEnabled()
    run.record(Paused(stage=1, step=30))
    trainer.tick()
    assert trainer.seen(*STEERING) == ["continue", "stop"]
    assert trainer.text("run_sentence").startswith("Paused")
    trainer.click("continue")
    assert run.command() is None
    run.record(Continued(stage=1, step=30))
    trainer.tick()
    assert trainer.seen(*STEERING) == ["pause", "stop"]
    assert trainer.find("pause").text() == "Pause" and trainer.find("pause").isEnabled()


def test_stop_can_be_resumed(
    open_part: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = open_part(project)
    run = make_run(project, progress(30), alive=True)
    trainer.follow(run)
    trainer.click("stop")
    assert run.command() == "stop" and trainer.find("stop").text() == "Stopping …"
    assert trainer.seen("end_now") == []
    run.record(StoppedEvent(run=run.id, stage=1, step=31))
    run.leave_process()
    trainer.tick()
    assert trainer.seen(*STEERING) == ["resume"]
    asked: list[list[str]] = []
    monkeypatch.setattr(trainer.session.runs, "start", asked.append)
    trainer.click("resume")
    assert asked == [["--resume", run.id]]


def test_a_trainer_that_does_not_stop_can_be_ended(
    open_part: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_view, "PATIENCE_SECONDS", 0.5)
    trainer = open_part(project)
    trainer.follow(make_run(project, progress(30), alive=True))
    killed: list[bool] = []
    monkeypatch.setattr("napari_threestage.jobs.kill", lambda run, hard: killed.append(hard))
    trainer.click("stop")
    assert trainer.seen("end_now") == []
    trainer.wait(lambda: trainer.seen("end_now"))
    trainer.click("end_now")
    assert killed == [True]


def test_a_failure_is_told_with_what_to_do(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    failure = Failed(error="OSError", message="The disk is full.", hint="Make room.")
    trainer.follow(make_run(project, progress(30), failure))
    trouble = trainer.part.live.trouble
    assert trouble.isVisible() and trouble.text == "The disk is full.\nMake room."
    assert trainer.text("run_sentence") == "Failed in stage 1 of 3: step 30 of 300"
    assert trainer.find("run_bar").text.endswith("%")
    assert trainer.seen(*STEERING) == ["resume"]


def test_a_trainer_that_died_leaves_its_last_words(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    run = make_run(project, progress(30))
    (run.path / "output.txt").write_text("one\ntwo\nKilled\n")
    trainer.follow(run)
    trouble = trainer.part.live.trouble
    trainer.wait(lambda: "Killed" in trouble.text)
    assert "last checkpoint" in trouble.text
    assert trainer.text("run_sentence").startswith("Interrupted in stage 1")
    assert trainer.seen(*STEERING) == ["resume"]


def test_while_a_run_starts_it_can_be_cancelled(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.session.runs.state = "starting"
    trainer.session.runs.changed.emit()
    assert trainer.seen(*STEERING) == ["stop"]
    assert trainer.find("run_bar").text == "starting …"
    assert "Starting" in trainer.text("run_sentence")


def test_another_run_is_looked_at_while_one_trains(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    earlier = make_run(project, progress(10), StoppedEvent(run="", stage=1, step=10))
    going = make_run(project, progress(30), alive=True)
    trainer.follow(going)
    assert trainer.seen("show_going_run") == []
    trainer.follow(earlier)
    assert trainer.session.runs.active
    assert trainer.seen(*STEERING, "start_training") == []  # nor can the earlier one be resumed
    assert f"{going.id} trains" in trainer.text("run_elsewhere")
    trainer.click("log_group")
    box = trainer.find("earlier_runs", QComboBox)
    trainer.wait(lambda: box.count() == 2)
    assert "running" in box.itemText(0) and box.currentIndex() == 1
    trainer.part._body.ensureWidgetVisible(trainer.find("show_going_run"))
    trainer.click("show_going_run")
    assert trainer.session.runs.run.id == going.id
    assert trainer.seen(*STEERING, "show_going_run") == ["pause", "stop"]
    trainer.wait(lambda: box.currentIndex() == 0)


def test_in_a_project_open_to_read_only_nothing_is_resumed(
    open_part: Any, project: Project
) -> None:
    make_run(project, progress(10), StoppedEvent(run="", stage=1, step=10))
    with project.editing():
        trainer = open_part(project)
        trainer.tick()
        assert "Stopped" in trainer.text("run_sentence")
        assert trainer.seen(*STEERING) == []


# --- samples, curves, log -------------------------------------------------------------------------


def window(image_id: str) -> dict[str, Any]:
    return {"image": image_id, "plane": [], "y": 0, "x": 0, "height": 32, "width": 48}


def sample(run: Run, step: int, *ids: str) -> Sampled:
    for image_id in ids:
        run.write_sample(1, image_id, np.ones((32, 48), np.uint8))
    iou = {"background": 0.5, "cell": 0.1}
    windows = [window(image_id) for image_id in ids]
    return Sampled(stage=1, step=step, on="labelled", miou=0.3, iou=iou, windows=windows)


def test_samples_are_shown_and_lead_to_their_images(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    run = make_run(project, progress(30), alive=True)
    trainer.follow(run)
    strip = trainer.part.samples
    assert "first samples" in trainer.text("sample_text")
    first, second, third, _ = project.images
    run.record(sample(run, 30, first, third))
    trainer.tick()
    trainer.wait(lambda: len(strip.tiles) == 2 and strip.tiles[1].isVisible())
    assert "white: the borders of your labels" in trainer.text("sample_text")
    assert not strip.tiles[0].icon().isNull()
    assert "background" in strip.tiles[0].toolTip()
    trainer.part._body.ensureWidgetVisible(strip.tiles[1])
    trainer.click(f"sample {third}")
    trainer.wait(lambda: trainer.session.image_id == third)
    run.record(sample(run, 60, second))
    trainer.tick()
    trainer.wait(lambda: len(strip.tiles) == 1 and "step 60" in trainer.text("sample_text"))


def test_the_curves_of_a_run_are_drawn(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.follow(make_run(project, *(progress(step) for step in (10, 20)), alive=True))
    trainer.wait(lambda: trainer.part.curves.plots is not None)
    assert "seg" in trainer.text("loss_legend")


def test_earlier_runs_and_their_logs_are_looked_at(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    earlier = make_run(project, progress(10), Finished(run="", seconds=60))
    later = make_run(project, progress(30))
    (earlier.path / "output.txt").write_text("the earlier log\n")
    (later.path / "output.txt").write_text("the later log\n")
    trainer.session.runs.find()
    trainer.tick()
    assert trainer.session.runs.run.id == later.id
    trainer.part._body.ensureWidgetVisible(trainer.find("log_group"))
    trainer.click("log_group")
    box = trainer.find("earlier_runs", QComboBox)
    log = trainer.find("log", QPlainTextEdit)
    trainer.wait(lambda: box.count() == 2 and log.toPlainText() == "the later log")
    assert box.currentIndex() == 0 and f"{earlier.id} · finished" in box.itemText(1)
    box.setCurrentIndex(1)
    box.activated.emit(1)
    trainer.wait(lambda: log.toPlainText() == "the earlier log")
    assert trainer.session.runs.run.id == earlier.id
    trainer.part._body.ensureWidgetVisible(trainer.find("copy_log"))
    trainer.click("copy_log")
    assert QApplication.clipboard().text() == "the earlier log"


def test_closing_the_project_empties_the_part(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.follow(make_run(project, progress(30)))
    assert trainer.session.close()
    trainer.wait(lambda: trainer.find("go_to_data").isVisible())
    assert not trainer.part.live.isVisible()


@pytest.mark.parametrize("count", [2, 40])
def test_nothing_is_wider_than_the_dock(
    open_part: Any, tmp_path: Path, count: int, qtbot: Any
) -> None:
    project = make_project(tmp_path / "project")
    trainer = open_part(project)

    def add(table: Any) -> Any:
        for number in range(count - 2):
            table = table.add(f"a class with a long and telling name, number {number}")
        return table

    trainer.session.classes.edit(add)
    trainer.follow(make_run(project, progress(30), alive=True))
    trainer.part._plan.open()
    trainer.part._set_up.open()
    trainer.click("advanced")
    trainer.wait(lambda: trainer.part.curves.plots is not None)
    body = trainer.part._body
    assert body.widget().width() <= body.viewport().width()
    tools = [one for one in trainer.part.findChildren(QToolButton) if one.isVisible()]
    assert tools


def test_fields_and_plots_pass_the_wheel_on(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    trainer.follow(make_run(project, progress(30), progress(60), alive=True))
    trainer.part._set_up.open()
    trainer.wait(lambda: trainer.part.curves.plots is not None)
    plots = trainer.part.curves.plots
    before = plots.loss.viewRange()
    for target in (trainer.find("steps"), trainer.find("preset"), plots.widget.viewport()):
        assert not turn_wheel(target)
    assert trainer.find("steps", QSpinBox).value() == 0
    assert plots.loss.viewRange() == before


def turn_wheel(target: QWidget) -> bool:
    """Turn the mouse wheel by a notch; return whether that widget takes it for itself."""
    position = QPointF(target.rect().center())
    event = QWheelEvent(
        position,
        target.mapToGlobal(position),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(target, event)
    return bool(event.isAccepted())


@pytest.mark.slow
def test_a_click_on_start_trains(open_part: Any, project: Project) -> None:
    trainer = open_part(project)
    for text in TINY:
        trainer.part.set_up.set_setting(text)
    trainer.find("steps", QSpinBox).setValue(3)
    trainer.find("stages", QComboBox).setCurrentText("Only stage 1")
    trainer.planned()
    trainer.wait(lambda: trainer.find("start_training").isEnabled())
    trainer.part._body.ensureWidgetVisible(trainer.find("start_training"))
    trainer.click("start_training")
    runs = trainer.session.runs
    assert runs.state == "starting"

    def ended() -> bool:
        trainer.tick()
        return not runs.active and trainer.text("stage_phase_1").startswith("✓ mIoU")

    trainer.wait(ended, 120)
    trainer.wait(lambda: all(child.poll() is not None for child in jobs._children), 30)
    assert runs.state == "finished", runs.run and runs.run.log_text()
    assert runs.run.config.network.backbone == "compact"
    trainer.wait(lambda: trainer.part.curves.plots is not None)


def test_a_run_that_goes_on_from_a_checkpoint_is_shown_from_there(
    open_part: Any, project: Project
) -> None:
    trainer = open_part(project)
    later = replace(progress(30), losses={"seg": 1.0, "confident": 0.5})
    run = make_run(project, progress(10), later, alive=True)
    trainer.follow(run)
    assert "50 % confident" in trainer.text("run_numbers")
    run.record(Started(run=run.id, device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=3))
    run.record(StageStarted(stage=1, steps=300, step=20))
    trainer.tick()
    assert "confident" not in trainer.text("run_numbers")
    assert trainer.text("stage_phase_1") == "20/300 steps"
