"""``runs``, and the runs that are made of another one, as a person uses them."""

from __future__ import annotations

import io
import re
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cli_helpers import TINY, Result, call, fingerprint

from napari_threestage.project import Project
from napari_threestage.runs import Run, find_run, list_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., Result]

KEYS = {
    "run",
    "name",
    "pinned",
    "state",
    "kind",
    "baseline_of",
    "based_on",
    "stages",
    "finished_stages",
    "miou",
    "on",
    "bytes",
    "labelled_images",
    "labelled_pixels",
    "stale",
}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A run of two stages, its baseline, a new class and label, and the refreshed run."""
    path = shutil.copytree(imported, tmp_path_factory.mktemp("runs") / "project")
    for way in (("--stages", "1-2", *TINY), ("--baseline", "--device", "cpu")):
        result = call("run", path, *way)
        assert result.code == 0, result.err
    project = Project(path)
    image = next(i for i in project.images if project.label_attributes(i) is None)
    with project.editing():
        project.set_class_table(project.class_table.add("new"))
        project.save()
        labels = np.zeros(project.images[image].label_shape, np.uint8)
        labels[:9] = 4
        project.write_ground_truth(image, labels, "painted")
    result = call("run", path, "--refresh", "--device", "cpu", "--json")
    assert result.code == 0, result.err
    return path


@pytest.fixture
def copy(tmp_path: Path, three: Path) -> Path:
    """The same, for this test alone."""
    return shutil.copytree(three, tmp_path / "project")


def runs_of(path: Path) -> tuple[Run, Run, Run]:
    stages, baseline, refreshed = list_runs(Project(path))
    return stages, baseline, refreshed


def origins(path: Path, stage: int) -> set[str | None]:
    project = Project(path)
    found = (project.label_attributes(image_id, f"stage-{stage}") for image_id in project.images)
    return {(one or {}).get("run") for one in found}


def test_a_baseline_trains_on_labels_only_for_as_many_steps_and_publishes_nothing(
    three: Path,
) -> None:
    run, baseline, refreshed = runs_of(three)
    assert (baseline.inputs.baseline_of, baseline.state()) == (run.id, "finished")
    assert baseline.config.stages.steps == (4,) and baseline.finished_stages() == [1]
    assert baseline.inputs.labels == run.inputs.labels
    assert all(baseline.has_mask(1, image_id) for image_id in run.inputs.images)
    assert origins(three, 1) == origins(three, 2) == {refreshed.id}
    assert find_run(Project(three)).id == refreshed.id


def test_a_refresh_learns_the_new_class_in_half_the_steps(three: Path) -> None:
    run, _, refreshed = runs_of(three)
    assert (refreshed.inputs.refreshes, refreshed.state()) == (run.id, "finished")
    assert refreshed.config.stages.steps == (1, 1) and refreshed.finished_stages() == [1, 2]
    assert refreshed.inputs.classes[-1]["name"] == "new"
    assert len(refreshed.inputs.labels) == len(run.inputs.labels) + 1
    assert not [*(refreshed.path / "warm").iterdir()]  # they have done their work


def test_the_list_says_what_is_known_of_each_run(three: Path, threestage: Command) -> None:
    run, baseline, refreshed = runs_of(three)
    document = threestage("runs", three, "--json").document
    assert document.keys() == {"project", "runs"}
    third, second, first = document["runs"]  # the latest first
    assert all(row.keys() >= KEYS for row in document["runs"])
    assert (first["run"], second["run"], third["run"]) == (run.id, baseline.id, refreshed.id)
    assert (second["kind"], second["baseline_of"]) == ("baseline", run.id)
    assert (first["stages"], first["finished_stages"]) == ([1, 2], [1, 2])
    assert first["stale"] == second["stale"]
    assert first["stale"] == [
        "1 image has been labelled since.",
        "Class 'new' has been added since.",
    ]
    assert third["stale"] == []
    shown = threestage("runs", three).out
    assert f"Out of date: {run.id}, {baseline.id}\n" in shown and "labels only" in shown
    assert "labels only" in threestage("status", three).out


def test_other_commands_take_the_latest_run_that_is_no_baseline(
    copy: Path, threestage: Command, pictures: Path, tmp_path: Path
) -> None:
    run, baseline, refreshed = runs_of(copy)
    shutil.rmtree(refreshed.path)
    masks = threestage("export-masks", copy, "--output", tmp_path / "masks", "--json").document
    assert masks["stage"] == 2
    test = ("--images", pictures / "test" / "images", "--masks", pictures / "test" / "masks")
    for named, wanted in (((), run), (("--run", baseline.id), baseline)):
        found = threestage("evaluate", copy, *named, *test, "--device", "cpu", "--json").document
        assert found["run"] == wanted.id and len(found["stages"]) == len(wanted.finished_stages())


def test_images_of_each_kind_are_scored_too(
    copy: Path, threestage: Command, pictures: Path
) -> None:
    test = ("--images", pictures / "test" / "images", "--masks", pictures / "test" / "masks")
    names = sorted(path.stem for path in (pictures / "test" / "images").iterdir())
    arguments = ("evaluate", copy, *test, "--device", "cpu", "--kinds", f"^{names[0]}$")
    found = threestage(*arguments, "--json").document
    images = {kind: one["images"] for kind, one in found["kinds"].items()}
    assert images == {names[0]: 1, "other": len(names) - 1}
    for stage, scores in found["stages"].items():
        parts = [one["stages"][stage]["pixels"] for one in found["kinds"].values()]
        assert sum(parts) == scores["pixels"]
    shown = threestage(*arguments).out
    assert "mIoU by kind, in %" in shown and names[0] in shown


def test_a_name_stands_for_a_run(copy: Path, threestage: Command) -> None:
    run, _, refreshed = runs_of(copy)
    named = threestage("runs", copy, "--name", run.id, "the first", "--pin", run.id, "--json")
    assert "“the first”" in threestage("status", copy).out
    row = named.document["runs"][-1]
    assert (row["run"], row["name"], row["pinned"]) == (run.id, "the first", True)
    assert "the first" in threestage("runs", copy).out
    refused = threestage("run", copy, "--resume", "the first").sentence
    assert f"Run {run.id} is finished" in refused
    pinned = threestage("runs", copy, "--delete", "the first", refreshed.id, "--yes")
    assert "is pinned" in pinned.sentence and len(list_runs(Project(copy))) == 3


def test_runs_are_deleted_only_when_somebody_agrees(
    copy: Path, threestage: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, baseline, refreshed = runs_of(copy)
    threestage("runs", copy)  # it notes the sizes of the runs
    whole = fingerprint(copy)
    for options in ((), ("--json",)):
        assert "--yes" in threestage("runs", copy, "--delete", run.id, *options).sentence
    terminal = io.StringIO("no\nyes\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert "Nothing was deleted" in threestage("runs", copy, "--delete", run.id).out
    assert fingerprint(copy) == whole
    assert f"Deleted {refreshed.id}: " in threestage("runs", copy, "--delete", refreshed.id).out
    assert origins(copy, 2) == {run.id}
    last = threestage("runs", copy, "--delete", run.id, baseline.id, "--yes", "--json").document
    assert [one["run"] for one in last["deleted"]] == [run.id, baseline.id]
    assert all(one["bytes"] > 0 for one in last["deleted"]) and last["runs"] == []
    assert origins(copy, 1) == origins(copy, 2) == {None}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--baseline", "--stages", "1-3"), "in one stage .* Leave out --stages"),
        (("run", "--refresh", "--set", "a=1", "--steps", "3"), "Leave out --steps and --set"),
        (("run", "--refresh", "--preset", "balanced"), "has its settings"),
        (("run", "--refresh", "nonsense"), "has no run nonsense"),
        (("run", "--baseline", "--resume"), "not allowed with"),
        (("runs", "--pin", "a", "--unpin", "a"), "both pinned and not"),
        (("runs", "--name", "nonsense", "x"), "has no run nonsense"),
        (("runs", "--delete", "nonsense", "--yes"), "has no run nonsense"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    three: Path, threestage: Command, arguments: tuple[str, ...], sentence: str
) -> None:
    command, *options = arguments
    result = threestage(command, three, *options)
    assert result.code == 1 and "Traceback" not in result.err
    assert re.search(sentence, result.err)
