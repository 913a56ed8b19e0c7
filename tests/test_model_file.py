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
        struct.pack("<Q", 100_000) + b"[" * 100_000,
    ],
    ids=[
        *("empty", "short", "huge header", "no JSON", "no description", "no text", "no segmenter"),
        "nested",
    ],
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


def packed(path: Path, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    """A package of which something can be changed."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(WEIGHTS, weights(info().to_json()))
    return bytearray(path.read_bytes())


def encrypted(path: Path) -> bytearray:
    content = packed(path)
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return content


def damaged(path: Path) -> bytearray:
    content = packed(path)
    start = 30 + len(WEIGHTS)
    content[start : start + 40] = b"\xff" * 40
    return content


def of_unknown_parts(path: Path) -> bytearray:
    content = packed(path)
    content[6] |= 0x20  # patched data
    content[content.index(b"PK\1\2") + 8] |= 0x20
    return content


def of_unknown_method(path: Path) -> bytearray:
    content = packed(path)
    for at in (8, content.index(b"PK\1\2") + 10):
        content[at : at + 2] = struct.pack("<H", 97)
    return content


def damaged_lzma(path: Path) -> bytearray:
    content = packed(path, zipfile.ZIP_LZMA)
    start = 30 + len(WEIGHTS)
    content[start + 4 : start + 60] = b"\xff" * 56
    return content


@pytest.mark.parametrize(
    "make", [encrypted, damaged, of_unknown_parts, of_unknown_method, damaged_lzma]
)
def test_a_package_that_was_tampered_with_is_a_sentence(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(make(path))
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        read_model_file(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_package_with_two_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr(WEIGHTS, weights(info().to_json()))
    with pytest.raises(ImageFileError, match=r"has 2 times model\.safetensors"):
        read_model_file(path)


def test_a_file_that_takes_all_memory_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(text: bytes) -> Any:
        raise MemoryError

    path = tmp_path / "m.safetensors"
    path.write_bytes(weights(info().to_json()))
    monkeypatch.setattr(json, "loads", full)
    with pytest.raises(ImageFileError, match=r"as a segmenter \(MemoryError\)"):
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
