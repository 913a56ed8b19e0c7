"""What an image costs: to import, to load, to write its pseudo-mask, to list."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gui_projects import inputs_of, make_long_list
from PIL import Image
from torch import Tensor, nn

from napari_threestage.config import load_config
from napari_threestage.image_state import image_state, read_reviewed
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.ingest.importer import ImportOptions, import_images
from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.runs import Run
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.stages import stage_table
from napari_threestage.training.data import SampleSet
from napari_threestage.training.masks import MaskWriter
from napari_threestage.training.networks import BlockNetwork
from napari_threestage.training.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 128
NAMES = ["background", "cell", "fibre"]
STEPS = ("import", "load", "pseudo-masks", "load pseudo-masks")
WARM_UP = 4  # images of another project, until everything is imported and every cache filled


class OneLayer(nn.Conv2d):
    """The least of a decoder: what is measured is all but the network."""

    def __init__(self) -> None:
        super().__init__(3, len(NAMES), 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return super().forward(maps[-1])


def measure_images(folder: Path, count: int) -> dict[str, Any]:
    """Seconds an image of every step, for small colour images that all have masks."""
    torch.set_num_threads(1)
    for number in (WARM_UP, count):
        place = folder / "images"
        write_files(place, number)
        seconds = {name: value / number for name, value in take(place, number).items()}
        shutil.rmtree(place)
    return {"images": count} | seconds


def write_files(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.kron(rng.integers(0, 3, (8, 8), np.uint8), np.ones((16, 16), np.uint8))
        pixels = 60 * mask[..., None] + rng.integers(0, 60, (SIDE, SIDE, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def take(folder: Path, count: int) -> dict[str, float]:
    project = Project.create(folder / "project", default_classes(NAMES))
    with project.editing():
        options, masks = ImportOptions(), folder / "masks"
        imported = seconds_of(lambda: import_images(project, [folder / "images"], masks, options))
    assert len(project.images) == count
    config = load_config("quick")
    run = Run.create(project, config, inputs_of(project))
    run.stage_path(1).mkdir()
    (spec,) = stage_table(config, 1)
    network = BlockNetwork([nn.Identity(), OneLayer()], [0.5] * 3, [0.25] * 3)
    segmenter = Segmenter(network, describe(run), torch.device("cpu"))
    writer = MaskWriter(project, run, run.record, lambda: None)
    written = seconds_of(lambda: writer.write_masks(spec, Witness(segmenter)))
    loaded = seconds_of(lambda: SampleSet(project, run))
    samples = SampleSet(project, run)
    pseudo = seconds_of(lambda: samples.load_pseudo_masks(1))
    return dict(zip(STEPS, (imported, loaded, written, pseudo), strict=True))


def describe(run: Run) -> SegmenterInfo:
    inputs = run.inputs
    return SegmenterInfo(
        classes=inputs.classes,
        channels=inputs.channels,
        n_channels=inputs.n_channels,
        normalisation=inputs.normalisation,
        network={},
        inference=run.config.inference.model_dump(mode="json"),
        stage=1,
        run=run.id,
    )


def measure_list(folder: Path, count: int) -> dict[str, Any]:
    """Seconds to open a project and to find the state of all its images, the medians of some."""
    place = folder / "list"
    make_long_list(place, count)

    def states() -> None:
        project = Project(place)
        reviewed = read_reviewed(project)
        for image_id in project.images:
            image_state(project, image_id, reviewed)

    states()
    opened, listed = (
        sorted(seconds_of(work) for _ in range(3))[1] for work in (lambda: Project(place), states)
    )
    shutil.rmtree(place)
    return {"images": count, "open": opened, "list": listed}


def seconds_of(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
