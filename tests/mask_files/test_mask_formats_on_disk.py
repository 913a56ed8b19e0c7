"""Each format of masks as another program reads it: the same pixels, names, colours and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from mask_helpers import CLASSES, many, noise
from PIL import Image

from napari_threestage import store
from napari_threestage.errors import ConfigError
from napari_threestage.ingest import decode_mask, read_image, read_mask_array
from napari_threestage.mask_files import FORMATS, MaskFolder, is_mask_file
from napari_threestage.mask_files.png import distinct_colors

if TYPE_CHECKING:
    from pathlib import Path

SCALE = {"t": 2.5, "z": 1.5, "y": 0.25, "x": 0.5}
UNIT = {"t": "second"} | dict.fromkeys("zyx", "micrometer")
SHAPES = {"yx": (12, 17), "zyx": (4, 12, 17), "tyx": (3, 12, 17), "tzyx": (2, 3, 12, 17)}


def write(
    folder: Path, format: str, labels: np.ndarray, axes: str, sizes: bool = True
) -> list[Path]:
    with MaskFolder(folder, format, CLASSES) as masks:
        scale, unit = (SCALE, UNIT) if sizes else ({}, {})
        return masks.add("a", labels, axes, scale, unit)


# --- TIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("sizes", [True, False])
def test_tiff_holds_indices_axes_and_sizes(tmp_path: Path, axes: str, sizes: bool) -> None:
    labels = noise(SHAPES[axes])
    (path,) = write(tmp_path, "tiff", labels, axes, sizes)
    assert path == tmp_path / "a.tif" and is_mask_file(path)
    np.testing.assert_array_equal(tifffile.imread(path), labels - np.uint8(1))
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej and file.series[0].axes == axes.upper()
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert file.imagej_metadata["max"] == 2
    image = read_image(path)
    assert image.axes.replace("c", "") == axes
    if sizes:
        assert image.scale == pytest.approx({axis: SCALE[axis] for axis in axes})
        assert image.unit == {axis: UNIT[axis] for axis in axes}
    else:
        assert not image.unit and set(image.scale.values()) <= {1.0}
    np.testing.assert_array_equal(decode_mask(read_mask_array(path), 3), labels)


@pytest.mark.parametrize(
    ("scale", "unit"),
    [
        ({"y": 1e-12, "x": 1e-12}, "meter"),
        ({"y": 1e9, "x": 1e9}, "nanometer"),
        ({"y": 0.5, "x": 0.5}, "\u00b5-units\n"),
        ({"y": float("nan"), "x": 0.0}, "meter"),
        ({"y": 1.0, "x": 1.0}, ""),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_odd_sizes_do_no_harm(
    tmp_path: Path, format: str, scale: dict[str, float], unit: str
) -> None:
    with MaskFolder(tmp_path, format, CLASSES, statistics=True) as masks:
        masks.add("a", noise((4, 5)), "yx", scale, dict.fromkeys("yx", unit) if unit else {})
    assert len(masks.statistics) == 2


def test_a_mask_too_large_for_imagej_is_a_plain_tiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_threestage.mask_files.tiff._IMAGEJ_LIMIT", 10)
    labels = noise((3, 12, 17))
    (path,) = write(tmp_path, "tiff", labels, "zyx")
    with tifffile.TiffFile(path) as file:
        assert not file.is_imagej
    np.testing.assert_array_equal(read_mask_array(path), labels - np.uint8(1))
    assert is_mask_file(path)


# --- PNG --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", SHAPES)
def test_png_holds_one_plane_a_file_in_the_colours_of_the_classes(
    tmp_path: Path, axes: str
) -> None:
    labels = noise(SHAPES[axes])
    paths = write(tmp_path, "png", labels, axes)
    planes = labels.reshape(-1, 12, 17)
    colours = np.array([(0, 0, 0), *(color for _, color in CLASSES)], np.uint8)
    for path, plane in zip(paths, planes, strict=True):
        with Image.open(path) as image:
            assert image.mode == "P" and image.info["Software"] == "threestage"
            np.testing.assert_array_equal(np.asarray(image), plane - np.uint8(1))
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colours[plane])
        np.testing.assert_array_equal(decode_mask(read_mask_array(path), 3), plane)
    names = {
        "yx": ["a"],
        "zyx": [f"a_z00{z}" for z in range(4)],
        "tyx": [f"a_t00{t}" for t in range(3)],
        "tzyx": [f"a_z00{z}_t00{t}" for t in range(2) for z in range(3)],
    }
    assert [path.stem for path in paths] == names[axes]


def test_a_stack_of_one_plane_is_one_file(tmp_path: Path) -> None:
    for kind, name in (("png", "a.png"), ("coco", "panoptic/a.png")):
        assert write(tmp_path, kind, noise((1, 1, 4, 5)), "tzyx") == [tmp_path / name]


def test_a_large_png_is_whole(tmp_path: Path) -> None:
    labels = noise((2500, 1200))  # more than one block of packed pixels
    (path,) = write(tmp_path, "png", labels, "yx")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels - np.uint8(1))


def labelmap(path: Path) -> dict[str, tuple[int, ...]]:
    """Read a list of labels by the rules of CVAT: name, colour, parts and actions."""
    found: dict[str, tuple[int, ...]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, color, parts, actions = line.split(":")
            assert name and name not in found and parts == actions == ""
            found[name] = tuple(int(part) for part in color.split(","))
    return found


def test_the_list_of_labels_names_every_colour_in_the_files(tmp_path: Path) -> None:
    (path,) = write(tmp_path, "png", noise((12, 17)), "yx")
    found = labelmap(tmp_path / "labelmap.txt")
    assert list(found) == ["ground", 'cell "odd", ü', "last", "not labelled"]
    assert list(found.values()) == [*(color for _, color in CLASSES), (0, 0, 0)]
    with Image.open(path) as image:
        used = {color for _, color in image.convert("RGB").getcolors()}
    assert used == set(found.values())


def test_names_and_colours_that_are_alike_are_told_apart(tmp_path: Path) -> None:
    classes = [
        ("a:b", (0, 0, 0)),
        ("a b", (9, 9, 9)),
        ("#", (9, 9, 9)),
        ("not labelled", (1, 1, 1)),
    ]
    with MaskFolder(tmp_path, "png", classes) as masks:
        masks.add("a", noise((9, 9), 4), "yx", {}, {})
    found = labelmap(tmp_path / "labelmap.txt")
    assert list(found) == ["a b", "a b 2", "class 3", "not labelled", "not labelled 2"]
    assert len(set(found.values())) == 5 and found["a b"] == (0, 0, 0)


def test_colours_stay_distinct_for_many_classes() -> None:
    found, unlabelled = distinct_colors([(5, 5, 5)] * 90)
    assert len({*found, unlabelled}) == 91 and found[0] == (5, 5, 5)


# --- OME-Zarr ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", SHAPES)
def test_ome_zarr_is_a_valid_label_image(tmp_path: Path, axes: str) -> None:
    from ome_zarr_models import open_ome_zarr

    labels = noise(SHAPES[axes])
    (path,) = write(tmp_path, "ome-zarr", labels, axes)
    store.validate(path)
    image = open_ome_zarr(zarr.open_group(path, mode="r"))
    meaning = image.attributes.ome.image_label
    assert [entry.label_value for entry in meaning.properties] == [0, 1, 2, 3]
    assert [tuple(entry.rgba[:3]) for entry in meaning.colors[1:]] == [c for _, c in CLASSES]
    found = store.read_ome_zarr(path)
    assert found.axes == axes
    assert found.scale == {a: SCALE[a] for a in axes} and found.unit == {a: UNIT[a] for a in axes}
    np.testing.assert_array_equal(found.data[...], labels)


def test_napari_shows_an_ome_zarr_mask_with_names_and_colours(tmp_path: Path) -> None:
    from napari_ome_zarr import napari_get_reader

    labels = noise((4, 12, 17))
    (path,) = write(tmp_path, "ome-zarr", labels, "zyx")
    reader = napari_get_reader(str(path))
    assert reader is not None
    ((data, options, kind),) = reader(str(path))
    assert kind == "labels"
    data = data[0] if isinstance(data, list) else data
    np.testing.assert_array_equal(np.asarray(data), labels)
    assert options["properties"]["class"] == ["not labelled", *(name for name, _ in CLASSES)]
    for value, (_, color) in enumerate(CLASSES, start=1):
        assert tuple(np.round(255 * np.asarray(options["colormap"][value]))[:3]) == color


def test_a_large_ome_zarr_mask_has_coarser_levels(tmp_path: Path) -> None:
    labels = noise((6, 4100))
    (path,) = write(tmp_path, "ome-zarr", labels, "yx")
    store.validate(path)
    group = zarr.open_group(path, mode="r")
    assert [group[str(k)].shape[-1] for k in range(3)] == [4100, 2050, 1025]
    np.testing.assert_array_equal(group["1"][...], labels[::2, ::2])


def test_an_ome_zarr_mask_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = noise((9, 9), seed=1), noise((9, 9), seed=2)
    (path,) = write(tmp_path, "ome-zarr", first, "yx")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(store, "_write_group", fail)
        write(tmp_path, "ome-zarr", second, "yx")
    np.testing.assert_array_equal(store.read_ome_zarr(path).data[...], first)
    write(tmp_path, "ome-zarr", second, "yx")
    np.testing.assert_array_equal(store.read_ome_zarr(path).data[...], second)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ome.zarr"]


# --- any number of classes --------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("count", [1, 254, 255])
def test_as_many_classes_as_a_byte_can_tell(tmp_path: Path, format: str, count: int) -> None:
    labels = np.arange(count + 1, dtype=np.uint8).repeat(3).reshape(3, -1)
    with MaskFolder(tmp_path, format, many(count), statistics=True) as masks:
        (path,) = masks.add("a", labels, "yx", {}, {})
    if format == "ome-zarr":
        np.testing.assert_array_equal(store.read_ome_zarr(path).data[...], labels)
    if format in ("tiff", "png"):
        np.testing.assert_array_equal(decode_mask(read_mask_array(path), count), labels)


@pytest.mark.parametrize("format", FORMATS)
def test_more_classes_than_a_byte_can_tell(tmp_path: Path, format: str) -> None:
    labels = np.arange(301, dtype=np.uint16).reshape(7, 43)
    if format in ("tiff", "png"):
        with pytest.raises(ConfigError, match="255 classes, not 300"):
            MaskFolder(tmp_path / "new", format, many(300))
        assert not (tmp_path / "new").exists()
        return
    with MaskFolder(tmp_path, format, many(300), statistics=True) as masks:
        (path,) = masks.add("a", labels, "yx", {}, {})
    if format == "ome-zarr":
        np.testing.assert_array_equal(store.read_ome_zarr(path).data[...], labels)
