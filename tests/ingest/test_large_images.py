"""Images that are read when their pixels are asked for: the same pixels as when read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_threestage import store
from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import image_of, large, load_image, open_image
from napari_threestage.ingest.large import AxesView

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 0)


def numbers(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


TIFFS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((70, 90), {}),
    "tiles": ((70, 90), {"tile": (32, 32), "compression": "zlib"}),
    "strips": ((70, 90), {"rowsperstrip": 8, "compression": "zlib"}),
    "colour": ((70, 90, 3), {"photometric": "rgb", "tile": (32, 32)}),
    "colour planes": ((3, 70, 90), {"photometric": "rgb", "planarconfig": "separate"}),
    "stack": ((6, 70, 90), {"tile": (32, 32), "metadata": {"axes": "ZYX"}}),
    "ome": ((2, 3, 70, 90), {"ome": True, "metadata": {"axes": "TCYX", "PhysicalSizeX": 0.5}}),
    "imagej": ((6, 70, 90), {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0}}),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32"])
@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_has_the_same_pixels_and_metadata(kind: str, dtype: str, tmp_path: Path) -> None:
    shape, options = TIFFS[kind]
    path = tmp_path / "image.tif"
    data = numbers(*shape, dtype=dtype)
    byteorder = None if "imagej" in options else ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(path, data, byteorder=byteorder, **options)
    opened, loaded = open_image(path), load_image(path)
    assert isinstance(opened.data, AxesView)
    assert opened.axes == loaded.axes
    assert opened.data.shape == loaded.data.shape
    assert opened.data.dtype == loaded.data.dtype
    assert (opened.scale, opened.unit) == (loaded.scale, loaded.unit)
    assert opened.channel_names == loaded.channel_names
    np.testing.assert_array_equal(opened.data[...], loaded.data)
    window = (..., slice(10, 33), slice(40, 90))
    np.testing.assert_array_equal(opened.data[window], loaded.data[window])


@pytest.mark.parametrize("below", ["inside", "beside"])
def test_of_a_pyramid_the_full_resolution_is_read(below: str, tmp_path: Path) -> None:
    path, data = tmp_path / "slide.ome.tif", numbers(300, 260, 3)
    options: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=below == "inside") as file:
        if below == "inside":
            file.write(data, subifds=2, metadata={"axes": "YXS"}, **options)
        else:
            file.write(data, **options)
        for step in (2, 4):
            file.write(data[::step, ::step], subfiletype=1, **options)
    opened = open_image(path)
    assert isinstance(opened.data, AxesView)
    assert opened.data.shape == (3, 300, 260)
    np.testing.assert_array_equal(opened.data[...], data.transpose(2, 0, 1))


def test_booleans_are_the_bytes_that_they_are_in_a_small_file(tmp_path: Path) -> None:
    path, data = tmp_path / "image.tif", numbers(70, 90) > 100
    tifffile.imwrite(path, data)
    opened, loaded = open_image(path), load_image(path)
    assert opened.data.dtype == loaded.data.dtype == image_of(data).data.dtype == np.uint8
    np.testing.assert_array_equal(opened.data[...], loaded.data)
    np.testing.assert_array_equal(image_of(data).data, loaded.data)


def test_numbers_that_are_no_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((70, 90), np.complex64))
    with pytest.raises(ImageFileError, match="no pixel values"):
        open_image(path)


def test_axes_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, numbers(5, 70, 90), tile=(32, 32))
    assert open_image(path, "zyx").axes == load_image(path, "zyx").axes == "czyx"
    with pytest.raises(ImageFileError, match="axes"):
        open_image(path, "yx")


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((70, 90, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        ((70, 90), {"photometric": "palette", "colormap": numbers(3, 256, dtype="uint16")}),
    ],
)
def test_what_has_to_be_decoded_whole_is_read_at_once(
    shape: tuple[int, ...], options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, numbers(*shape), **options)
    opened = open_image(path)
    assert isinstance(opened.data, np.ndarray)
    np.testing.assert_array_equal(opened.data, load_image(path).data)


def test_a_small_tiff_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 70 * 90 + 1)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, numbers(70, 90), tile=(32, 32))
    assert isinstance(open_image(path).data, np.ndarray)


def test_a_damaged_tile_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, numbers(256, 256), tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, count = page.dataoffsets[3], page.databytecounts[3]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\x55" * count
    path.write_bytes(content)
    image = open_image(path)
    assert image.data[0, :100, :100].shape == (100, 100)
    with pytest.raises(ImageFileError, match=r"image\.tif is damaged"):
        image.data[0, 200:, 200:]


def test_a_tiff_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, numbers(256, 256))
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(ImageFileError, match="cut off"):
        open_image(path)


@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tczyx"])
def test_an_ome_zarr_image_is_read_when_it_is_asked_for(axes: str, tmp_path: Path) -> None:
    shape = [{"t": 2, "c": 3, "z": 4, "y": 30, "x": 40}[axis] for axis in axes]
    path = tmp_path / "image.ome.zarr"
    store.write_image(path, store.ImageArray(numbers(*shape), axes, {"x": 0.5}), {})
    opened, loaded = open_image(path), load_image(path)
    assert (opened.axes, opened.scale) == (loaded.axes, loaded.scale)
    assert opened.data.shape == loaded.data.shape
    np.testing.assert_array_equal(opened.data[...], loaded.data)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (None, 1, 0, 2), (1, None, 2, 0)])
def test_a_view_is_indexed_as_the_array_with_its_axes_moved(order: tuple[int | None, ...]) -> None:
    array = numbers(4, 5, 6)
    present = [axis for axis in order if axis is not None]
    moved = array.transpose(present)
    for place, axis in enumerate(order):
        moved = np.expand_dims(moved, place) if axis is None else moved
    view = AxesView("array", array, order)
    assert view.shape == moved.shape
    indices: list[Any] = [..., 0, slice(1, 3), (0, slice(None), 1), (..., 2), (slice(0, 4, 2), ...)]
    indices += [(0, ..., slice(1, 3)), (slice(0, 1), 0)]
    for index in indices:
        np.testing.assert_array_equal(view[index], moved[index])
    np.testing.assert_array_equal(np.asarray(view), moved)


def test_an_array_is_an_image_with_the_axes_that_it_has() -> None:
    assert image_of(numbers(30, 40)).axes == "cyx"
    assert image_of(numbers(30, 40, 3)).data.shape == (3, 30, 40)
    assert image_of(numbers(9, 30, 40)).axes == "czyx"
    assert image_of(numbers(9, 30, 40), "tyx").axes == "tcyx"
    with pytest.raises(ImageFileError, match="no pixel values"):
        image_of(np.zeros((3, 3), object))
