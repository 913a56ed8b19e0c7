"""Projects to measure the window with: large images, images to train on, a long list."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from napari_threestage.config import load_config
from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.runs import Run, RunInputs
from napari_threestage.sample import write_sample
from napari_threestage.store import ImageArray

CLASSES = ["background", "cell", "fibre", "debris"]


def make_large_project(path: Path, count: int, size: int) -> Project:
    """Colour images with ground truth and the masks of a run of three stages."""
    project = Project.create(path, default_classes(CLASSES))
    rng = np.random.default_rng(0)
    for number in range(count):
        blocks = rng.integers(1, 5, (size // 64, size // 64), np.uint8)
        truth = np.kron(blocks, np.ones((64, 64), np.uint8))
        pixels = (truth * 50 + rng.integers(0, 30, (3, size, size))).astype(np.uint8)
        record, _ = project.add_image(f"image {number}", ImageArray(pixels, "cyx"))
        project.write_ground_truth(record.id, truth, "painted")
    project.save()
    run = Run.create(project, load_config("quick"), inputs_of(project))
    for stage in (1, 2, 3):
        for image_id in project.images:
            mask = project.read_labels(image_id)
            assert mask is not None
            mask = np.roll(mask, 8 * stage, axis=1)
            run.write_mask(stage, image_id, mask, mask * 60, "yx")
    return project


def inputs_of(project: Project) -> RunInputs:
    return RunInputs(
        images={record.id: record.sha256 for record in project.images.values()},
        labels={},
        pixels={},
        classes=[entry.model_dump(mode="json") for entry in project.classes],
        channels=None,
        n_channels=3,
        normalisation="auto",
        first_stage=1,
        last_stage=3,
        seed=0,
        device="cpu",
        threads=1,
    )


def make_small_project(path: Path) -> Project:
    """The sample project, as files and then imported, to train on."""
    from napari_threestage.cli import main as threestage

    files = path.with_name("small-files")
    write_sample(files, labelled=4, unlabelled=16, test=1)
    classes = str(files / "classes.json")
    assert threestage(["init", str(path), "--classes-file", classes, "--json"]) == 0
    images, masks = str(files / "images"), str(files / "masks")
    assert threestage(["import", str(path), "--images", images, "--masks", masks, "--json"]) == 0
    return Project(path)


def make_long_list(path: Path, count: int) -> Project:
    """A project of many images whose files are links to those of one."""
    project = Project.create(path, default_classes(CLASSES))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    record, _ = project.add_image("image", ImageArray(pixels, "cyx"))
    project.write_ground_truth(record.id, np.ones((64, 64), np.uint8), "painted")
    source = project.image_path(record.id)
    for number in range(1, count):
        copy = record.model_copy(update={"id": f"{record.id}-{number}", "name": f"image {number}"})
        project._file.images[copy.id] = copy
        link_tree(source, project.image_path(copy.id))
    project.save()
    return project


def link_tree(source: Path, target: Path) -> None:
    for folder, _, files in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True)
        for name in files:
            os.link(Path(folder) / name, place / name)
