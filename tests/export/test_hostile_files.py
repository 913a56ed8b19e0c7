"""Files from strangers: no code in them is run, and none takes much memory; old files are read."""

from __future__ import annotations

import gzip
import json
import pickle
import resource
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from export_helpers import call
from safetensors import safe_open

from napari_threestage.errors import ImageFileError
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parents[1] / "data"
CPU = torch.device("cpu")
SPARE = 2 * 2**30  # of address space, for what a file may make us reserve


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of format 1, which had no card; its weights are formulas, so it packs well."""
    path = tmp_path_factory.mktemp("old") / "format-1.safetensors"
    path.write_bytes(gzip.decompress((DATA / "format-1.safetensors.gz").read_bytes()))
    return path


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Let this process reserve only little more than it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_file_of_format_1_predicts_what_it_did(old_file: Path) -> None:
    segmenter = load_segmenter(old_file, CPU)
    assert (segmenter.info.format, segmenter.info.card) == (1, None)
    rows, columns = np.mgrid[:64, :80]
    image = ((rows * 5 + columns * 3 + (rows * columns) // 7) % 256).astype(np.uint8)
    mask, _ = segmenter.predict(ImageArray(image, "yx"))
    assert np.array_equal(mask, np.load(DATA / "format-1-expected.npy"))
    assert set(np.unique(mask)) == {1, 2, 3}


def refused(path: Path) -> str:
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter") as caught:
        load_segmenter(path, CPU)
    return str(caught.value)


# --- code ------------------------------------------------------------------------------------


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def pickled(path: Path, trap: Trap) -> None:
    path.write_bytes(pickle.dumps(trap))


def saved(path: Path, trap: Trap) -> None:
    torch.save(trap, path)


def packed(path: Path, trap: Trap) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.safetensors", pickle.dumps(trap))


@pytest.mark.parametrize("name", ["model.safetensors", "package.zip", "program.pt2", "weights.pth"])
@pytest.mark.parametrize("write", [pickled, saved, packed])
def test_pickles_are_never_run(
    name: str, write: Callable[[Path, Trap], None], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    write(tmp_path / name, Trap(marker))
    refused(tmp_path / name)
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", np.zeros((4, 4), np.uint8))
    result = call(
        "predict", tmp_path / name, "--images", tmp_path / "images", "--output", tmp_path / "out"
    )
    assert "cannot be read as a segmenter" in result.sentence
    assert not marker.exists()
    assert pickle.loads(pickle.dumps(Trap(marker))) is None and marker.exists()  # it would have


# --- archives --------------------------------------------------------------------------------


def archive_of(path: Path, *names: str, content: bytes = b"", method: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["../model.safetensors"], "names a place outside"),
        (["model.safetensors", "a/../../b"], "names a place outside"),
        (["model.safetensors", "/etc/passwd"], "names a place outside"),
        (["model.safetensors", "..\\b"], "names a place outside"),
        (["model.safetensors", "C:\\b"], "names a place outside"),
        (["inner/model.safetensors"], "has no model.safetensors"),
        ([f"{number}" for number in range(10_001)], "10001 entries"),
    ],
)
def test_archives_that_lead_elsewhere(names: list[str], reason: str, tmp_path: Path) -> None:
    assert reason in refused(archive_of(tmp_path / "package.zip", *names))
    assert [one.name for one in tmp_path.iterdir()] == ["package.zip"]


def test_two_weights_and_bombs_and_damage(tmp_path: Path, old_file: Path) -> None:
    path, weights = tmp_path / "package.zip", "model.safetensors"
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive_of(path, weights, weights)
    assert "2 times model.safetensors" in refused(path)
    archive_of(path, weights, content=bytes(2**24), method=zipfile.ZIP_DEFLATED)
    assert "packed as no weights can be" in refused(path)
    archive_of(path, weights, content=b"x" * 99, method=zipfile.ZIP_LZMA)
    assert "does not use" in refused(path)
    archive_of(path, weights, content=old_file.read_bytes())
    load_segmenter(path, CPU)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "CRC" in refused(path)
    content[6] |= 1  # said to be encrypted
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "password" in refused(path)


# --- headers ---------------------------------------------------------------------------------


def header(path: Path, content: Any, length: int | None = None) -> Path:
    text = json.dumps(content).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)
    return path


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**33, 17 * 2**20, 1])
def test_headers_of_absurd_length(length: int, tmp_path: Path) -> None:
    refused(header(tmp_path / "model.safetensors", {}, length))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("shape", [[10**12], [10**6, 10**6], [2**63]])
def test_tensors_that_are_not_there(shape: list[int], tmp_path: Path) -> None:
    size = 4 * int(np.prod(shape, dtype=object))
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
    refused(header(tmp_path / "model.safetensors", {"a": tensor}))


def described(path: Path, old_file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a file of format 1 whose description has been changed."""
    with safe_open(old_file, framework="np") as file:
        info = json.loads(file.metadata()["threestage"])
    change(info)
    return rewritten(path, old_file, json.dumps(info))


def rewritten(path: Path, old_file: Path, text: str) -> Path:
    raw = old_file.read_bytes()
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    content = json.loads(raw[8:end])
    content["__metadata__"] = {"threestage": text}
    new = json.dumps(content).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + raw[end:])
    return path


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.update(n_channels=10**9),
        lambda info: info.update(n_channels=-1),
        lambda info: info.update(classes=[{"name": "a", "color": [0, 0, 0]}] * 10**5),
        lambda info: info.update(classes=[{"name": "a", "color": "abc"}] * 3),
        lambda info: info.update(classes={"a": 1}),
        lambda info: info.update(channels=[-1]),
        lambda info: info.update(channels="0"),
        lambda info: info.update(stage="3"),
        lambda info: info["network"].update(decoder_channels=10**9),
        lambda info: info["network"].update(decoder_channels=10**30),
        lambda info: info["network"].update(decoder="aspp", aspp_rates=[6] * 10**5),
        lambda info: info["network"].update(decoder="aspp", aspp_rates=[10**12]),
        lambda info: info["network"].update(backbone="resnet101"),
        lambda info: info["network"].update(weights="/etc/passwd", decoder_channels=16),
        lambda info: info["inference"].update(tile=10**30),
        lambda info: info["inference"].update(tile=10**7),
        lambda info: info["inference"].update(halo=-1),
        lambda info: info.update(channels=[10**18]),
        lambda info: info["classes"][0].update(name="a" * 10**6),
        lambda info: info.update(card={"name": 5}),
        lambda info: info.update(card={"name": "a", "authors": [[]]}),
        lambda info: info.update(card={"name": "a", "citation": ["b"]}),
        lambda info: info.update(card={"name": "a", "training": []}),
        lambda info: info.update(card=[]),
        lambda info: info.update(format=10**6),
    ],
)
def test_absurd_descriptions(
    change: Callable[[dict[str, Any]], None], old_file: Path, tmp_path: Path
) -> None:
    path = described(tmp_path / "model.safetensors", old_file, change)
    with pytest.raises(ImageFileError) as caught:
        load_segmenter(path, CPU)
    assert "model.safetensors" in str(caught.value)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        '{"format":' * 10**5,
        '{"format": ' + "9" * 10**5 + "}",
        '{"format": NaN}',
        "null",
        "",
    ],
)
def test_descriptions_that_are_no_descriptions(text: str, old_file: Path, tmp_path: Path) -> None:
    refused(rewritten(tmp_path / "model.safetensors", old_file, text))
