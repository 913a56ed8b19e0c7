"""From stored pixels of any type to planes of uint8."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage import planes
from napari_threestage.errors import ImageFileError
from napari_threestage.planes import open_planes, planes_of, to_bytes
from napari_threestage.store import ImageArray


def ramp(dtype: str, low: float = 0, high: float = 1000) -> np.ndarray:
    return np.linspace(low, high, 1001).reshape(1, 13, 77).astype(dtype)


def test_uint8_stays_as_it_is() -> None:
    plane = np.array([[[3, 200], [7, 9]]], np.uint8)
    assert to_bytes(plane) is plane
    assert to_bytes(plane, "range") is plane


def test_bool_becomes_black_and_white() -> None:
    assert to_bytes(np.array([[[True, False]]])).tolist() == [[[255, 0]]]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64", ">u2"])
@pytest.mark.parametrize("method", ["auto", "percentile"])
def test_other_types_are_stretched_between_percentiles(dtype: str, method: str) -> None:
    values = ramp(dtype)
    scaled = to_bytes(values, method)
    low, high = np.percentile(values, (0.1, 99.9))
    expected = [min(max((v - low) / (high - low), 0), 1) * 255 for v in values.ravel().tolist()]
    assert scaled.dtype == np.uint8 and scaled.shape == values.shape
    np.testing.assert_allclose(scaled.ravel(), expected, atol=0.51)
    assert scaled.ravel()[0] == 0 and scaled.ravel()[-1] == 255


def test_each_channel_has_its_own_percentiles() -> None:
    both = np.concatenate([ramp("float32"), ramp("float32", 5, 6)])
    scaled = to_bytes(both)
    np.testing.assert_allclose(scaled[0].astype(int), scaled[1].astype(int), atol=1)


@pytest.mark.parametrize(
    ("dtype", "value", "byte"),
    [
        ("uint16", 65535, 255),
        ("uint16", 257 * 100, 100),
        ("int16", -32768, 0),
        ("float32", 0.2, 51),
        ("float32", 7.5, 255),
        ("float32", -1.0, 0),
        ("float32", np.nan, 0),
    ],
)
def test_range_mode_maps_the_range_of_the_type(dtype: str, value: float, byte: int) -> None:
    assert to_bytes(np.full((1, 2, 2), value, dtype), "range").tolist() == [[[byte] * 2] * 2]


def test_range_mode_can_be_turned_off_for_uint8() -> None:
    assert to_bytes(np.array([[[10, 20]]], np.uint8), "percentile").tolist() == [[[0, 255]]]


def test_nan_and_infinity_become_black_and_white_and_count_for_nothing() -> None:
    values = ramp("float32")
    values[0, 0, :3] = [np.nan, np.inf, -np.inf]
    scaled = to_bytes(values)
    assert scaled[0, 0, :3].tolist() == [0, 255, 0]
    rest = values[np.isfinite(values)]
    assert scaled[0, 6, 38] == pytest.approx(127.5, abs=2) and rest.max() == 1000


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, np.nan, np.inf, 65535.0])
def test_constant_images_are_black_or_one_value_and_never_fail(value: float) -> None:
    scaled = to_bytes(np.full((2, 4, 4), value, np.float32))
    assert scaled.dtype == np.uint8 and len(np.unique(scaled)) == 1


# --- planes -----------------------------------------------------------------------------------


def stack(axes: str, shape: tuple[int, ...]) -> ImageArray:
    return ImageArray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), axes)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("cyx", (2, 3, 4)),
        ("czyx", (2, 5, 3, 4)),
        ("tcyx", (5, 2, 3, 4)),
        ("tczyx", (3, 2, 4, 3, 4)),
    ],
)
def test_planes_come_in_the_order_of_the_flattened_labels(
    axes: str, shape: tuple[int, ...]
) -> None:
    image = stack(axes, shape)
    labels = image.data.take(0, axes.index("c"))  # the values tell the place
    planes = list(planes_of(image, None, 2, "auto"))
    flat = labels.reshape(-1, 3, 4)
    assert len(planes) == len(flat)
    for plane, label in zip(planes, flat, strict=True):
        assert plane.shape == (2, 3, 4)
        np.testing.assert_array_equal(plane[0], label)


def test_channels_are_chosen_in_the_order_asked_for() -> None:
    image = stack("cyx", (4, 2, 2))
    (plane,) = planes_of(image, [2, 0], 2, "auto")
    np.testing.assert_array_equal(plane, image.data[[2, 0]])


@pytest.mark.parametrize("channels", [None, [0, 1, 2]])
@pytest.mark.parametrize("axes", ["cyx", "yx"])
def test_a_grey_image_fills_all_channels(channels: list[int] | None, axes: str) -> None:
    image = stack(axes, (1, 2, 2)[-len(axes) :])
    (plane,) = planes_of(image, channels, 3, "auto")
    np.testing.assert_array_equal(plane, np.stack([image.data.reshape(2, 2)] * 3))


def test_channels_that_do_not_fit_are_a_sentence() -> None:
    image = stack("cyx", (2, 2, 2))
    with pytest.raises(ImageFileError, match="Channel 5 was asked for, the image has 2"):
        list(planes_of(image, [0, 5], 2, "auto"))
    with pytest.raises(ImageFileError, match="has 2 channels, 3 are needed"):
        list(planes_of(image, None, 3, "auto"))


@pytest.mark.parametrize("method", ["auto", "range", "percentile"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32"])
def test_windows_of_a_plane_are_cut_from_the_whole(method: str, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 200, (2, 3, 50, 60)).astype(dtype)
    image = ImageArray(values, "zcyx")
    whole = list(planes_of(image, [2, 0], 2, method))
    for plane, expected in zip(open_planes(image, [2, 0], 2, method), whole, strict=True):
        assert plane.size == (50, 60)
        window = plane.window(slice(10, 33), slice(5, 60))
        np.testing.assert_array_equal(window, expected[:, 10:33, 5:60])


def test_a_grey_image_fills_the_channels_of_a_window() -> None:
    (plane,) = open_planes(
        ImageArray(np.arange(12, dtype=np.uint8).reshape(3, 4), "yx"), None, 3, "auto"
    )
    assert plane.window(slice(1, 2), slice(0, 2)).tolist() == [[[4, 5]]] * 3


def test_percentiles_of_a_very_large_plane_are_those_of_every_nth_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).normal(size=(1, 500, 40)).astype(np.float32)
    exact = to_bytes(values)
    monkeypatch.setattr(planes, "MOST_RANKED", 500 * 40 // 5)
    monkeypatch.setattr(planes, "BAND", 7)
    sampled = to_bytes(values)
    (plane,) = open_planes(ImageArray(values, "cyx"), None, 1, "auto")
    np.testing.assert_array_equal(plane.window(slice(None), slice(None)), sampled)
    assert 0 < np.abs(sampled.astype(int) - exact).max() < 20
