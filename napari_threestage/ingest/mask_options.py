"""What ``--mask-values`` says: which value or colour of a mask file is which class."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from napari_threestage.errors import ImageFileError

MaskValues = Literal["index", "one-based", "rgb"] | Mapping[int, int]
"""How file values name classes; a mapping gives the class 1..C, or 0 for not labelled."""

MASK_WORDS: tuple[Literal["index", "one-based", "rgb"], ...] = ("index", "one-based", "rgb")
_JSON_HINT = 'Write for example {"0": 1, "128": 2} or {"#ff0000": 1}; 0 is not labelled.'


class ColourValues(dict[int, int]):
    """A mapping from colours, packed as 0xRRGGBB, to classes 1..C, or 0 for not labelled."""


def load_mask_values(text: str) -> MaskValues:
    """Read what ``--mask-values`` says.

    Parameters
    ----------
    text
        ``index``, ``one-based``, ``rgb``, a JSON object such as ``{"0": 1, "128": 2}`` or
        ``{"#ff0000": 1}``, or the path of a file that holds one.

    Returns
    -------
    MaskValues
        The word, a dict from value to class, or a `ColourValues` from colour to class.

    Raises
    ------
    ImageFileError
        The text is none of these, or the object is not such a mapping.
    """
    for word in MASK_WORDS:
        if text.strip().lower() == word:
            return word
    if text.lstrip().startswith("{"):
        return _mapping("--mask-values", _parse("--mask-values is no JSON object", text))
    path = Path(text)
    if not path.is_file():
        raise ImageFileError(
            f"Mask values {text!r}: neither {', '.join(MASK_WORDS)} nor a file.", _JSON_HINT
        )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageFileError(f"{path.name} is not a JSON file: {error}.", _JSON_HINT) from error
    return _mapping(path.name, _parse(f"{path.name} is not a JSON file", content))


def _parse(complaint: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ImageFileError(f"{complaint}: {error}.", _JSON_HINT) from error


def _mapping(name: str, content: Any) -> dict[int, int]:
    if not isinstance(content, dict) or not content:
        raise ImageFileError(f"{name} does not map mask values to classes.", _JSON_HINT)
    coloured = all(key.startswith("#") for key in content)
    result: dict[int, int] = ColourValues() if coloured else {}
    for key, label in content.items():
        if not re.fullmatch("#[0-9a-fA-F]{6}" if coloured else "[0-9]{1,18}", key):
            raise ImageFileError(f"{name} has the wrong mask value {key!r}.", _JSON_HINT)
        value = int(key[1:], 16) if coloured else int(key)
        if value in result:
            raise ImageFileError(f"{name} lists the mask value {key!r} twice.", "Keep one.")
        if not isinstance(label, int) or isinstance(label, bool) or label < 0:
            raise ImageFileError(f"{name} gives {key!r} the class {label!r}.", _JSON_HINT)
        result[value] = label
    return result
