"""What is faster on a CPU computes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from trainer_helpers import N_CLASSES, SMALL, losses_of, samples

from napari_threestage.config import load_config
from napari_threestage.stages import StageSpec
from napari_threestage.training.cpu_kernels import PointwiseConv, choose_kernels
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNELS_LAST = torch.channels_last


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [CHANNELS_LAST, torch.contiguous_format])
def test_a_product_of_matrices_is_the_convolution(
    threads: int, bias: bool, layout: torch.memory_format
) -> None:
    conv = nn.Conv2d(5, 7, 1, bias=bias).to(memory_format=CHANNELS_LAST)
    ours = PointwiseConv.of(conv)
    images = torch.randn(3, 5, 8, 6).to(memory_format=layout)
    answer = torch.randn(3, 7, 8, 6)
    found = []
    for module in (conv, ours):
        given = images.clone().requires_grad_()
        out = module(given)
        out.backward(answer)
        found.append([out, given.grad, *(value.grad for value in module.parameters())])
        for value in module.parameters():
            assert value.grad is not None and value.grad.stride() == value.stride()
            value.grad = None
    for one, other in zip(*found, strict=True):
        assert one.stride() == other.stride()
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
        assert threads > 1 or torch.equal(one, other)


def test_a_network_keeps_its_weights_and_names() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1),
        nn.ReLU6(inplace=True),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Hardswish(inplace=True)),
        nn.Conv2d(8, 8, 1, groups=8),
        nn.Conv2d(8, 8, 1, stride=2),
        nn.Conv2d(8, 8, 1, padding=1),
        nn.Conv2d(8, 2, 1, bias=False),
        nn.ReLU(inplace=True),
    ).eval()
    before = dict(network.named_parameters())
    choose_kernels(network, learns=True)
    after = dict(network.named_parameters())
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)
    assert [type(one) is PointwiseConv for one in network] == [True, *[False] * 5, True, False]
    assert not any(module.training for module in network.modules())
    assert not network[1].inplace and not network[2][1].inplace
    assert network[7].inplace  # its gradient needs what comes out alone


def test_a_network_that_does_not_learn_still_works_in_place() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU6(inplace=True))
    choose_kernels(network, learns=False)
    assert type(network[0]) is PointwiseConv and network[1].inplace


def mobile_trainer(**changes: bool) -> StageTrainer:
    network = {"network.backbone": "mobilenet_v2", "network.weights": "none"}
    config = load_config("quick", SMALL | network | changes)
    torch.manual_seed(0)
    segmenter = build_network(config.network, 1, N_CLASSES)
    branch = build_own_blocks(config.network, 1, N_CLASSES, 1)
    spec = StageSpec(3, 2, 1, 10, 2, True)
    both = TwoBranchNetwork(segmenter, branch)
    return StageTrainer(spec, config, samples(), both, torch.device("cpu"), 1)


def test_a_step_learns_the_same(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = mobile_trainer()
    monkeypatch.setattr("napari_threestage.training.loop.choose_kernels", lambda *_, **__: None)
    plain = mobile_trainer()
    for trainer, wanted in ((ours, True), (plain, False)):
        for network in (trainer.network, trainer.teacher.network):
            assert any(isinstance(one, PointwiseConv) for one in network.modules()) == wanted
    for _ in range(2):
        losses = losses_of(ours.train_step())
        assert losses == pytest.approx(losses_of(plain.train_step()), rel=1e-2)
    if threads == 1:
        for one, other in zip(
            ours.network.state_dict().values(), plain.network.state_dict().values(), strict=True
        ):
            assert torch.equal(one, other)


def test_what_is_compiled_keeps_torchs_own() -> None:
    trainer = mobile_trainer(compile=True)
    assert not any(isinstance(one, PointwiseConv) for one in trainer.network.modules())
