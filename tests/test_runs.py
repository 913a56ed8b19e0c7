"""A run as its folder tells it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage.config import load_config
from napari_threestage.errors import ProjectError
from napari_threestage.events import (
    Continued,
    Event,
    Failed,
    Finished,
    Paused,
    StageFinished,
    Started,
    StoppedEvent,
    Warned,
    read_events,
)
from napari_threestage.locks import this_process
from napari_threestage.runs import Run, RunInputs, find_run, indices_between, list_runs

if TYPE_CHECKING:
    from napari_threestage.project import Project

INPUTS = RunInputs(
    images={"a-1": "hash"},
    labels={"a-1": "hash"},
    pixels={"background": 5, "nucleus": 7},
    classes=[{"name": "background", "color": [0, 0, 0]}],
    channels=None,
    n_channels=1,
    normalisation="auto",
    first_stage=1,
    last_stage=3,
    seed=0,
    device="cpu",
    threads=1,
)
STARTED = Started(run="r", device="cpu", stages=[1], labelled=1, unlabelled=1)
STOPPED = StoppedEvent(run="r", stage=1, step=2)
FAILED = Failed(error="OutOfMemoryError", message="too large")
FINISHED = Finished(run="r", seconds=1.0)


@pytest.fixture
def run(small_project: Project) -> Run:
    return Run.create(small_project, load_config("quick", {"stages.steps": [3, 4]}), INPUTS)


def test_a_run_is_read_as_it_was_made(small_project: Project, run: Run) -> None:
    again = find_run(small_project, run.id)
    assert again.config == run.config and again.config.stages.steps == (3, 4)
    assert again.inputs.images == INPUTS.images and again.inputs.pixels == INPUTS.pixels
    assert run.path == small_project.path / "runs" / run.id and run.id.endswith("-quick")


def test_runs_are_listed_oldest_first_and_the_latest_is_the_default(
    small_project: Project, run: Run
) -> None:
    second = Run.create(small_project, run.config, INPUTS)
    third = Run.create(small_project, run.config, INPUTS)
    (small_project.path / "runs" / "not a run").mkdir()
    assert [one.id for one in list_runs(small_project)] == [run.id, second.id, third.id]
    assert find_run(small_project).id == third.id
    assert find_run(small_project, run.id).id == run.id


def test_a_run_that_is_not_there_is_a_sentence_with_those_that_are(
    small_project: Project,
) -> None:
    with pytest.raises(ProjectError, match=r"has no run yet. Start one"):
        find_run(small_project)
    run = Run.create(small_project, load_config(), INPUTS)
    with pytest.raises(ProjectError, match=f"has no run x; there are: {run.id}"):
        find_run(small_project, "x")


@pytest.mark.parametrize("file", ["config.json", "inputs.json"])
@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"unknown": 1}'])
def test_a_damaged_run_is_a_sentence_that_names_it(
    run: Run, file: str, content: str | None
) -> None:
    if content is None:
        (run.path / file).unlink()
    else:
        (run.path / file).write_text(content)
    with pytest.raises(ProjectError, match=f"Run {run.id} is damaged .* Remove the folder"):
        Run(run.path)


# --- state ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "interrupted"),
        ([STARTED], "interrupted"),
        ([STARTED, FINISHED], "finished"),
        ([STARTED, STOPPED], "stopped"),
        ([STARTED, FAILED], "failed"),
        ([STARTED, FAILED, STARTED], "interrupted"),
        ([STARTED, STOPPED, STARTED, Warned(message="slow"), FINISHED], "finished"),
    ],
)
def test_without_a_process_the_last_event_tells_the_state(
    run: Run, events: list[Event], state: str
) -> None:
    for event in events:
        run.record(event)
    assert run.state() == state


def test_a_run_is_running_while_its_process_lives(run: Run) -> None:
    run.record(STARTED)
    run.enter_process()
    assert run.is_running() and run.state() == "running"
    run.record(STOPPED)
    run.leave_process()
    assert not run.is_running() and run.state() == "stopped"
    run.leave_process()  # again does no harm


@pytest.mark.parametrize(
    "process",
    [
        json.dumps(this_process() | {"started": 1.0}),  # its number was given to another one
        json.dumps(this_process() | {"pid": 2**22 + 1}),  # above what Linux gives
        "{",
        "{}",
        "[]",
    ],
    ids=["reused", "dead", "damaged", "empty", "list"],
)
def test_a_run_whose_process_is_gone_is_interrupted(run: Run, process: str) -> None:
    run.record(STARTED)
    (run.path / "process.json").write_text(process)
    assert run.state() == "interrupted"


def test_a_stop_is_asked_for_once_and_forgotten_by_the_next_process(run: Run) -> None:
    assert run.command() is None
    run.request_stop()
    assert run.command() == "stop"
    run.enter_process()
    assert run.command() is None
    run.beat()
    assert (run.path / "heartbeat").exists()


def test_a_pause_can_be_taken_back_and_a_stop_cannot(run: Run) -> None:
    run.request_continue()  # nothing to take back
    run.request_pause()
    assert run.command() == "pause"
    run.request_continue()
    assert run.command() is None
    run.request_pause()
    run.request_stop()
    assert run.command() == "stop"
    run.request_pause()
    run.request_continue()
    assert run.command() == "stop"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"command": 3}', '{"command": "stop"}'])
def test_a_request_that_cannot_be_read_is_one_to_end(run: Run, content: str) -> None:
    (run.path / "control.json").write_text(content)
    assert run.command() == "stop"


def test_a_run_is_paused_while_its_trainer_holds(run: Run) -> None:
    run.record(STARTED)
    run.enter_process()
    run.request_pause()
    assert run.state() == "running"
    run.record(Paused(stage=1, step=2))
    assert run.state() == "paused"
    run.record(Continued(stage=1, step=2))
    assert run.state() == "running"
    run.record(Paused(stage=1, step=2))
    run.leave_process()
    assert run.state() == "interrupted"


def test_an_event_after_half_a_line_is_not_lost(run: Run) -> None:
    run.record(STARTED)
    with run.events_path.open("a") as file:
        file.write('{"event": "progr')  # as a killed trainer leaves it
    run.record(FAILED)
    run.record(FINISHED)
    assert list(read_events(run.events_path)) == [STARTED, FAILED, FINISHED]


# --- labels and classes -----------------------------------------------------------------------


def test_frozen_labels_come_back(small_project: Project) -> None:
    truth = np.random.default_rng(0).integers(0, 3, (2, 5, 6), np.uint8)
    run = Run.create(small_project, load_config(), INPUTS, truths={"a-1": truth})
    np.testing.assert_array_equal(run.read_truth("a-1"), truth)
    assert run.read_truth("b-2") is None
    run.write_truth("b-2", truth[0])
    np.testing.assert_array_equal(run.read_truth("b-2"), truth[0])


def test_a_run_without_ids_counts_its_classes_from_1(run: Run, small_project: Project) -> None:
    assert run.class_ids == [1]
    classes = [{"name": "a", "color": [0, 0, 0], "id": 7}, {"name": "b", "color": [1, 1, 1]}]
    other = Run.create(small_project, run.config, replace(INPUTS, classes=classes))
    assert other.class_ids == [7, 2]


def test_indices_of_some_classes_become_those_of_others() -> None:
    table = indices_between([5, 2, 9], [2, 3, 5])
    np.testing.assert_array_equal(table[np.array([[0, 1], [2, 3]])], [[0, 3], [1, 0]])
    np.testing.assert_array_equal(indices_between([1, 2], [1, 2]), [0, 1, 2])


def test_a_merged_class_is_seen_as_the_one_that_it_is_now(small_project: Project) -> None:
    table = small_project.class_table.add("dust").merge(3, into=1).move(1, 9)
    np.testing.assert_array_equal(indices_between([1, 2, 3], table), [0, 2, 1, 2])
    np.testing.assert_array_equal(indices_between([2, 8], table), [0, 1, 0])


def test_a_run_has_what_all_its_processes_printed(run: Run) -> None:
    assert run.log_text() == ""
    for name, text in (("output.txt", "one\n"), ("output-10.txt", "ten"), ("output-2.txt", "two")):
        (run.path / name).write_text(text)
    (run.path / "log.txt").write_text("Traceback\n")
    assert run.log_text() == "one\ntwo\nten\nTraceback"
    assert run.log_text(limit=5).strip() == "back"


# --- stages -----------------------------------------------------------------------------------


def test_a_sample_replaces_the_one_before(run: Run) -> None:
    for value in (1, 2):
        run.write_sample(2, "a-1", np.full((4, 5), value, np.uint8))
        assert run.read_sample(2, "a-1").tolist() == [[value] * 5] * 4


@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_masks_and_confidence_come_back(run: Run, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(1, 3, shape, np.uint8)
    confidence = rng.integers(0, 256, shape, np.uint8)
    assert not run.has_mask(2, "a-1")
    run.write_mask(2, "a-1", mask, confidence, "tzyx"[-len(shape) :])
    assert run.has_mask(2, "a-1") and not run.has_mask(1, "a-1")
    np.testing.assert_array_equal(run.read_mask(2, "a-1"), mask)
    np.testing.assert_array_equal(run.read_confidence(2, "a-1"), confidence)


def test_a_mask_that_is_not_there_is_a_sentence(run: Run) -> None:
    with pytest.raises(ProjectError, match="missing or damaged"):
        run.read_mask(1, "a-1")


def test_a_stage_is_finished_with_its_scores_and_tells_its_time(run: Run) -> None:
    for stage in (10, 2):
        run.stage_path(stage).mkdir()
        (run.stage_path(stage) / "metrics.json").write_text("{}")
        run.record(StageFinished(stage=stage, seconds=1.5 * stage))
    run.stage_path(3).mkdir()
    run.model_path(3).touch()
    assert run.finished_stages() == [2, 10]
    assert run.stage_seconds() == {10: 15.0, 2: 3.0}
