"""The examples run as they are."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_threestage.cli import main

ROOT = Path(__file__).parent.parent
EXPORTED = {"use_pt2": "pt2", "use_onnx": "onnx", "use_bioimageio": "bioimageio"}
EXAMPLES = [one for one in sorted(ROOT.glob("examples/*.py")) if one.stem not in EXPORTED]


def run(*command: object) -> str:
    """Run a script in a process of its own, and return what it printed."""
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that an example makes."""
    folder = tmp_path_factory.mktemp("example") / "out"
    run(ROOT / "examples/headless_loop.py", folder, "--steps", "1")
    return folder / "project"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    example: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, which has torch already."""
    monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path / "out"), "--steps", "1"])
    runpy.run_path(str(example), run_name="__main__")
    assert "mean confidence" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "format_"), EXPORTED.items())
def test_example_uses_an_exported_file(
    name: str, format_: str, project: Path, tmp_path: Path
) -> None:
    """Its mask is that of ``threestage predict``, but for few pixels on the edge of two classes."""
    images = tmp_path / "images"
    images.mkdir()
    [first, *_] = sorted((project.parent / "sample/test/images").iterdir())
    whole = Image.open(first)
    whole.resize((301, 205)).save(images / "odd.png")
    whole.crop((0, 0, 40, 33)).save(images / "small.png")
    where = ["--format", format_, "--output", str(tmp_path / "made"), "--device", "cpu"]
    assert main(["export", str(project), *where]) == 0
    [file] = [one for one in tmp_path.glob("made.*") if one.suffix != ".json"]
    expected = tmp_path / "expected"
    where = ["--images", str(images), "--output", str(expected), "--device", "cpu"]
    assert main(["predict", str(project), *where]) == 0
    for path in images.iterdir():
        said = run("-W", "ignore", ROOT / f"examples/{name}.py", file, path, tmp_path / "mask.png")
        assert "mean confidence" in said
        mask = np.asarray(Image.open(tmp_path / "mask.png"))
        theirs = np.asarray(Image.open(expected / f"{path.stem}.tif"))
        assert mask.shape == theirs.shape
        # One mirrors the image too, the others do not; a small one is filled up to other sizes.
        assert path.stem == "small" or (mask == theirs).mean() > 0.9


@pytest.mark.slow
def test_folders_are_predicted_by_the_batch_script(project: Path, tmp_path: Path) -> None:
    """What is there is kept when it is called again; a folder that fails is named."""
    [model] = project.glob("runs/*/stage-3/model.safetensors")
    images = project.parent / "sample/test/images"
    script = ["bash", ROOT / "examples/predict_many.sh", model, tmp_path / "out", images]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for wanted in ("Wrote 2 files", "Wrote 0 files"):
        done = subprocess.run(
            [*map(str, script)], capture_output=True, text=True, env=os.environ | {"PATH": path}
        )
        assert done.returncode == 0, done.stderr
        assert wanted in done.stdout
    assert (tmp_path / "out/images/objects.csv").exists()
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [*map(str, script), str(tmp_path / "empty")],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 1
    assert f"Not everything could be predicted in: {tmp_path / 'empty'}" in done.stderr
