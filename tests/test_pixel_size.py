"""Lengths in metres, the size of a pixel, and what images agree on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_threestage.lengths import PixelSize, in_metres, length_text, pixel_size, unit_name
from napari_threestage.pixel_size import agreed
from napari_threestage.store import ImageArray

MICRON = dict.fromkeys("yx", "micrometer")


def image(size: dict[str, Any], unit: dict[str, Any]) -> ImageArray:
    return ImageArray(np.zeros((2, 2), np.uint8), "yx", size, unit)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.5, "micrometer", 0.5e-6),
        (2, " µm ", 2e-6),
        (3.0, "Micrometre", 3e-6),
        (500.0, "nm", 5e-7),
        (1.0, "kilometer", 1e3),
        (2.0, "inch", 0.0508),
    ],
)
def test_lengths_in_metres(size: float, unit: str, expected: float) -> None:
    assert in_metres(size, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    "size", [0.0, -1.0, 1e-320, 1e300, float("nan"), float("inf"), "1", None, [1], True]
)
def test_what_is_no_length(size: Any) -> None:
    assert in_metres(size, "micrometer") is None


@pytest.mark.parametrize("unit", ["", "pixel", "second", None, 5, ["m"], "inchworm"])
def test_what_is_no_unit_of_length(unit: Any) -> None:
    assert in_metres(1.0, unit) is None


@pytest.mark.parametrize(
    ("metres", "text"),
    [
        (2.5e-7, "250 nm"),
        (3.25e-6, "3.25 µm"),
        (9.999e-7, "1 µm"),
        (1e-3, "1 mm"),
        (1.5e-11, "0.015 nm"),
        (2e4, "20 km"),
    ],
)
def test_lengths_for_people(metres: float, text: str) -> None:
    assert length_text(metres) == text


def test_units_have_one_name() -> None:
    assert [unit_name(text) for text in ("um", "MICRONS", "\u03bcm")] == ["micrometer"] * 3
    assert unit_name("sec") == "second"
    assert unit_name("furlong") is None


def test_a_pixel_has_a_size_where_both_sides_have() -> None:
    found = pixel_size({"y": 500.0, "x": 0.25, "z": 9.0}, {"y": "nm", "x": "µm"})
    assert found == pytest.approx((0.5e-6, 0.25e-6))
    assert found is not None
    assert found.side == pytest.approx(0.125**0.5 * 1e-6)
    for size, unit in (({"x": 1.0}, MICRON), ({"y": 1.0, "x": 1.0}, {"x": "µm"}), ({}, {})):
        assert pixel_size(size, unit) is None


def test_relative_sizes_of_pixels_of_one_shape() -> None:
    square, flat = PixelSize(1.0, 1.0), PixelSize(0.5, 2.0)
    assert PixelSize(2.0, 2.4).relative(square) == pytest.approx(4.8**0.5)
    assert flat.relative(square) is None
    assert PixelSize(0.25, 1.0).relative(flat) == pytest.approx(0.5)


def test_what_images_agree_on() -> None:
    first = image({"y": 0.325, "x": 0.325, "z": 2.0}, MICRON | {"z": "micrometer"})
    rounded = image({"y": 0.3252, "x": 0.3249}, MICRON)
    nanometres = image({"y": 325.0, "x": 325.0}, dict.fromkeys("yx", "nanometer"))
    assert agreed([first, rounded, nanometres]) == ({"y": 0.325, "x": 0.325}, MICRON)
    strange = image({"y": 2.0, "x": 2.0}, dict.fromkeys("yx", "furlong"))
    assert agreed([strange, strange]) == (strange.scale, strange.unit)
    unknown = image({"y": 1.0, "x": 1.0}, {})
    other, flat = image({"y": 0.65, "x": 0.65}, MICRON), image({"y": 0.325, "x": 0.65}, MICRON)
    for others in ([other], [flat], [unknown], [strange], [rounded, other]):
        assert agreed([first, *others]) == ({}, {})
    assert agreed([]) == agreed([unknown, unknown]) == ({}, {})
