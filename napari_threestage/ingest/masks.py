"""From the values or colours of mask files to ground truth, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.mask_options import MASK_WORDS, ColourValues, MaskValues

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BLOCK = 2**22  # pixels looked at together: bounds the memory that sorting needs


def decode_mask(
    raw: np.ndarray,
    n_classes: int,
    *,
    values: MaskValues = "index",
    unlabelled_value: int | None = 255,
    colours: Sequence[tuple[int, int, int]] | None = None,
) -> np.ndarray:
    """Turn the values of a mask file into ground truth.

    Parameters
    ----------
    raw
        Values ``(.., y, x)``: booleans, integers or floats that are whole numbers; or colours
        ``(.., y, x, 3)`` uint8.
    n_classes
        Number of classes C of the project.
    values
        ``"index"``: the value v is class v + 1; ``"one-based"``: v is class v and 0 is not
        labelled; ``"rgb"``: the colours of the classes; or a mapping from value to class (a
        `ColourValues` from colour to class) in which class 0 is not labelled.
    unlabelled_value
        The value that means not labelled, whatever class it would be otherwise; a mapping that
        lists it wins. None: no value. It has no meaning for colours.
    colours
        Colours of the classes 1..C, needed for ``"rgb"``.

    Returns
    -------
    numpy.ndarray
        Shape ``(.., y, x)``, uint8 (uint16 for more than 255 classes): 0 not labelled, 1..C.

    Raises
    ------
    ImageFileError
        A value or colour names no class, the values are negative or not whole numbers, or the
        file holds colours where values are wanted or the other way round.
    """
    by_colour = values == "rgb" or isinstance(values, ColourValues)
    flat = _pack_colours(raw) if by_colour else _whole_numbers(_one_channel(raw))
    table = class_table(n_classes, values, unlabelled_value, colours)
    present = _present(flat)
    _check_present(flat, present, table, n_classes, values, unlabelled_value)
    dtype = np.uint8 if n_classes <= 255 else np.uint16
    classes = np.array([table[int(value)] for value in present], dtype)
    truth = np.empty(flat.shape, dtype)
    for source, target in zip(_blocks(flat), _blocks(truth), strict=True):
        target[...] = classes[np.searchsorted(present, source)]
    return truth


def encode_mask(truth: np.ndarray, unlabelled_value: int = 255) -> np.ndarray:
    """Turn ground truth into the values of a mask file, the inverse of ``"index"``.

    Parameters
    ----------
    truth
        Integers of any shape: 0 not labelled, classes 1..C.
    unlabelled_value
        The value to write for not labelled, 0..65535 and above all class indices.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8, or uint16 where a value is above 255: classes 0..C-1.

    Raises
    ------
    ImageFileError
        `unlabelled_value` is out of range or would mean a class, or `truth` is no ground truth.
    """
    highest = int(truth.max(initial=0))
    if truth.dtype.kind not in "ui" or int(truth.min(initial=0)) < 0 or highest > 65535:
        raise ImageFileError("The ground truth must hold whole numbers from 0 to 65535.")
    if not 0 <= unlabelled_value <= 65535:
        raise ImageFileError(
            f"{unlabelled_value} cannot be the value for not labelled.", "Use 0 to 65535."
        )
    if unlabelled_value < highest:
        raise ImageFileError(
            f"The value {unlabelled_value} for not labelled is also the index of a class.",
            f"Use a value above {highest - 1}, for example 65535.",
        )
    dtype = np.uint8 if unlabelled_value <= 255 else np.uint16
    encoded = truth.astype(dtype)
    np.subtract(encoded, 1, out=encoded)  # not labelled wraps round, and is set next
    encoded[truth == 0] = unlabelled_value
    return encoded


def class_table(
    n_classes: int,
    values: MaskValues,
    unlabelled_value: int | None,
    colours: Sequence[tuple[int, int, int]] | None,
) -> dict[int, int]:
    """Give the class of every value or packed colour that a file may hold.

    The parameters are those of `decode_mask`; class 0 is not labelled.
    """
    if values == "rgb":
        return _colour_table(n_classes, colours)
    if isinstance(values, Mapping):
        wrong = [label for label in values.values() if not 0 <= label <= n_classes]
        if wrong:
            raise ImageFileError(
                f"The mask values name class {wrong[0]}, but there are {n_classes} classes.",
                f"Use 1 to {n_classes}, and 0 for not labelled.",
            )
        if unlabelled_value is None or isinstance(values, ColourValues):
            return dict(values)
        return {unlabelled_value: 0, **values}
    if values == "one-based":
        table = {value: value for value in range(n_classes + 1)}
    elif values == "index":
        table = {value: value + 1 for value in range(n_classes)}
    else:
        raise ImageFileError(
            f"Mask values {values!r} are not known.", f"Use {', '.join(MASK_WORDS)}."
        )
    if unlabelled_value is not None:
        table[unlabelled_value] = 0
    return table


def count_values(raw: np.ndarray, by_colour: bool) -> dict[int, int]:
    """Count the pixels of each value of a mask file, or of each colour packed as 0xRRGGBB.

    Raises
    ------
    ImageFileError
        The values are no whole numbers, or colours and values are taken for each other.
    """
    flat = _pack_colours(raw) if by_colour else _whole_numbers(_one_channel(raw))
    counts: dict[int, int] = {}
    for block in _blocks(flat):
        for value, count in zip(*np.unique(block, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    return counts


def holds_colours(raw: np.ndarray) -> bool:
    """Say whether a mask holds colours that are not all grey."""
    return _is_colour(raw) and bool((raw[..., :1] != raw[..., 1:]).any())


def looks_binary(raw: np.ndarray) -> bool:
    """Say whether the values are 0 and 255 and no others, as in a black and white mask.

    ``"index"`` with 255 for not labelled reads such a mask as class 1 and not labelled. That is
    right for a file where only class 1 was painted, and worth a question if all files are so.
    """
    present = _present(raw)
    return present.size == 2 and bool((present == [0, 255]).all())


def _is_colour(raw: np.ndarray) -> bool:
    return raw.ndim >= 3 and raw.shape[-1] == 3 and raw.dtype == np.uint8


def _pack_colours(raw: np.ndarray) -> np.ndarray:
    if not _is_colour(raw):
        raise ImageFileError(
            f"The mask holds one value per pixel ({raw.dtype}), not colours.",
            "Pass --mask-values index, or read the colours of the palette.",
        )
    packed = raw[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= raw[..., channel]
    return packed


def _one_channel(raw: np.ndarray) -> np.ndarray:
    if not _is_colour(raw):
        return raw
    if (raw[..., :1] == raw[..., 1:]).all():
        return raw[..., 0]
    raise ImageFileError(
        "The mask holds colours, not one value per pixel.",
        "Pass --mask-values rgb if they are the colours of the classes, or a JSON file such as "
        '{"#ff0000": 1}.',
    )


def _whole_numbers(raw: np.ndarray) -> np.ndarray:
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    if raw.dtype.kind not in "uif":
        raise ImageFileError(f"The mask holds {raw.dtype}.", "A mask holds whole numbers.")
    if raw.dtype.kind == "f":
        if not np.isfinite(raw).all() or (raw != np.rint(raw)).any():
            raise ImageFileError(
                "The mask holds numbers that are not whole, or NaN.",
                "It may be a probability map: save the class index of each pixel instead.",
            )
        if np.abs(raw).max(initial=0) > 2**53:
            raise ImageFileError("The mask holds numbers above 2^53.", "Save class indices.")
        raw = raw.astype(np.int64)
    if raw.min(initial=0) < 0:
        raise ImageFileError(
            f"The mask holds negative values, the lowest is {raw.min()}.",
            "Save not labelled as 255 instead of -1.",
        )
    return raw


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    flat = array.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]


def _present(array: np.ndarray) -> np.ndarray:
    parts = [np.unique(block) for block in _blocks(array)]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, array.dtype)


def _colour_table(n_classes: int, colours: Sequence[tuple[int, int, int]] | None) -> dict[int, int]:
    if colours is None or len(colours) != n_classes:
        raise ImageFileError(
            f"Mask values 'rgb' need the colours of all {n_classes} classes.", "Name them."
        )
    table = {red << 16 | green << 8 | blue: i + 1 for i, (red, green, blue) in enumerate(colours)}
    if len(table) != n_classes:
        raise ImageFileError("Two classes have the same colour.", "Give each its own colour.")
    return table


def _check_present(
    flat: np.ndarray,
    present: np.ndarray,
    table: dict[int, int],
    n_classes: int,
    values: MaskValues,
    unlabelled_value: int | None,
) -> None:
    unknown = [int(value) for value in present if int(value) not in table]
    if values == "rgb" or isinstance(values, ColourValues):
        if unknown:
            raise _unknown_colours(flat, unknown)
        return
    if unknown:
        raise _unknown_values([int(value) for value in present], unknown, n_classes, values)
    reached = n_classes if values == "one-based" else n_classes - 1
    if isinstance(values, str) and unlabelled_value == 255 <= reached and 255 in present:
        raise ImageFileError(
            "The mask value 255 means not labelled and is a class as well.",
            "Pass another --unlabelled-value, for example 65535, or none.",
        )


def _unknown_colours(flat: np.ndarray, unknown: list[int]) -> ImageFileError:
    named = [
        f"#{colour:06x} ({sum(int((block == colour).sum()) for block in _blocks(flat))} pixels)"
        for colour in unknown[:5]
    ]
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    hint = (
        f"If #{unknown[0]:06x} means not labelled, pass --mask-values with a JSON file that lists "
        f'all colours, such as {{"#{unknown[0]:06x}": 0, "#ff0000": 1}}.'
    )
    if len(unknown) > 20:
        hint = "So many colours come from smoothing or JPEG: export the mask as PNG without it."
    return ImageFileError(f"The mask holds colours of no class: {', '.join(named)}{more}.", hint)


def _unknown_values(
    present: list[int], unknown: list[int], n_classes: int, values: MaskValues
) -> ImageFileError:
    named = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
    if isinstance(values, Mapping):
        return ImageFileError(
            f"The mask holds the values {named}, which the mask values do not list.",
            "Add them to the JSON file; class 0 is not labelled.",
        )
    top = n_classes if values == "one-based" else n_classes - 1
    return ImageFileError(
        f"The mask holds the values {named}; allowed are 0 to {top} for {n_classes} classes.",
        _guess_meaning(present, n_classes, values),
    )


def _guess_meaning(present: list[int], n_classes: int, values: MaskValues) -> str:
    if present in ([0, 255], [255]) and n_classes >= 2:
        return (
            "This looks like a 0/255 binary mask: pass --mask-values with a JSON file "
            '{"0": 1, "255": 2}.'
        )
    others = [value for value in present if value != 255]
    if values == "index" and others and max(others) == n_classes:
        return "If 0 means not labelled and the classes start at 1, pass --mask-values one-based."
    if 255 in present and max(others, default=0) <= n_classes:
        return "If 255 means not labelled, pass --unlabelled-value 255."
    if len(present) == n_classes <= 8:
        listed = json.dumps({str(value): i + 1 for i, value in enumerate(present)})
        return f"Pass --mask-values with a JSON file that names the class of each: {listed}."
    return "Add the missing classes, or pass --mask-values with a JSON file that maps the values."
