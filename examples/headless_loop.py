"""The whole job from Python: images in, three stages, a segmenter out.

    python examples/headless_loop.py my_folder --steps 200

The command line does the same; this is for notebooks and scripts that want the arrays.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_threestage.config import load_config
from napari_threestage.events import Event, Progress
from napari_threestage.inference.device import choose_device
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.ingest import ImportOptions, import_images, load_image
from napari_threestage.project import Project, default_classes
from napari_threestage.sample import SAMPLE_CLASSES, write_sample
from napari_threestage.training.prepare import prepare_run
from napari_threestage.training.run import execute_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()

    # 1. Some images: 4 with masks, 8 without, 2 for the test. Yours go here.
    write_sample(options.folder / "sample", labelled=4, unlabelled=8, test=2)

    # 2. A project, and the images into it. Writing needs the project's lock.
    classes = default_classes([name for name, _ in SAMPLE_CLASSES])
    project = Project.create(options.folder / "project", classes)
    with project.editing():
        images, masks = options.folder / "sample/images", options.folder / "sample/masks"
        report = import_images(project, [images], masks, ImportOptions())
    print(f"{len(report.imported)} images, {report.labelled} with a mask")

    # 3. Train. A run is a folder that freezes configuration and inputs; it can be continued.
    changes = {"stages.steps": [options.steps], "network.weights": "none"}
    config = load_config("quick", changes)
    with project.running():
        run = prepare_run(project, config, stages=(1, 3), seed=0, device="auto")
        execute_run(project, run, show, should_stop=lambda: False)

    # 4. Use the last stage's segmenter on any array.
    segmenter = load_segmenter(run.model_path(3), choose_device())
    for path in sorted((options.folder / "sample/test/images").iterdir()):
        mask, confidence = segmenter.predict(load_image(path))
        print(path.name, mask.shape, f"mean confidence {confidence.mean() / 255:.2f}")


def show(event: Event) -> None:
    if isinstance(event, Progress):
        print(f"stage {event.stage}: step {event.step} of {event.steps}, {event.losses}")


if __name__ == "__main__":
    main()
