"""Runs that end before their end, in every way a process can, and go on as if they had not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cli_helpers import (
    MIXED,
    TINY,
    Child,
    Result,
    assert_same_outcome,
    call,
    draw_pair,
    events_of,
    fingerprint,
    latest,
    outcome,
    settings,
)
from PIL import Image

from napari_threestage import jobs
from napari_threestage.cli import training
from napari_threestage.events import Finished, Progress
from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.events import Event
    from napari_threestage.runs import Run

STEPS = (8, 10, 3)
KEEPING = {"stages.steps": str(list(STEPS)), "checkpoint_seconds": "0.001"}  # at every step
LONG = ["--device", "cpu", "--seed", "3", *settings(KEEPING)]
ENDLESS = [*("--device", "cpu", "--stages", "1"), *settings({"stages.steps": "[100000]"})]
SECONDS = 120.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)


def states(path: Path, threestage: Callable[..., Result]) -> list[str]:
    return [run["state"] for run in threestage("status", path, "--json").document["runs"]]


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, imported: Path
) -> dict[str, np.ndarray]:
    """What a run makes that nothing disturbs."""
    path = shutil.copytree(imported, tmp_path_factory.mktemp("uninterrupted") / "project")
    result = call("run", path, *LONG, "--quiet")
    assert result.code == 0, result.err
    return outcome(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A project with a run of few steps that nothing disturbed, for comparison."""
    path = shutil.copytree(imported, tmp_path_factory.mktemp("undisturbed") / "project")
    assert call("run", path, *TINY, "--quiet").code == 0
    return path


