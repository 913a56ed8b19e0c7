"""Mask values to ground truth and back, and what is said about values that fit nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import (
    ColourValues,
    MaskValues,
    decode_mask,
    encode_mask,
    load_mask_values,
    looks_binary,
    read_mask_array,
)
from napari_threestage.ingest import masks as masks_module

if TYPE_CHECKING:
    from pathlib import Path

RED_BLUE = [(255, 0, 0), (0, 0, 255)]


def mask(*values: float, dtype: Any = np.uint8) -> np.ndarray:
    """Make a mask of one row."""
    return np.array([values], dtype)


@pytest.mark.parametrize(
    ("values", "unlabelled", "raw", "truth"),
    [
        ("index", 255, [0, 1, 2, 255], [1, 2, 3, 0]),
        ("index", 9, [0, 1, 2, 9], [1, 2, 3, 0]),
        ("index", None, [0, 1, 2, 0], [1, 2, 3, 1]),
        ("index", 0, [0, 1, 2, 0], [0, 2, 3, 0]),
        ("one-based", 255, [0, 1, 3, 255], [0, 1, 3, 0]),
        ("one-based", None, [0, 1, 2, 3], [0, 1, 2, 3]),
        ({0: 1, 128: 3, 7: 0}, 255, [0, 128, 7, 255], [1, 3, 0, 0]),
        ({0: 1, 255: 2}, 255, [0, 255, 255, 0], [1, 2, 2, 1]),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float32", ">u2"])
def test_values_become_classes(
    values: MaskValues, unlabelled: int | None, raw: list[int], truth: list[int], dtype: str
) -> None:
    result = decode_mask(mask(*raw, dtype=dtype), 3, values=values, unlabelled_value=unlabelled)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [truth])


def test_large_values_of_a_mapping() -> None:
    raw = mask(10**9, 0, dtype=np.uint32)
    result = decode_mask(raw, 2, values={10**9: 2, 0: 0})
    np.testing.assert_array_equal(result, [[2, 0]])


def test_stacks_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks_module, "_BLOCK", 7)
    raw = np.random.default_rng(0).integers(0, 4, (3, 5, 6)).astype(np.uint8)
    np.testing.assert_array_equal(decode_mask(raw, 4), raw + 1)
    np.testing.assert_array_equal(decode_mask(raw[:, ::2, ::-1], 4), raw[:, ::2, ::-1] + 1)


def test_booleans() -> None:
    np.testing.assert_array_equal(decode_mask(mask(0, 1, dtype=bool), 2), [[1, 2]])


def test_more_than_255_classes() -> None:
    raw = mask(0, 255, 299, 65535, dtype=np.uint16)
    result = decode_mask(raw, 300, unlabelled_value=65535)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, [[1, 256, 300, 0]])


@pytest.mark.parametrize(("values", "n_classes"), [("index", 256), ("one-based", 255)])
def test_255_cannot_be_a_class_and_not_labelled(values: MaskValues, n_classes: int) -> None:
    with pytest.raises(ImageFileError, match="255 means not labelled and is a class as well"):
        decode_mask(mask(0, 255), n_classes, values=values)
    assert decode_mask(mask(0, 254), n_classes, values=values).max() >= 254


@pytest.mark.parametrize(
    ("raw", "n_classes", "values", "unlabelled", "message", "hint"),
    [
        ([0, 7, 9], 3, "index", 255, "values 7, 9; allowed are 0 to 2 for 3 classes", "JSON"),
        ([0, 1, 2, 3], 3, "index", 255, "values 3; allowed are 0 to 2", "--mask-values one-based"),
        ([0, 4], 3, "one-based", 255, "values 4; allowed are 0 to 3", "JSON"),
        ([0, 255], 2, "index", None, "values 255; allowed are 0 to 1", '{"0": 1, "255": 2}'),
        ([0, 255], 2, "one-based", None, "values 255;", "0/255 binary mask"),
        ([0, 1, 2, 255], 3, "index", None, "values 255;", "--unlabelled-value 255"),
        ([0, 64, 128], 3, "index", 255, "values 64, 128;", '{"0": 1, "64": 2, "128": 3}'),
        ([0, 5], 3, {0: 1}, 255, "values 5, which the mask values do not list", "JSON"),
        (range(20), 3, "index", 255, r"values 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.;", "classes"),
    ],
)
def test_values_of_no_class(
    raw: list[int],
    n_classes: int,
    values: MaskValues,
    unlabelled: int | None,
    message: str,
    hint: str,
) -> None:
    with pytest.raises(ImageFileError, match=message) as caught:
        decode_mask(mask(*raw), n_classes, values=values, unlabelled_value=unlabelled)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (mask(0.5, 1, dtype=float), "not whole"),
        (mask(np.nan, 1, dtype=float), "not whole, or NaN"),
        (mask(np.inf, 1, dtype=float), "not whole"),
        (mask(1e300, 1, dtype=float), "above 2"),
        (mask(-1, 1, dtype=np.int16), "negative values, the lowest is -1"),
        (mask(-1, 1, dtype=float), "negative values, the lowest is -1"),
        (mask(1, 1, dtype=complex), "holds complex128"),
    ],
)
@pytest.mark.parametrize("values", ["index", "one-based", {0: 1}])
def test_numbers_that_are_no_values(raw: np.ndarray, message: str, values: MaskValues) -> None:
    with pytest.raises(ImageFileError, match=message) as caught:
        decode_mask(raw, 2, values=values)
    assert caught.value.hint


def test_mapping_to_a_class_that_is_not_there() -> None:
    with pytest.raises(ImageFileError, match="name class 3, but there are 2 classes"):
        decode_mask(mask(0), 2, values={0: 3})


def test_unknown_word() -> None:
    with pytest.raises(ImageFileError, match="'indices' are not known"):
        decode_mask(mask(0), 2, values="indices")  # type: ignore[arg-type]


# --- colours ----------------------------------------------------------------------------------


def coloured(*colours: tuple[int, int, int]) -> np.ndarray:
    """Make a colour mask of one row."""
    return np.array([colours], np.uint8)


def test_colours_of_the_classes() -> None:
    raw = coloured(*RED_BLUE, RED_BLUE[0])
    np.testing.assert_array_equal(decode_mask(raw, 2, values="rgb", colours=RED_BLUE), [[1, 2, 1]])


def test_colours_of_a_mapping() -> None:
    raw = coloured((0, 0, 0), (255, 255, 255), (0, 0, 1))
    values = ColourValues({0x000000: 0, 0xFFFFFF: 2, 0x000001: 1})
    np.testing.assert_array_equal(decode_mask(raw, 2, values=values), [[0, 2, 1]])


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (254, 0, 0)])
def test_colour_of_no_class(colour: tuple[int, int, int]) -> None:
    raw = coloured(RED_BLUE[0], colour, colour)
    name = "#{:02x}{:02x}{:02x}".format(*colour)
    with pytest.raises(
        ImageFileError, match=rf"colours of no class: {name} \(2 pixels\)"
    ) as caught:
        decode_mask(raw, 2, values="rgb", colours=RED_BLUE)
    assert f'{{"{name}": 0' in caught.value.hint


def test_smoothed_colours() -> None:
    raw = coloured(*((i, i, 0) for i in range(30)))
    with pytest.raises(ImageFileError, match="and 25 more") as caught:
        decode_mask(raw, 2, values="rgb", colours=RED_BLUE)
    assert "JPEG" in caught.value.hint


@pytest.mark.parametrize("colours", [None, RED_BLUE[:1], [(1, 2, 3), (1, 2, 3)]])
def test_colours_that_do_not_name_the_classes(
    colours: list[tuple[int, int, int]] | None,
) -> None:
    with pytest.raises(ImageFileError, match="colour"):
        decode_mask(coloured(*RED_BLUE), 2, values="rgb", colours=colours)


def test_grey_colours_are_values() -> None:
    raw = coloured((0, 0, 0), (1, 1, 1), (255, 255, 255))
    np.testing.assert_array_equal(decode_mask(raw, 2), [[1, 2, 0]])


@pytest.mark.parametrize("values", ["index", "one-based", {0: 1}])
def test_colours_where_values_are_wanted(values: MaskValues) -> None:
    with pytest.raises(ImageFileError, match="holds colours") as caught:
        decode_mask(coloured(*RED_BLUE), 2, values=values)
    assert "--mask-values rgb" in caught.value.hint


@pytest.mark.parametrize("values", ["rgb", ColourValues({0: 1})])
def test_values_where_colours_are_wanted(values: MaskValues) -> None:
    with pytest.raises(ImageFileError, match="one value per pixel"):
        decode_mask(mask(0, 1), 2, values=values, colours=RED_BLUE)


def test_palette_file_read_as_colours(tmp_path: Path) -> None:
    image = Image.fromarray(mask(1, 0, 1))
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.save(tmp_path / "a.png")
    raw = read_mask_array(tmp_path / "a.png", palette_colours=True)
    np.testing.assert_array_equal(decode_mask(raw, 2, values="rgb", colours=RED_BLUE), [[1, 2, 1]])
    np.testing.assert_array_equal(decode_mask(read_mask_array(tmp_path / "a.png"), 2), [[2, 1, 2]])


# --- encode -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_classes", "unlabelled", "dtype"),
    [(3, 255, np.uint8), (255, 255, np.uint8), (3, 3, np.uint8), (300, 65535, np.uint16)],
)
def test_encode_is_the_inverse(n_classes: int, unlabelled: int, dtype: type) -> None:
    truth = np.arange(n_classes + 1, dtype=np.uint8 if n_classes <= 255 else np.uint16)[None]
    before = truth.copy()
    encoded = encode_mask(truth, unlabelled)
    assert encoded.dtype == dtype
    np.testing.assert_array_equal(encoded[0, :4], [unlabelled, 0, 1, 2])
    np.testing.assert_array_equal(truth, before)
    decoded = decode_mask(encoded, n_classes, unlabelled_value=unlabelled)
    assert decoded.dtype == truth.dtype
    np.testing.assert_array_equal(decoded, truth)


@pytest.mark.parametrize(
    ("truth", "unlabelled", "message"),
    [
        (mask(0, 3), 2, "value 2 for not labelled is also the index of a class"),
        (mask(0, 256, dtype=np.uint16), 255, "value 255 for not labelled is also"),
        (mask(0, 1), -1, "-1 cannot be"),
        (mask(0, 1), 65536, "65536 cannot be"),
        (mask(0, -1, dtype=np.int8), 255, "whole numbers from 0"),
        (mask(0, 1, dtype=float), 255, "whole numbers from 0"),
    ],
)
def test_encode_refuses(truth: np.ndarray, unlabelled: int, message: str) -> None:
    with pytest.raises(ImageFileError, match=message):
        encode_mask(truth, unlabelled)


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["index", "one-based", "rgb", " RGB "])
def test_words(word: str) -> None:
    assert load_mask_values(word) == word.strip().lower()


def test_mapping_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text('{"0": 1, "128": 2, "7": 0}', encoding="utf-8")
    values = load_mask_values(str(path))
    assert values == {0: 1, 128: 2, 7: 0}
    assert not isinstance(values, ColourValues)
    path.write_text('{"#ff0000": 1, "#0000FF": 0}', encoding="utf-8")
    values = load_mask_values(str(path))
    assert values == {0xFF0000: 1, 0x0000FF: 0}
    assert isinstance(values, ColourValues)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is not a JSON file"),
        ("[1, 2]", "does not map"),
        ("{}", "does not map"),
        ('{"a": 1}', "wrong mask value 'a'"),
        ('{"-1": 1}', "wrong mask value '-1'"),
        ('{"#ff": 1}', "wrong mask value '#ff'"),
        ('{"#ff0000": 1, "3": 2}', "wrong mask value '#ff0000'"),
        ('{"0": 1, "00": 2}', "lists the mask value '00' twice"),
        ('{"0": "1"}', "gives '0' the class '1'"),
        ('{"0": true}', "gives '0' the class True"),
        ('{"0": -1}', "gives '0' the class -1"),
    ],
)
def test_files_that_are_no_mapping(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ImageFileError, match=rf"^values\.json {message}|{message}") as caught:
        load_mask_values(str(path))
    assert caught.value.hint


def test_neither_word_nor_file() -> None:
    with pytest.raises(
        ImageFileError, match="'onebased': neither index, one-based, rgb nor a file"
    ):
        load_mask_values("onebased")


def test_hint_for_other_values_is_a_file_that_works(tmp_path: Path) -> None:
    raw = mask(0, 64, 128)
    with pytest.raises(ImageFileError) as caught:
        decode_mask(raw, 3)
    hint = caught.value.hint
    (tmp_path / "v.json").write_text(hint[hint.index("{") : hint.index("}") + 1], encoding="utf-8")
    assert json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
    values = load_mask_values(str(tmp_path / "v.json"))
    np.testing.assert_array_equal(decode_mask(raw, 3, values=values), [[1, 2, 3]])


@pytest.mark.parametrize(
    ("values", "expected"), [((0, 255), True), ((0,), False), ((0, 1, 255), False), ((), False)]
)
def test_binary_masks_are_recognised(values: tuple[int, ...], expected: bool) -> None:
    assert looks_binary(mask(*values)) is expected
