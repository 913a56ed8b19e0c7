"""Images and masks from files of all formats, and what is said about broken ones."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import is_image_file, read_image, read_mask_array

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike


def noise(*shape: int, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """Random values over the whole range of 8 bits."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def write_plain_pages(path: Path, pages: np.ndarray, **options: Any) -> None:
    """Write a TIFF of several pages that says nothing about its axes."""
    tifffile.imwrite(path, pages, photometric="minisblack", metadata=None, **options)


@pytest.mark.parametrize(
    ("name", "known"),
    [("a.TIF", True), ("a.ome.tiff", True), ("a.npy", True), ("a.txt", False), ("tif", False)],
)
def test_image_files_are_known_by_their_ending(tmp_path: Path, name: str, known: bool) -> None:
    assert is_image_file(tmp_path / name) is known


# --- TIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}])
def test_plain_tiff_keeps_values_and_type(
    tmp_path: Path, dtype: str, options: dict[str, str]
) -> None:
    plane = noise(20, 30, dtype=dtype)
    write_plain_pages(tmp_path / "a.tif", plane, **options)
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == "cyx"
    assert loaded.array.dtype == np.dtype(dtype)
    assert loaded.array.dtype.isnative
    np.testing.assert_array_equal(loaded.array[0], plane)
    assert loaded.scale == {} and loaded.unit == {}
    assert loaded.channel_names == ("channel 1",)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "packbits"])
def test_compressed_tiles(tmp_path: Path, compression: str) -> None:
    plane = noise(100, 70)
    tifffile.imwrite(tmp_path / "a.tif", plane, tile=(32, 32), compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0], plane)


def test_boolean_tiff_becomes_0_and_1(tmp_path: Path) -> None:
    plane = noise(20, 30) > 100
    tifffile.imwrite(tmp_path / "a.tif", plane)
    for array in (read_image(tmp_path / "a.tif").array[0], read_mask_array(tmp_path / "a.tif")):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, plane)


def test_pages_are_z_even_when_there_are_three(tmp_path: Path) -> None:
    stack = noise(3, 20, 30)
    write_plain_pages(tmp_path / "a.tif", stack)
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == "czyx"
    np.testing.assert_array_equal(loaded.array[0], stack)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.tif"), stack)


def test_imagej_hyperstack(tmp_path: Path) -> None:
    stack = noise(2, 3, 4, 20, 30, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "TZCYX", "spacing": 1.5, "unit": "um", "finterval": 2.0},
    )
    loaded = read_image(tmp_path / "a.tif")
    assert loaded.axes == "tczyx"
    np.testing.assert_array_equal(loaded.array, stack.transpose(0, 2, 1, 3, 4))
    assert loaded.scale == {"y": 0.5, "x": 0.25, "z": 1.5, "t": 2.0}
    assert loaded.unit == dict.fromkeys("zyx", "micrometer") | {"t": "second"}


def test_imagej_labels_name_the_channels(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "Labels": ["DAPI", "GFP"]}
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 20, 30), imagej=True, metadata=metadata)
    assert read_image(tmp_path / "a.tif").channel_names == ("DAPI", "GFP")


def test_imagej_pixels_are_no_unit(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "unit": "pixel"}
    tifffile.imwrite(
        tmp_path / "a.tif", noise(20, 30), imagej=True, resolution=(1, 1), metadata=metadata
    )
    assert read_image(tmp_path / "a.tif").scale == {}


def write_ome(path: Path, stack: np.ndarray) -> None:
    """Write an OME-TIFF with pixel sizes and channel names."""
    metadata = {
        "axes": "ZCYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 100.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 2.0,
        "PhysicalSizeZUnit": "\u00b5m",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(path, stack, ome=True, metadata=metadata)


@pytest.mark.parametrize("renamed", [False, True])
def test_ome_tiff(tmp_path: Path, renamed: bool) -> None:
    stack = noise(5, 2, 20, 30)
    path = tmp_path / "a.ome.tif"
    write_ome(path, stack)
    if renamed:
        path = path.rename(tmp_path / "b.tif")
    loaded = read_image(path)
    assert loaded.axes == "czyx"
    np.testing.assert_array_equal(loaded.array, stack.transpose(1, 0, 2, 3))
    assert loaded.scale == {"z": 2.0, "y": 100.0, "x": 0.1}
    assert loaded.unit == {"z": "micrometer", "y": "nanometer", "x": "micrometer"}
    assert loaded.channel_names == ("DAPI", "GFP")


def test_file_names_inside_a_tiff_are_not_opened(tmp_path: Path) -> None:
    mine, other = np.zeros((20, 30), np.uint8), np.full((20, 30), 9, np.uint8)
    tifffile.imwrite(tmp_path / "other.tif", other, metadata=None)
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint8" SizeX="30" SizeY="20" SizeZ="2" SizeC="1" SizeT="1">'
        '<TiffData FirstZ="0" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstZ="1" PlaneCount="1"><UUID FileName="other.tif">urn:uuid:2</UUID>'
        "</TiffData></Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.tif", mine, metadata=None, description=xml)
    assert not read_image(tmp_path / "a.tif").array.any()


