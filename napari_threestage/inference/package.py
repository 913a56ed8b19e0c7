"""The weights in a BioImage package, taken out of the archive with care."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_threestage.model_file import WEIGHTS
from napari_threestage.segmenter_info import not_a_segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 8 * 2**30
MOST_ENTRIES = 10_000
MOST_PACKED = 200  # times smaller than it is: weights are hardly compressible, bombs are
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What a damaged or encrypted archive makes the library raise.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, RuntimeError)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give the weights of a package as a file that is there while the context lasts.

    Raises
    ------
    ImageFileError
        There are none, or the archive is damaged, names places outside of it or is absurdly large.
    """
    with tempfile.TemporaryDirectory(prefix="threestage-") as folder:
        target = Path(folder) / WEIGHTS
        try:
            with zipfile.ZipFile(path) as archive:
                entry = _checked(archive)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
        except _BROKEN as error:
            raise not_a_segmenter(path, error) from error
        yield target


def _checked(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the entry of the weights; ValueError for what no package of ours has."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"the archive has {len(entries)} entries")
    for entry in entries:
        place = PurePosixPath(entry.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in entry.filename:
            raise ValueError(f"the archive names a place outside of it: {entry.filename}")
    found = [entry for entry in entries if entry.filename == WEIGHTS]
    if len(found) > 1:
        raise ValueError(f"the archive has {len(found)} times {WEIGHTS}")
    if not found:
        raise ValueError(f"the archive has no {WEIGHTS}; only packages of this program can be used")
    [weights] = found
    if weights.file_size > LARGEST:
        raise ValueError(f"its weights claim {weights.file_size / 2**30:.0f} GiB")
    if weights.file_size > MOST_PACKED * (weights.compress_size + 1000):
        raise ValueError("its weights are packed as no weights can be")
    if weights.compress_type not in _METHODS:
        raise ValueError("its weights are packed in a way that this program does not use")
    return weights
