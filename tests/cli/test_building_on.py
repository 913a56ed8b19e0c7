"""Runs that begin with a later stage, and what they refuse."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cli_helpers import TINY, Result, call, latest

from napari_threestage.project import Project
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def begun_once(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A project with a finished stage 1 that no test may change."""
    project = shutil.copytree(imported, tmp_path_factory.mktemp("begun") / "project")
    assert call("run", project, "--stages", "1", *TINY).code == 0
    return project


@pytest.fixture
def begun(begun_once: Path, tmp_path: Path) -> Path:
    """A project with a finished stage 1."""
    return shutil.copytree(begun_once, tmp_path / "project")


def test_another_network_cannot_build_on_the_stages_of_a_run(
    begun: Path, threestage: Callable[..., Result]
) -> None:
    runs = len(list_runs(Project(begun)))
    other = ("--stages", "2", *TINY, "--set", "network.decoder_channels=16")
    assert "with another network" in threestage("run", begun, *other).sentence
    assert len(list_runs(Project(begun))) == runs


def test_other_classes_cannot_build_on_the_stages_of_a_run_but_new_names_can(
    begun: Path, threestage: Callable[..., Result]
) -> None:
    project = Project(begun)
    with project.editing():
        project.set_class_table(project.class_table.rename(2, "crimson").recolour(3, (1, 2, 3)))
        project.save()
    result = threestage("run", begun, "--stages", "2", *TINY)
    assert result.code == 0
    assert "crimson" in result.out and "red" not in result.out.split()
    with project.editing():
        project.set_class_table(project.class_table.merge(3, into=1))
        project.save()
    refused = threestage("run", begun, "--stages", "2", *TINY)
    assert "with other classes" in refused.sentence


def test_a_run_carries_the_stages_it_builds_on(
    begun: Path, threestage: Callable[..., Result]
) -> None:
    first = latest(begun)
    assert threestage("run", begun, "--stages", "2", *TINY).code == 0
    run = latest(begun)
    assert (run.inputs.based_on, run.finished_stages()) == (first.id, [1, 2])


@pytest.mark.parametrize("change", [("--steps", "9"), ("--set", "loss.pseudo=1")])
def test_a_resumed_run_keeps_its_settings(
    change: tuple[str, str], begun: Path, threestage: Callable[..., Result]
) -> None:
    assert "keeps its settings" in threestage("run", begun, "--resume", *change).sentence


def test_steps_win_over_the_steps_of_a_setting(
    begun: Path, threestage: Callable[..., Result]
) -> None:
    both = ("--stages", "1", *TINY, "--steps", "3", "--set", "stages.steps=[7]")
    assert threestage("run", begun, *both).code == 0
    assert latest(begun).config.stages.steps == (3,)
