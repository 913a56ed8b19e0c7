"""A small project with a finished run, odd class names and an image of two sizes; the command."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.cli import main
from napari_threestage.config import load_config
from napari_threestage.project import Project, default_classes
from napari_threestage.store import ImageArray
from napari_threestage.training.prepare import prepare_run
from napari_threestage.training.run import execute_run

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ('ground "a"', "Zellkern ü", "細胞 \\ {x}|'y'")
CHANNELS = ("DAPI", "GFP", "bright field")
CHANGES = {
    "stages.steps": [2],
    "data.crop": [32, 32],
    "data.labelled_batch": 2,
    "data.whole_set_batch": 2,
    "data.stage1_batch": 2,
    "network.weights": "none",
    "network.decoder_channels": 8,
    "inference.tile": 128,
    "inference.halo": 32,
    "live.images": 0,
    "threads": 1,
}


@dataclass(frozen=True)
class Result:
    """What a call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        assert self.code == 1, f"{self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err, self.err
        return self.err.splitlines()[-1].removeprefix("error: ")


def call(*arguments: object) -> Result:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def export(project: Path, format_: str, output: Path, *more: object) -> Result:
    where = ("--format", format_, "--output", output, "--device", "cpu")
    return call("export", project, *where, "--json", *more)


def make_project(path: Path, n_channels: int = 3, dtype: type = np.uint8) -> Path:
    """Make a project of four images, two of them labelled, and train one stage of it."""
    project = Project.create(path, default_classes(CLASSES))
    rng = np.random.default_rng(0)
    names = CHANNELS if n_channels == 3 else ()
    with project.editing():
        for number in range(4):
            mask = np.kron(rng.integers(0, 3, (5, 6)), np.ones((16, 16), int)).astype(np.uint8)
            noise = rng.integers(0, 60, (n_channels, *mask.shape))
            pixels = (mask * 70 + noise).astype(dtype) * dtype(257 if dtype == np.uint16 else 1)
            image = ImageArray(
                pixels, "cyx", {"y": 0.5, "x": 0.25}, dict.fromkeys("yx", "micrometer"), names
            )
            record, _ = project.add_image(f"picture {number}", image)
            if number < 2:
                project.write_ground_truth(record.id, mask + np.uint8(1), "imported")
        project.save()
    config = load_config("quick", CHANGES)
    with project.running():
        run = prepare_run(project, config, stages=(1, 1), seed=3, device="cpu")
        execute_run(project, run, lambda event: None, should_stop=lambda: False)
    return path
