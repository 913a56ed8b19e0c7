"""ĝ and g̃: what they share with f, which loss reaches what, one pass for both."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from napari_threestage.config import NetworkConfig
from napari_threestage.training.losses import masked_cross_entropy
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v2", "compact")
N_BLOCKS = 6

# Made of the same blocks as resnet18 and resnet50.
LONGER = ("resnet34", "resnet101")


def marked(backbone: str, *more: str) -> Any:
    marks = [pytest.mark.slow] if backbone in LONGER else []
    return pytest.param(backbone, *more, marks=marks)


every_network = pytest.mark.parametrize("backbone", [marked(name) for name in BACKBONES])
every_branch = pytest.mark.parametrize("own", [2, 1], ids=["ĝ", "g̃"])
every_decoder = pytest.mark.parametrize("decoder", ["aspp", "pyramid"])


@cache
def two_branches(backbone: str, own: int, decoder: str = "aspp") -> TwoBranchNetwork:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(
        {"backbone": backbone, "decoder": decoder, "weights": "none", "decoder_channels": 8}
    )
    blocks = build_own_blocks(config, 3, 4, own)
    return TwoBranchNetwork(build_network(config, 3, 4), blocks)


def images() -> Tensor:
    return torch.rand(2, 3, 33, 33, generator=torch.Generator().manual_seed(1))


def targets() -> Tensor:
    return torch.randint(0, 4, (2, 33, 33), generator=torch.Generator().manual_seed(2))


def ids(blocks: Iterable[nn.Module]) -> set[int]:
    return {id(parameter) for block in blocks for parameter in block.parameters()}


def reached(blocks: Iterable[nn.Module]) -> list[bool]:
    """For each block, whether a gradient has come to any of its parameters."""
    return [
        any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in block.parameters())
        for block in blocks
    ]


@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [marked(backbone, "aspp") for backbone in BACKBONES]
    + [(backbone, "pyramid") for backbone in ("resnet18", "resnet50", "mobilenet_v2", "compact")],
)
@every_branch
def test_g_is_the_first_blocks_of_f_and_its_own(backbone: str, own: int, decoder: str) -> None:
    net = two_branches(backbone, own, decoder)
    called: list[nn.Module] = []
    handles = [
        block.register_forward_hook(lambda module, *_: called.append(module))
        for block in [*net.segmenter.blocks, *net.own_blocks]
    ]
    net.eval()(images())
    for handle in handles:
        handle.remove()
    blocks = list(net.segmenter.blocks)
    assert len(blocks) == N_BLOCKS
    assert net.n_shared == N_BLOCKS - own
    assert Counter(map(id, called)) == Counter(map(id, [*blocks, *net.own_blocks]))
    assert called == [*blocks, *net.own_blocks]


@every_branch
@every_network
def test_own_blocks_share_no_parameter_with_f(backbone: str, own: int) -> None:
    net = two_branches(backbone, own)
    mine, theirs = ids(net.own_blocks), ids(net.segmenter.blocks)
    assert mine
    assert not mine & theirs
    assert ids([net]) == mine | theirs
    assert len(net.own_blocks) == own


@every_branch
@every_network
def test_pseudo_masks_reach_shared_and_own_blocks_but_not_the_last_of_f(
    backbone: str, own: int
) -> None:
    net = two_branches(backbone, own).train()
    net.zero_grad(set_to_none=True)
    _, logits = net(images())
    masked_cross_entropy(logits, targets()).backward()
    assert reached(net.segmenter.blocks) == [True] * (N_BLOCKS - own) + [False] * own
    assert reached(net.own_blocks) == [True] * own


@every_branch
@every_network
def test_the_losses_of_f_do_not_reach_the_own_blocks_of_g(backbone: str, own: int) -> None:
    net = two_branches(backbone, own).train()
    net.zero_grad(set_to_none=True)
    logits, _ = net(images())
    masked_cross_entropy(logits, targets()).backward()
    assert reached(net.segmenter.blocks) == [True] * N_BLOCKS
    assert reached(net.own_blocks) == [False] * own


@torch.no_grad()
@every_decoder
@every_branch
def test_f_gives_the_same_with_and_without_its_neighbour(own: int, decoder: str) -> None:
    net = two_branches("resnet18", own, decoder).eval()
    logits, branch = net(images())
    alone, nothing = net(images(), branch=False)
    assert nothing is None
    assert branch.shape == logits.shape == (2, 4, 33, 33)
    assert not torch.allclose(branch, logits)
    assert torch.equal(alone, logits)
    assert torch.equal(net.segmenter(images()), logits)
    assert TwoBranchNetwork(net.segmenter)(images())[1] is None


@torch.no_grad()
@every_decoder
@every_branch
def test_g_is_its_blocks_done_by_hand(own: int, decoder: str) -> None:
    net = two_branches("mobilenet_v2", own, decoder).eval()
    f = net.segmenter
    maps = [(images() - f.mean) / f.std]
    for block in [*list(f.blocks)[: N_BLOCKS - own], *list(net.own_blocks)[:-1]]:
        maps.append(block(maps[-1]))
    expected = f.upsample(net.own_blocks[-1](maps[1:]), (33, 33))
    torch.testing.assert_close(net(images())[1], expected)