# --- killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "stage"),
    [
        pytest.param("progress", {"stage": 2, "step": 3}, 2, id="training stage 2"),
        pytest.param(
            "progress", {"stage": 1, "step": 3}, 1, id="training stage 1", marks=pytest.mark.slow
        ),
        pytest.param(
            "predicted", {"stage": 1, "done": 3}, 1, id="writing masks", marks=pytest.mark.slow
        ),
        pytest.param("stage_finished", {"stage": 1}, 2, id="between", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_exactly_the_same_result(
    kind: str,
    values: dict[str, object],
    stage: int,
    project: Path,
    uninterrupted: dict[str, np.ndarray],
    start_child: Callable[..., Child],
    threestage: Callable[..., Result],
) -> None:
    child = start_child("run", project, *LONG, "--json")
    child.wait_for(kind, **values)
    child.process.kill()
    assert child.end().code == -signal.SIGKILL
    assert states(project, threestage) == ["interrupted"]
    assert "interrupted" in threestage("status", project).out
    assert latest(project).finished_stages() == list(range(1, stage))
    last_step = max(e["step"] for e in events_of(project) if e["event"] == "progress")
    resumed = threestage("run", project, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.events[0]["resumed"] is True
    begun = {e["stage"]: e["step"] for e in resumed.events if e["event"] == "stage_started"}
    if kind == "progress":
        assert 1 <= begun[stage] <= last_step + 1, "it began the stage anew"
        assert list(begun) == list(range(stage, 4))
    assert states(project, threestage) == ["finished"]
    assert_same_outcome(outcome(project), uninterrupted)
    assert not list(latest(project).path.glob("*/checkpoint.pt"))


def test_an_event_that_was_cut_off_spoils_no_other(
    project: Path, threestage: Callable[..., Result]
) -> None:
    assert threestage("run", project, "--stages", "1", *TINY).code == 0
    run = latest(project)
    lines = run.events_path.read_text().splitlines(keepends=True)
    run.events_path.write_text("".join(lines[:-2]) + lines[-2][:20])
    assert states(project, threestage) == ["interrupted"]
    resumed = threestage("run", project, "--resume", "--json")
    assert resumed.code == 0
    added = run.events_path.read_text().splitlines()[len(lines) - 1 :]
    assert "\n".join(added) + "\n" == resumed.out


# --- asked to end -----------------------------------------------------------------------------


def interrupt(child: Child, path: Path) -> None:
    child.process.send_signal(signal.SIGINT)


def ask(child: Child, path: Path) -> None:
    """Ask with the command, which comes back when the run has ended; a second run is refused."""
    second = call("run", path, *TINY)
    assert f"process {child.process.pid}" in second.sentence
    assert "is going on" in second.sentence
    assert call("status", path, "--json").document["runs"][0]["state"] == "running"
    stopped = call("stop", path, "--json")
    assert stopped.document == {"stopped": [latest(path).id]}
    assert not latest(path).is_running()


@pytest.mark.parametrize(
    ("end", "kind", "values"),
    [
        pytest.param(ask, "progress", {"stage": 2, "step": 1}, id="the stop command"),
        pytest.param(interrupt, "predicted", {"stage": 1, "done": 1}, id="Ctrl-C"),
    ],
)
def test_a_run_that_is_asked_to_end_saves_and_can_go_on(
    end: Callable[[Child, Path], None],
    kind: str,
    values: dict[str, object],
    project: Path,
    uninterrupted: dict[str, np.ndarray],
    start_child: Callable[..., Child],
    threestage: Callable[..., Result],
) -> None:
    steps = settings({"stages.steps": "[8,2000,3]"}) if end is ask else []
    child = start_child("run", project, *LONG, *steps, "--json")
    child.wait_for(kind, **values)
    end(child, project)
    result = child.end()
    assert result.code == 3
    assert result.events[-1]["event"] == "stopped"
    assert result.err == "Stopped; everything is saved.\n"
    assert states(project, threestage) == ["stopped"]
    assert not (latest(project).path / "process.json").exists()
    if end is ask:
        assert list(latest(project).path.glob("stage-2/checkpoint.pt"))
        return  # too long to go on with
    assert threestage("run", project, "--resume", "--quiet").code == 0
    assert_same_outcome(outcome(project), uninterrupted)


def test_a_run_that_gets_sigterm_while_it_trains_saves_and_can_go_on(
    project: Path,
    uninterrupted: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    """In this process: only the signal is another than above."""
    show, handler = training._json_line, signal.getsignal(signal.SIGTERM)

    def show_and_end(event: Event) -> None:
        show(event)
        if isinstance(event, Progress) and event.step == 2:
            assert signal.getsignal(signal.SIGTERM) != handler  # or it would end the tests
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_json_line", show_and_end)
        result = threestage("run", project, *LONG, "--json")
    assert result.code == 3 and result.events[-1]["event"] == "stopped"
    assert signal.getsignal(signal.SIGTERM) == handler
    assert latest(project).finished_stages() == []
    assert threestage("run", project, "--resume", "--quiet").code == 0
    assert_same_outcome(outcome(project), uninterrupted)


def test_stop_without_a_run_says_so(imported: Path, threestage: Callable[..., Result]) -> None:
    assert "No run" in threestage("stop", imported).sentence


# --- in the background ------------------------------------------------------------------------

START = """
import sys
from napari_threestage.cli import main
code = main(["run", sys.argv[1], "--detach", "--json", *sys.argv[2:]])
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_detached_run_outlives_the_process_group_that_started_it(
    project: Path, threestage: Callable[..., Result]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, str(project), *ENDLESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        answer = ""
        while not answer.rstrip().endswith("}"):
            answer += (line := parent.stdout.readline())
            assert line, answer
        run = latest(project)
        assert json.loads(answer) == {"run": run.id}
        assert run.is_running()
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
    followed = jobs.follow(run)
    last: dict[int, Any] = {}
    for event in followed:
        if isinstance(event, Progress):
            last[event.stage] = event
            assert states(project, threestage) == ["running"]
            break
    assert last, "no progress came"
    stopped = threestage("stop", project)
    assert stopped.code == 0
    assert f"Stopped {run.id}" in stopped.out
    assert [event.kind for event in followed][-1] == "stopped"
    assert states(project, threestage) == ["stopped"]


def test_a_detached_run_is_followed_to_its_end(
    project: Path, threestage: Callable[..., Result]
) -> None:
    started = threestage("run", project, "--detach", "--stages", "1", *TINY)
    assert started.code == 0
    run = latest(project)
    assert f"Run {run.id} trains in the background" in started.out
    seen = [event.to_json() for event in jobs.follow(run)]
    assert seen == run.events_path.read_text().splitlines()
    assert json.loads(seen[-1])["event"] == Finished.kind
    assert states(project, threestage) == ["finished"]


def test_a_detached_run_that_cannot_start_tells_why(
    tmp_path: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    path = tmp_path / "bare"
    threestage("init", path, "--classes", "a,b")
    threestage("import", path, "--images", pictures / "images")
    result = threestage("run", path, "--detach", *TINY)
    assert result.sentence.startswith("No image has any ground truth")


def test_a_reader_that_goes_away_does_not_end_the_training(
    project: Path, start_child: Callable[..., Child]
) -> None:
    child = start_child("run", project, "--stages", "1", *TINY, "--json")
    child.wait_for("started")
    assert child.process.stdout is not None
    child.process.stdout.close()
    assert child.process.wait(SECONDS) == 0
    assert child.process.stderr is not None
    assert child.process.stderr.read() == ""
    child.process.stderr.close()
    assert latest(project).state() == "finished"


def test_a_detached_run_is_refused_while_another_goes_on(
    project: Path, threestage: Callable[..., Result]
) -> None:
    with Project(project).running():  # as the process of a run does
        refused = threestage("run", project, "--detach", *TINY)
        assert f"process {os.getpid()}" in refused.sentence
    assert threestage("status", project, "--json").document["runs"] == []


# --- what a run is made of --------------------------------------------------------------------


def stop_after_stage_1(path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Leave a run that was stopped when stage 2 began."""

    def stop_wanted(self: object) -> bool:
        return latest(path).finished_stages() == [1]

    with monkeypatch.context() as patch:
        patch.setattr(training._StopSignals, "stop_wanted", stop_wanted)
        assert call("run", path, *TINY, "--quiet").code == 3
    return latest(path)


def relabel(path: Path, folder: Path, pictures: Path, mask: np.ndarray) -> None:
    """Replace the ground truth of the first picture."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / "picture0.png")
    change = ("--images", pictures / "images/picture0.png", "--masks", folder)
    assert call("import", path, *change, "--replace-masks").code == 0


def test_a_run_goes_on_with_the_labels_it_began_with(
    project: Path,
    undisturbed: Path,
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    run = stop_after_stage_1(project, monkeypatch)
    assert (run.state(), run.finished_stages()) == ("stopped", [1])
    labels = fingerprint(project / "images")
    relabel(project, tmp_path / "masks", pictures, 2 - draw_pair(0)[1])
    assert fingerprint(project / "images") != labels
    assert threestage("run", project, "--resume", "--quiet").code == 0
    assert_same_outcome(outcome(project), outcome(undisturbed))
    scores = [
        json.loads((one.stage_path(3) / "metrics.json").read_text())
        for one in (latest(project), latest(undisturbed))
    ]
    assert scores[0] == scores[1]


def test_a_run_without_labels_of_its_own_does_not_go_on_with_others(
    project: Path,
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    run = stop_after_stage_1(project, monkeypatch)
    shutil.rmtree(run.path / "truth")  # as earlier versions left it
    mask = draw_pair(0)[1]
    relabel(project, tmp_path / "masks", pictures, 2 - mask)
    refused = threestage("run", project, "--resume")
    assert "ground truth has changed" in refused.sentence
    assert events_of(project)[-1]["event"] == "failed"
    relabel(project, tmp_path / "masks", pictures, mask)
    assert threestage("run", project, "--resume", "--quiet").code == 0


def test_a_run_goes_on_in_its_own_classes(
    project: Path,
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    assert threestage("import", project, *test, "--split", "validation").code == 0
    undisturbed = shutil.copytree(project, tmp_path / "undisturbed")
    assert call("run", undisturbed, *TINY, "--quiet").code == 0
    stop_after_stage_1(project, monkeypatch)
    opened = Project(project)
    with opened.editing():
        opened.set_class_table(opened.class_table.add("new").move(3, 0).rename(2, "crimson"))
        opened.save()
    assert threestage("run", project, "--resume", "--quiet").code == 0
    run, other = latest(project), latest(undisturbed)
    metrics = [(one.stage_path(3) / "metrics.json").read_text() for one in (run, other)]
    assert metrics[0] == metrics[1] and "validation" in metrics[0]
    for image_id in run.inputs.images:
        mask = run.read_mask(3, image_id)
        np.testing.assert_array_equal(mask, other.read_mask(3, image_id))
        published = Project(project).read_labels(image_id, "stage-3")
        np.testing.assert_array_equal(published, np.array([0, 2, 3, 1])[mask])


def test_a_finished_run_is_not_resumed(finished: Path, threestage: Callable[..., Result]) -> None:
    before = fingerprint(finished)
    assert "is finished" in threestage("run", finished, "--resume").sentence
    assert "has no run nonsense" in threestage("run", finished, "--resume", "nonsense").sentence
    assert fingerprint(finished) == before


def test_nothing_is_resumed_where_there_is_no_run(
    imported: Path, threestage: Callable[..., Result]
) -> None:
    assert "has no run" in threestage("run", imported, "--resume").sentence


def test_the_same_seed_gives_the_same_masks_and_another_seed_others(
    trained: Path, project: Path, threestage: Callable[..., Result]
) -> None:
    first = outcome(trained)
    assert threestage("run", project, *MIXED, "--quiet").code == 0
    assert_same_outcome(outcome(project), first)
    stage_1 = ("--seed", "1", "--stages", "1")  # the others learn from it
    assert threestage("run", project, *MIXED, "--quiet", *stage_1).code == 0
    other = outcome(project, (1,))
    names = [name for name in other if name.startswith("1: mask of")]
    assert any(not np.array_equal(first[name], other[name]) for name in names)


def test_later_stages_build_on_an_earlier_run(
    project: Path, undisturbed: Path, threestage: Callable[..., Result]
) -> None:
    assert threestage("run", project, *TINY, "--stages", "1", "--quiet").code == 0
    first = latest(project)
    result = threestage("run", project, *TINY, "--stages", "2-3", "--json")
    assert result.code == 0, result.err
    second = latest(project)
    assert result.events[0]["stages"] == [2, 3]
    assert second.inputs.based_on == first.id
    assert second.finished_stages() == [1, 2, 3]
    assert_same_outcome(outcome(project), outcome(undisturbed))


def test_later_stages_need_an_earlier_run(project: Path, threestage: Callable[..., Result]) -> None:
    before = fingerprint(project)
    for stages in ("2", "2-3", "3"):
        result = threestage("run", project, *TINY, "--stages", stages)
        assert "No run has stage" in result.sentence
    assert fingerprint(project) == before


def test_later_stages_need_an_earlier_run_of_the_same_images(
    project: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    assert threestage("run", project, *TINY, "--stages", "1", "--quiet").code == 0
    assert threestage("import", project, "--images", pictures / "test/images").code == 0
    before = fingerprint(project)
    assert "No run has stage 1" in threestage("run", project, *TINY, "--stages", "2").sentence
    assert fingerprint(project) == before


def test_there_can_be_a_fourth_stage(project: Path, threestage: Callable[..., Result]) -> None:
    result = threestage("run", project, *TINY, "--stages", "1-4", "--json")
    assert result.code == 0, result.err
    assert latest(project).finished_stages() == [1, 2, 3, 4]
    fourth = [e for e in result.events if e["event"] == "progress" and e["stage"] == 4]
    assert "pseudo" in fourth[-1]["losses"]
    out = ("--output", project / "exports", "--json")
    assert threestage("export-masks", project, *out).document["stage"] == 4
