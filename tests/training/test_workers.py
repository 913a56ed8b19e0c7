"""Several processes learn what one alone learns from the same crops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from trainer_helpers import LIVE, assert_same_gradients, gradients, losses_of, make

from napari_threestage.errors import ConfigError
from napari_threestage.training.workers import Workers, check_batches

SCRIPT = Path(__file__).with_name("several_processes.py")
RECIPE = LIVE | {
    "data.labelled_batch": 2,
    "data.whole_set_batch": 3,
    "data.stage1_batch": 3,
    "loss.dice": 0.5,
    "loss.class_weights": 0.5,
    "loss.threshold": 0.4,
    "optimiser.learning_rate": 1e-3,
    "optimiser.clip": 1.0,
    "augment.labelled": [1.0, 0.5],
    "teacher.in_stage_1": True,
}


def torchrun(processes: int, *arguments: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), *map(str, arguments)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ)
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("stage", [1, 2])
def test_two_processes_learn_what_one_does(stage: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"changes": RECIPE, "stage": stage, "own": 2 if stage > 1 else 0}
    torchrun(2, SCRIPT, json.dumps(options), tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    alone = make(**options)
    assert first["losses"] == pytest.approx(losses_of(alone.train_step()), rel=1e-5)
    assert second["losses"] == first["losses"]
    assert_same_gradients(first["gradients"], gradients(alone.network))
    for _ in range(2):
        alone.train_step()
    expected = {"network": alone.network, "teacher": alone.teacher.network}
    for part, network in expected.items():
        for name, value in network.state_dict().items():
            assert torch.equal(first[part][name], second[part][name]), name
            torch.testing.assert_close(first[part][name], value, rtol=1e-2, atol=1e-3, msg=name)


class Third(Workers):
    rank, count = 1, 3


def test_each_process_has_its_own_share_of_both_sub_batches() -> None:
    shares = []
    for rank in range(3):
        one = Third()
        one.rank = rank
        shares.append(one.share((4, 6)).tolist())
    assert shares == [[0, 1, 4, 5], [2, 6, 7], [3, 8, 9]]
    assert Workers().share((2, 3)).tolist() == [0, 1, 2, 3, 4]


def test_a_process_without_crops_is_refused() -> None:
    check_batches((4, 4, 0), 4)
    with pytest.raises(ConfigError, match="4 processes cannot share 1 crops"):
        check_batches((4, 1, 9), 4)
