"""Several processes learn what one alone learns from the same crops."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from trainer_helpers import LIVE, assert_same_gradients, gradients, losses_of, make

from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError
from napari_threestage.presets import settings_for_share
from napari_threestage.stages import crops_per_step, stage_table
from napari_threestage.training.shared_norm import SharedBatchNorm
from napari_threestage.training.workers import Workers, check_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("several_processes.py")
RECIPE = LIVE | {
    "data.labelled_batch": 2,
    "data.whole_set_batch": 3,
    "data.stage1_batch": 3,
    "loss.dice": 0.5,
    "loss.crf": 0.3,
    "loss.class_weights": 0.5,
    "loss.threshold": 0.4,
    "optimiser.learning_rate": 1e-3,
    "optimiser.clip": 1.0,
    "augment.labelled": [1.0, 0.5],
    "teacher.in_stage_1": True,
}


CASES: list[dict[str, Any]] = [
    {"stage": 1, "changes": RECIPE | {"teacher.statistics": "clean"}, "own": 0},
    {"stage": 1, "changes": RECIPE | {"augment.cutouts": 2}, "own": 0, "sparse": True},
    {
        "stage": 2,
        "changes": RECIPE | {"augment.cutmix": 1.0, "teacher.statistics": "clean"},
        "own": 2,
        "sparse": True,
    },
    # One has no labels, g no gradient.
    {
        "stage": 2,
        "changes": RECIPE | {"data.labelled_batch": 1, "loss.pseudo": 0.0},
        "own": 2,
        "sparse": True,
    },
    {
        "stage": 3,
        "changes": RECIPE | {"augment.views": 2, "loss.distance": "soft", "loss.gate": "batch"},
        "own": 2,
    },
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes learned in all cases."""
    output = tmp_path_factory.mktemp("learned")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", str(SCRIPT), json.dumps(CASES), str(output)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return output


@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_processes_learn_what_one_does(case: int, learned: Path) -> None:
    first, second = (torch.load(learned / f"{case}-{rank}.pt") for rank in range(2))
    alone = make(**CASES[case])
    assert first["losses"] == pytest.approx(losses_of(alone.train_step()), rel=1e-5)
    assert second["losses"] == first["losses"]
    assert_same_gradients(first["gradients"], gradients(alone.network))
    for _ in range(2):
        alone.train_step()
    alone.finish(student=True)
    expected = {"network": alone.network, "teacher": alone.teacher.network}
    for part, network in expected.items():
        for name, value in network.state_dict().items():
            assert torch.equal(first[part][name], second[part][name]), name
            if not name.endswith("bias"):  # in front of batch norm, Adam follows rounding alone
                torch.testing.assert_close(first[part][name], value, rtol=1e-2, atol=1e-3, msg=name)


def test_each_process_has_its_share_of_a_step() -> None:
    one = Workers()
    assert one.share(5).tolist() == [0, 1, 2, 3, 4]
    one.count = 3
    shares = []
    for rank in range(3):
        one.rank = rank
        shares.append(one.share(10).tolist())
    assert shares == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_a_process_without_crops_is_refused() -> None:
    check_batches((4, 10), 4)
    with pytest.raises(ConfigError, match="4 processes cannot share the 3 crops"):
        check_batches((10, 3), 4)


@pytest.mark.parametrize("preset", ["paper-voc", "paper-cityscapes", "quick", "balanced"])
def test_every_preset_can_be_trained_by_four_processes(preset: str) -> None:
    for share in (0.01, 0.05, 0.5):
        config = load_config(preset, settings_for_share(preset, share))
        check_batches([sum(crops_per_step(config, one)) for one in stage_table(config)], 4)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process, so that layers of many can be tried."""
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (30.0, 0.01), (100.0, 0.01), (7.3, 0.0)])
def test_shared_batch_norm_is_batch_norm(mean: float, spread: float, alone: None) -> None:
    torch.manual_seed(0)
    features = mean + spread * torch.randn(4, 3, 8, 8)
    wanted = torch.randn(4, 3, 8, 8)
    results = []
    for shared in (False, True):
        norm = nn.BatchNorm2d(3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        norm = SharedBatchNorm(norm) if shared else norm
        torch.manual_seed(1)
        norm.weight.data.uniform_()
        norm.bias.data.uniform_()
        given = features.clone().requires_grad_()
        found = norm(given)
        (found * wanted).sum().backward()
        results.append((found, given.grad, norm.weight.grad, norm.running_mean, norm.running_var))
    for ours, theirs in zip(results[1], results[0], strict=True):
        scale = max(1.0, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=2e-3)
