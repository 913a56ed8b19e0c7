"""``rank`` on a trained project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.image_statistics import read_statistics
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Result


def test_a_run_has_noted_what_it_saw(trained: Path) -> None:
    project = Project(trained)
    run = find_run(project)
    assert run.finished_stages() == [1, 2, 3]
    for stage in (1, 2, 3):
        known = read_statistics(run, stage)
        assert known.keys() == project.images.keys()
        for image_id, one in known.items():
            mask = run.read_mask(stage, image_id)
            n_classes = len(project.classes)
            counts = np.bincount(mask.ravel(), minlength=n_classes + 1)[1:]
            assert one.counts.tolist() == counts.tolist()
            assert one.changed.keys() == set(range(1, stage))
            assert one.features is not None and np.isfinite(one.features).all()
            assert (one.inconsistency is not None) == (stage == 3)
    assert not (run.stage_path(3) / "student.safetensors").exists()
    features = np.stack([one.features for one in known.values() if one.features is not None])
    assert len(np.unique(features, axis=0)) > 1


def test_the_queue_as_json_and_as_a_table(trained: Path, threestage: Callable[..., Result]) -> None:
    result = threestage("rank", trained, "--top", 3, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [one["rank"] for one in found["images"]] == [1, 2, 3]
    assert found["ranked"] == 5  # eight images, three of them labelled
    assert {"rows", "columns", "plane"} == found["images"][0]["place"].keys()
    table = threestage("rank", trained, "--by", "disagreement")
    assert table.code == 0
    assert found["images"][0]["name"] in table.out


def test_a_run_of_an_older_version_is_looked_at_once(
    finished: Path, threestage: Callable[..., Result]
) -> None:
    run = find_run(Project(finished))
    before = read_statistics(run, 3)
    for path in run.path.glob("stage-*/images.jsonl"):
        path.unlink()
    result = threestage("rank", finished, "--json", "--device", "cpu")
    assert result.code == 0, result.err
    again = read_statistics(run, 3)
    assert again.keys() == before.keys()
    for image_id, one in again.items():
        assert one.disagreement == before[image_id].disagreement
        assert one.inconsistency is None


def test_wrong_wishes_are_sentences(
    finished: Path, project: Path, threestage: Callable[..., Result]
) -> None:
    nothing = threestage("rank", project)
    assert nothing.code == 1 and "no run" in nothing.err
    none = threestage("rank", finished, "--top", 0)
    assert none.code == 1 and "0 images" in none.err
    unknown = threestage("rank", finished, "--run", "other")
    assert unknown.code == 1 and "no run other" in unknown.err