def test_ome_tiff_without_all_planes_is_refused(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" '
        'SizeY="20" SizeZ="4" SizeC="1" SizeT="1"><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 30), metadata=None, description=xml)
    with pytest.raises(ImageFileError, match=r"a\.tif lacks 3 of the 4 planes"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("planar", [False, True])
def test_rgb_tiff(tmp_path: Path, planar: bool) -> None:
    colours = noise(3, 20, 30)
    stored = colours if planar else np.moveaxis(colours, 0, -1)
    config = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=config)
    loaded = read_image(tmp_path / "a.tif")
    assert (loaded.axes, loaded.channel_names) == ("cyx", ("red", "green", "blue"))
    np.testing.assert_array_equal(loaded.array, colours)
    mask = read_mask_array(tmp_path / "a.tif")
    np.testing.assert_array_equal(mask, np.moveaxis(colours, 0, -1))


@pytest.mark.parametrize(("extra", "count"), [("unassalpha", 3), ("unspecified", 4)])
def test_only_alpha_is_dropped_from_four_samples(tmp_path: Path, extra: str, count: int) -> None:
    pixels = noise(20, 30, 4)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra])
    array = read_image(tmp_path / "a.tif").array
    np.testing.assert_array_equal(array, np.moveaxis(pixels[..., :count], -1, 0))


def test_palette_tiff_is_colours_as_image_and_indices_as_mask(tmp_path: Path) -> None:
    indices = noise(20, 30) % 3
    palette = np.zeros((3, 256), np.uint16)
    palette[0, 1] = palette[2, 2] = 255 << 8
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0], (indices == 1) * 255)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.tif"), indices)
    colours = read_mask_array(tmp_path / "a.tif", palette_colours=True)
    np.testing.assert_array_equal(colours[..., 2], (indices == 2) * 255)


# --- PNG, JPEG and BMP ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "shape", "channels"),
    [("L", (20, 30), 1), ("LA", (20, 30, 2), 1), ("RGB", (20, 30, 3), 3), ("RGBA", (20, 30, 4), 3)],
)
def test_png_without_its_alpha(
    tmp_path: Path, mode: str, shape: tuple[int, ...], channels: int
) -> None:
    pixels = noise(*shape)
    pixels[:5, ..., -1] = 0  # colours below full transparency must survive
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = read_image(tmp_path / "a.png")
    assert loaded.axes == "cyx"
    expected = np.moveaxis(pixels.reshape(20, 30, -1)[..., :channels], -1, 0)
    np.testing.assert_array_equal(loaded.array, expected)


@pytest.mark.parametrize(("samples", "channels"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_png_of_16_bits_keeps_them(tmp_path: Path, samples: int, channels: int) -> None:
    pixels = noise(20, 30, samples, dtype=np.uint16) * 257 + 1
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    array = read_image(tmp_path / "a.png").array
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, np.moveaxis(pixels[..., :channels], -1, 0))


def save_palette(path: Path, indices: np.ndarray, bits: int) -> None:
    """Save a PNG whose class 1 is red and whose class 2 is blue."""
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255, 9, 9, 9])
    image.save(path, bits=bits)


@pytest.mark.parametrize("bits", [2, 8])
def test_palette_png(tmp_path: Path, bits: int) -> None:
    indices = noise(20, 30) % 3
    save_palette(tmp_path / "a.png", indices, bits)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[0], (indices == 1) * 255)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.png"), indices)
    colours = read_mask_array(tmp_path / "a.png", palette_colours=True)
    np.testing.assert_array_equal(colours[..., 2], (indices == 2) * 255)


def test_png_of_1_bit(tmp_path: Path) -> None:
    plane = noise(20, 30) > 100
    Image.fromarray(plane).save(tmp_path / "a.png")
    array = read_mask_array(tmp_path / "a.png")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, plane)


def test_grey_mask_of_4_bits_is_not_spread_over_the_range(tmp_path: Path) -> None:
    indices = noise(20, 30) % 16
    Image.fromarray(indices).save(tmp_path / "a.png", bits=4)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.png"), indices)


