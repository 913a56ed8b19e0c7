"""Made-up runs whose masks are known, for all that compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_threestage.config import load_config
from napari_threestage.files import write_json
from napari_threestage.image_statistics import append, describe
from napari_threestage.runs import Run, RunInputs
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.project import Project

Split = Literal["train", "validation"]
Masks = dict[str, np.ndarray]


def add_images(
    project: Project, names: Sequence[str], shape: tuple[int, ...], split: Split = "train"
) -> list[str]:
    """Add random grey images, and return their ids."""
    ids = []
    for name in names:
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, (1, *shape), np.uint8)
        axes = f"c{'tzyx'[-len(shape) :]}"
        ids.append(project.add_image(name, ImageArray(pixels, axes), split)[0].id)
    project.save()
    return ids


def make_compared_run(
    project: Project,
    stages: Mapping[int, Masks],
    labelled: Sequence[str] = (),
    noted: bool = False,
    **inputs: object,
) -> Run:
    """A run with finished stages, whose masks are these, by stage and image.

    Parameters
    ----------
    labelled
        Images that it learned from.
    noted
        Whether its stages noted statistics of their masks, as those of new versions do.
    """
    names = [entry.name for entry in project.classes]
    pixels = np.sum([project.label_counts(one)[1:] for one in labelled], 0, int)
    counts = dict(zip(names, np.broadcast_to(pixels, len(names)).tolist(), strict=True))
    trained = [i for i, record in project.images.items() if record.split == "train"]
    values = {
        "images": dict.fromkeys(trained, ""),
        "labels": dict.fromkeys(labelled, ""),
        "pixels": counts,
        "classes": [entry.model_dump() for entry in project.classes],
        "channels": None,
        "n_channels": 1,
        "normalisation": "auto",
        "first_stage": 1,
        "last_stage": max(stages, default=1),
        "seed": 0,
        "device": "cpu",
        "threads": 1,
    }
    run = Run.create(project, load_config("quick"), RunInputs(**(values | inputs)))  # type: ignore[arg-type]
    for stage, masks in stages.items():
        run.stage_path(stage).mkdir()
        for image_id, mask in masks.items():
            run.write_mask(stage, image_id, mask, confidence_of(mask, stage), "tzyx"[-mask.ndim :])
        if noted:
            _note(run, stage, stages, len(names))
        write_json(run.stage_path(stage) / "metrics.json", {})
    return run


def confidence_of(mask: np.ndarray, stage: int) -> np.ndarray:
    """Confidence that goes with a made-up mask, 0..255; it is random but always the same."""
    rng = np.random.default_rng([stage, int(mask.sum())])
    return rng.integers(60, 256, mask.shape, np.uint8)


def disturbed(truth: np.ndarray, share: float, n_classes: int, seed: int = 0) -> np.ndarray:
    """A mask that gives a share of the pixels any class, and the others that of the truth."""
    rng = np.random.default_rng(seed)
    anything = rng.integers(1, n_classes + 1, truth.shape)
    noise = (rng.random(truth.shape) < share) | (truth == 0)
    return np.where(noise, anything, truth).astype(np.uint8)


def _note(run: Run, stage: int, stages: Mapping[int, Masks], n_classes: int) -> None:
    before = [one for one in stages if one < stage]
    lines = [
        describe(
            image_id,
            mask,
            confidence_of(mask, stage),
            {one: stages[one][image_id] for one in before},
            n_classes,
        )
        for image_id, mask in stages[stage].items()
    ]
    append(run.stage_path(stage) / "images.jsonl", lines)
