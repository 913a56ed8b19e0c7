"""What a finished stage says of images, noted afterwards: for runs of older versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage import image_statistics
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.training.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from napari_threestage.project import Project
    from napari_threestage.runs import Run


def describe_images(
    project: Project, run: Run, stage: int, images: Sequence[str], device: torch.device
) -> Iterator[str]:
    """Add the lines of images that have masks, and yield each id when its line is on disk.

    The student of the stage is gone by now, so its doubts are not known.
    """
    witness = Witness(load_segmenter(run.model_path(stage), device))
    for image_id in images:
        seen = witness.look(project.read_image(image_id))
        mask, confidence = run.read_mask(stage, image_id), run.read_confidence(stage, image_id)
        line = image_statistics.describe_in(
            run, stage, image_id, mask, confidence, features=seen.features
        )
        image_statistics.append(run.stage_path(stage) / "images.jsonl", [line])
        yield image_id
