"""A frozen batch norm gives what torch's own does, and remembers less."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from napari_threestage.training.batch_norm import FrozenBatchNorm, freeze_batch_norm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    found = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1))
    norm = found[1]
    assert isinstance(norm, nn.BatchNorm2d)
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert value is not None
        nn.init.uniform_(value, 0.5, 2.0)
    return found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_frozen_batch_norm_lets_the_same_gradient_through(layout: torch.memory_format) -> None:
    usual = network().to(memory_format=layout)
    usual[1].eval().requires_grad_(False)
    frozen = copy.deepcopy(usual)
    freeze_batch_norm(frozen)
    assert isinstance(frozen[1], FrozenBatchNorm)
    images = torch.rand(2, 3, 9, 11).to(memory_format=layout)
    given = [images.clone().requires_grad_() for _ in range(2)]
    results = [one(image) for one, image in zip((usual, frozen), given, strict=True)]
    torch.testing.assert_close(results[1], results[0])
    for result in results:
        result.square().sum().backward()
    torch.testing.assert_close(given[1].grad, given[0].grad)
    for ours, theirs in zip(frozen.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_frozen_batch_norm_stays_as_it_is_and_keeps_its_names() -> None:
    frozen = network()
    before = copy.deepcopy(frozen.state_dict())
    freeze_batch_norm(frozen)
    frozen.train()(torch.rand(2, 3, 9, 11)).sum().backward()
    after = frozen.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert frozen[1].weight.grad is None and not frozen[1].training


def test_a_frozen_batch_norm_does_the_same_with_other_statistics() -> None:
    frozen = network()
    freeze_batch_norm(frozen)
    images = torch.rand(2, 3, 9, 11)
    before = frozen(images)
    maps = frozen[0](images)
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    frozen[1].rebase(mean, variance)
    torch.testing.assert_close(frozen(images), before)
    torch.testing.assert_close((frozen[1].running_mean, frozen[1].running_var), (mean, variance))
    frozen[1].rebase(mean, torch.zeros(5))  # of channels that are the same everywhere
    torch.testing.assert_close(frozen(images), before, rtol=1e-3, atol=1e-3)


def test_a_frozen_batch_norm_keeps_no_map_for_the_gradient() -> None:
    kept: list[tuple[int, ...]] = []

    def note(value: Tensor) -> Tensor:
        kept.append(tuple(value.shape))
        return value

    frozen = FrozenBatchNorm(nn.BatchNorm2d(5))
    maps = torch.rand(2, 5, 7, 7, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        frozen(maps)
    assert set(kept) == {(5,)}
