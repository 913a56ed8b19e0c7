"""Less memory: the same step in parts or computed twice, what is tried in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from trainer_helpers import (
    LIVE,
    N_LABELLED,
    N_WHOLE,
    assert_same_gradients,
    gradients,
    losses_of,
    make,
)

from napari_threestage.config import load_config
from napari_threestage.training.checkpoint import load_checkpoint, save_checkpoint
from napari_threestage.training.economy import Economy, is_out_of_memory, next_economy

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_threestage.training.loop import StageTrainer

CUDA = torch.device("cuda")
EVERYTHING = {
    "augment.cutmix": 1.0,
    "loss.threshold": 0.3,
    "loss.class_weights": 0.5,
    "loss.crf": 0.3,
}


def stepped(
    economy: Economy, changes: dict[str, Any], stage: int, own: int, sparse: bool = False
) -> tuple[StageTrainer, Any]:
    trainer = make(changes, stage=stage, own=own, sparse=sparse)
    trainer.use(economy)
    return trainer, losses_of(trainer.train_step())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(
    ("economy", "changes"),
    [
        (Economy(recompute=True), LIVE | EVERYTHING | {"loss.dice": 0.5}),
        (Economy(parts=2), EVERYTHING),
        (Economy(parts=9), EVERYTHING),
        (Economy(parts=3, recompute=True), EVERYTHING),
    ],
)
def test_a_step_that_saves_memory_learns_the_same(
    economy: Economy, changes: dict[str, Any], stage: int, sparse: bool
) -> None:
    branch = 1 if economy.parts > 1 else 2  # g̃ has no batch norm, which sees parts
    own = branch if stage > 1 else 0
    usual, expected = stepped(Economy(), changes, stage, own, sparse)
    saving, losses = stepped(economy, changes, stage, own, sparse)
    assert losses == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert_same_gradients(gradients(saving.network), gradients(usual.network))
    for ours, theirs in zip(saving.network.buffers(), usual.network.buffers(), strict=True):
        if ours.is_floating_point():  # batch norm's statistics
            torch.testing.assert_close(ours, theirs)


def remembered(trainer: StageTrainer) -> int:
    """Return the bytes that a step's forward pass keeps for the gradient."""
    storages: dict[int, int] = {}
    own = {value.untyped_storage().data_ptr() for value in trainer.network.state_dict().values()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.rand(4, 1, 32, 32)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = trainer.network(images)
    assert kept[0].requires_grad
    return sum(storages.values())


def test_blocks_that_are_computed_twice_are_not_remembered() -> None:
    trainer = make(LIVE)
    usual = remembered(trainer)
    trainer.use(Economy(recompute=True))
    assert remembered(trainer) < usual / 2


def test_smaller_crops_are_what_the_networks_see() -> None:
    trainer = make()
    trainer.use(Economy(crop=(24, 16)))
    seen: list[torch.Size] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    trainer.train_step()
    assert seen == [(N_LABELLED + N_WHOLE, 1, 24, 16)]


def test_a_run_that_goes_on_still_saves_memory(tmp_path: Path) -> None:
    first, second = make(), make()
    first.use(Economy(recompute=True, parts=2, crop=(24, 24)))
    first.train_step()
    save_checkpoint(tmp_path / "checkpoint.pt", first.state())
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None
    second.load_state(state)
    assert second.economy == first.economy
    assert losses_of(second.train_step()) == losses_of(first.train_step())


def all_ways(precision: str, device: str, n_crops: int, zoom: float = 1.0) -> list[Economy]:
    changes = {"precision": precision, "data.crop": [128, 96], "network.zoom": zoom}
    config = load_config("quick", changes)
    ways, now = [], Economy()
    while (found := next_economy(now, config, torch.device(device), n_crops)) is not None:
        now, sentence = found
        assert sentence
        ways.append(now)
    return ways


def test_what_costs_least_is_tried_first_and_it_comes_to_an_end() -> None:
    ways = all_ways("auto", "cpu", 6)
    assert ways[:4] == [Economy(recompute=True, parts=parts) for parts in (1, 2, 4, 6)]
    assert [one.crop for one in ways[4:]] == [(96, 72), (72, 64), (64, 64)]
    enlarged = all_ways("auto", "cpu", 6, zoom=2.0)
    assert [one.crop for one in enlarged[4:]] == [(96, 72), (72, 54), (54, 40), (40, 32), (32, 32)]


@pytest.mark.parametrize(
    ("precision", "device", "half"),
    [("float32", "cuda", True), ("auto", "cuda", False), ("float32", "cpu", False)],
)
def test_half_precision_is_tried_where_it_saves_something(
    precision: str, device: str, half: bool
) -> None:
    assert all_ways(precision, device, 2)[0].half == half


def test_the_host_saying_that_memory_is_out_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize("saved", [{}, {"scaler": {}}, None])
def test_a_run_without_float16_goes_on_where_there_is_only_that(
    saved: dict[str, Any] | None,
) -> None:
    first, second = make(), make({"precision": "float16"})
    state = first.state()
    if saved is not None:
        state["optimiser"] = first.optimiser.inner.state_dict() | saved
    second.load_state(state)
    assert second.precision == torch.float16


def test_float16_is_scaled_however_it_came_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make()
    assert not trainer.optimiser._scaler.is_enabled()
    monkeypatch.setattr(
        "napari_threestage.training.loop.choose_precision", lambda *_: torch.float16
    )
    trainer.use(Economy(half=True))
    assert trainer.optimiser._scaler.is_enabled()


def test_all_memory_of_the_optimiser_is_there_before_the_first_step() -> None:
    trainer = make({"optimiser.name": "adamw", "optimiser.weight_decay": 0.5})
    reference = make({"optimiser.name": "adamw", "optimiser.weight_decay": 0.5})
    learning = [value for value in trainer.network.parameters() if value.requires_grad]
    states = [trainer.optimiser.inner.state[value] for value in learning]
    assert all({"step", "exp_avg", "exp_avg_sq"} <= state.keys() for state in states)
    assert all(int(state["step"]) == 0 for state in states)
    reference.optimiser.inner.state.clear()  # as torch begins
    trainer.train_step()
    reference.train_step()
    for ours, theirs in zip(
        trainer.network.parameters(), reference.network.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_graphs_go_first_and_then_images_leave_the_device() -> None:
    config = load_config("quick")
    first = next_economy(Economy(), config, CUDA, 8, holds_images=True, replays=True)
    assert first is not None
    assert first[0] == Economy(graphs=False)
    found = next_economy(first[0], config, CUDA, 8, holds_images=True)
    assert found is not None
    assert found[0] == Economy(graphs=False, host_images=True)
    again = next_economy(found[0], config, CUDA, 8, holds_images=False)
    assert again is not None
    assert again[0].recompute
