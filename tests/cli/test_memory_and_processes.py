"""A run that does not fit into memory goes on with less; several processes train one run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from cli_helpers import MIXED, TINY, Result, assert_same_outcome, events_of, latest, outcome

from napari_threestage.training import workers
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def with_room_for(crops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the student's memory be out for more crops than these."""
    forward = TwoBranchNetwork.forward

    def limited(self: TwoBranchNetwork, images: torch.Tensor, *rest: Any) -> Any:
        if self.training and len(images) > crops:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, images, *rest)

    monkeypatch.setattr(TwoBranchNetwork, "forward", limited)


def test_a_step_that_does_not_fit_is_made_in_parts_and_the_run_says_so(
    project: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_room_for(2, monkeypatch)
    assert threestage("run", project, *TINY).code == 0
    warnings = [event["message"] for event in events_of(project) if event["event"] == "warning"]
    said = [message for message in warnings if "Memory is too small" in message]
    assert ["computed twice" in said[0], "in 2 parts" in said[1]] == [True, True]
    assert "stage 2, step 0" in said[0]  # stage 1 has two crops a step
    assert len(said) == 2  # what was found is kept for stage 3
    assert latest(project).state() == "finished"


def test_a_run_that_goes_on_remembers_how_it_saved_memory(
    project: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_room_for(2, monkeypatch)
    assert threestage("run", project, *TINY, "--stages", "1-2").code == 0
    assert threestage("run", project, *TINY, "--stages", "3").code == 0
    whole = latest(project)
    shutil.rmtree(whole.stage_path(3))
    whole.events_path.write_text("")  # as if it had been ended after stage 2
    assert threestage("run", project, "--resume", whole.id).code == 0
    assert not [event for event in events_of(project) if "Memory is" in event.get("message", "")]


def test_samples_that_do_not_fit_are_given_up_and_the_run_goes_on(
    project: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("napari_threestage.training.live.predict_plane", out_of_memory)
    assert threestage("run", project, *TINY).code == 0
    warnings = [event["message"] for event in events_of(project) if event["event"] == "warning"]
    assert [said for said in warnings if "too small for samples" in said] == [
        "Memory is too small for samples. From now on there are none."
    ]
    assert latest(project).state() == "finished"


def test_a_run_that_fits_in_no_way_ends_with_a_sentence(
    project: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_room_for(0, monkeypatch)
    ended = threestage("run", project, *TINY)
    assert "memory of cpu is too small" in ended.sentence
    assert latest(project).state() == "failed"


def torchrun(path: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start two processes that train together, as a person would."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "napari_threestage", "run", str(path)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_two_processes_train_one_run(project: Path, trained: Path) -> None:
    child = torchrun(project, *MIXED, "--json")
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    made, alone = outcome(project), outcome(trained)
    assert out.count('"event": "finished"') == 1  # one process speaks
    assert len(events_of(project)) == len(out.splitlines())
    assert made.keys() == alone.keys()
    masks = [name for name in made if "mask" in name]
    alike = [float(np.mean(made[name] == alone[name])) for name in masks]
    assert np.mean(alike) > 0.98, alike
    labels = {name: made[name.replace("mask", "labels")] for name in masks}
    assert_same_outcome(labels, {name: made[name] for name in masks})


def test_too_small_batches_for_the_processes_are_refused(
    project: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Workers()
    two.count = 2  # process 0 of two; it never comes to where they would meet
    monkeypatch.setattr(workers, "joined", lambda device: contextlib.nullcontext(two))
    refused = threestage("run", project, *TINY, "--set", "data.stage1_batch=1")
    assert "2 processes cannot share the 1 crops" in refused.sentence


@pytest.mark.slow
def test_every_process_ends_when_a_run_is_refused(project: Path) -> None:
    child = torchrun(project, *TINY, "--set", "data.stage1_batch=1")
    _, err = child.communicate(timeout=300)
    assert child.returncode == 1
    assert "2 processes cannot share the 1 crops" in err
    assert "bug of ours" not in err


@pytest.mark.slow
def test_a_run_of_two_processes_is_stopped_and_resumed(project: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(project, tmp_path / "whole")
    _, err = torchrun(whole, *MIXED).communicate(timeout=300)
    child = torchrun(project, *MIXED, "--json")
    assert child.stdout is not None
    for line in child.stdout:
        if '"event": "progress"' in line and '"stage": 2' in line:
            break
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=120)
    assert latest(project).state() in ("stopped", "interrupted")
    again = torchrun(project, "--resume", "--device", "cpu")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert_same_outcome(outcome(project), outcome(whole))
