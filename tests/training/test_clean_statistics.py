"""Batch norm statistics of images as they are: whose they become, and what stays as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from trainer_helpers import LIVE, N_CLASSES, N_LABELLED, N_WHOLE, make

from napari_threestage.config import load_config
from napari_threestage.errors import Stopped
from napari_threestage.presets import PRESETS
from napari_threestage.sections import STATISTICS_CROPS
from napari_threestage.training.batch_norm import live_batch_norms
from napari_threestage.training.batches import Sample
from napari_threestage.training.clean_statistics import PlainCrops
from napari_threestage.training.crops import HostPlanes
from napari_threestage.training.shared_norm import share_batch_norm

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
    trainer.finish(student=True)
    for network in (trainer.segmenter, trainer.network.segmenter):  # the student is asked, too
        found = network.state_dict()[FIRST + "running_mean"]
        expected = first_means(network, (1 / 4, 3 / 4))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_the_students_statistics_are_kept_where_the_recipe_wants_those() -> None:
    trainer = trainer_of({"teacher.statistics": "student"})
    trainer.train_step()
    before = state_of(trainer.segmenter)
    trainer.finish(student=True)
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
    trainer.finish(student=True)
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
    trainer.finish(student=True)
    once = state_of(trainer.segmenter)
    trainer.finish(student=True)
    again = trainer.segmenter.state_dict()
    floating = [name for name, value in once.items() if value.is_floating_point()]
    assert all(torch.equal(again[name], once[name]) for name in floating)


def test_frozen_batch_norm_does_the_same_in_terms_of_the_images() -> None:
    trainer = trainer_of({"network.batch_norm": "frozen"})
    before = state_of(trainer.segmenter)
    trainer.train_step()
    trained = state_of(trainer.segmenter)
    names = [name for name in before if "running_" in name]
    assert names
    assert all(torch.equal(trained[name], before[name]) for name in names)
    images = torch.rand(2, 1, 32, 32)
    expected = trainer.segmenter(images)
    trainer.finish(student=True)
    torch.testing.assert_close(trainer.segmenter(images), expected)
    for network in (trainer.segmenter, trainer.network.segmenter):
        found = network.state_dict()[FIRST + "running_mean"]
        torch.testing.assert_close(
            found, first_means(network, (1 / 4, 3 / 4)), atol=1e-3, rtol=1e-3
        )


def test_a_small_image_counts_with_its_padding_as_in_training() -> None:
    small = Sample(torch.full((1, 16, 32), 255, dtype=torch.uint8), None)
    trainer = make(CLEAN, stage=1, own=0, planes=[plain(0, labelled=True), small])
    trainer.finish(student=False)
    network: Any = trainer.segmenter
    padded = torch.zeros(1, 1, 32, 32)
    padded[:, :, 8:24] = 1
    with torch.no_grad():
        convolved = network.blocks[0][0]((padded - network.mean) / network.std)
    expected = (first_means(network, (1, 0)) + convolved.mean((0, 2, 3))) / 2
    found = network.state_dict()[FIRST + "running_mean"]
    # The image may lie anywhere in the crop, and its rim is convolved with what is beside it.
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0.1)


def test_as_many_crops_are_seen_as_it_says_in_batches_that_a_step_has_too() -> None:
    trainer = make(CLEAN, stage=2, own=0)
    trainer.train_step()
    for parts in (1, 2):
        trainer.use(replace(trainer.economy, parts=parts))
        seen: list[Tensor] = []
        first: Any = trainer.segmenter.blocks[0]
        hook = first.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        asked: list[None] = []
        trainer.finish(student=False, obey=lambda asked=asked: asked.append(None))
        hook.remove()
        batch = (N_LABELLED + N_WHOLE) // parts
        assert {len(one) for one in seen} == {batch}
        assert STATISTICS_CROPS <= sum(map(len, seen)) < STATISTICS_CROPS + batch
        assert len(asked) == len(seen)


def test_what_is_asked_to_end_leaves_the_networks_in_their_modes() -> None:
    trainer = trainer_of()

    def end() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        trainer.finish(student=True, obey=end)
    assert not any(module.training for module in trainer.teacher.network.modules())
    assert trainer.network.segmenter.training


@pytest.mark.parametrize(
    ("scale", "side"), [((0.5, 2.0), 32), ((2.0, 4.0), 16), ((0.25, 0.5), 64), ((1.0, 1.0), 32)]
)
def test_crops_are_zoomed_only_where_they_always_are(scale: tuple[float, float], side: int) -> None:
    data = load_config("quick", {"data.crop": (32, 32), "data.scale": scale}).data
    # Grey values count the columns, so that the step from one to the next tells the zoom.
    ramp = (torch.arange(96, dtype=torch.uint8) * 2).expand(1, 96, 96)
    planes = [Sample(ramp.clone())] * 3
    crops = PlainCrops(planes, HostPlanes(planes, data, torch.device("cpu")), data, 3, 1, 6)
    steps = (crops(0) * 255 / 2).diff(dim=3)[..., 4:-4].abs().mean()
    assert float(steps) == pytest.approx(side / 32, rel=0.05)


def test_every_image_comes_once_before_any_comes_again() -> None:
    data = load_config("quick", {"data.crop": (32, 32)}).data
    planes = [plain(10 * number, labelled=False) for number in range(8)]
    crops = PlainCrops(planes, HostPlanes(planes, data, torch.device("cpu")), data, 3, 1, 4)
    values = torch.cat([crops(0), crops(1)]).mean((1, 2, 3)) * 25.5
    assert sorted(values.round().tolist()) == list(range(8))
    assert torch.equal(crops(1), crops(1))


def test_the_batch_norms_of_several_gpus_are_found_too() -> None:
    network = make(LIVE).network.segmenter
    count = len(live_batch_norms(network))
    assert count == 3
    share_batch_norm(network, torch.device("cuda"))
    assert len(live_batch_norms(network)) == count


def test_the_recipes_that_have_it() -> None:
    clean = {name for name in PRESETS if load_config(name).teacher.statistics == "clean"}
    assert clean == {"quick", "best", "balanced"}
