"""A few scored images with the masks of each stage: what figures 4 and 5 of the paper show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_threestage.benchmark.figure_panels import Panel
from napari_threestage.benchmark.items import read_indices
from napari_threestage.ingest import load_image
from napari_threestage.planes import to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.benchmark.items import DataSet, Item
    from napari_threestage.benchmark.projects import GroupProject
    from napari_threestage.runs import Run


def choose_examples(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` items at equal distances; all if there are fewer."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def keep_masks(project: GroupProject, run: Run, items: Sequence[Item], folder: Path) -> None:
    """Write the masks that each stage of a run gives images, into ``stage-<k>/<name>.tif``."""
    for stage in sorted(run.finished_stages()):
        project.predict(run.id, stage, items, folder / f"stage-{stage}")


def read_panels(data_set: DataSet, items: Sequence[Item], folder: Path) -> list[Panel]:
    """Return what `keep_masks` left, with image and ground truth, one entry for each image."""
    stages = sorted(folder.glob("stage-*"))
    return [
        Panel(
            _picture(item),
            {
                stage.name.replace("-", " "): tifffile.imread(stage / f"{item.name}.tif")
                for stage in stages
            },
            read_indices(data_set, item),
        )
        for item in items
        if stages and all((stage / f"{item.name}.tif").exists() for stage in stages)
    ]


def _picture(item: Item) -> np.ndarray:
    """Return an image as (H, W) or (H, W, 3) uint8; of more channels, the first."""
    image = load_image(item.image)
    plane = np.asarray(image.data[...])
    plane = np.moveaxis(plane, image.axes.index("c"), 0) if "c" in image.axes else plane[None]
    channels = to_bytes(plane)
    return np.moveaxis(channels, 0, -1) if len(channels) == 3 else channels[0]
