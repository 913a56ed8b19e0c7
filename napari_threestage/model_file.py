"""What is known of a segmenter in a file, read without torch and without its weights."""

from __future__ import annotations

import json
import struct
import zipfile
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
            with zipfile.ZipFile(path) as archive, archive.open(WEIGHTS) as file:
                text = _description(file)
        else:
            with path.open("rb") as file:
                text = _description(file)
    except (OSError, ValueError, KeyError, TypeError, struct.error, zipfile.BadZipFile) as error:
        raise not_a_segmenter(path, error) from error
    return read_info(text, path)


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
