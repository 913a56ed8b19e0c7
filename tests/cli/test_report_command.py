"""``threestage report`` and ``threestage budget`` on a made-up run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run

from napari_threestage.project import Project, default_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A labelled image, two of validation, and a run of one stage."""
    return with_run(tmp_path_factory.mktemp("report") / "[bold]project", stages=(1,))


def with_run(path: Path, stages: tuple[int, ...]) -> Project:
    """A project whose run has the same masks in these stages."""
    project = Project.create(path, default_classes(["ground", "cell"]))
    train = add_images(project, ["a"], (24, 24))
    masks = {}
    for one in train + add_images(project, ["b", "c"], (24, 24), "validation"):
        truth = np.ones((24, 24), np.uint8)
        truth[:, 3:12] = 2
        project.write_ground_truth(one, truth, "painted")
        masks[one] = disturbed(truth, 0.5, 2)
    make_compared_run(project, dict.fromkeys(stages, masks), train)
    return project


def test_a_report_is_written_and_written_again(
    finished_run: Project, threestage: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "report.html"
    told = threestage("report", finished_run.path, "--output", path, "--images", 1, "--json")
    assert told.code == 0 and told.err == ""
    assert told.document["file"] == str(path)
    assert told.document["bytes"] == path.stat().st_size
    assert told.document["left_out"] == []
    assert len(told.document["images"]) == 1
    before = path.read_text()
    again = threestage("report", finished_run.path, "--output", path, "--images", 1, "--progress")
    assert again.code == 0 and again.out.startswith(f"Wrote {path}")
    assert {"done", "total"} <= json.loads(again.err.splitlines()[0]).keys()
    assert path.read_text() == before  # the same each time
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_a_report_names_no_folder_of_the_machine(
    threestage: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_run(tmp_path / "folder" / "project", stages=(1, 2))
    monkeypatch.chdir(tmp_path)
    assert threestage("report", "folder/project", "--output", "report.html").code == 0
    written = (tmp_path / "report.html").read_text()
    assert "threestage run project --baseline" in written
    assert "folder/project" not in written


@pytest.mark.parametrize("name", ["report.pdf", "mine.html"])
def test_what_is_no_report_is_not_replaced(
    finished_run: Project, threestage: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text("mine")
    told = threestage("report", finished_run.path, "--output", path)
    assert (told.code, told.out) == (1, "")
    assert str(path) in told.err
    assert path.read_text() == "mine"


def test_the_budget_of_one_run_says_why_it_says_nothing(
    finished_run: Project, threestage: Callable[..., Any]
) -> None:
    document = threestage("budget", finished_run.path, "--json").document
    [point] = document["points"]
    assert (point["labelled_images"], point["labelled_pixels"]) == (1, 24 * 24)
    assert document["on"]["images"] == 2
    assert document["fit"] is None
    shown = threestage("budget", finished_run.path)
    assert f"{100 * point['miou']['value']:.1f}" in shown.out
    assert "it takes 4 runs of the same preset" in " ".join(shown.out.split())
