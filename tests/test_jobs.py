"""Runs as processes: reading what they tell, and ending them from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from napari_threestage import jobs
from napari_threestage.config import load_config
from napari_threestage.errors import ThreeStageError
from napari_threestage.events import StageFinished, StageStarted, Warned
from napari_threestage.jobs import MOST_LINES, EventTail
from napari_threestage.locks import this_process
from napari_threestage.runs import Run, RunInputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_threestage.project import Project

FIRST, SECOND = StageStarted(stage=1, steps=5), StageFinished(stage=1, seconds=1.5)


# --- following --------------------------------------------------------------------------------


def test_what_is_added_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = EventTail(path)
    assert not tail.at_end
    assert tail.read() == [] and tail.at_end
    path.write_text(FIRST.to_json() + "\n")
    assert tail.read() == [FIRST]
    assert tail.read() == []
    with path.open("a") as file:
        file.write(SECOND.to_json() + "\n")
    assert tail.read() == [SECOND]


def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = EventTail(path)
    line = FIRST.to_json()
    for text in (line[:10], line[:-1], line):
        path.write_text(text)
        assert tail.read() == []
    path.write_text(f'{line}\n{{"event": "of_a_newer_program"}}\n\0\xff\nhalf')
    assert tail.read() == [FIRST]
    assert tail.at_end


def test_a_shorter_or_new_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{FIRST.to_json()}\n{SECOND.to_json()}\n")
    tail = EventTail(path)
    assert tail.read() == [FIRST, SECOND]
    path.write_text(SECOND.to_json() + "\n")
    assert tail.read() == [SECOND]
    path.unlink()
    assert tail.read() == []
    path.write_text(FIRST.to_json() + "\n")
    assert tail.read() == [FIRST]


def test_a_long_file_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    number = 2 * MOST_LINES + 3
    path.write_text("".join(f"{Warned(message=str(n)).to_json()}\n" for n in range(number)))
    tail, parts = EventTail(path), []
    while not tail.at_end:
        parts.append(tail.read())
    assert [len(part) for part in parts] == [MOST_LINES, MOST_LINES, 3]
    messages = [event.message for part in parts for event in part if isinstance(event, Warned)]
    assert messages == [str(n) for n in range(number)]


def test_a_run_that_nobody_trains_is_followed_to_its_last_event(run: Run) -> None:
    for event in (FIRST, SECOND):
        run.record(event)
    assert list(jobs.follow(run)) == [FIRST, SECOND]


# --- ending -----------------------------------------------------------------------------------

TRAINER = """
import subprocess, sys
from pathlib import Path
from napari_threestage.runs import Run
Run(Path(sys.argv[1])).enter_process()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(small_project: Project) -> Run:
    inputs = RunInputs({}, {}, {}, [], None, 1, "auto", 1, 3, 0, "cpu", 1)
    return Run.create(small_project, load_config(), inputs)


@pytest.fixture
def trainer(run: Run) -> Iterator[subprocess.Popen[str]]:
    """A process that is noted as the run's trainer and never looks at its requests."""
    command = [sys.executable, "-c", TRAINER, str(run.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def helper_of(trainer: subprocess.Popen[str]) -> psutil.Process:
    """Return the process that the trainer has started, once both are up."""
    assert trainer.stdout is not None
    return psutil.Process(int(trainer.stdout.readline()))


def test_a_trainer_that_does_not_obey_is_ended(run: Run, trainer: subprocess.Popen[str]) -> None:
    helper_of(trainer)
    assert run.is_running()
    assert not jobs.stop(run, wait_seconds=0)
    assert not jobs.pause(run, wait_seconds=0)
    jobs.kill(run)
    trainer.wait(60)
    assert not run.is_running()
    jobs.kill(run)  # again does no harm


def test_the_last_resort_ends_its_children_too(run: Run, trainer: subprocess.Popen[str]) -> None:
    helper = helper_of(trainer)
    jobs.kill(run, hard=True)
    trainer.wait(60)
    assert run.state() == "interrupted"
    psutil.wait_procs([helper], timeout=60)
    assert not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_has_got_the_number_of_a_trainer_is_left_alone(run: Run) -> None:
    jobs.kill(run)  # nobody trains it
    (run.path / "process.json").write_text(json.dumps(this_process() | {"started": 1.0}))
    jobs.kill(run, hard=True)  # or this test would end here


def test_a_trainer_elsewhere_cannot_be_ended(run: Run) -> None:
    (run.path / "process.json").write_text(json.dumps(this_process() | {"host": "elsewhere"}))
    with pytest.raises(ThreeStageError, match="trained on another host"):
        jobs.kill(run, hard=True)
