"""Layers of a viewer as files for a child process, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_threestage.errors import ImageFileError, Stopped
from napari_threestage.layer_file import (
    LayerPixels,
    axes_choices,
    layer_problem,
    read_map,
    read_mask,
    say_axes,
    write_layer,
)

if TYPE_CHECKING:
    from pathlib import Path

PLENTY = (2**40, 2**40)


class Lazy:
    """An array that is read piece by piece, as that of dask or zarr."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.asked: list[Any] = []

    def __getitem__(self, place: Any) -> np.ndarray:
        self.asked.append(place)
        return self.values[place]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("it was read whole")


def values(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("count", "rgb", "labels", "expected"),
    [
        (2, False, (), ["yx"]),
        (2, True, (), ["yxc"]),
        (3, False, (), ["zyx", "tyx", "cyx"]),
        (3, False, ("-3", "-2", "-1"), ["zyx", "tyx", "cyx"]),
        (3, False, ("t", "y", "x"), ["tyx", "zyx", "cyx"]),
        (3, False, ("x", "y", "z"), ["zyx", "tyx", "cyx"]),
        (3, True, (), ["zyxc", "tyxc"]),
        (4, False, ("z", "t", "y", "x"), ["ztyx", "tzyx", "czyx", "tcyx", "zcyx"]),
        (5, False, (), ["tczyx"]),
        (1, False, (), []),
        (6, False, (), []),
    ],
)
def test_axes_are_guessed_and_the_others_offered(
    count: int, rgb: bool, labels: tuple[str, ...], expected: list[str]
) -> None:
    assert axes_choices(count, rgb, labels) == expected


def test_axes_are_said_in_words() -> None:
    assert say_axes("tyxc") == "tyxc (time, y, x, channels)"


@pytest.mark.parametrize(
    ("shape", "axes", "order"),
    [
        ((30, 40), "yx", "yx"),
        ((30, 40, 3), "yxc", "cyx"),
        ((5, 30, 40), "zyx", "zyx"),
        ((5, 2, 30, 40), "zcyx", "czyx"),
        ((5, 6, 30, 40), "ztyx", "tzyx"),
    ],
)
def test_a_file_holds_the_pixels_in_one_order(
    tmp_path: Path, shape: tuple[int, ...], axes: str, order: str
) -> None:
    array = values(*shape)
    pixels = LayerPixels(Lazy(array), axes)
    assert pixels.file_axes == order
    write_layer(tmp_path / "layer.npy", pixels)
    stored = np.load(tmp_path / "layer.npy")
    np.testing.assert_array_equal(stored, array.transpose([axes.index(one) for one in order]))
    assert stored.dtype == np.uint16 and stored.nbytes == pixels.n_bytes


def test_large_planes_are_read_in_pieces(tmp_path: Path) -> None:
    lazy = Lazy(values(2, 2500, 8, dtype=np.uint8))
    write_layer(tmp_path / "layer.npy", LayerPixels(lazy, "zyx"))
    assert len(lazy.asked) == 2 * 3
    np.testing.assert_array_equal(np.load(tmp_path / "layer.npy"), lazy.values)


def test_alpha_is_no_channel(tmp_path: Path) -> None:
    array = values(30, 40, 4, dtype=np.uint8)
    pixels = LayerPixels(array, "yxc")
    assert pixels.channels == 3
    write_layer(tmp_path / "layer.npy", pixels)
    stored = np.load(tmp_path / "layer.npy")
    np.testing.assert_array_equal(stored, np.moveaxis(array[..., :3], -1, 0))


@pytest.mark.parametrize("kind", [">u2", "?", "f4", "i4"])
def test_every_kind_of_pixel_is_one_that_can_be_read(tmp_path: Path, kind: str) -> None:
    from napari_threestage.ingest import load_image

    array = (values(30, 40) > 100) if kind == "?" else values(30, 40).astype(kind)
    write_layer(tmp_path / "layer.npy", LayerPixels(array, "yx"))
    read = np.asarray(load_image(tmp_path / "layer.npy").data)[0]
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_handing_over_can_be_stopped(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        write_layer(tmp_path / "layer.npy", LayerPixels(values(4, 8, 8), "zyx"), stop)


def test_what_cannot_be_read_or_written_is_a_sentence(tmp_path: Path) -> None:
    class Broken(Lazy):
        def __getitem__(self, place: Any) -> np.ndarray:
            raise OSError("the disk is gone")

    with pytest.raises(ImageFileError, match="the disk is gone"):
        write_layer(tmp_path / "layer.npy", LayerPixels(Broken(values(4, 4)), "yx"))
    with pytest.raises(ImageFileError, match="No such file"):
        write_layer(tmp_path / "nowhere" / "a.npy", LayerPixels(values(4, 4), "yx"))


def test_a_layer_that_is_too_large_is_told_before() -> None:
    pixels = LayerPixels(Lazy(values(10, 100, 100)), "zyx")
    assert layer_problem(pixels, *PLENTY) == ""
    assert "temporary files has 0.0 GiB" in layer_problem(pixels, 10, 2**40)
    assert "memory has" in layer_problem(pixels, 2**40, 250_000)


@pytest.mark.parametrize("axes", ["zyx", "zyxc"])
def test_a_layer_without_any_number_is_told(tmp_path: Path, axes: str) -> None:
    array = np.full((2, 1500, 4, 4)[: len(axes)], np.nan, np.float32)
    array[0, 0] = np.inf
    if axes.endswith("c"):
        array[..., 3] = 1  # alpha
    lazy = Lazy(array)
    with pytest.raises(ImageFileError, match=r"^The layer has no finite value\.$"):
        write_layer(tmp_path / "layer.npy", LayerPixels(lazy, axes))
    assert len(lazy.asked) == 2 * 2  # no piece twice
    array[1, 1499, 3] = 5
    write_layer(tmp_path / "layer.npy", LayerPixels(Lazy(array), axes))


def test_what_has_no_pixel_values_is_told() -> None:
    assert "complex64" in layer_problem(LayerPixels(np.zeros((4, 4), "c8"), "yx"), *PLENTY)
    assert "no pixels" in layer_problem(LayerPixels(np.zeros((0, 4)), "yx"), *PLENTY)


def test_a_mask_comes_back_in_the_order_of_the_layer(tmp_path: Path) -> None:
    pixels = LayerPixels(values(5, 6, 30, 40), "ztyx")
    assert pixels.mask_shape == (6, 5, 30, 40)
    stored = values(*pixels.mask_shape, dtype=np.uint8) % 3
    stored[0, 0, 0, 0] = 255
    tifffile.imwrite(tmp_path / "mask.tif", stored)
    mask = read_mask(tmp_path / "mask.tif", pixels.mask_shape, pixels.axes)
    assert mask.shape == (5, 6, 30, 40)
    assert mask[0, 0, 0, 0] == 0 and set(np.unique(mask)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(mask[3, 2], stored[2, 3] + 1)


def test_a_damaged_mask_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mask.tif").write_bytes(b"nothing")
    with pytest.raises(ImageFileError, match=r"mask\.tif cannot be read"):
        read_map(tmp_path / "mask.tif", (3, 3), "yx")
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(ImageFileError, match=r"mask\.tif cannot be read"):
        read_map(tmp_path / "mask.tif", (3, 3), "yx")
