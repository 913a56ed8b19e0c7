"""Every format from a real run: what the command says, what is in the file, that it is used."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from export_helpers import CHANNELS, CLASSES, export, make_project
from family_helpers import make_material
from PIL import Image
from safetensors import safe_open

from napari_threestage.errors import ConfigError, ThreeStageError
from napari_threestage.export import bioimageio_package, onnx_file, pt2
from napari_threestage.export.formats import SUFFIXES
from napari_threestage.export.network import exported_program
from napari_threestage.export.verify import prove
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.project import Project
from napari_threestage.runs import find_run
from napari_threestage.segmenter_info import FORMAT, read_info

if TYPE_CHECKING:
    from napari_threestage.segmenter_info import SegmenterInfo

Exported = dict[str, dict[str, Any]]
CPU = torch.device("cpu")


def description(format_: str, path: Path) -> str:
    """Return the description that lies in a file, found as others find it."""
    if format_ == "safetensors":
        with safe_open(path, framework="np") as file:
            return str(file.metadata()["threestage"])
    if format_ == "onnx":
        return {one.key: one.value for one in onnx.load(path).metadata_props}["threestage"]
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("threestage.json")]
        return archive.read(name).decode()


@pytest.mark.parametrize("format_", SUFFIXES)
def test_the_document_says_what_was_done(exported: Exported, format_: str) -> None:
    found = exported[format_]
    path, record = Path(found["file"]), Path(found["record"])
    assert path.name == f"made{SUFFIXES[format_]}"
    assert list(found) == [
        *("file", "format", "stage", "run", "image", "largest_difference", "tolerance"),
        *("checked_with", "sha256", "bytes", "created", "record", "warning"),
    ]
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["bytes"] == path.stat().st_size
    assert found["format"] == format_ and found["stage"] == 1
    assert found["image"].startswith("picture")
    # Another library rounds in its own way, places between pixels as well.
    bound = 2e-4 if format_ in {"onnx", "bioimageio"} else 1e-5
    assert 0 <= found["largest_difference"] < bound < found["tolerance"]
    users = {"safetensors": "torch", "pt2": "torch"}
    assert users.get(format_, "onnxruntime") in found["checked_with"]
    kept = json.loads(record.read_text())
    assert kept["sha256"] == found["sha256"]
    assert kept["description"] == json.loads(description(format_, path))
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".")]
    assert path.stat().st_mode & 0o777 == record.stat().st_mode & 0o777


@pytest.mark.parametrize("format_", SUFFIXES)
def test_every_format_carries_the_description(exported: Exported, format_: str) -> None:
    path = Path(exported[format_]["file"])
    info = read_info(description(format_, path), path)
    card = info.card
    assert card is not None
    assert [entry["name"] for entry in info.classes] == list(CLASSES)
    assert all(len(entry["color"]) == 3 for entry in info.classes)
    assert (info.channels, info.n_channels, info.normalisation) == (None, 3, "auto")
    assert (info.inference["tile"], info.inference["halo"]) == (128, 32)
    assert (info.stage, info.format) == (1, FORMAT)
    assert info.pixel == pytest.approx([0.5e-6, 0.25e-6])
    assert (card.name, card.licence) == ("Cells / µ", "CC-BY-4.0")
    assert card.authors == ("A. Person", "Ö. Other")
    assert "Three-Stage Self-Training" in card.citation[0]["text"]
    assert card.citation[1]["url"] == "https://example.org/more"
    assert (card.axes, card.image_dtype, card.channel_names) == ("bcyx", "uint8", CHANNELS)
    assert card.pixel_size == {"y": 0.5, "x": 0.25}
    assert card.pixel_unit == {"y": "micrometer", "x": "micrometer"}
    assert (card.multiple, card.smallest) == (32, 64)
    training = card.training
    assert (training["preset"], training["seed"], training["steps"]) == ("quick", 3, {"1": 2})
    assert (training["labelled_images"], training["unlabelled_images"]) == (2, 2)
    assert set(training["labelled_pixels"]) == set(CLASSES)
    assert 0 <= training["scores"]["labelled"]["miou"] <= 1
    assert card.versions["torch"] and card.created.endswith("Z")


@pytest.mark.parametrize("format_", ["safetensors", "bioimageio"])
def test_this_program_reads_what_it_exported(
    exported: Exported, trained_once: Path, format_: str
) -> None:
    project = Project(trained_once)
    run = find_run(project)
    image = project.read_image(min(project.images))
    expected = load_segmenter(run.model_path(1), CPU).predict(image)
    found = load_segmenter(Path(exported[format_]["file"]), CPU).predict(image)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_package_has_what_the_model_zoo_wants(exported: Exported) -> None:
    with zipfile.ZipFile(exported["bioimageio"]["file"]) as archive:
        assert {"rdf.yaml", "model.onnx", "model.safetensors", "threestage.json"} <= set(
            archive.namelist()
        )
        cover = Image.open(io.BytesIO(archive.read("cover.png")))
        text = archive.read("README.md").decode()
        described = archive.read("rdf.yaml").decode()
    assert cover.size[0] > cover.size[1] == 512
    for part in ("## Classes", "## Training", "## Validation", "A. Person", "CC-BY-4.0"):
        assert part in text
    assert "細胞 \\\\ {x}\\|'y'" in text
    for part in ("scale_linear", "license: CC-BY-4.0", "unit: micrometer", "name: Ö. Other"):
        assert part in described


SIZES = """
import sys, numpy, torch
network = torch.export.load(sys.argv[1]).module()
for shape in ((1, 3, 64, 64), (1, 3, 96, 320), (3, 3, 64, 128)):
    found = network(torch.rand(shape))
    assert found.shape == shape and torch.allclose(found.sum(1), torch.ones(()), atol=1e-5)
