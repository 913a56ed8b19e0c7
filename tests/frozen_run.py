"""A run as it is frozen, made without the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.runs import Run, RunInputs

if TYPE_CHECKING:
    from napari_threestage.config import Config
    from napari_threestage.project import Project


def make_run(project: Project, config: Config) -> Run:
    """Freeze the project as it is."""
    train = [one.id for one in project.images.values() if one.split == "train"]
    found = {image_id: project.read_labels(image_id) for image_id in train}
    truths = {image_id: truth for image_id, truth in found.items() if truth is not None}
    inputs = RunInputs(
        images=dict.fromkeys(train, ""),
        labels=dict.fromkeys(truths, ""),
        pixels={},
        classes=[entry.model_dump() for entry in project.classes],
        channels=None,
        n_channels=1,
        normalisation="auto",
        first_stage=1,
        last_stage=1,
        seed=0,
        device="cpu",
        threads=1,
    )
    run = Run.create(project, config, inputs, truths=truths)
    run.stage_path(1).mkdir()
    return run
