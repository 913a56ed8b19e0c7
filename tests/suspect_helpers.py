"""A project with one labelled image, and a run whose stages found what a test says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.config import load_config
from napari_threestage.project import Project, default_classes
from napari_threestage.runs import Run, RunInputs
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def confidence(like: np.ndarray, value: float) -> np.ndarray:
    return np.full(like.shape, round(255 * value), np.uint8)


def plant(
    path: Path,
    truth: np.ndarray,
    masks: Sequence[np.ndarray],
    sure: Sequence[np.ndarray],
    classes: Sequence[str] = ("background", "cell"),
) -> tuple[Project, Run]:
    """Make them; each mask is that of a finished stage."""
    project = Project.create(path / "project", default_classes(list(classes)))
    pixels = np.random.default_rng(0).integers(0, 256, truth.shape, np.uint8)
    axes = "c" + "zyx"[-truth.ndim :]
    record, _ = project.add_image("cells", ImageArray(pixels[None], axes))
    if truth.any():
        project.write_ground_truth(record.id, truth, "imported")
    project.save()
    return project, made_up_run(project, {record.id: (masks, sure)}, len(masks))


def made_up_run(
    project: Project,
    found: dict[str, tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
    stages: int,
) -> Run:
    """A run that finished some stages, with masks and confidences by image."""
    inputs = RunInputs(
        images=dict.fromkeys(project.images, ""),
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
    run = Run.create(project, load_config("quick"), inputs)
    for stage in range(1, stages + 1):
        run.stage_path(stage).mkdir(parents=True)
        (run.stage_path(stage) / "metrics.json").write_text(json.dumps({}))
        for image_id, (masks, sure) in found.items():
            mask = masks[stage - 1]
            run.write_mask(stage, image_id, mask, sure[stage - 1], "tzyx"[-mask.ndim :])
    return run
