"""Weakly augmented crops: order of images, places, zoom, flips, padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_threestage.config import DataConfig
from napari_threestage.training.batches import CropSampler, Sample, join, step_generator
from napari_threestage.training.crops import Batch, HostPlanes
from napari_threestage.training.losses import IGNORE


def data(**changes: object) -> DataConfig:
    settings = {"crop": (32, 32), "flip": False, "scale": (1.0, 1.0)}
    return DataConfig.model_validate(settings | changes)


def constant_samples(count: int) -> list[Sample]:
    """Images that hold their own number."""
    return [Sample(torch.full((1, 40, 40), number, dtype=torch.uint8)) for number in range(count)]


def ignored(height: int, width: int) -> Tensor:
    return torch.full((height, width), IGNORE, dtype=torch.uint8)


def draw(sampler: CropSampler, step: int, size: int) -> Batch:
    windows = sampler.windows(step, size, step_generator(sampler.seed, 1, step))
    planes = HostPlanes(sampler.samples, sampler.config, torch.device("cpu"))
    return planes.cut(planes.fetch(windows))


def numbers(batch: Batch) -> list[int]:
    return [round(255 * float(image.mean())) for image in batch.images]


def equal(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parts(), second.parts(), strict=True))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_image_comes_once_before_any_comes_again(size: int) -> None:
    sampler = CropSampler(constant_samples(5), data(), 3, labelled=False)
    drawn = [number for step in range(20) for number in numbers(draw(sampler, step, size))]
    epochs = [tuple(drawn[start : start + 5]) for start in range(0, len(drawn) - 4, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 1


def scribbled() -> list[Sample]:
    """Images with a noise picture and one short scribble each."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for number in range(4):
        truth = ignored(90, 110)
        truth[10 + 20 * number : 13 + 20 * number, 20 * number : 20 * number + 9] = number % 2
        image = torch.randint(0, 256, (3, 90, 110), generator=generator, dtype=torch.uint8)
        samples.append(Sample(image, truth, truth.clone()))
    return samples


def test_seed_and_step_decide_the_batch_whatever_came_before() -> None:
    config = data(scale=(0.7, 1.4), flip=True, flip_vertical=True, class_focus=0.5)
    first, again = (CropSampler(scribbled(), config, 5, labelled=True) for _ in range(2))
    drawn = [draw(first, step, 3) for step in range(6)]
    assert equal(drawn[4], draw(again, 4, 3))
    assert equal(drawn[1], draw(again, 1, 3))
    assert not equal(drawn[0], drawn[1])
    other = CropSampler(scribbled(), config, 6, labelled=True)
    assert not equal(drawn[0], draw(other, 0, 3))


def test_random_numbers_differ_between_seeds_stages_steps_and_streams() -> None:
    places = [(1, 2, 3, 0), (2, 2, 3, 0), (1, 3, 3, 0), (1, 2, 4, 0), (1, 2, 3, 1)]
    drawn = [float(torch.rand((), generator=step_generator(*place))) for place in places]
    assert len(set(drawn)) == len(places)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.6, 1.8)])
@pytest.mark.parametrize("focus", [0.0, 1.0])
def test_labelled_crops_of_scribbled_images_hold_a_label(
    focus: float, scale: tuple[float, float]
) -> None:
    config = data(class_focus=focus, scale=scale, flip=True, flip_vertical=True)
    sampler = CropSampler(scribbled(), config, 1, labelled=True)
    for step in range(25):
        batch = draw(sampler, step, 2)
        assert (batch.truth != IGNORE).flatten(1).any(1).all()
        assert batch.inside.all() or scale[0] < 1


@pytest.mark.parametrize("place", [(0, 0), (89, 109), (0, 109), (44, 50)])
def test_a_crop_holds_even_a_single_labelled_pixel(place: tuple[int, int]) -> None:
    truth = ignored(90, 110)
    truth[place] = 1
    sample = Sample(torch.zeros(1, 90, 110, dtype=torch.uint8), truth)
    sampler = CropSampler([sample], data(), 1, labelled=True)
    for step in range(20):
        assert int((draw(sampler, step, 1).truth == 1).sum()) == 1


def test_crops_of_the_whole_set_lie_anywhere() -> None:
    sampler = CropSampler(scribbled(), data(), 1, labelled=False)
    empty = [not bool((draw(sampler, step, 1).truth != IGNORE).any()) for step in range(40)]
    assert any(empty)


def with_rare_class() -> Sample:
    truth = torch.zeros(200, 200, dtype=torch.uint8)
    truth[150:152, 30:32] = 1
    return Sample(torch.zeros(1, 200, 200, dtype=torch.uint8), truth)


@pytest.mark.parametrize(("focus", "least", "most"), [(0.0, 0, 20), (0.5, 25, 80), (1.0, 75, 135)])
def test_the_class_focus_reaches_rare_classes(focus: float, least: int, most: int) -> None:
    sampler = CropSampler([with_rare_class()], data(class_focus=focus), 1, labelled=True)
    found = sum(bool((draw(sampler, step, 1).truth == 1).any()) for step in range(200))
    assert least <= found <= most


