"""Runs that are made of another run: labels only, to compare it with, or the same once more."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_threestage.check import plan_run
from napari_threestage.config import for_stage
from napari_threestage.errors import NotReadyError
from napari_threestage.inference.device import choose_device
from napari_threestage.model_file import read_model_file
from napari_threestage.runs import Run
from napari_threestage.training.prepare import (
    learned_from,
    other_channels,
    present_inputs,
    present_versions,
    steps_behind,
)
from napari_threestage.training.weights import find_weights

if TYPE_CHECKING:
    import numpy as np

    from napari_threestage.config import Config
    from napari_threestage.project import Project

REFRESH_SHARE = 0.5  # of the steps: the segmenters know most of it already


def prepare_baseline(project: Project, run: Run, *, seed: int | None, device: str) -> Run:
    """Freeze a run of one stage that learns from another's labels alone, for as many steps.

    It is what the benchmark calls ``supervised-long``: images, labels, classes and settings are
    those of the other run, which had as many steps in all its stages together.

    Parameters
    ----------
    seed
        That of the other run if None.

    Raises
    ------
    NotReadyError
        The run is a baseline itself, or its labels or images are not there any more.
    ConfigError
        The device or the weights cannot be had.
    """
    _refuse_baseline(run, "have one itself")
    gone = [image_id for image_id in run.inputs.images if image_id not in project.images]
    if gone:
        raise NotReadyError(
            f"Image {gone[0]} of run {run.id} is gone, so it cannot be compared.",
            f"Train anew first: threestage run {project.path}",
        )
    truths = _frozen_truths(run)
    inputs = replace(
        run.inputs,
        first_stage=1,
        last_stage=1,
        seed=run.inputs.seed if seed is None else seed,
        device=str(choose_device(device)),
        versions=present_versions(),
        warnings=(),
        based_on=None,
        refreshes=None,
        learned_before=(),
        steps_before=0,
        baseline_of=run.id,
    )
    find_weights(run.config.network)  # whether the file is there
    return Run.create(project, _labels_only(run), inputs, truths=truths)


def prepare_refresh(project: Project, run: Run, *, seed: int | None, device: str) -> Run:
    """Freeze a run that goes on from another's segmenters with the project as it is now.

    Parameters
    ----------
    seed
        That of the other run if None.

    Raises
    ------
    NotReadyError
        The run is a baseline or has stages that are not finished, its segmenters take other
        channels, or the project lacks something a run needs.
    ConfigError
        There is no such device.
    ImageFileError
        A segmenter is damaged.
    """
    _refuse_baseline(run, "be refreshed")
    stages = range(1, run.inputs.last_stage + 1)
    _check_segmenters(project, run, stages)
    plan = plan_run(project, run.config)
    plan.require_ready()
    inputs, truths = present_inputs(
        project,
        plan,
        first_stage=1,
        last_stage=run.inputs.last_stage,
        seed=run.inputs.seed if seed is None else seed,
        device=str(choose_device(device)),
        threads=run.inputs.threads,
        refreshes=run.id,
        steps_before=steps_behind(run),
        learned_before=learned_from(run),
    )
    share = REFRESH_SHARE if run.inputs.refreshes is None else 1  # not ever fewer
    steps = [math.ceil(share * for_stage(run.config.stages.steps, stage)) for stage in stages]
    config = _with_steps(run.config, steps)
    starts = {stage: run.model_path(stage) for stage in stages}
    return Run.create(project, config, inputs, truths=truths, starts=starts)


def _labels_only(run: Run) -> Config:
    config = _with_steps(run.config, [steps_behind(run)])
    # Stage 1 may learn from images without labels, as rivals in the benchmark do.
    later = max(2, config.stages.unlabelled_from)
    stages = config.stages.model_copy(update={"unlabelled_from": later})
    teacher = config.teacher.model_copy(update={"statistics": "student"})
    return config.model_copy(update={"stages": stages, "teacher": teacher})


def _with_steps(config: Config, steps: list[int]) -> Config:
    stages = config.stages.model_copy(update={"steps": tuple(steps)})
    return config.model_copy(update={"stages": stages})


def _frozen_truths(run: Run) -> dict[str, np.ndarray]:
    truths = {}
    for image_id in run.inputs.labels:
        truth = run.read_truth(image_id)
        if truth is None:
            raise NotReadyError(
                f"Run {run.id} was made by an older version, which did not keep the labels that "
                "it learnt from.",
                "Train it anew to compare it with labels only.",
            )
        truths[image_id] = truth
    return truths


def _check_segmenters(project: Project, run: Run, stages: range) -> None:
    missing = sorted({*stages} - {*run.finished_stages()})
    if missing:
        raise NotReadyError(
            f"Stage {missing[0]} of run {run.id} is not finished, so it cannot be refreshed.",
            f"Go on with it: threestage run {project.path} --resume {run.id}",
        )
    known = run.config.network.model_dump(mode="json")
    found = [read_model_file(run.model_path(stage)).network for stage in stages]
    if other_channels(project, run):
        what = "other channels than the project has now"
    elif any(known | one | {"weights": known["weights"]} != known for one in found):
        what = "another network than its settings say"
    else:
        return
    raise NotReadyError(
        f"The segmenters of run {run.id} were trained with {what}.",
        f"Train anew: threestage run {project.path}",
    )


def _refuse_baseline(run: Run, what: str) -> None:
    if run.is_baseline:
        raise NotReadyError(
            f"Run {run.id} learns from labels only: it is the baseline of run "
            f"{run.inputs.baseline_of}, and cannot {what}.",
            "Name a run of stages.",
        )