assert "napari_threestage" not in sys.modules
"""


@pytest.mark.slow
def test_a_program_takes_other_sizes_and_numbers_of_images(exported: Exported) -> None:
    command = [sys.executable, "-I", "-W", "ignore", "-c", SIZES, exported["pt2"]["file"]]
    subprocess.run(command, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_channels", "dtype", "formats"),
    [(1, np.uint16, SUFFIXES), (5, np.uint8, ("onnx", "pt2", "bioimageio"))],
)
def test_other_channels_and_types_of_numbers(
    n_channels: int, dtype: type, formats: tuple[str, ...], tmp_path: Path
) -> None:
    path = make_project(tmp_path / "cells", n_channels, dtype)
    for format_ in formats:
        found = export(path, format_, tmp_path / "made").document
        info: SegmenterInfo = read_info(description(format_, Path(found["file"])), tmp_path)
        assert info.n_channels == n_channels
        assert info.card is not None
        assert info.card.image_dtype == np.dtype(dtype).name
        assert len(info.card.channel_names) == n_channels
        assert found["largest_difference"] < 1e-5


def test_a_network_that_pytorch_cannot_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("sizes are constant.\nmore")

    monkeypatch.setattr("torch.export.export", fail)
    with pytest.raises(ThreeStageError, match=r"backbone compact \(sizes are constant\)"):
        exported_program(make_material("compact"))


@pytest.mark.parametrize(("zoom", "multiple"), [(1.25, 64), (1.5, 32), (0.5, 32)])
@pytest.mark.parametrize("format_", ["onnx", "pt2"])
def test_a_network_that_sees_images_enlarged(
    format_: str, zoom: float, multiple: int, tmp_path: Path
) -> None:
    material = make_material("compact", zoom=zoom)
    assert material.multiple == multiple
    path = tmp_path / f"made{SUFFIXES[format_]}"
    (tmp_path / "check").mkdir()
    {"onnx": onnx_file, "pt2": pt2}[format_].write(material, path)
    assert prove(material, format_, path, tmp_path / "check").difference < 1e-5


@pytest.mark.usefixtures("no_network")
def test_a_licence_that_the_model_zoo_does_not_know(tmp_path: Path) -> None:
    material = make_material("compact")
    info = material.segmenter.info
    assert info.card is not None
    material.segmenter.info = replace(info, card=replace(info.card, licence="Own-1.0"))
    with pytest.raises(ConfigError, match=r"cannot have the license 'Own-1\.0'"):
        bioimageio_package.write(material, tmp_path / "made.zip")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_small_patch14_dinov2", "vit_small_patch16_dinov3"])
def test_transformers_are_exported_with_any_size(backbone: str, tmp_path: Path) -> None:
    material = make_material(backbone)
    assert material.multiple == (224 if "14" in backbone else 32)
    (tmp_path / "check").mkdir()
    onnx_file.write(material, tmp_path / "made.onnx")
    proof = prove(material, "onnx", tmp_path / "made.onnx", tmp_path / "check")
    assert proof.difference < 1e-5
