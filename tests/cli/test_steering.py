"""A run that is started in the background, paused, continued and stopped while it works."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cli_helpers import (
    TINY,
    Result,
    assert_same_outcome,
    events_of,
    latest,
    outcome,
    settings,
)

from napari_threestage import jobs
from napari_threestage.compare import Confusion
from napari_threestage.errors import BusyError, Stopped, ThreeStageError
from napari_threestage.events import Continued, Event, Paused, Predicted, Progress, Sampled
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.runs import Run

ENDLESS = [*("--device", "cpu", "--stages", "1"), *settings({"stages.steps": "[100000]"})]
SECONDS = 120.0


class Follower:
    """The events of a run as they come."""

    def __init__(self, run: Run) -> None:
        self._events = jobs.follow(run)
        self.seen: list[Event] = []

    def wait_for(self, kind: type[Event]) -> Event:
        for event in self._events:
            self.seen.append(event)
            if isinstance(event, kind):
                return event
        raise AssertionError(f"no {kind.kind}: {self.seen[-3:]}")

    def rest(self) -> list[str]:
        """Return the kinds of all events to the end."""
        return [event.kind for event in self._events]


def begin(path: Path, *arguments: str) -> Run:
    """Start a run as a window would: looking again and again, never waiting for it."""
    launch = jobs.launch(Project(path), arguments)
    while (run := launch.poll()) is None:
        time.sleep(0.05)
    assert launch.poll() is run
    return run


@pytest.fixture
def prepared(project: Path) -> tuple[Project, Run]:
    """A run that is made and has not begun."""
    from napari_threestage.cli import build_parser
    from napari_threestage.cli.making_runs import run_to_train

    options = build_parser().parse_args(["run", str(project), "--stages", "1", *TINY])
    opened = Project(project)
    return opened, run_to_train(opened, options)


def execute(
    prepared: tuple[Project, Run],
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    from napari_threestage.training.run import execute_run

    execute_run(*prepared, on_event, should_stop)


# --- in the background ------------------------------------------------------------------------


def test_a_run_in_the_background_is_paused_continued_stopped_and_resumed(
    project: Path, threestage: Callable[..., Result]
) -> None:
    run = begin(project, *ENDLESS)
    follower = Follower(run)
    follower.wait_for(Progress)
    assert "is paused. A run that" in threestage("continue", project).sentence  # none is
    paused = threestage("pause", project, "--json")
    assert paused.document == {"paused": [run.id]}
    assert run.state() == "paused" and run.is_running()
    held = follower.wait_for(Paused)
    assert isinstance(held, Paused) and held.stage == 1
    assert (run.stage_path(1) / "checkpoint.pt").exists()
    row = threestage("status", project, "--json").document["runs"][0]
    assert row["state"] == "paused" and row["doing"].startswith("Paused in stage 1 of 1: step ")
    assert "goes on" in threestage("continue", project).out
    follower.wait_for(Continued)
    further = follower.wait_for(Progress)
    assert isinstance(further, Progress) and further.step == held.step + 1
    assert "Paused" in threestage("pause", project).out
    assert threestage("stop", project).code == 0  # a paused run as well
    assert follower.rest()[-2:] == ["paused", "stopped"]
    assert run.state() == "stopped"
    assert "No run" in threestage("pause", project).sentence
    assert "No run" in threestage("continue", project).sentence

    again = begin(project, "--resume", run.id)
    assert again.id == run.id
    assert jobs.stop(again)
    assert Follower(again).rest()[-1] == "stopped"
    # Each process leaves what it printed.
    assert [path.name for path in run.output_paths()] == ["output.txt", "output-2.txt"]
    assert "everything is saved" in run.log_text()
    assert not (project / "runs" / ".starting.log").exists()


def test_a_second_run_is_refused_at_once(project: Path) -> None:
    with Project(project).running(), pytest.raises(BusyError, match=f"process {os.getpid()}"):
        jobs.launch(Project(project), TINY)


def test_a_start_can_be_cancelled(project: Path) -> None:
    launch = jobs.launch(Project(project), ENDLESS)
    launch.cancel()
    launch._child.wait(SECONDS)
    with pytest.raises(ThreeStageError):
        launch.poll()
    launch.cancel()  # again does no harm


# --- at a given moment ------------------------------------------------------------------------


def steer(run: Run, answers: dict[type[Event], list[Callable[[], object]]]) -> Callable[..., None]:
    """Answer the first events of some kinds."""

    def on_event(event: Event) -> None:
        waiting = answers.get(type(event), [])
        if waiting:
            waiting.pop(0)()

    return on_event


@pytest.mark.parametrize("moment", [Progress, Predicted])
def test_a_pause_changes_nothing_of_the_result(
    moment: type[Event], prepared: tuple[Project, Run], tmp_path: Path
) -> None:
    project, run = prepared
    copy = shutil.copytree(project.path, tmp_path / "copy")
    execute((Project(copy), find_run(Project(copy))))
    execute(prepared, steer(run, {moment: [run.request_pause], Paused: [run.request_continue]}))
    kinds = [event["event"] for event in events_of(project.path)]
    held = kinds.index("paused")
    assert kinds[held - 1 : held + 2] == [moment.kind, "paused", "continued"]
    assert run.state() == "finished" and run.command() is None
    assert_same_outcome(outcome(project.path, (1,)), outcome(copy, (1,)))


def test_a_paused_run_saves_and_ends_when_it_is_asked_to(prepared: tuple[Project, Run]) -> None:
    project, run = prepared
    answers = {Predicted: [run.request_pause], Paused: [run.request_stop]}
    with pytest.raises(Stopped):
        execute(prepared, steer(run, answers))
    kinds = [event["event"] for event in events_of(project.path)]
    assert kinds[-3:] == ["predicted", "paused", "stopped"]
    execute(prepared)
    assert run.state() == "finished"


def test_a_pause_counts_neither_as_speed_nor_as_duration(
    prepared: tuple[Project, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.training import control

    run, clock = prepared[1], [0.0]
    monkeypatch.setattr(control.time, "monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += 10_000.0
        run.request_continue()

    monkeypatch.setattr(control.time, "sleep", sleep)
    seen: list[Event] = []
    answers = steer(run, {Progress: [run.request_pause], Predicted: [run.request_pause]})

    def on_event(event: Event) -> None:
        clock[0] += 1.0
        seen.append(event)
        answers(event)

    execute(prepared, on_event)
    assert [event.kind for event in seen].count("paused") == 2
    assert clock[0] > 20_000.0
    finished = seen[-1].seconds  # type: ignore[attr-defined]
    assert 0 < finished < 100
    for event in seen:
        if isinstance(event, Progress):
            assert event.images_per_second > 0.01 and event.eta < 100


# --- samples while it trains ------------------------------------------------------------------


def windows_of(event: dict[str, Any]) -> list[tuple[str, tuple[slice, slice]]]:
    return [
        (
            one["image"],
            (
                slice(one["y"], one["y"] + one["height"]),
                slice(one["x"], one["x"] + one["width"]),
            ),
        )
        for one in event["windows"]
    ]


def test_looking_at_the_segmenter_changes_nothing_of_the_result(
    project: Path, threestage: Callable[..., Result]
) -> None:
    blind = shutil.copytree(project, f"{project}-blind")
    arguments = ("--device", "cpu", "--stages", "1-2", "--quiet")
    often = {"stages.steps": "[4,4]", "live.every_seconds": "1e-6", "live.window": "24"}
    frozen = {"teacher.in_stage_1": "false", "network.batch_norm": "frozen"}
    for path, images in ((project, "4"), (blind, "0")):
        changes = settings(often | frozen | {"live.images": images})
        assert threestage("run", path, *arguments, *changes).code == 0
    assert_same_outcome(outcome(project, (1, 2)), outcome(blind, (1, 2)))
    assert not [e for e in events_of(blind) if e["event"] == "sampled"]
    samples = [e for e in events_of(project) if e["event"] == "sampled"]
    for stage in (1, 2):
        steps = [e["step"] for e in samples if e["stage"] == stage]
        assert (steps[0], steps[-1]) == (0, 4)
        assert steps == sorted(set(steps))


@pytest.mark.parametrize("validation", [False, True])
def test_the_last_samples_are_what_the_stage_thinks(
    validation: bool, project: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    if validation:
        test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
        assert threestage("import", project, *test, "--split", "validation").code == 0
    arguments = ("--stages", "1", *TINY, "--set", "live.images=5")
    assert threestage("run", project, *arguments, "--quiet").code == 0
    opened, run = Project(project), latest(project)
    last = [e for e in events_of(project) if e["event"] == Sampled.kind][-1]
    assert last["on"] == ("validation" if validation else "labelled")
    confusion = Confusion([entry["name"] for entry in run.inputs.classes])
    seen = []
    for image, window in windows_of(last):
        mask = run.read_sample(1, image)
        record = opened.images[image]
        seen.append((record.split, image in run.inputs.labels))
        if record.split == "train":
            np.testing.assert_array_equal(mask, run.read_mask(1, image)[window])
        truth = opened.read_labels(image)
        if truth is not None:
            confusion.add(truth[window], mask)
    judged = ("validation", False) if validation else ("train", True)
    assert seen == [judged] * 3 + [("train", False)] * 2
    scores = confusion.scores()
    assert (last["miou"], last["iou"]) == (scores.miou, scores.iou)