def test_every_place_of_an_image_can_be_drawn_and_no_other() -> None:
    y, x = torch.meshgrid(torch.arange(34), torch.arange(35), indexing="ij")
    sample = Sample(torch.stack([y, x]).byte())
    sampler = CropSampler([sample], data(), 1, labelled=False)
    batches = [draw(sampler, step, 1) for step in range(150)]
    corners = {tuple((255 * batch.images[0, :, 0, 0]).round().int().tolist()) for batch in batches}
    assert corners == {(top, left) for top in range(3) for left in range(4)}
    assert all(bool(batch.inside.all()) for batch in batches)


def test_small_images_lie_in_the_middle_of_padding_that_does_not_count() -> None:
    shape = (20, 26)
    truth = torch.zeros(shape, dtype=torch.uint8)
    image = torch.full((2, *shape), 200, dtype=torch.uint8)
    sampler = CropSampler([Sample(image, truth, truth)], data(), 1, labelled=True)
    batch = draw(sampler, 0, 1)
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[6:26, 3:29] = True
    assert torch.equal(batch.inside[0], expected)
    assert torch.equal(batch.truth[0] == 0, expected)
    assert torch.equal(batch.truth[0] == IGNORE, ~expected)
    assert torch.equal(batch.pseudo, batch.truth)
    torch.testing.assert_close(batch.images[0, 1], expected * (200 / 255))


def test_zooming_out_beyond_the_image_pads_too() -> None:
    sample = Sample(torch.full((1, 40, 40), 255, dtype=torch.uint8))
    batch = draw(CropSampler([sample], data(scale=(0.5, 0.5)), 1, labelled=False), 0, 1)
    assert 0.3 < float(batch.inside.float().mean()) < 0.5  # (40 / 64)²
    assert float(batch.images[0, 0][~batch.inside[0]].mean()) < 0.05


def test_unlabelled_images_have_no_truth_and_no_pseudo_mask() -> None:
    batch = draw(CropSampler(constant_samples(2), data(), 1, labelled=False), 0, 2)
    assert (batch.truth == IGNORE).all()
    assert (batch.pseudo == IGNORE).all()


def blocky() -> Sample:
    """Truth of random blocks of 12 pixels, an image and a pseudo-mask that say the same."""
    generator = torch.Generator().manual_seed(4)
    blocks = torch.randint(0, 4, (10, 9), generator=generator, dtype=torch.uint8)
    truth = blocks.repeat_interleave(12, 0).repeat_interleave(12, 1)
    return Sample((truth * 60).unsqueeze(0).repeat(2, 1, 1), truth, 3 - truth)


@pytest.mark.parametrize("scale", [(0.6, 0.7), (1.0, 1.0), (1.5, 2.0)])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_zoom_and_flips_move_image_and_labels_alike(
    flips: tuple[bool, bool], scale: tuple[float, float]
) -> None:
    config = data(crop=(48, 56), flip=flips[0], flip_vertical=flips[1], scale=scale)
    sampler = CropSampler([blocky()], config, 2, labelled=False)
    for step in range(4):
        batch = draw(sampler, step, 2)
        neighbours = batch.truth.unfold(1, 5, 1).unfold(2, 5, 1).flatten(3)
        middle = batch.truth[:, 2:-2, 2:-2]
        calm = (neighbours == middle.unsqueeze(3)).all(3)
        assert float(calm.float().mean()) > 0.15
        for channel in batch.images[:, :, 2:-2, 2:-2].unbind(1):
            expected = middle[calm].float() * 60 / 255
            torch.testing.assert_close(channel[calm], expected, atol=0.02, rtol=0)
        assert torch.equal(batch.pseudo[batch.inside], 3 - batch.truth[batch.inside])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_images_are_flipped_half_of_the_time_where_wanted(flip: bool, vertical: bool) -> None:
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[:, 0, 0] = 255
    config = data(flip=flip, flip_vertical=vertical)
    sampler = CropSampler([Sample(image)], config, 1, labelled=False)
    drawn = draw(sampler, 0, 200).images[:, 0]
    right = int((drawn[:, :, -1].amax(1) > 0).sum())
    low = int((drawn[:, -1].amax(1) > 0).sum())
    assert 70 < right < 130 if flip else right == 0
    assert 70 < low < 130 if vertical else low == 0


@pytest.mark.parametrize(("scale", "side"), [(0.5, 10), (1.0, 20), (2.0, 40)])
def test_a_zoom_magnifies_by_its_factor(scale: float, side: int) -> None:
    extent = round(64 / scale)
    image = torch.zeros(1, extent, extent, dtype=torch.uint8)
    image[:, 6:26, 6:26] = 255
    config = data(crop=(64, 64), scale=(scale, scale))
    batch = draw(CropSampler([Sample(image)], config, 1, labelled=False), 0, 1)
    assert float(batch.images.sum()) == pytest.approx(side**2, rel=0.02)


def test_an_empty_batch_has_the_shape_of_any_other() -> None:
    sampler = CropSampler(scribbled(), data(), 1, labelled=False)
    assert draw(sampler, 0, 0).images.shape == (0, 3, 32, 32)
    empty, full = (sampler.windows(0, size, step_generator(1, 1, 0)) for size in (0, 2))
    for joined, alone in zip(join(full, empty).parts(), full.parts(), strict=True):
        assert torch.equal(joined, alone)
