"""Which run trains and which one is looked at: a session without windows, real run folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from napari_helpers import make_project
from run_helpers import make_run, progress

from napari_threestage import jobs
from napari_threestage.errors import ProjectError, ThreeStageError
from napari_threestage.events import (
    Failed,
    Finished,
    Paused,
    Predicted,
    Started,
    StoppedEvent,
)
from napari_threestage.widgets.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

pytestmark = pytest.mark.gui


class Desk:
    """A session whose background works at once, or when it is let, and what it says."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None
        self.session = Session(self._work)
        self.runs = self.session.runs
        self.said: list[tuple[str, str]] = []
        self.changes = 0
        self.session.said.connect(self._hear)
        self.runs.changed.connect(self._count)

    def _work(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None] = lambda result: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except Exception as error:
                (failed or self.session.fail)(error)
            else:
                done(result)

        run() if self.held is None else self.held.append(run)

    def release(self) -> None:
        held, self.held = self.held or [], None
        for run in held:
            run()

    def _hear(self, level: str, text: str, hint: str) -> None:
        self.said.append((level, text))

    def _count(self) -> None:
        self.changes += 1

    def tick(self) -> None:
        """Let the time pass after which the follower looks around."""
        self.runs._looked = self.runs._sought = -1e9
        self.session.tick()


