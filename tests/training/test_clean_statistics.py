"""Batch norm statistics of images as they are: whose they become, and what stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from trainer_helpers import LIVE, N_CLASSES, make

from napari_threestage.config import load_config
from napari_threestage.training.batches import Sample
from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    from napari_threestage.training.loop import StageTrainer

CLEAN = LIVE | {"teacher.statistics": "clean", "teacher.in_stage_1": True}
SIDE = 48
FIRST = "blocks.0.1."  # the batch norm after the first convolution


def plain(value: int, labelled: bool) -> Sample:
    """An image of one grey value, with whatever labels."""
    truth = torch.randint(0, N_CLASSES, (SIDE, SIDE), dtype=torch.uint8) if labelled else None
    return Sample(torch.full((1, SIDE, SIDE), value, dtype=torch.uint8), truth)


def one_dark_label_and_three_bright_images() -> list[Sample]:
    return [plain(0, labelled=True), *(plain(255, labelled=False) for _ in range(3))]


def trainer_of(changes: dict[str, Any] | None = None, **more: Any) -> StageTrainer:
    return make(
        CLEAN | (changes or {}),
        stage=1,
        own=0,
        planes=one_dark_label_and_three_bright_images(),
        **more,
    )


def first_means(network: Any, shares: tuple[float, float]) -> Tensor:
    """Return the means after the first convolution, for shares of dark and bright images."""
    dark, bright = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    with torch.no_grad():
        of_each = [
            network.blocks[0][0]((image - network.mean) / network.std).mean((0, 2, 3))
            for image in (dark, bright)
        ]
    return shares[0] * of_each[0] + shares[1] * of_each[1]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("averaged", [True, False])
def test_a_stage_ends_with_the_statistics_of_all_images_not_of_the_labelled(averaged: bool) -> None:
    trainer = trainer_of({"teacher.in_stage_1": averaged})
    assert trainer.averaged is averaged
    for _ in range(3):
        trainer.train_step()
    trainer.close()
    trainer.finish()
    for network in (trainer.segmenter, trainer.network.segmenter):  # the student is asked, too
        found = network.state_dict()[FIRST + "running_mean"]
        expected = first_means(network, (1 / 4, 3 / 4))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_the_students_statistics_are_kept_where_the_recipe_wants_those() -> None:
    trainer = trainer_of({"teacher.statistics": "student"})
    trainer.train_step()
    before = state_of(trainer.segmenter)
    trainer.finish()
    found = trainer.segmenter.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in found.items())
    # Stage 1 has seen labelled images alone, which are dark.
    dark = first_means(trainer.network.segmenter, (1, 0))
    student = trainer.network.segmenter.state_dict()[FIRST + "running_mean"]
    assert torch.sign(student).equal(torch.sign(dark))


def test_only_statistics_change_at_the_end_of_a_stage() -> None:
    trainer = trainer_of()
    trainer.train_step()
    networks = (trainer.teacher.network, trainer.network.segmenter)
    before = [state_of(network) for network in networks]
    modes = [[module.training for module in network.modules()] for network in networks]
    torch.manual_seed(5)
    trainer.finish()
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    for network, old, mode in zip(networks, before, modes, strict=True):
        changed = {n for n, value in network.state_dict().items() if not torch.equal(value, old[n])}
        assert changed
        assert all(name.rsplit(".")[-1].startswith(("running_", "num_")) for name in changed)
        assert [module.training for module in network.modules()] == mode
        norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
        assert {norm.momentum for norm in norms} == {0.1}


def test_the_end_of_a_stage_is_the_same_every_time() -> None:
    trainer = trainer_of()
    trainer.train_step()
    trainer.finish()
    once = state_of(trainer.segmenter)
    trainer.finish()
    again = trainer.segmenter.state_dict()
    floating = [name for name, value in once.items() if value.is_floating_point()]
    assert all(torch.equal(again[name], once[name]) for name in floating)


def test_frozen_statistics_stay() -> None:
    trainer = trainer_of({"network.batch_norm": "frozen"})
    before = state_of(trainer.segmenter)
    trainer.train_step()
    trainer.finish()
    after = trainer.segmenter.state_dict()
    names = [name for name in before if "running_" in name]
    assert names
    assert all(torch.equal(after[name], before[name]) for name in names)


def test_a_small_image_counts_with_its_padding_as_in_training() -> None:
    small = Sample(torch.full((1, 20, 20), 200, dtype=torch.uint8), None)
    truth = torch.full((SIDE, SIDE), IGNORE, dtype=torch.uint8)
    truth[:8] = 1
    planes = [Sample(torch.zeros(1, SIDE, SIDE, dtype=torch.uint8), truth), small]
    trainer = make(CLEAN, stage=1, own=0, planes=planes)
    trainer.finish()
    assert torch.isfinite(trainer.segmenter.state_dict()[FIRST + "running_var"]).all()


def test_the_recipes_that_have_it() -> None:
    found = {name: load_config(name).teacher.statistics for name in ("quick", "paper-voc")}
    assert found == {"quick": "clean", "paper-voc": "student"}