def test_jpeg_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95, exif=exif)
    array = read_image(tmp_path / "a.jpg").array
    assert array.shape == (3, 32, 16)
    assert array[:, :14].max() < 30 and array[:, 18:].min() > 220


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    array = read_image(tmp_path / "a.jpg").array
    assert array.shape == (3, 16, 16)
    assert array[0].min() > 200 and array[1:].max() < 60


def test_bmp(tmp_path: Path) -> None:
    pixels = noise(20, 30, 3)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp").array, pixels.transpose(2, 0, 1))


# --- axes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes", "result"),
    [
        ((20, 30), "cyx", (1, 20, 30)),
        ((1, 20, 30), "cyx", (1, 20, 30)),
        ((20, 30, 1), "cyx", (1, 20, 30)),
        ((20, 30, 3), "cyx", (3, 20, 30)),
        ((20, 30, 4), "cyx", (4, 20, 30)),
        ((2, 20, 30), "cyx", (2, 20, 30)),
        ((9, 20, 30), "czyx", (1, 9, 20, 30)),
        ((9, 20, 30, 3), "czyx", (3, 9, 20, 30)),
        ((2, 9, 20, 30), "czyx", (2, 9, 20, 30)),
        ((9, 2, 20, 30), "czyx", (2, 9, 20, 30)),
        ((8, 9, 20, 30), "tczyx", (8, 1, 9, 20, 30)),
        ((2, 2, 9, 20, 30), "tczyx", (2, 2, 9, 20, 30)),
        ((5, 9, 2, 20, 30), "tczyx", (5, 2, 9, 20, 30)),
        ((5, 9, 20, 30, 3), "tczyx", (5, 3, 9, 20, 30)),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_axes_of_bare_arrays_are_guessed(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], axes: str, result: tuple[int, ...]
) -> None:
    path, array = tmp_path / f"a{suffix}", noise(*shape)
    if suffix == ".npy":
        np.save(path, array)
    else:
        tifffile.imwrite(path, array, photometric="minisblack")
    loaded = read_image(path)
    assert (loaded.axes, loaded.array.shape) == (axes, result)
    assert loaded.array.sum() == array.sum()


@pytest.mark.parametrize(
    ("shape", "axes", "result_axes"),
    [
        ((3, 20, 30), "zyx", "czyx"),
        ((20, 30, 3), "yxz", "czyx"),
        ((20, 30, 2), "YXC", "cyx"),
        ((20, 30), "xy", "cyx"),
        ((9, 20, 30), "tyx", "tcyx"),
    ],
)
def test_axes_named_by_the_user_win(
    tmp_path: Path, shape: tuple[int, ...], axes: str, result_axes: str
) -> None:
    array = noise(*shape)
    np.save(tmp_path / "a.npy", array)
    loaded = read_image(tmp_path / "a.npy", axes=axes)
    assert loaded.axes == result_axes
    order = [axes.lower().index(axis) for axis in result_axes if axis in axes.lower()]
    np.testing.assert_array_equal(loaded.array.squeeze(), array.transpose(order).squeeze())


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("yx", r"a\.npy has 3 axes \(9, 20, 30\), but axes='yx' names 2"),
        ("yyx", "makes no sense"),
        ("zcx", "makes no sense"),
        ("qyx", "makes no sense"),
    ],
)
def test_axes_that_do_not_fit(tmp_path: Path, axes: str, message: str) -> None:
    np.save(tmp_path / "a.npy", noise(9, 20, 30))
    with pytest.raises(ImageFileError, match=message):
        read_image(tmp_path / "a.npy", axes=axes)


@pytest.mark.parametrize("shape", [(5, 6, 7, 20, 30), (5, 6, 7, 8, 20, 30)])
def test_axes_that_cannot_be_guessed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(ImageFileError, match="does not say what its") as caught:
        read_image(tmp_path / "a.npy")
    assert "axes=" in caught.value.hint


