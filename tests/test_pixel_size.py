"""The size of a pixel: in metres, in words, and what images agree on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage.pixel_size import agreed, in_metres, in_words
from napari_threestage.store import ImageArray

MICRON = dict.fromkeys("yx", "micrometer")


def image(size: dict[str, float], unit: dict[str, str]) -> ImageArray:
    return ImageArray(np.zeros((2, 2), np.uint8), "yx", size, unit)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ({"y": 0.5, "x": 0.5, "z": 7.0}, {**MICRON, "z": "meter"}, 0.5e-6),
        ({"y": 0.2, "x": 0.8}, MICRON, 0.4e-6),  # the side of a square of the same area
        ({"y": 500.0, "x": 0.5}, {"y": "nanometer", "x": "Micrometer"}, 0.5e-6),
        ({"y": 1.0, "x": 1.0}, {}, None),
        ({"x": 1.0}, {"x": "micrometer"}, None),
        ({"y": 1.0, "x": 1.0}, dict.fromkeys("yx", "pixel"), None),
        ({"y": 0.0, "x": 1.0}, MICRON, None),
        ({"y": -1.0, "x": 1.0}, MICRON, None),
        ({"y": float("nan"), "x": 1.0}, MICRON, None),
        ({"y": float("inf"), "x": 1.0}, MICRON, None),
    ],
)
def test_in_metres(size: dict[str, float], unit: dict[str, str], expected: float | None) -> None:
    assert in_metres(size, unit) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("metres", "text"),
    [
        (0.325e-6, "0.325 µm"),
        (5e-9, "5 nm"),
        (50e-6, "50 µm"),
        (0.0021, "2.1 mm"),
        (1.0, "1e+03 mm"),
    ],
)
def test_in_words(metres: float, text: str) -> None:
    assert in_words(metres) == text


def test_what_images_agree_on() -> None:
    first = image({"y": 0.325, "x": 0.325, "z": 2.0}, MICRON | {"z": "micrometer"})
    rounded = image({"y": 0.3252, "x": 0.3249}, MICRON)
    assert agreed([first, rounded]) == ({"y": 0.325, "x": 0.325}, MICRON)
    other = image({"y": 0.65, "x": 0.65}, MICRON)
    assert agreed([first, other]) == ({}, MICRON)
    nanometres = image({"y": 325.0, "x": 325.0}, dict.fromkeys("yx", "nanometer"))
    unknown = image({"y": 1.0, "x": 1.0}, {})
    for images in ([], [first, nanometres], [first, unknown], [unknown, unknown]):
        assert agreed(images) == ({}, {})
