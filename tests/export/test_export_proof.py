"""An export that cannot be proved is not there; foreign files stay; what was said is kept."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from export_helpers import call, export

from napari_threestage.export import exporter, verify
from napari_threestage.export.card import checked_licence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.export.material import Material


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def falsified(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Let the file be written from a segmenter that has been changed in between."""

    def write(material: Material, path: Path) -> None:
        segmenter = material.segmenter
        before = {name: value.clone() for name, value in segmenter.network.state_dict().items()}
        info = segmenter.info
        change(segmenter)
        segmenter.save(path)
        segmenter.network.load_state_dict(before)
        segmenter.info = info

    monkeypatch.setitem(exporter.WRITERS, "safetensors", write)


def other_weights(segmenter: Any) -> None:
    with torch.no_grad():
        segmenter.network.blocks[-1].classify.weight.neg_()


def weights_that_are_no_numbers(segmenter: Any) -> None:
    with torch.no_grad():
        segmenter.network.blocks[-1].classify.weight.fill_(float("nan"))


def other_classes(segmenter: Any) -> None:
    classes = segmenter.info.classes[::-1]
    segmenter.info = replace(segmenter.info, classes=classes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_weights, "gives other results than the original"),
        pytest.param(
            weights_that_are_no_numbers,
            "gives other results than the original",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            other_classes,
            "description in the exported file is not the one",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_differs_is_not_published(
    trained_project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], None],
    sentence: str,
) -> None:
    falsified(monkeypatch, change)
    (tmp_path / "out").mkdir()
    result = export(trained_project, "safetensors", tmp_path / "out" / "made")
    assert sentence in result.sentence
    assert names(tmp_path / "out") == []
    assert not (trained_project / "exports" / "card.json").exists()


def test_what_cannot_be_read_or_takes_too_long_is_not_published(
    trained_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exporter.WRITERS, "safetensors", lambda _, path: path.write_bytes(b"no"))
    (tmp_path / "out").mkdir()
    result = export(trained_project, "safetensors", tmp_path / "out" / "made")
    assert "cannot be used" in result.sentence
    monkeypatch.setattr(verify, "SECONDS", 0.01)
    result = export(trained_project, "safetensors", tmp_path / "out" / "made")
    assert "was not checked within 0.01 s" in result.sentence
    assert names(tmp_path / "out") == []


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the other process out, for tests of what is around it."""
    proof = verify.Proof(0.0, {"nothing": "0"})
    monkeypatch.setattr(exporter, "prove", lambda *_: proof)


@pytest.mark.usefixtures("unproved")
def test_only_exports_of_this_program_are_replaced(trained_project: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.safetensors"
    assert export(trained_project, "safetensors", target).code == 0
    first = target.read_bytes()
    assert export(trained_project, "safetensors", target, "--name", "new").code == 0
    assert target.read_bytes() != first

    target.write_bytes(b"something that somebody put there")
    assert (
        "is no export that this program wrote"
        in export(trained_project, "safetensors", target).sentence
    )
    assert target.read_bytes() == b"something that somebody put there"
    target.unlink()
    assert export(trained_project, "safetensors", target).code == 0

    foreign = tmp_path / "other.safetensors.json"
    foreign.write_text('["mine"]')
    result = export(trained_project, "safetensors", tmp_path / "other")
    assert "other.safetensors.json is there already" in result.sentence
    model = next(trained_project.glob("runs/*/stage-1/model.safetensors"))
    assert "is no export" in export(trained_project, "safetensors", model).sentence
    (tmp_path / "folder.safetensors").mkdir()
    assert (
        "is no export"
        in export(trained_project, "safetensors", tmp_path / "folder.safetensors").sentence
    )


@pytest.mark.usefixtures("unproved")
def test_what_was_said_is_remembered(trained_project: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.safetensors"
    said = ("--author", "A", "--licence", "MIT", "--name", "N", "--cite", "C", "--description", "D")
    assert export(trained_project, "safetensors", target, *said).code == 0
    kept = json.loads((trained_project / "exports" / "card.json").read_text())
    assert kept == {
        "name": "N",
        "description": "D",
        "licence": "MIT",
        "authors": ["A"],
        "cite": ["C"],
    }
    assert export(trained_project, "safetensors", target, "--author", "B").code == 0
    card = json.loads(target.with_name("made.safetensors.json").read_text())["description"]["card"]
    assert (card["authors"], card["licence"], card["name"]) == (["B"], "MIT", "N")
    (trained_project / "exports" / "card.json").write_text("[1")
    assert export(trained_project, "safetensors", target).code == 0
    card = json.loads(target.with_name("made.safetensors.json").read_text())["description"]["card"]
    assert (card["authors"], card["licence"], card["name"]) == ([], "", "cells, stage 1")
    assert "2 labelled and 2 unlabelled images" in card["description"]


@pytest.mark.usefixtures("unproved")
def test_progress_and_sentences(trained_project: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.safetensors"
    result = export(trained_project, "safetensors", target, "--progress")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert [(one["step"], one["done"], one["total"]) for one in lines] == [
        ("exporting", 0, 2),
        ("checking", 1, 2),
    ]
    where = ("--format", "safetensors", "--output", target, "--device", "cpu")
    said = call("export", trained_project, *where).out
    assert "Wrote stage 1 of run" in said and "differ by 0.0e+00 at most" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--format", "onnx", "--output", "a.pt2"), "a.pt2 has the suffix of the format pt2"),
        (("--format", "onnx", "--output", "a", "--licence", "do what you want"), "is no SPDX"),
        (("--format", "onnx", "--output", "a", "--stage", "2"), "no finished stage '2'"),
        (("--format", "onnx", "--output", "a", "--stage", "all"), "A file holds one stage"),
        (("--format", "onnx", "--output", "a", "--run", "gone"), "has no run gone"),
        (("--format", "onnx", "--output", "a", "--device", "tpu9"), "Device 'tpu9' cannot be used"),
        (("--format", "zip", "--output", "a"), "invalid choice"),
    ],
)
def test_wrong_arguments(
    trained_once: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in call("export", trained_once, *arguments).sentence
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("format_", "module", "extra"),
    [
        ("onnx", "onnxruntime", "onnx"),
        ("onnx", "onnxscript", "onnx"),
        ("bioimageio", "bioimageio.spec.model", "bioimageio"),
        ("bioimageio", "onnx", "onnx"),
    ],
)
def test_a_missing_package_has_a_command(
    trained_project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
    module: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = export(trained_project, format_, tmp_path / "made")
    assert f"pip install 'napari-threestage[{extra}]'" in result.sentence


@pytest.mark.usefixtures("unproved")
def test_a_project_without_its_images_cannot_prove_anything(
    trained_project: Path, tmp_path: Path
) -> None:
    content = json.loads((trained_project / "project.json").read_text())
    content["images"] = {}
    (trained_project / "project.json").write_text(json.dumps(content))
    result = export(trained_project, "safetensors", tmp_path / "made")
    assert "no image to prove an export with" in result.sentence


def test_common_licences_get_their_capitals() -> None:
    assert checked_licence("cc-by-4.0") == "CC-BY-4.0"
    assert checked_licence("Own-1.0") == "Own-1.0"
    assert checked_licence("") == ""
