"""What is known of a segmenter in a file, without torch."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.model_file import WEIGHTS, channel_problem, read_model_file
from napari_threestage.segmenter_info import KEY, SegmenterInfo

if TYPE_CHECKING:
    from pathlib import Path


def info(channels: list[int] | None = None, n_channels: int = 1) -> SegmenterInfo:
    classes = [{"name": name, "color": [1, 2, 3]} for name in ("background", "cell")]
    return SegmenterInfo(classes, channels, n_channels, "auto", {}, {}, 3, "run")


def weights(text: Any) -> bytes:
    """A safetensors file without tensors."""
    header = json.dumps({"__metadata__": {KEY: text}}).encode()
    return struct.pack("<Q", len(header)) + header


def test_a_file_and_a_package_say_the_same(tmp_path: Path) -> None:
    plain, package = tmp_path / "m.safetensors", tmp_path / "m.zip"
    plain.write_bytes(weights(info().to_json()))
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(WEIGHTS, weights(info().to_json()))
    assert read_model_file(plain) == read_model_file(package) == info()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 4) + b"[1]]",
        struct.pack("<Q", 2) + b"{}",
        weights(3),
        weights("{}"),
    ],
    ids=["empty", "short", "huge header", "no JSON", "no description", "no text", "no segmenter"],
)
def test_what_is_no_segmenter_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        read_model_file(path)


def test_a_package_of_others_is_no_segmenter(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pt", b"")
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        read_model_file(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        read_model_file(tmp_path / "gone")


@pytest.mark.parametrize(
    ("segmenter", "count", "problem"),
    [
        (info(), 1, ""),
        (info(n_channels=3), 3, ""),
        (info(n_channels=3), 1, ""),
        (info(n_channels=3), 2, "It has 2 channels, and the segmenter takes 3 channels."),
        (info(), 3, "It has 3 channels, and the segmenter takes 1 channel."),
        (info([1], 1), 3, ""),
        (
            info([0, 2], 2),
            2,
            "It has 2 channels, and the segmenter takes channel 3 as well.",
        ),
    ],
)
def test_channels_that_do_not_fit_are_told(
    segmenter: SegmenterInfo, count: int, problem: str
) -> None:
    assert channel_problem(segmenter, count) == problem
