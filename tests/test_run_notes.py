"""Names and pins of runs: kept apart from the runs, and never lost."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.run_notes import RunNote, forget_notes, read_notes, set_note, title
from napari_threestage.run_upkeep import read_rows
from napari_threestage.runs import Run, RunInputs, find_run

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.project import Project

INPUTS = RunInputs(
    images={},
    labels={},
    pixels={},
    classes=[],
    channels=None,
    n_channels=1,
    normalisation="auto",
    first_stage=1,
    last_stage=3,
    seed=0,
    device="cpu",
    threads=1,
)


@pytest.fixture
def runs(small_project: Project) -> list[Run]:
    return [Run.create(small_project, load_config(), INPUTS) for _ in range(2)]


@pytest.fixture
def file(small_project: Project) -> Path:
    return small_project.path / "run_notes.json"


def test_a_run_is_called_and_found_by_its_name(small_project: Project, runs: list[Run]) -> None:
    first, second = runs
    assert set_note(small_project, first.id, name="  before\t the strokes ") == RunNote(
        "before the strokes"
    )
    set_note(small_project, first.id, pinned=True)
    notes = read_notes(small_project)
    assert notes == {first.id: RunNote("before the strokes", pinned=True)}
    assert [title(run, notes) for run in runs] == ["before the strokes", second.id]
    assert find_run(small_project, "Before the strokes").id == first.id
    rows = [(row.run, row.name, row.pinned) for row in read_rows(small_project)]
    assert rows == [(second.id, "", False), (first.id, "before the strokes", True)]
    set_note(small_project, first.id, name=" ")
    assert read_notes(small_project)[first.id] == RunNote("", pinned=True)
    with pytest.raises(ProjectError, match="has no run before the strokes"):
        find_run(small_project, "before the strokes")


@pytest.mark.parametrize("name", ["x" * 61, "Taken", "{id}", "latest", "a\x1b[2Jb", "-x"])
def test_a_name_that_would_mislead_is_refused(
    name: str, small_project: Project, runs: list[Run]
) -> None:
    set_note(small_project, runs[0].id, name="taken")
    before = read_notes(small_project)
    with pytest.raises(ConfigError):
        set_note(small_project, runs[1].id, name=name.format(id=runs[0].id))
    assert read_notes(small_project) == before


def test_a_name_is_free_again_when_its_run_is_gone(small_project: Project, runs: list[Run]) -> None:
    set_note(small_project, runs[0].id, name="good")
    set_note(small_project, runs[0].id, name="good")  # its own
    shutil.rmtree(runs[0].path)
    assert set_note(small_project, runs[1].id, name="good").name == "good"
    assert find_run(small_project, "good").id == runs[1].id
    with pytest.raises(ProjectError, match="has no run"):
        set_note(small_project, runs[0].id, pinned=True)


@pytest.mark.parametrize("content", ["", '{"a": ', "[]", '{"a": 1}', '{"a": {"pinned": "yes"}}'])
def test_a_damaged_file_is_a_sentence_and_stays(
    content: str, small_project: Project, runs: list[Run], file: Path
) -> None:
    file.write_text(content)
    for act in (
        lambda: read_notes(small_project),
        lambda: set_note(small_project, runs[0].id, pinned=True),
        lambda: forget_notes(small_project, [runs[0].id]),
    ):
        with pytest.raises(ProjectError, match=r"cannot be read .* restore a copy"):
            act()
    assert file.read_text() == content
    assert find_run(small_project, runs[0].id).id == runs[0].id


def test_what_is_not_known_here_is_kept(
    small_project: Project, runs: list[Run], file: Path
) -> None:
    other = {"elsewhere": {"name": "x", "pinned": False}, runs[0].id: {"stars": 5}}
    file.write_text(json.dumps(other))
    set_note(small_project, runs[0].id, pinned=True)
    kept = json.loads(file.read_text())
    assert kept["elsewhere"] == other["elsewhere"]
    assert kept[runs[0].id] == {"stars": 5, "name": "", "pinned": True}
    forget_notes(small_project, [runs[0].id])
    assert json.loads(file.read_text()).keys() == {"elsewhere"}


def test_changes_at_the_same_time_are_all_kept(small_project: Project) -> None:
    ids = [Run.create(small_project, load_config(), INPUTS).id for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda run_id: set_note(small_project, run_id, pinned=True), ids))
    assert {run_id for run_id, note in read_notes(small_project).items() if note.pinned} == {*ids}
