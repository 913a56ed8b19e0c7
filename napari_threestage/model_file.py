"""What is known of a segmenter in a file, read without torch and without its weights."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from napari_threestage.errors import ConfigError
from napari_threestage.segmenter_info import (
    KEY,
    LARGEST_HEADER,
    SegmenterInfo,
    not_a_segmenter,
    read_info,
)

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = "model.safetensors"  # in a BioImage package
LARGEST = 8 * 2**30
MOST_ENTRIES = 10_000
MOST_PACKED = 200  # times smaller than it is: weights are hardly compressible, bombs are
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What files raise that are no segmenter, damaged or made to do harm. An encrypted archive is a
# RuntimeError, and so are parts that the library does not know and JSON nested too deeply.
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_model_file(path: Path) -> SegmenterInfo:
    """Return what goes with the weights in a safetensors file or a BioImage package.

    Raises
    ------
    ConfigError
        There is no such file.
    ImageFileError
        It is no segmenter, damaged, or newer than this program.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", "Choose another one.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(weights_entry(archive)) as file:
                text = _description(file)
        else:
            with path.open("rb") as file:
                text = _description(file)
    except BROKEN as error:
        raise not_a_segmenter(path, error) from error
    return read_info(text, path)


def weights_entry(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
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


def channel_problem(info: SegmenterInfo, count: int) -> str:
    """Return why a segmenter does not take images of so many channels; empty if it does."""
    if count == 1 and info.n_channels > 1:
        return ""  # grey fills all
    if info.channels is not None:
        highest = max(info.channels, default=0)
        if highest < count:
            return ""
        return f"It has {_channels(count)}, and the segmenter takes channel {highest + 1} as well."
    if count == info.n_channels:
        return ""
    return f"It has {_channels(count)}, and the segmenter takes {_channels(info.n_channels)}."


def _description(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LARGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes")
    header = json.loads(file.read(length))
    text = header["__metadata__"][KEY]
    if not isinstance(text, str):
        raise ValueError("its description is no text")
    return text


def _channels(count: int) -> str:
    return f"{count} channel" + ("" if count == 1 else "s")
