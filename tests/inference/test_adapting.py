"""A segmenter that is adapted to images of another kind, without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from inference_helpers import describe

from napari_threestage.config import NetworkConfig
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.inference.adapting import LEAST, SIDE, adapted, draw_windows, some_of
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.segmenter_info import FORMAT, Card
from napari_threestage.store import ImageArray
from napari_threestage.training.batch_norm import freeze_batch_norm, live_batch_norms
from napari_threestage.training.clean_statistics import gather_statistics
from napari_threestage.training.networks import build_network

RNG = np.random.default_rng(3)
COARSE = RNG.integers(0, 120, (10, 12, 12), np.uint8).repeat(8, 1).repeat(8, 2)
IMAGES = COARSE + RNG.integers(0, 60, COARSE.shape, np.uint8)
PALE = (IMAGES * 0.5 + 100).astype(np.uint8)  # what another microscope makes of them


def make(decoder: str = "pyramid", backbone: str = "compact") -> Segmenter:
    torch.manual_seed(1)
    config = NetworkConfig.model_validate(
        {"backbone": backbone, "weights": "none", "decoder": decoder, "decoder_channels": 8}
    )
    return Segmenter(build_network(config, 1, 3), describe(config), torch.device("cpu"))


def windows_of(segmenter: Segmenter, images: np.ndarray) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [draw_windows(segmenter, ImageArray(one, "yx"), len(images), rng) for one in images]


def masks(segmenter: Segmenter, images: np.ndarray) -> np.ndarray:
    return np.stack([segmenter.predict(ImageArray(one, "yx"))[0] for one in images])


def statistics(segmenter: Segmenter) -> list[torch.Tensor]:
    return [
        value
        for norm in live_batch_norms(segmenter.network)
        for value in (norm.running_mean, norm.running_var)
        if value is not None
    ]


def test_images_of_another_kind_are_segmented_as_those_it_knows() -> None:
    start = make()
    known = adapted(start, windows_of(start, IMAGES), share=1)
    expected = masks(known, IMAGES)
    assert np.bincount(expected.ravel()).max() < 0.95 * expected.size  # several classes
    lost = (masks(known, PALE) != expected).mean()
    found = adapted(known, windows_of(known, PALE), share=1)
    assert (masks(found, PALE) != expected).mean() < lost / 2
    part = adapted(known, windows_of(known, PALE))
    assert (masks(part, PALE) != expected).mean() < lost
    assert (start.info.adapted, found.info.adapted, part.info.adapted) == ([], [1, 1], [1, 0.25])


def test_the_share_says_how_far_it_goes_and_the_segmenter_stays() -> None:
    segmenter = make()
    before = [value.clone() for value in statistics(segmenter)]
    windows = windows_of(segmenter, IMAGES)
    whole, part = (statistics(adapted(segmenter, windows, share)) for share in (1, 0.25))
    for now, old, all_, some in zip(statistics(segmenter), before, whole, part, strict=True):
        assert torch.equal(now, old)
        torch.testing.assert_close(some, 0.75 * old + 0.25 * all_)
    assert not torch.equal(whole[0], before[0])


def test_frozen_batch_norm_is_adapted_by_how_far_images_are_from_those_of_the_training() -> None:
    start = make()
    *backbone, _ = start.network.blocks
    for norm in live_batch_norms(torch.nn.ModuleList(backbone)):  # as pre-trained weights have them
        for value in (norm.running_mean, norm.running_var):
            assert value is not None
            value.uniform_(0.5, 2)
    windows = windows_of(start, IMAGES)
    images = torch.from_numpy(np.concatenate(windows)).div(255)
    expected = start.network(images)
    lost = (adapted(start, windows, share=1).network(images) - expected).abs().max()
    freeze_batch_norm(torch.nn.ModuleList(backbone))
    gather_statistics(start.network, images.split(8), torch.float32, start.device)
    expected = start.network(images)
    for share in (0.5, 1):
        same = adapted(start, windows, share).network(images)
        assert (same - expected).abs().max() < lost / 10


def test_images_of_several_sizes_count_alike() -> None:
    segmenter = make()
    sizes = (IMAGES[:5], IMAGES[5:, :40, :50])
    windows = [one for images in sizes for one in windows_of(segmenter, images)]
    seen = statistics(adapted(segmenter, windows, share=1))
    alone = [statistics(adapted(segmenter, windows_of(segmenter, one), share=1)) for one in sizes]
    for both, first, second in zip(seen, *alone, strict=True):
        torch.testing.assert_close(both, (first + second) / 2, rtol=1e-4, atol=1e-5)


def test_the_card_keeps_no_scores_of_another_segmenter() -> None:
    segmenter = make()
    card = Card(name="cells", licence="MIT", training={"scores": {"miou": 0.9}, "seed": 3})
    segmenter.info = replace(segmenter.info, card=card, format=2)
    info = adapted(segmenter, windows_of(segmenter, IMAGES)).info
    assert info.card == Card(name="cells", licence="MIT", training={"seed": 3})
    assert info.format == FORMAT


def test_the_first_statistics_are_those_of_the_pixels() -> None:
    segmenter = make()
    windows = windows_of(segmenter, IMAGES)
    found = adapted(segmenter, windows, share=1).network
    first, norm = found.blocks[0][0], found.blocks[0][1]  # type: ignore[index]
    with torch.no_grad():
        pixels = torch.from_numpy(np.concatenate(windows)).float() / 255
        seen = first((pixels - found.mean) / found.std)
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("shape", [(40, 100), (5, 3), (64, 64), (300, 200), (128, 129)])
def test_windows_of_images_of_any_size(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(1, 200, shape, np.uint8)
    found = draw_windows(make(), ImageArray(image, "yx"), 100, np.random.default_rng(0))
    assert found.shape == (4, 1, *(min(SIDE, max(LEAST, length)) for length in shape))
    for (window,) in found:
        seen = window[: shape[0], : shape[1]]
        places = np.lib.stride_tricks.sliding_window_view(image, seen.shape)
        assert (places == seen).all((2, 3)).any()
        assert set(np.unique(window)) == set(np.unique(seen))  # the border goes on


def test_a_very_small_image_is_enough() -> None:
    image = ImageArray(np.arange(9, dtype=np.uint8).reshape(3, 3), "yx")
    windows = draw_windows(make(), image, 1000, np.random.default_rng(0))
    assert len(windows) == 1
    found = statistics(adapted(make(), [windows]))
    assert all(torch.isfinite(one).all() for one in found)


def test_windows_of_a_stack_come_from_all_its_planes() -> None:
    stack = np.arange(1, 9, dtype=np.uint8)[:, None, None].repeat(70, 1).repeat(80, 2)
    found = draw_windows(make(), ImageArray(stack, "zyx"), 1, np.random.default_rng(0))
    assert np.unique(found).tolist() == [*range(1, 9)]
    assert all(len(np.unique(one)) == 1 for one in found)


def test_of_very_many_images_some_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    assert some_of(range(20), rng) == [*range(20)]
    found = some_of(range(10_000), rng)
    assert len(set(found)) == 320 and found == sorted(found) and found[-1] > 9_000


@pytest.mark.parametrize(
    ("backbone", "share", "sentence"),
    [
        ("compact", 0.0, "A share of 0 makes no sense"),
        ("compact", 1.5, "A share of 1.5 makes no sense"),
        ("compact", float("nan"), "A share of nan makes no sense"),
        ("convnext_tiny", 0.5, "its network has no batch norm"),
    ],
)
def test_what_cannot_be_done_is_said(backbone: str, share: float, sentence: str) -> None:
    segmenter = make("aspp", backbone)
    with pytest.raises(ConfigError, match=sentence):
        adapted(segmenter, [np.zeros((8, 1, 64, 64), np.uint8)], share)


def test_nothing_to_adapt_to() -> None:
    with pytest.raises(ConfigError, match="no images"):
        adapted(make(), [])


def test_other_channels_are_refused() -> None:
    image = ImageArray(np.zeros((3, 70, 70), np.uint8), "cyx")
    with pytest.raises(ImageFileError):
        draw_windows(make(), image, 1, np.random.default_rng(0))
