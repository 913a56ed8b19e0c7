"""The command that tells which labels may be wrong, on a made-up run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from suspect_helpers import confidence, plant

from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Result


def test_suspects_are_listed_dismissed_and_taken_back(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    truth = np.ones((60, 60), np.uint8)
    found = truth.copy()
    found[5:15, 5:15] = 2
    found[30:50, 30:50] = 2
    project, run = plant(tmp_path, truth, [found] * 3, [confidence(found, 0.9)] * 3)

    document = threestage("suspects", project.path, "--top", 1, "--json").document
    assert document["project"] == str(project.path) and document["run"] == run.id
    assert (document["suspected"], document["dismissed"]) == (2, 0)
    [large] = document["regions"]
    sentence = "Painted background, but all 3 stages find cell (400 pixels, confidence 90 %)"
    assert large["sentence"] == sentence
    assert sentence in threestage("suspects", project.path).out

    noted = threestage("suspects", project.path, "--dismiss", large["key"], "--json").document
    assert (noted["changed"], noted["dismissed"]) == ([large["key"]], 1)
    document = threestage("suspects", project.path, "--json", "--progress").document
    assert [one["pixels"] for one in document["regions"]] == [100] and document["dismissed"] == 1
    assert threestage("suspects", project.path, "--undismiss", large["key"]).code == 0
    assert threestage("suspects", project.path, "--json").document["suspected"] == 2
    assert (Project(project.path).read_labels(large["image"]) == truth).all()  # never touched

    assert "is no key" in threestage("suspects", project.path, "--dismiss", "x").sentence
    assert "no run nowhere" in threestage("suspects", project.path, "--run", "nowhere").sentence
