"""The demo: all commands one after the other on images that it makes."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import pytest
from cli_helpers import Result, fingerprint
from PIL import Image

from napari_threestage.cli import demo
from napari_threestage.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = functools.partial(write_sample, labelled=4, unlabelled=2, test=2)
    monkeypatch.setattr(demo, "write_sample", fewer)


def check_results(folder: Path) -> dict[str, float]:
    scores = json.loads((folder / "scores.json").read_text())["stages"]
    assert list(scores) == ["1", "2", "3"]
    with Image.open(folder / "stages.png") as picture:
        picture.load()
        assert picture.width > 160
    return {stage: score["miou"] for stage, score in scores.items()}


@pytest.mark.usefixtures("few_images")
def test_the_demo_writes_scores_and_a_picture_and_can_be_repeated(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    folder = tmp_path / "demo"
    shown = threestage("demo", "--output", folder, "--steps", "1", "--device", "cpu")
    assert shown.code == 0, shown.err
    for word in ("$ threestage init", "$ threestage run", "$ threestage evaluate", "stages.png"):
        assert word in shown.out
    first = check_results(folder)
    again = threestage("demo", "--output", folder, "--steps", "1", "--device", "cpu", "--json")
    assert again.code == 0, again.err
    found = again.document
    assert {stage: score["miou"] for stage, score in found["stages"].items()} == first
    assert check_results(folder) == first


@pytest.mark.slow
def test_the_whole_demo_works_with_few_steps(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    folder = tmp_path / "demo"
    shown = threestage("demo", "--output", folder, "--steps", "2", "--device", "cpu")
    assert shown.code == 0, shown.err
    check_results(folder)


def test_the_demo_leaves_a_folder_of_others_alone(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    before = fingerprint(tmp_path)
    assert "is not empty" in threestage("demo", "--output", tmp_path).sentence
    assert fingerprint(tmp_path) == before
