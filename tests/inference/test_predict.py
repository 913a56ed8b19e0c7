"""Whole planes: tiles against one piece, odd sizes, flips, confidence."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from napari_threestage.config import InferenceConfig
from napari_threestage.inference import predict as prediction
from napari_threestage.inference.predict import predict_plane

Bytes = npt.NDArray[np.uint8]
CPU = torch.device("cpu")
RADIUS = 6  # of the receptive field of `convolutions`


@pytest.fixture(scope="module")
def convolutions() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=3, dilation=3),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, padding=1),
    ).eval()


class Recorder(nn.Module):
    """Wraps a function of images and keeps what it was given."""

    def __init__(self, logits: Tensor | None = None) -> None:
        super().__init__()
        self.logits = torch.tensor([0.0, math.log(3)]) if logits is None else logits
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        count, _, height, width = images.shape
        return self.logits.view(1, -1, 1, 1).expand(count, -1, height, width)


def plane(height: int, width: int) -> Bytes:
    return np.random.default_rng(height).integers(0, 256, (2, height, width), np.uint8)


def predict(network: nn.Module, image: Bytes, **settings: object) -> tuple[Bytes, Bytes]:
    config = InferenceConfig.model_validate({"tile": 1024, "halo": 64, "blend": 0} | settings)
    return predict_plane(network, image, config, CPU)


def inner(array: Bytes) -> Bytes:
    """Leave out what is near the lower and right border, where the padding differs."""
    return array[: -RADIUS - 1, : -RADIUS - 1]


@pytest.mark.parametrize("size", [(128, 192), (150, 97), (65, 201), (300, 64)])
def test_tiles_with_a_halo_give_what_one_piece_gives(
    size: tuple[int, int], convolutions: nn.Module
) -> None:
    image = plane(*size)
    whole, tiled = predict(convolutions, image), predict(convolutions, image, tile=64, halo=RADIUS)
    assert len(np.unique(whole[0])) > 1
    assert np.array_equal(inner(tiled[0]), inner(whole[0]))
    difference = tiled[1].astype(int) - whole[1].astype(int)
    assert np.abs(inner(difference)).max() <= 1


def test_tiles_without_a_halo_would_show_seams(convolutions: nn.Module) -> None:
    image = plane(150, 140)
    whole, tiled = predict(convolutions, image), predict(convolutions, image, tile=64, halo=0)
    differs = whole[1] != tiled[1]
    assert differs[60:68].any()
    assert not differs[RADIUS : 64 - RADIUS, RADIUS : 64 - RADIUS].any()


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (5, 200), (31, 32), (64, 1)])
@pytest.mark.parametrize("flips", [False, True])
def test_results_have_the_size_of_the_plane(
    size: tuple[int, int], flips: bool, convolutions: nn.Module
) -> None:
    mask, confidence = predict(convolutions, plane(*size), tile=64, halo=8, flips=flips)
    assert mask.shape == confidence.shape == size
    assert mask.dtype == confidence.dtype == np.uint8
    assert 1 <= mask.min() <= mask.max() <= 4
    assert confidence.min() >= 255 / 4 - 1  # the best of four classes


@pytest.mark.parametrize("size", [(33, 47), (150, 97)])
def test_the_network_sees_multiples_of_its_stride(size: tuple[int, int]) -> None:
    network = Recorder()
    predict(network, plane(*size), tile=64, halo=10)
    assert all(side % 32 == 0 for seen in network.seen for side in seen.shape[-2:])


def test_the_network_sees_values_from_0_to_1_and_the_border_continued() -> None:
    network, image = Recorder(), plane(30, 40)
    predict(network, image)
    (seen,) = network.seen
    expected = np.pad(image, ((0, 0), (0, 2), (0, 24)), mode="edge") / np.float32(255)
    torch.testing.assert_close(seen[0], torch.from_numpy(expected))


def test_mask_and_confidence_are_the_best_class_and_its_probability() -> None:
    mask, confidence = predict(Recorder(), plane(20, 30))
    assert (mask == 2).all()
    assert (confidence == round(255 * 3 / 4)).all()


def test_a_certain_network_has_full_confidence() -> None:
    network = Recorder(torch.tensor([90.0, 0.0]))
    mask, confidence = predict(network, plane(20, 30))
    assert (mask == 1).all()
    assert (confidence == 255).all()


def test_tiles_cover_each_pixel_once() -> None:
    network = Recorder()
    mask, _ = predict(network, plane(130, 70), tile=64, halo=0)
    assert (mask == 2).all()
    assert len(network.seen) == 3 * 2


def test_flips_average_the_image_and_its_mirror(convolutions: nn.Module) -> None:
    image = plane(64, 96)
    _, confidence = predict(convolutions, image, flips=True)
    images = torch.from_numpy(image)[None] / 255
    with torch.no_grad():
        straight = convolutions(images).softmax(1)
        mirrored = convolutions(images.flip(-1)).softmax(1).flip(-1)
    expected = ((straight + mirrored) / 2).amax(1)[0].numpy() * 255
    assert np.abs(confidence - expected).max() <= 0.51


@pytest.mark.parametrize("sideways", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_result_is_the_mean_over_all_mirror_images(
    sideways: bool, upside_down: bool, transposed: bool, convolutions: nn.Module
) -> None:
    image = plane(64, 96)
    chosen = {"flips": sideways, "flips_vertical": upside_down, "transpose": transposed}
    _, confidence = predict(convolutions, image, **chosen)
    pixels = torch.from_numpy(image)[None].float() / 255
    every: list[tuple[int, ...]] = [(), (-1,), (-2,), (-1, -2)]
    axes = [a for a in every if (sideways or -1 not in a) and (upside_down or -2 not in a)]
    with torch.no_grad():
        found = [convolutions(pixels.flip(a)).flip(a).softmax(1) for a in axes]
        if transposed:
            found += [convolutions(pixels.flip(a).mT).mT.flip(a).softmax(1) for a in axes]
    expected = torch.stack(found).mean(0).amax(1)[0] * 255
    assert InferenceConfig.model_validate(chosen).n_passes == len(found)
    assert np.abs(confidence - expected.numpy()).max() <= 0.51


def test_with_flips_a_mirrored_image_has_the_mirrored_result(convolutions: nn.Module) -> None:
    image = plane(64, 96)
    mirrored = np.ascontiguousarray(image[..., ::-1])
    for flips in (True, False):
        straight = predict(convolutions, image, flips=flips)[1].astype(int)
        back = predict(convolutions, mirrored, flips=flips)[1][:, ::-1]
        assert (np.abs(straight - back).max() <= 1) == flips


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("size", [(128, 192), (150, 97), (300, 64), (330, 330)])
def test_tiles_in_batches_give_what_single_tiles_give(
    size: tuple[int, int], flips: bool, convolutions: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, settings = plane(*size), {"tile": 64, "halo": RADIUS, "flips": flips}
    single = predict(convolutions, image, **settings)
    monkeypatch.setitem(prediction.BATCH_PIXELS, "cpu", 3 * 76 * 76)
    batched = predict(convolutions, image, **settings)
    assert (single[0] != batched[0]).mean() < 1e-3  # where two classes are as likely
    assert np.abs(single[1].astype(int) - batched[1]).max() <= 1


def test_batches_hold_tiles_of_one_shape_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    network, limit = Recorder(), 5 * 128 * 128
    monkeypatch.setitem(prediction.BATCH_PIXELS, "cpu", limit)
    mask, _ = predict(network, plane(64 * 9, 64 * 9), tile=64, halo=32)
    assert (mask == 2).all()
    assert sum(len(seen) for seen in network.seen) == 81
    assert max(len(seen) for seen in network.seen if seen.shape[2:] == (128, 128)) == 5
    assert all(seen[:, 0].numel() <= limit for seen in network.seen)


def test_results_can_go_into_arrays_that_are_there(convolutions: nn.Module) -> None:
    image = plane(70, 90)
    config = InferenceConfig(tile=64, halo=8, blend=8)
    out = np.zeros((2, 70, 90), np.uint8)
    found = predict_plane(convolutions, image, config, CPU, (out[0], out[1]))
    expected = predict_plane(convolutions, image, config, CPU)
    np.testing.assert_array_equal(out, expected)
    assert found[0].base is out and found[1].base is out
