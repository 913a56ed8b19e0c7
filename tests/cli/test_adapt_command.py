"""``adapt``: from a project or a file to a file that ``predict`` takes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_threestage.inference import adapting
from napari_threestage.model_file import read_model_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from cli_helpers import Result

    from napari_threestage.segmenter_info import SegmenterInfo


def darkened(pictures: Path, folder: Path) -> Path:
    """Write the images as a darker microscope would show them."""
    folder.mkdir()
    for path in sorted((pictures / "images").iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray((pixels * 0.4).astype(np.uint8)).save(folder / f"{path.stem}.png")
    return folder


def test_a_project_is_adapted_and_the_file_is_used(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    images = darkened(pictures, tmp_path / "dark")
    made = threestage("adapt", trained, "--images", images, "--output", tmp_path / "dark-cells")
    assert made.code == 0, made.err
    model = tmp_path / "dark-cells.safetensors"
    assert f"adapted to 8 images. Use it with: threestage predict {model}" in " ".join(
        made.out.split()
    )
    assert read_model_file(model).adapted == [0.25]
    assert stat.S_IMODE(os.stat(model).st_mode) == 0o666 & ~_umask()
    used = threestage("predict", model, "--images", images, "--output", tmp_path / "m", "--json")
    assert len(used.document["files"]) == 8


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_it_can_be_adapted_again_and_is_the_same_each_time(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    first, second, third = (tmp_path / f"{name}.safetensors" for name in "abc")
    images = ("--images", pictures / "images")
    for target in (first, second):
        document = threestage("adapt", trained, *images, "--output", target, "--json").document
        assert document == {"file": str(target), "images": 8, "failed": []}
    assert first.read_bytes() == second.read_bytes()
    again = threestage("adapt", first, *images, "--output", third, "--share", "0.5")
    assert again.code == 0, again.err
    assert read_model_file(third).adapted == [0.25, 0.5]


def test_what_cannot_be_read_is_listed(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    images = darkened(pictures, tmp_path / "dark")
    (images / "broken.png").write_bytes(b"no picture")
    target = tmp_path / "made.safetensors"
    found = threestage("adapt", trained, "--images", images, "--output", target)
    assert found.code == 1 and target.exists()
    assert "adapted to 8 images" in found.out and "broken.png" in found.out
    for path in images.glob("picture*"):
        path.unlink()
    nothing = threestage("adapt", trained, "--images", images, "--output", tmp_path / "other")
    assert "None of the images can be read." in nothing.sentence
    assert not (tmp_path / "other.safetensors").exists()


def test_nothing_is_replaced(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    target = tmp_path / "precious.safetensors"
    target.write_text("of someone")
    given = ("--images", pictures / "images", "--output")
    assert "is there already" in threestage("adapt", trained, *given, target).sentence
    assert target.read_text() == "of someone"
    inside = threestage("adapt", trained, *given, trained / "runs" / "x.safetensors")
    assert "keeps its own data" in inside.sentence
    nowhere = threestage("adapt", trained, *given, tmp_path / "no" / "x.safetensors")
    assert "There is no folder" in nowhere.sentence
    folder = threestage("adapt", trained, *given, tmp_path)
    assert f"{tmp_path} is a folder" in folder.sentence
    absurd = threestage("adapt", trained, *given, tmp_path / "y.safetensors", "--share", "2")
    assert "A share of 2 makes no sense" in absurd.sentence


def test_a_file_that_comes_meanwhile_stays(
    trained: Path,
    pictures: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "made.safetensors"

    def come(info: SegmenterInfo, share: float) -> SegmenterInfo:
        target.write_text("of someone")
        return info

    monkeypatch.setattr(adapting, "_described", come)

    found = threestage("adapt", trained, "--images", pictures / "images", "--output", target)
    assert "is there already" in found.sentence
    assert target.read_text() == "of someone"
