"""What a run is made of, frozen before it begins: settings, inputs, the stages it builds on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from napari_threestage.check import plan_run
from napari_threestage.errors import NotReadyError
from napari_threestage.inference.device import choose_device, default_threads
from napari_threestage.project import content_hash
from napari_threestage.runs import Run, RunInputs, list_runs
from napari_threestage.training.weights import find_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    warnings = [f"{problem.message} {problem.fix}" for problem in plan.problems]
    inputs = RunInputs(
        images={i: project.images[i].sha256 for i in sorted(plan.labelled + plan.unlabelled)},
        labels=label_hashes(project, plan.labelled),
        pixels=plan.pixels,
        classes=[entry.model_dump() for entry in project.classes],
        channels=project.channels,
        n_channels=project.n_channels,
        normalisation=project.normalisation,
        first_stage=stages[0],
        last_stage=stages[1],
        seed=seed,
        device=str(choose_device(device)),
        threads=threads,
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        warnings=(*warnings, *([warning] if warning else [])),
        based_on=base.id if base else None,
    )
    earlier = [base.stage_path(stage) for stage in range(1, stages[0])] if base else []
    return Run.create(project, config, inputs, earlier)


def label_hashes(project: Project, image_ids: Iterable[str]) -> dict[str, str]:
    """Return the hash of each image's ground truth."""
    hashes = {}
    for image_id in sorted(image_ids):
        truth = project.read_labels(image_id)
        hashes[image_id] = "" if truth is None else content_hash(truth)
    return hashes


def _run_to_build_on(project: Project, first_stage: int, images: Iterable[str]) -> Run | None:
    """Return the latest run that has the stages before the first one, for all these images."""
    if first_stage == 1:
        return None
    needed = set(range(1, first_stage))
    for run in reversed(list_runs(project)):
        if needed <= set(run.finished_stages()) and run.inputs.images.keys() >= set(images):
            return run
    raise NotReadyError(
        f"No run has stage {first_stage - 1} finished for all images, "
        f"which stage {first_stage} builds on.",
        f"Run the earlier stages too: --stages 1-{first_stage}",
    )


def _check_base(project: Project, config: Config, base: Run) -> None:
    """Refuse to build on a run whose network or classes the new stages could not take over."""
    same_weights = config.network.model_copy(update={"weights": base.config.network.weights})
    classes = [entry.model_dump(mode="json") for entry in project.classes]
    if same_weights != base.config.network:
        what = "another network"
    elif (project.channels, project.n_channels) != (base.inputs.channels, base.inputs.n_channels):
        what = "other channels"
    elif classes != base.inputs.classes:
        what = "other classes"
    else:
        return
    raise NotReadyError(
        f"The stages before these were made by run {base.id} with {what}.",
        "Use its settings, or run the earlier stages too.",
    )
