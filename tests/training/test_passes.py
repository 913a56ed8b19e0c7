"""Passes that cannot become CUDA graphs stay as they are; on a GPU, see `test_step_on_gpu`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NoReturn

import pytest
import torch
from trainer_helpers import tiny_network

from napari_threestage.training.passes import Passes, ReplayedPasses

CPU = torch.device("cpu")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was to be captured; nothing can be."""
    noted: list[str] = []

    def refuse(name: str) -> Any:
        def fail(*_arguments: object, **_settings: object) -> NoReturn:
            noted.append(name)
            raise RuntimeError("operation not permitted when stream is capturing")

        return fail

    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse("with gradient"))
    monkeypatch.setattr(torch.cuda, "Stream", refuse("without"))
    return noted


def test_a_pass_that_cannot_be_captured_stays_as_it_is_and_is_tried_once(tried: list[str]) -> None:
    network = tiny_network(2).eval()
    parts = network, network.segmenter, torch.float32, CPU
    plain, replayed = Passes(*parts), ReplayedPasses(*parts)
    images = torch.rand(2, 1, 16, 16)
    for _ in range(3):
        for ours, theirs in zip(
            replayed.student(images, True), plain.student(images, True), strict=True
        ):
            assert ours is not None and theirs is not None
            assert torch.equal(ours, theirs) and ours.requires_grad
        assert torch.equal(replayed.teacher(images), plain.teacher(images))
    assert tried == ["with gradient", "without"]
    replayed.student(images[:1], True)  # crops of another size, or fewer
    assert tried == ["with gradient", "without", "with gradient"]
    assert not replayed.captured


def test_statistics_are_not_those_of_the_passes_that_prepare_a_graph(
    tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warm_up(module: Any, samples: tuple[torch.Tensor, ...], **_settings: object) -> Any:
        for _ in range(3):
            module(*samples)
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", warm_up)
    usual, other = tiny_network(2).train(), tiny_network(2).train()
    other.load_state_dict(usual.state_dict())
    images = torch.rand(2, 1, 16, 16)
    Passes(usual, usual.segmenter, torch.float32, CPU).student(images, True)
    replayed = ReplayedPasses(other, other.segmenter, torch.float32, CPU)
    replayed.student(images, True)
    assert replayed.captured
    for name, value in other.state_dict().items():
        assert torch.equal(value, usual.state_dict()[name]), name
    replayed.close()
    assert not replayed.captured
