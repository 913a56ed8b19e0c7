"""The demo: all commands one after the other on images that it makes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from cli_helpers import Result, fingerprint, make_project
from PIL import Image

from napari_threestage.cli import demo
from napari_threestage.errors import BusyError, ProjectError
from napari_threestage.export import exporter
from napari_threestage.export.verify import Proof
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.project import Project
from napari_threestage.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = functools.partial(write_sample, labelled=4, unlabelled=2, test=2)
    monkeypatch.setattr(demo, "write_sample", fewer)
    monkeypatch.setattr(demo, "SETTINGS", (*demo.SETTINGS, "threads=1"))


def check_results(folder: Path) -> dict[str, float]:
    scores = json.loads((folder / "scores.json").read_text())["stages"]
    assert list(scores) == ["1", "2", "3"]
    with Image.open(folder / "stages.png") as picture:
        picture.load()
        assert picture.width > 160
    return {stage: score["miou"] for stage, score in scores.items()}


@pytest.mark.usefixtures("few_images")
def test_the_demo_writes_scores_and_a_picture_and_can_be_repeated(
    tmp_path: Path, threestage: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    shown = threestage("demo", "--output", folder, "--steps", "1", "--device", "cpu")
    assert shown.code == 0, shown.err
    for command in ("init", "import", "run", "evaluate", "compare", "report", "export"):
        assert f"$ threestage {command}" in shown.out
    assert "stages.png" in shown.out
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert shown.out.count("mIoU") >= 2, "a table of the run and one of the test"
    (line,) = (one for one in shown.out.splitlines() if one.startswith("napari-ome-zarr: "))
    assert Path(line.removeprefix("napari-ome-zarr: ")).is_dir()
    first = check_results(folder)
    monkeypatch.setattr(exporter, "prove", lambda *_: Proof(0.0, {}))  # once is enough
    again = threestage("demo", "--output", folder, "--steps", "1", "--device", "cpu", "--json")
    assert again.code == 0, again.err
    found = again.document
    assert load_segmenter(Path(found["segmenter"]), torch.device("cpu")).info.stage == 3
    assert {stage: score["miou"] for stage, score in found["stages"].items()} == first
    assert check_results(folder) == first


@pytest.mark.slow
def test_the_whole_demo_works_with_few_steps(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    folder = tmp_path / "demo"
    shown = threestage("demo", "--output", folder, "--steps", "2", "--device", "cpu")
    assert shown.code == 0, shown.err
    check_results(folder)


def test_the_demo_leaves_a_folder_of_others_alone(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    before = fingerprint(tmp_path)
    assert "is not empty" in threestage("demo", "--output", tmp_path).sentence
    assert fingerprint(tmp_path) == before


@pytest.fixture
def old_demo(tmp_path: Path, pictures: Path) -> Path:
    """A folder with the project of an earlier demo."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / demo.MARK).touch()
    make_project(folder / "project", pictures)
    return folder


def test_the_demo_does_not_remove_labels_that_somebody_painted(old_demo: Path) -> None:
    project = Project(old_demo / "project")
    image = next(i for i in project.images if project.read_labels(i) is not None)
    truth = project.read_labels(image)
    assert truth is not None
    project.write_ground_truth(image, truth, "painted")
    before = fingerprint(old_demo)
    with pytest.raises(ProjectError, match="a new demo would remove them"):
        demo._clear(old_demo)
    assert fingerprint(old_demo) == before


def test_the_demo_does_not_remove_a_project_in_which_somebody_works(old_demo: Path) -> None:
    project = Project(old_demo / "project")
    for work in (project.editing, project.running):
        with work(), pytest.raises(BusyError):
            demo._clear(old_demo)
    assert project.path.exists()


@pytest.mark.parametrize("broken", [False, True])
def test_the_demo_removes_what_it_made_or_what_is_broken(old_demo: Path, broken: bool) -> None:
    if broken:
        (old_demo / "project/project.json").write_text("{")
    demo._clear(old_demo)
    assert [path.name for path in old_demo.iterdir()] == [demo.MARK]