def test_unknown_tiff_axes_can_be_named(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(5, 20, 30), photometric="minisblack", metadata={"axes": "EYX"}
    )
    with pytest.raises(ImageFileError, match="has the axes EYX"):
        read_image(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", axes="cyx").array.shape == (5, 20, 30)


@pytest.mark.parametrize(
    ("shape", "result"),
    [((3, 20, 30), (3, 20, 30)), ((1, 20, 30), (20, 30)), ((20, 30, 4), (20, 30, 3))],
)
def test_leading_axes_of_a_mask_are_no_channels(
    tmp_path: Path, shape: tuple[int, ...], result: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", noise(*shape))
    assert read_mask_array(tmp_path / "a.npy").shape == result


def test_mask_with_channels_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(2, 20, 30), photometric="minisblack", metadata={"axes": "CYX"}
    )
    with pytest.raises(ImageFileError, match=r"a\.tif has 2 channels of uint8; a mask has one"):
        read_mask_array(tmp_path / "a.tif")


def test_big_endian_npy_becomes_native(tmp_path: Path) -> None:
    plane = noise(20, 30, dtype=">u2")
    np.save(tmp_path / "a.npy", plane)
    array = read_image(tmp_path / "a.npy").array
    assert array.dtype.isnative and not isinstance(array, np.memmap)
    np.testing.assert_array_equal(array[0], plane)


# --- broken input -----------------------------------------------------------------------------


def test_some_nan_is_kept_and_only_nan_refused(tmp_path: Path) -> None:
    plane = np.full((20, 30), np.nan, np.float32)
    np.save(tmp_path / "none.npy", plane)
    with pytest.raises(ImageFileError, match=r"none\.npy has no finite value"):
        read_image(tmp_path / "none.npy")
    plane[0, 0] = 1
    np.save(tmp_path / "one.npy", plane)
    assert np.isnan(read_image(tmp_path / "one.npy").array).sum() == 20 * 30 - 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5), complex), "holds values of type complex128"),
        (np.array([["a", "b"]]), "holds values of type <U1"),
        (np.array([[{}]], dtype=object), "cannot be read as NPY"),
        (np.zeros((0, 5)), r"holds no image: its shape is \(0, 5\)"),
        (np.zeros(5), r"holds no image: its shape is \(5,\)"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ImageFileError, match=rf"a\.npy {message}") as caught:
        read_image(tmp_path / "a.npy")
    assert caught.value.hint


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp", ".npy"])
@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"hello, world", "")])
def test_files_that_are_not_what_their_name_says(
    tmp_path: Path, suffix: str, content: bytes, message: str
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ImageFileError, match=rf"^a\{suffix}.*{message}") as caught:
        read_image(tmp_path / f"a{suffix}")
    assert "export it again" in caught.value.hint
    assert str(tmp_path) not in caught.value.message


def write_any(path: Path, kind: str) -> None:
    """Write one of the files that are then cut off."""
    stack = noise(5, 40, 50)
    if kind == "pages":
        Image.fromarray(stack[0]).save(
            path, save_all=True, append_images=[Image.fromarray(p) for p in stack[1:]]
        )
    elif kind == "imagej":
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "ome":
        tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX"})
    elif kind == "big":
        tifffile.imwrite(path, stack, bigtiff=True, photometric="minisblack")
    elif kind == "plain":
        write_plain_pages(path, stack)
    elif kind == "lzw":
        write_plain_pages(path, stack, compression="lzw")
    elif kind == "motorola":
        write_plain_pages(path, stack, byteorder=">")
    elif path.suffix == ".npy":
        np.save(path, stack)
    else:
        Image.fromarray(stack[0]).save(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.985])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", ""), ("a.jpg", ""), ("a.bmp", ""), ("a.npy", "")]
    + [("a.tif", k) for k in ("pages", "imagej", "ome", "big", "plain", "lzw", "motorola")],
)
def test_files_that_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, share: float
) -> None:
    # Another plugin may have told Pillow to fill up cut-off files.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    write_any(tmp_path / name, kind)
    assert read_image(tmp_path / name).array.size
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageFileError, match=name) as caught:
        read_image(tmp_path / name)
    assert caught.value.hint
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_missing_files_folders_and_other_formats(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"a\.png does not exist"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ImageFileError, match=r"b\.png is not a file"):
        read_image(tmp_path / "b.png")
    with pytest.raises(ImageFileError, match=r"c\.docx is no image format known here"):
        read_mask_array(tmp_path / "c.docx")


def test_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (999_999, 999_999)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(100))
    with pytest.raises(ImageFileError, match=r"a\.npy cannot be read as NPY"):
        read_image(tmp_path / "a.npy")


def test_small_file_with_a_huge_image_is_refused(tmp_path: Path) -> None:
    header = imagecodecs.png_encode(noise(1, 1))
    size = (200_000).to_bytes(4, "big")
    chunk = b"IHDR" + size + size + header[24:29]
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(header[:12] + chunk + crc + header[33:])
    with pytest.raises(ImageFileError, match=r"a\.png claims 37 GiB of pixels"):
        read_image(tmp_path / "a.png")


def test_large_image_within_reason_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a low limit of Pillow a small file stands for one of 20000 x 20000 pixels.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").array.shape == (1, 20, 30)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_names_with_wildcards_are_plain_names(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a1.tif", noise(20, 30))
    shutil.copy(tmp_path / "a1.tif", tmp_path / "a[1]*.tif")
    assert read_image(tmp_path / "a[1]*.tif").axes == "cyx"
