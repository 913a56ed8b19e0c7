"""The photometric operations against PIL, which the paper's script used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from napari_threestage.training.photometry import LUMA, PHOTOMETRIC

if TYPE_CHECKING:
    from collections.abc import Callable

Bytes = npt.NDArray[np.uint8]
STRENGTHS = range(1, 10)
LEVELS = [sign * strength / 10 for sign in (1, -1) for strength in STRENGTHS]
GREY_VALUE = 1 / 255
BLENDS = ("color", "contrast", "brightness", "sharpness")
PER_CHANNEL = ("autocontrast", "equalize", "solarize", "posterize", "brightness", "sharpness")


def picture(channels: int = 3, low: int = 0, high: int = 255) -> Bytes:
    """A picture (C, 48, 48) of waves and noise between two values."""
    generator = np.random.default_rng(channels)
    y, x = np.mgrid[:48, :48] / 48
    waves = [np.sin(5 * x * (c + 1)) * np.cos(4 * y + c) for c in range(channels)]
    noisy = np.stack(waves) + generator.normal(0, 0.2, (channels, 48, 48))
    scaled = (noisy - noisy.min()) / (noisy.max() - noisy.min())
    return (low + scaled * (high - low)).astype(np.uint8)


def apply(name: str, image: Bytes, level: float) -> Tensor:
    images = torch.from_numpy(image).float()[None] / 255
    return PHOTOMETRIC[name](images, torch.tensor([level]))[0]


def pil(image: Bytes) -> Image.Image:
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def from_pil(image: Image.Image) -> Tensor:
    values = torch.from_numpy(np.array(image)).float() / 255
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)


def assert_close(ours: Tensor, theirs: Tensor, grey_values: float) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= grey_values * GREY_VALUE + 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_autocontrast_is_that_of_pil(channels: int) -> None:
    image = picture(channels, 60, 190)
    ours = apply("autocontrast", image, 0.5)
    assert_close(ours, from_pil(ImageOps.autocontrast(pil(image))), 1)
    assert float(ours.min()) == 0
    assert float(ours.max()) == 1


def test_equalize_is_that_of_pil() -> None:
    # PIL divides in whole numbers, which is exact when all but the brightest pixels are 255 n.
    values = np.sort((np.random.default_rng(0).random(64 * 64) ** 2 * 250).astype(np.uint8))
    values[-16:] = 255
    image = np.random.default_rng(1).permutation(values).reshape(1, 64, 64)
    ours = apply("equalize", image, 0.5)
    assert_close(ours, from_pil(ImageOps.equalize(pil(image))), 1)
    assert float((ours - torch.from_numpy(image) / 255).abs().max()) > 0.1


@pytest.mark.parametrize("strength", STRENGTHS)
def test_solarize_is_that_of_pil_but_for_values_at_the_threshold(strength: int) -> None:
    threshold = 256 - int(25.6 * strength)
    image = picture()
    theirs = from_pil(ImageOps.solarize(pil(image), threshold))
    clear = torch.from_numpy(np.abs(image.astype(int) - threshold) > 2)
    assert 0.5 < float(clear.float().mean()) < 1
    assert_close(apply("solarize", image, strength / 10)[clear], theirs[clear], 0.01)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_posterize_is_that_of_pil_with_the_bits_of_the_script(strength: int) -> None:
    bits = 4 - int(0.4 * strength)
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    ours = apply("posterize", image, strength / 10)
    assert_close(ours, from_pil(ImageOps.posterize(pil(image), bits)), 1)
    assert len(ours.unique()) == 2**bits


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("name", "enhance", "channels"),
    [
        ("color", ImageEnhance.Color, 3),
        ("brightness", ImageEnhance.Brightness, 3),
        ("contrast", ImageEnhance.Contrast, 1),  # in colour PIL takes the mean of the luminance
        ("sharpness", ImageEnhance.Sharpness, 3),
    ],
)
def test_blends_are_enhancements_of_pil(
    name: str,
    enhance: Callable[[Image.Image], ImageEnhance._Enhance],
    channels: int,
    level: float,
) -> None:
    image = picture(channels)
    theirs = from_pil(enhance(pil(image)).enhance(1 + 0.8 * level))
    inner = (slice(None), slice(1, -1), slice(1, -1))  # PIL leaves the rim unsharpened
    assert_close(apply(name, image, level)[inner], theirs[inner], 2)


def test_contrast_of_a_colour_image_turns_about_its_mean() -> None:
    image = picture(3, 100, 150)
    values = torch.from_numpy(image) / 255
    expected = values.mean() + (1 + 0.8 * 0.5) * (values - values.mean())
    torch.testing.assert_close(apply("contrast", image, 0.5), expected)


@pytest.mark.parametrize("name", BLENDS)
def test_opposite_levels_go_opposite_ways(name: str) -> None:
    image = picture(3, 90, 140)  # nothing is clipped
    values = torch.from_numpy(image) / 255
    up, down = apply(name, image, 0.7), apply(name, image, -0.7)
    torch.testing.assert_close((up + down) / 2, values, atol=1e-5, rtol=0)
    assert float(up.var()) > float(down.var())


@pytest.mark.parametrize("name", ["identity", "autocontrast", "equalize", "solarize", "posterize"])
def test_the_sign_means_nothing_to_the_others(name: str) -> None:
    image = picture()
    assert torch.equal(apply(name, image, 0.4), apply(name, image, -0.4))


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("level", [-0.9, 0.9])
def test_the_strongest_factors_are_those_of_the_script(name: str, level: float) -> None:
    image = picture(3, 90, 140)
    values = torch.from_numpy(image) / 255
    nothing = apply(name, image, -1 / 0.8)  # a factor of 0: all that is blended in
    factor = 1.72 if level > 0 else 0.28
    expected = (nothing + factor * (values - nothing)).clamp(0, 1)
    torch.testing.assert_close(apply(name, image, level), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PER_CHANNEL)
def test_channels_are_treated_one_by_one(name: str) -> None:
    image = picture(5, 20, 230)
    together = apply(name, image, 0.5)
    for channel in range(5):
        alone = apply(name, image[channel : channel + 1], 0.5)
        torch.testing.assert_close(together[channel : channel + 1], alone)


def test_colour_fades_to_luminance_in_rgb_and_to_the_mean_elsewhere() -> None:
    for channels, weights in ((3, LUMA), (5, (1 / 5,) * 5), (1, (1.0,))):
        image = picture(channels)
        values = torch.from_numpy(image) / 255
        grey = sum(weight * value for weight, value in zip(weights, values, strict=True))
        expected = grey + (1 - 0.8 * 0.5) * (values - grey)
        torch.testing.assert_close(apply("color", image, -0.5), expected.clamp(0, 1))


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_a_channel_of_one_value_stays_as_it_is(name: str) -> None:
    image = np.concatenate([picture(1), np.full((1, 48, 48), 120, np.uint8)])
    assert torch.equal(apply(name, image, 0.5)[1], torch.full((48, 48), 120.0) / 255)


@pytest.mark.parametrize("name", PHOTOMETRIC)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_results_keep_shape_and_range_and_samples_their_levels(name: str, channels: int) -> None:
    images = torch.from_numpy(np.stack([picture(channels), picture(channels, 50, 120)])) / 255
    levels = torch.tensor([0.9, -0.6])
    both = PHOTOMETRIC[name](images, levels)
    assert both.shape == images.shape
    assert float(both.min()) >= 0
    assert float(both.max()) <= 1
    for number in range(2):
        alone = PHOTOMETRIC[name](images[number : number + 1], levels[number : number + 1])
        torch.testing.assert_close(both[number : number + 1], alone)
