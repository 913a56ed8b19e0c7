"""The whole job from Python: images in, three stages, a segmenter and masks out.

    python examples/headless_loop.py my_folder --steps 200

The command line does the same; this is for notebooks and scripts that want the arrays. Editors that
know the marks ``# %%`` run it cell by cell.
"""

# %% What is needed
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import napari_threestage
from napari_threestage.config import load_config
from napari_threestage.events import Event, Progress
from napari_threestage.export.card import CardText
from napari_threestage.export.exporter import Wanted, export_segmenter
from napari_threestage.ingest import ImportOptions, import_images, load_image
from napari_threestage.mask_files import MaskFolder
from napari_threestage.project import Project, default_classes
from napari_threestage.sample import SAMPLE_CLASSES, write_sample
from napari_threestage.training.prepare import prepare_run
from napari_threestage.training.run import execute_run

if TYPE_CHECKING:
    from napari_threestage.runs import Run


# %% 1. Some images: 4 with masks, 8 without, 2 for the test. Yours go here.
def make_project(folder: Path) -> Project:
    write_sample(folder / "sample", labelled=4, unlabelled=8, test=2)
    classes = default_classes([name for name, _ in SAMPLE_CLASSES])
    project = Project.create(folder / "project", classes)
    with project.editing():  # writing needs the project's lock
        images, masks = folder / "sample/images", folder / "sample/masks"
        report = import_images(project, [images], masks, ImportOptions())
    print(f"{len(report.imported)} images, {report.labelled} with a mask")
    return project


# %% 2. Train. A run is a folder that freezes configuration and inputs; it can be continued.
def train(project: Project, steps: int) -> Run:
    changes = {"stages.steps": [steps], "network.weights": "none"}
    config = load_config("quick", changes)
    with project.running():
        run = prepare_run(project, config, stages=(1, 3), seed=0, device="auto")
        execute_run(project, run, show, should_stop=lambda: False)
    return run


def show(event: Event) -> None:
    if isinstance(event, Progress):
        print(f"stage {event.stage}: step {event.step} of {event.steps}, {event.losses}")


# %% 3. Take the last stage's segmenter away: one file, which another process has tried.
def export(project: Project, run: Run, file: Path) -> None:
    text = CardText(authors=("A. Person",), licence="CC-BY-4.0")
    found = export_segmenter(
        project, run, Wanted(3, "safetensors", file, text, torch.device("cpu"))
    )
    print(f"{found['file']}: differs by {found['largest_difference']:.0e} at most")


# %% 4. Use it on any array, and write masks for other programs.
def segment(file: Path, images: Path, output: Path) -> None:
    segmenter = napari_threestage.load_segmenter(file)
    classes = [(one["name"], tuple(one["color"])) for one in segmenter.info.classes]
    with MaskFolder(output, "png", classes, statistics=True) as masks:
        for path in sorted(images.iterdir()):
            image = load_image(path)
            mask, confidence, _ = napari_threestage.predict(segmenter, image.data, image.axes)
            masks.add(path.stem, mask, "yx", image.scale, image.unit, source=path.name)
            print(path.name, mask.shape, f"mean confidence {confidence.mean() / 255:.2f}")


# %% All of it
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    project = make_project(options.folder)
    run = train(project, options.steps)
    export(project, run, options.folder / "segmenter.safetensors")
    test = options.folder / "sample/test/images"
    segment(options.folder / "segmenter.safetensors", test, options.folder / "masks")


if __name__ == "__main__":
    main()
