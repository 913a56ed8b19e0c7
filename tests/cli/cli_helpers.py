"""Two ways to call the command, small data, and comparisons."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_threestage.cli import main
from napari_threestage.project import Project
from napari_threestage.runs import Run, find_run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CLASSES = ("ground", "red", "blue")
COLOURS = np.array([(40, 40, 40), (230, 50, 50), (60, 90, 240)])
HEIGHT, WIDTH = 40, 48
SETTINGS = {
    "data.crop": "[32,32]",
    "data.labelled_batch": "2",
    "data.whole_set_batch": "2",
    "data.stage1_batch": "2",
    "network.weights": "none",
    "threads": "1",
    "progress_seconds": "0",
}
# Steps after which the masks hold more than one class.
BOLD = {
    "stages.steps": "[25,3,3]",
    "optimiser.learning_rate": "0.005",
    "optimiser.backbone_factor": "1",
    "network.batch_norm": "frozen",
}


def settings(changes: dict[str, str] | None = None) -> list[str]:
    """Return ``--set`` arguments that make a run take seconds, with some changed."""
    merged = SETTINGS | (changes or {})
    return [part for name, value in merged.items() for part in ("--set", f"{name}={value}")]


TINY = ["--device", "cpu", "--steps", "2", *settings()]
MIXED = ["--device", "cpu", *settings(BOLD)]


@dataclass(frozen=True)
class Result:
    """What a call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """One JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def sentence(self) -> str:
        """The sentence on stderr, of a call that failed because of its input."""
        assert self.code == 1, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err, self.err
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        text = errors[0].removeprefix("error: ")
        assert text and not text.startswith("error"), self.err
        return text


def call(*arguments: object) -> Result:
    """Call the command in this process, without any fixture."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = exit_code(arguments)
    return Result(code, out.getvalue(), err.getvalue())


def exit_code(arguments: tuple[object, ...]) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


@dataclass
class Child:
    """The command in a process of its own, with its output read line by line."""

    process: subprocess.Popen[str]
    seen: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, kind: str, **values: object) -> dict[str, Any]:
        """Read events until one of this kind has these values."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.seen.append(event)
            if event["event"] == kind and values.items() <= event.items():
                return event
        raise AssertionError(f"no {kind} {values}: {self.seen[-3:]}\n{self.end().err}")

    def end(self, seconds: float = 120) -> Result:
        """Wait for the end and return the code and what was not read yet."""
        out, err = self.process.communicate(timeout=seconds)
        return Result(self.process.returncode, out, err)


def draw_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an RGB image of coloured shapes on a texture, and its mask 0..2."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, rng.integers(12, 20) :] = 1
    mask[rng.integers(10, 30) :, rng.integers(28, 36) :] = 2
    mask = np.roll(mask, rng.integers(0, HEIGHT, 2), (0, 1))
    noise = rng.integers(-25, 26, (HEIGHT, WIDTH, 1))
    return np.clip(COLOURS[mask] + noise, 0, 255).astype(np.uint8), mask


def write_pairs(folder: Path, seeds: range, labelled: int) -> None:
    """Write images, and masks for the first of them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        image, mask = draw_pair(seed)
        Image.fromarray(image).save(folder / "images" / f"picture{seed}.png")
        if number < labelled:
            Image.fromarray(mask).save(folder / "masks" / f"picture{seed}.png")


def make_project(path: Path, pictures: Path, *more: object) -> Path:
    """Make a project in which the pictures are imported."""
    assert call("init", path, "--classes", ",".join(CLASSES)).code == 0
    folders = ("--images", pictures / "images", "--masks", pictures / "masks")
    assert call("import", path, *folders, *more).code == 0
    return path


def latest(path: Path) -> Run:
    """Return the latest run of a project."""
    return find_run(Project(path))


def events_of(path: Path) -> list[dict[str, Any]]:
    """Return the events of the latest run as they are on disk."""
    return [json.loads(line) for line in latest(path).events_path.read_text().splitlines()]


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder but the empty ones that serve as locks."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".lock"
    }


def outcome(path: Path, stages: tuple[int, ...] = (1, 2, 3)) -> dict[str, np.ndarray]:
    """Return all that the latest run made: weights, masks, confidences and published labels."""
    from safetensors.numpy import load_file

    project, run = Project(path), latest(path)
    made: dict[str, np.ndarray] = {}
    for stage in stages:
        for name, weight in load_file(run.model_path(stage)).items():
            made[f"{stage}: {name}"] = weight
        for image in project.images:
            made[f"{stage}: mask of {image}"] = run.read_mask(stage, image)
            made[f"{stage}: confidence of {image}"] = run.read_confidence(stage, image)
            labels = project.read_labels(image, f"stage-{stage}")
            assert labels is not None
            made[f"{stage}: labels of {image}"] = labels
    return made


def assert_same_outcome(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Compare exactly, and name what differs."""
    assert one.keys() == other.keys()
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different, f"{len(different)} of {len(one)} differ: {different[:5]}"
