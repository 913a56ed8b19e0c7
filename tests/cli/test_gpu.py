"""The whole path on an accelerator, with mixed precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from cli_helpers import call, events_of, make_project, settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_three_stages_on_cuda_segment_better_than_chance(tmp_path: Path, pictures: Path) -> None:
    project = make_project(tmp_path / "project", pictures)
    recipe = settings({"stages.steps": "[60,40]", "optimiser.learning_rate": "0.005"})
    done = call("run", project, "--device", "cuda", *recipe, "--quiet")
    assert done.code == 0, done.err
    progress = [event for event in events_of(project) if event["event"] == "progress"]
    assert {event["stage"] for event in progress} == {1, 2, 3}
    assert progress[-1]["memory"] > 0
    test = pictures / "test"
    scores = call(
        "evaluate", project, "--images", test / "images", "--masks", test / "masks", "--json"
    ).document
    assert scores["stages"]["3"]["miou"] > 0.4
