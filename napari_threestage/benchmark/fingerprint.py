"""What tells two data sets apart that have one name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.benchmark.items import DataSet, Item

DIGITS = 16


def fingerprint(data_set: DataSet) -> str:
    """Return a number for the classes and files of a data set, the same on every machine.

    It looks at names and sizes of the files, not at their content, their dates or where they lie.
    A data set that was made from another has the number of that one, for how well its own files
    are compressed depends on the program that wrote them.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256.
    """
    source = data_set.origin or data_set
    content = {
        "classes": source.classes,
        "mask_values": source.mask_values,
        "train": list(map(_files, source.train)),
        "test": list(map(_files, source.test)),
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _files(item: Item) -> list[Any]:
    return [part for file in (item.image, item.mask) for part in (file.name, _size(file))]


def _size(path: Path) -> int:
    """Return bytes; a folder, as OME-Zarr is one, has those of its files."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
