"""Runs as a trainer leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.config import load_config
from napari_threestage.events import Event, Progress, StageStarted, Started
from napari_threestage.runs import Run, RunInputs

if TYPE_CHECKING:
    from napari_threestage.project import Project


def make_run(project: Project, *events: Event, alive: bool = False) -> Run:
    """A run of three stages as a trainer leaves it."""
    ids = list(project.images)
    inputs = RunInputs(
        images=dict.fromkeys(ids, ""),
        labels={},
        pixels={},
        classes=[entry.model_dump() for entry in project.classes],
        channels=None,
        n_channels=1,
        normalisation="auto",
        first_stage=1,
        last_stage=3,
        seed=0,
        device="cpu",
        threads=1,
    )
    truth = project.read_labels(ids[0])
    assert truth is not None
    run = Run.create(project, load_config("quick"), inputs, (), {ids[0]: truth})
    if alive:
        run.enter_process()
    started = Started(run=run.id, device="cpu", stages=[1, 2, 3], labelled=1, unlabelled=3)
    for event in (started, StageStarted(stage=1, steps=300), *events):
        run.record(event)
    return run


def progress(step: int, stage: int = 1, steps: int = 300) -> Progress:
    return Progress(
        stage=stage,
        step=step,
        steps=steps,
        losses={"seg": 1 / step},
        images_per_second=12.5,
        eta=90,
        memory=2 * 2**30,
    )