class FakeLaunch:
    """A process that is about to begin a run."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.error: ThreeStageError | None = None
        self.cancelled = False

    def poll(self) -> Run | None:
        if self.error is not None:
            raise self.error
        return self.run

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture
def desk(project: Project) -> Iterator[Desk]:
    desk = Desk()
    assert desk.session.open(project.path)
    yield desk
    desk.held = None
    assert desk.session.close()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FakeLaunch, list[str]]]:
    made: list[tuple[FakeLaunch, list[str]]] = []

    def launch(project: Project, arguments: list[str]) -> FakeLaunch:
        made.append((FakeLaunch(), arguments))
        return made[-1][0]

    monkeypatch.setattr(jobs, "launch", launch)
    return made


def end(run: Run, event: Any) -> None:
    run.record(event)
    run.leave_process()


def finished(project: Project) -> Run:
    return make_run(project, progress(10), Finished(run="", seconds=60))


# --- one that trains, one that is looked at -------------------------------------------------------


def test_the_run_that_trains_is_found_before_the_latest(desk: Desk, project: Project) -> None:
    going = make_run(project, alive=True)
    latest = finished(project)
    desk.runs.find()
    assert desk.runs.run.id == desk.runs.going.id == going.id
    assert desk.runs.active and desk.runs.state == "running"
    end(going, Finished(run=going.id, seconds=1))
    desk.runs.find()
    assert desk.runs.run.id == latest.id and not desk.runs.active


def test_a_look_at_another_run_leaves_the_one_that_trains_active(
    desk: Desk, project: Project
) -> None:
    earlier, going = finished(project), make_run(project, alive=True)
    desk.runs.follow(going)
    desk.runs.follow(earlier)
    desk.tick()
    assert desk.runs.run.id == earlier.id and desk.runs.state == "finished"
    assert desk.runs.active and desk.runs.looks_elsewhere
    assert not desk.runs.start([])
    assert "going on" in desk.said[-1][1]
    desk.runs.pause()
    assert going.command() == "pause" and earlier.command() is None
    going.record(Paused(stage=1, step=30))
    before = desk.changes
    desk.tick()
    assert desk.changes == before + 1 and desk.runs.active
    desk.runs.stop()
    assert going.command() == "stop"
    desk.runs.follow_going()
    assert desk.runs.run.id == going.id and desk.runs.state == "paused"
    assert not desk.runs.looks_elsewhere


@pytest.mark.parametrize(
    ("event", "level", "sentence"),
    [
        (Finished(run="", seconds=1), "info", "has finished"),
        (StoppedEvent(run="", stage=1, step=31), "info", "was stopped"),
        (Failed(error="OSError", message="The disk is full."), "error", "failed: The disk is full"),
        (progress(31), "error", "was interrupted"),
    ],
)
def test_the_end_of_a_run_that_nobody_looks_at_is_told(
    desk: Desk, project: Project, event: Any, level: str, sentence: str
) -> None:
    earlier, going = finished(project), make_run(project, progress(30), alive=True)
    desk.runs.follow(going)
    desk.runs.follow(earlier)
    desk.tick()
    desk.said.clear()
    end(going, event)
    desk.tick()
    assert not desk.runs.active and desk.runs.run.id == earlier.id
    assert [one[0] for one in desk.said] == [level]
    assert sentence in desk.said[0][1] and going.id in desk.said[0][1]
    desk.tick()
    assert len(desk.said) == 1


def test_the_end_of_a_run_that_is_looked_at_speaks_for_itself(desk: Desk, project: Project) -> None:
    going = make_run(project, progress(30), alive=True)
    desk.runs.follow(going)
    end(going, Finished(run=going.id, seconds=1))
    desk.tick()
    assert desk.runs.state == "finished" and not desk.runs.active and not desk.said


def test_masks_of_the_shown_image_are_told(desk: Desk, project: Project) -> None:
    run = make_run(project, alive=True)
    desk.runs.follow(run)
    desk.tick()
    arrived: list[int] = []
    desk.runs.masks_arrived.connect(arrived.append)
    first, second, *_ = project.images
    run.record(Predicted(stage=2, image=second, done=1, total=4))
    run.record(Predicted(stage=1, image=first, done=1, total=4))
    desk.tick()
    assert arrived == [1]


# --- starting -------------------------------------------------------------------------------------


def test_a_run_begins_and_is_followed(desk: Desk, project: Project, launches: Any) -> None:
    assert desk.runs.start(["--seed", "1"])
    assert desk.runs.active and desk.runs.state == "starting"
    assert launches[0][1] == ["--seed", "1"]
    desk.tick()
    launches[0][0].run = run = make_run(project, alive=True)
    desk.tick()
    assert desk.runs.run is desk.runs.going is run and desk.runs.state == "running"


def test_a_look_at_another_run_does_not_keep_one_from_starting(
    desk: Desk, project: Project, launches: Any
) -> None:
    earlier, latest = finished(project), finished(project)
    desk.runs.find()
    desk.held = []  # labels are still being saved
    assert desk.runs.start([])
    desk.runs.follow(earlier)
    assert desk.runs.active and desk.runs.looks_elsewhere and not launches
    desk.runs.follow_going()
    assert desk.runs.state == "starting"
    desk.runs.follow(latest)
    desk.release()
    launches[0][0].run = run = make_run(project, alive=True)
    desk.tick()
    assert desk.runs.run.id == latest.id and desk.runs.going is run and desk.runs.active


def test_a_start_that_is_cancelled_before_labels_are_saved_starts_nothing(
    desk: Desk, project: Project, launches: Any
) -> None:
    desk.held = []
    assert desk.runs.start([])
    desk.runs.stop()
    assert not desk.runs.active and desk.runs.state == ""
    assert desk.runs.start(["again"])
    desk.release()
    assert [arguments for _, arguments in launches] == [["again"]]
    desk.runs.stop()
    assert launches[0][0].cancelled and not desk.runs.active


def test_a_start_that_fails_says_why(desk: Desk, project: Project, launches: Any) -> None:
    earlier = finished(project)
    assert desk.runs.start([])
    launches[0][0].error = ProjectError("No labels.")
    desk.tick()
    assert desk.said[-1] == ("error", "No labels.")
    assert desk.runs.run.id == earlier.id and not desk.runs.active


def test_labels_that_cannot_be_saved_keep_a_run_from_starting(
    desk: Desk, launches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(desk.session.autosave, "wait", lambda *arguments: False)
        assert desk.runs.start([])
    assert any("could not be saved" in sentence for _, sentence in desk.said)
    assert not launches and not desk.runs.active


def test_a_project_that_is_closed_meanwhile_starts_nothing(
    desk: Desk, project: Project, launches: Any
) -> None:
    desk.held = []
    assert desk.runs.start([])
    assert desk.session.close()
    desk.release()
    assert not launches and not desk.runs.active


def test_a_project_open_to_read_only_starts_and_resumes_nothing(
    project: Project, launches: Any
) -> None:
    make_run(project, StoppedEvent(run="", stage=1, step=1))
    with project.editing():
        desk = Desk()
        assert desk.session.open(project.path)
        assert not desk.runs.resume() and not launches
        assert desk.said[-1][0] == "error" and "read only" in desk.said[-1][1]
        assert desk.session.close()


# --- what others do -------------------------------------------------------------------------------


def test_a_run_that_is_resumed_elsewhere_is_noticed(desk: Desk, project: Project) -> None:
    run = make_run(project, StoppedEvent(run="", stage=1, step=1))
    desk.runs.find()
    desk.tick()
    assert desk.runs.state == "stopped"
    run.enter_process()
    run.record(Started(run=run.id, device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=3))
    desk.session.tick()  # its event is enough
    assert desk.runs.state == "running" and desk.runs.active


def test_a_run_that_is_started_elsewhere_is_followed(desk: Desk, project: Project) -> None:
    finished(project)
    desk.runs.find()
    desk.tick()
    run = make_run(project, alive=True)
    desk.tick()
    assert desk.runs.run.id == run.id and desk.runs.active


def test_a_run_that_somebody_chose_stays_when_another_is_started_elsewhere(
    desk: Desk, project: Project
) -> None:
    earlier = finished(project)
    finished(project)
    desk.runs.find()
    desk.runs.follow(earlier)
    run = make_run(project, alive=True)
    desk.tick()
    assert desk.runs.run.id == earlier.id and desk.runs.going.id == run.id
    assert "started elsewhere" in desk.said[-1][1]


def test_a_run_on_another_host_cannot_be_ended_here(desk: Desk, project: Project) -> None:
    run = make_run(project, alive=True)
    process = json.loads((run.path / "process.json").read_text())
    (run.path / "process.json").write_text(json.dumps(process | {"host": "elsewhere"}))
    run.beat()
    desk.runs.follow(run)
    assert desk.runs.active
    desk.runs.kill()
    assert desk.said[-1][0] == "error" and "another host" in desk.said[-1][1]
