"""What a run is made of, frozen before it begins: settings, inputs, the stages it builds on."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_threestage.check import plan_run
from napari_threestage.errors import NotReadyError
from napari_threestage.files import write_json
from napari_threestage.inference.device import choose_device, default_threads
from napari_threestage.project import content_hash
from napari_threestage.run_staleness import label_time
from napari_threestage.runs import Run, RunInputs, list_runs
from napari_threestage.stages import stage_table
from napari_threestage.training.weights import find_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from napari_threestage.check import Plan
    from napari_threestage.config import Config
    from napari_threestage.project import Project

PACKAGES = ("napari-threestage", "torch", "torchvision", "numpy", "zarr")


def prepare_run(
    project: Project, config: Config, *, stages: tuple[int, int], seed: int, device: str
) -> Run:
    """Freeze what a run is made of in a new run folder.

    Raises
    ------
    NotReadyError
        The project lacks something a run needs.
    ConfigError
        The device or the weights cannot be had.
    """
    plan = plan_run(project, config)
    plan.require_ready()
    base = _run_to_build_on(project, stages[0], plan.labelled + plan.unlabelled)
    network, warning = find_weights(config.network)
    threads = config.threads or default_threads()
    config = config.model_copy(update={"network": network, "threads": threads})
    if base:
        _check_base(project, config, base)
    inputs, truths = present_inputs(
        project,
        plan,
        first_stage=stages[0],
        last_stage=stages[1],
        seed=seed,
        device=str(choose_device(device)),
        threads=threads,
        warnings=[warning] if warning else [],
        based_on=base.id if base else None,
        steps_before=steps_behind(base, stages[0] - 1) if base else 0,
        learned_before=learned_from(base) if base else (),
    )
    earlier = [base.stage_path(stage) for stage in range(1, stages[0])] if base else []
    run = Run.create(project, config, inputs, earlier, truths)
    if base:
        _rename_scores(run, base, stages[0])
    return run


def present_inputs(
    project: Project, plan: Plan, *, warnings: Iterable[str] = (), **others: Any
) -> tuple[RunInputs, dict[str, np.ndarray]]:
    """Return the inputs of a run of the project as it is now, and its ground truth by image id.

    Parameters
    ----------
    warnings
        Those that are not in the plan.
    others
        What does not follow from the project.
    """
    # First, so that labels that are written from now on count as written again.
    times = {image_id: label_time(project, image_id) for image_id in plan.labelled}
    truths = _present_truths(project, plan.labelled)
    planned = [f"{problem.message} {problem.fix}" for problem in plan.problems]
    inputs = RunInputs(
        images={i: project.images[i].sha256 for i in sorted(plan.labelled + plan.unlabelled)},
        labels={image_id: content_hash(truth) for image_id, truth in truths.items()},
        pixels=plan.pixels,
        classes=[entry.model_dump() for entry in project.classes],
        channels=project.channels,
        n_channels=project.n_channels,
        normalisation=project.normalisation,
        versions=present_versions(),
        warnings=(*planned, *warnings),
        label_times=times,
        **others,
    )
    return inputs, truths


def present_versions() -> dict[str, str]:
    """Return the versions of what trains."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def learned_from(run: Run) -> tuple[str, ...]:
    """Return the images whose labels are in a run's weights: its own and those of before."""
    return tuple(sorted({*run.inputs.labels, *run.inputs.learned_before}))


def steps_behind(run: Run, last: int | None = None) -> int:
    """Return the optimisation steps that led to a stage of a run, the last if not given."""
    first, before = run.inputs.first_stage, run.inputs.steps_before
    steps = [spec.steps for spec in stage_table(run.config, last or run.inputs.last_stage)]
    if last is not None and last < first:  # some of the stages that the run itself took over
        return sum(steps)
    # Runs of older versions do not say how long the stages were that they were built on.
    own = steps if first > 1 and not before else steps[first - 1 :]
    return before + sum(own)


def _present_truths(project: Project, image_ids: Iterable[str]) -> dict[str, np.ndarray]:
    found = ((image_id, project.read_labels(image_id)) for image_id in sorted(image_ids))
    return {image_id: truth for image_id, truth in found if truth is not None}


def _rename_scores(run: Run, base: Run, first_stage: int) -> None:
    """Let the scores of the stages that were copied say the present names of the classes."""
    names, old = ([entry["name"] for entry in one.inputs.classes] for one in (run, base))
    present = dict(zip(old, names, strict=True))
    for stage in range(1, first_stage) if names != old else ():
        path = run.stage_path(stage) / "metrics.json"
        metrics = json.loads(path.read_text())
        for scores in metrics.values():
            scores["iou"] = {present[name]: value for name, value in scores["iou"].items()}
            scores["absent"] = [present[name] for name in scores["absent"]]
        write_json(path, metrics)


def _run_to_build_on(project: Project, first_stage: int, images: Iterable[str]) -> Run | None:
    """Return the latest run that has the stages before the first one, for all these images."""
    if first_stage == 1:
        return None
    needed = set(range(1, first_stage))
    for run in reversed(list_runs(project)):
        finished = not run.is_baseline and needed <= set(run.finished_stages())
        if finished and run.inputs.images.keys() >= set(images):
            return run
    raise NotReadyError(
        f"No run has stage {first_stage - 1} finished for all images, "
        f"which stage {first_stage} builds on.",
        f"Run the earlier stages too: --stages 1-{first_stage}",
    )


def _check_base(project: Project, config: Config, base: Run) -> None:
    """Refuse to build on a run whose network or classes the new stages could not take over."""
    same_weights = config.network.model_copy(update={"weights": base.config.network.weights})
    if same_weights != base.config.network:
        what = "another network"
    elif other_channels(project, base):
        what = "other channels"
    elif [entry.id for entry in project.classes] != base.class_ids:
        what = "other classes"
    else:
        return
    raise NotReadyError(
        f"The stages before these were made by run {base.id} with {what}.",
        "Use its settings, or run the earlier stages too.",
    )


def other_channels(project: Project, run: Run) -> bool:
    """Whether the networks of a run take other channels than the project has now."""
    inputs = run.inputs
    return (project.channels, project.n_channels) != (inputs.channels, inputs.n_channels)
