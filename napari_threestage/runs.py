"""A run on disk: its configuration, inputs, events, models and pseudo-masks.

The folder is the protocol between the trainer and everyone else: ``process.json`` says who trains,
``heartbeat`` that it lives, ``events.jsonl`` what happens, ``control.json`` what it is asked to do.
The labels that it learns from lie in ``truth``, so that nobody changes them while it trains.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import store
from napari_threestage.config import Config, read_config
from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.events import (
    Event,
    Failed,
    Finished,
    Paused,
    StageFinished,
    StoppedEvent,
    last_event,
    read_events,
)
from napari_threestage.files import read_tail
from napari_threestage.locks import is_alive, is_local, this_process
from napari_threestage.run_inputs import RunInputs as RunInputs
from napari_threestage.run_notes import id_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_threestage.classes import ClassTable
    from napari_threestage.project import Project


log = logging.getLogger(__name__)

SILENCE_SECONDS = 30.0  # a trainer on another host that has not shown itself for so long is gone


class Run:
    """A run folder.

    Parameters
    ----------
    path
        ``runs/<run id>`` of a project.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.config: Config = read_config(path / "config.json")
            self.inputs = RunInputs(**json.loads((path / "inputs.json").read_text()))
        except (OSError, ValueError, TypeError, ConfigError) as error:
            raise ProjectError(
                f"Run {path.name} is damaged ({error}).", f"Remove the folder {path}."
            ) from error

    @classmethod
    def create(
        cls,
        project: Project,
        config: Config,
        inputs: RunInputs,
        earlier_stages: Sequence[Path] = (),
        truths: Mapping[str, np.ndarray] | None = None,
        starts: Mapping[int, Path] | None = None,
    ) -> Run:
        """Make the folder of a new run, named by the time (UTC) and the preset.

        Parameters
        ----------
        earlier_stages
            Folders of the stages that the run builds on; they are copied, so that the run stands
            for itself.
        truths
            Ground truth by image id, as indices of the run's classes.
        starts
            Segmenters by stage that the stages start from; they are copied as well.
        """
        stem = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{config.preset}"
        number, path = 1, project.path / "runs" / stem
        while path.exists():
            number += 1
            path = project.path / "runs" / f"{stem}-{number}"
        path.mkdir(parents=True)
        for folder in earlier_stages:
            shutil.copytree(folder, path / folder.name)
        for image_id, truth in (truths or {}).items():
            _write_truth(path, image_id, truth)
        for stage, file in (starts or {}).items():
            (path / "warm").mkdir(exist_ok=True)
            shutil.copyfile(file, _start_path(path, stage))
        store.write_json(path / "inputs.json", asdict(inputs))
        # Last, as a folder with a configuration is a run.
        store.write_json(path / "config.json", config.model_dump(mode="json"))
        return cls(path)

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def is_baseline(self) -> bool:
        """Whether it only shows what labels alone give, to compare another run with."""
        return self.inputs.baseline_of is not None

    @property
    def events_path(self) -> Path:
        """The file that grows by one line an event."""
        return self.path / "events.jsonl"

    @property
    def class_ids(self) -> list[int]:
        """Ids of the run's classes, in order; runs of older versions count from 1."""
        return [entry.get("id", place) for place, entry in enumerate(self.inputs.classes, 1)]

    def stage_path(self, stage: int) -> Path:
        """Folder of a stage."""
        return self.path / f"stage-{stage}"

    def model_path(self, stage: int) -> Path:
        """The segmenter of a stage."""
        return self.stage_path(stage) / "model.safetensors"

    def start_path(self, stage: int) -> Path:
        """The segmenter that a stage starts from, where it starts from that of another run."""
        return _start_path(self.path, stage)

    def finished_stages(self) -> list[int]:
        """Return the stages whose model, masks and scores are complete."""
        return sorted(
            int(path.parent.name.removeprefix("stage-"))
            for path in self.path.glob("stage-*/metrics.json")
        )

    def write_truth(self, image_id: str, truth: np.ndarray) -> None:
        """Freeze the ground truth of an image: 0 = not labelled, 1..C of the run's classes."""
        _write_truth(self.path, image_id, truth)

    def read_truth(self, image_id: str) -> np.ndarray | None:
        """Return the frozen ground truth of an image; runs of older versions have none."""
        path = self.path / "truth" / image_id
        return store.read_map(path) if store.has_map(path) else None

    def write_sample(self, stage: int, image_id: str, mask: np.ndarray) -> None:
        """Keep what the segmenter in training thinks of a window (H, W), 1..C."""
        path = self.stage_path(stage) / "samples" / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_map(path, mask, "yx")

    def read_sample(self, stage: int, image_id: str) -> np.ndarray:
        """Return the latest mask of a window; its place is in the event."""
        return store.read_map(self.stage_path(stage) / "samples" / image_id)

    def write_mask(
        self, stage: int, image_id: str, mask: np.ndarray, confidence: np.ndarray, axes: str
    ) -> None:
        """Keep a stage's pseudo-mask (1..C) and confidence (0..255) of an image."""
        folder = self.stage_path(stage)
        for kind in ("masks", "confidence"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        store.write_map(folder / "confidence" / image_id, confidence, axes)
        store.write_map(folder / "masks" / image_id, mask, axes)

    def has_mask(self, stage: int, image_id: str) -> bool:
        """Whether the stage's pseudo-mask of this image is complete."""
        return store.has_map(self.stage_path(stage) / "masks" / image_id)

    def read_mask(self, stage: int, image_id: str) -> np.ndarray:
        """Return a stage's pseudo-mask of an image, 1..C."""
        return store.read_map(self.stage_path(stage) / "masks" / image_id)

    def read_confidence(self, stage: int, image_id: str) -> np.ndarray:
        """Return the confidence that goes with a pseudo-mask, 0..255."""
        return store.read_map(self.stage_path(stage) / "confidence" / image_id)

    def record(self, event: Event) -> None:
        """Append an event; the line is on disk when this returns."""
        with self.events_path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":  # a killed trainer left half a line
                    file.write(b"\n")
            file.write(event.to_json().encode() + b"\n")

    def enter_process(self) -> None:
        """Note that this process trains the run, and forget old requests."""
        (self.path / "control.json").unlink(missing_ok=True)
        store.write_json(self.path / "process.json", this_process())

    def beat(self) -> None:
        """Show that the trainer lives."""
        (self.path / "heartbeat").touch()

    def request_stop(self) -> None:
        """Ask the trainer to save and end, also while it is paused."""
        store.write_json(self.path / "control.json", {"command": "stop"})

    def request_pause(self) -> None:
        """Ask the trainer to hold in place; a request to end stays."""
        if self.command() != "stop":
            store.write_json(self.path / "control.json", {"command": "pause"})

    def request_continue(self) -> None:
        """Take a request to pause back; one to end stays."""
        if self.command() == "pause":
            (self.path / "control.json").unlink(missing_ok=True)

    def command(self) -> str | None:
        """Return what somebody asks the trainer to do: ``stop``, ``pause`` or nothing."""
        try:
            content = json.loads((self.path / "control.json").read_text())
            return "pause" if content["command"] == "pause" else "stop"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "stop"  # the safer guess: nothing is lost by it

    def state(self) -> str:
        """Return ``running``, ``paused``, ``finished``, ``stopped``, ``failed``, ``interrupted``.

        A run that is asked to pause is ``running`` until its trainer holds.
        """
        running = self.is_running()
        last = last_event(self.events_path)
        if running:
            return "paused" if isinstance(last, Paused) else "running"
        ends = {Finished: "finished", StoppedEvent: "stopped", Failed: "failed"}
        return ends.get(type(last), "interrupted")

    def is_running(self) -> bool:
        """Whether the process that trains this run is alive.

        On this host its process tells, on another one its heartbeat.
        """
        try:
            process = self.process()
            if is_local(process):
                return is_alive(process)
            return time.time() - (self.path / "heartbeat").stat().st_mtime < SILENCE_SECONDS
        except (OSError, ValueError):
            return False

    def process(self) -> Any:
        """Return `locks.this_process` of the trainer; OSError or ValueError when there is none."""
        return json.loads((self.path / "process.json").read_text())

    def leave_process(self) -> None:
        """Note that no process trains the run any more."""
        (self.path / "process.json").unlink(missing_ok=True)

    def stage_seconds(self) -> dict[int, float]:
        """Return how long each finished stage took."""
        events = read_events(self.events_path)
        return {event.stage: event.seconds for event in events if isinstance(event, StageFinished)}

    def log_text(self, limit: int = 200_000) -> str:
        """Return the end of what the trainer's processes printed and of its log."""
        texts = [read_tail(path, limit) for path in (*self.output_paths(), self.path / "log.txt")]
        return "\n".join(text.rstrip("\n") for text in texts if text)[-limit:]

    def output_paths(self) -> list[Path]:
        """Return what each of the run's processes printed: ``output.txt``, ``output-2.txt``, …."""
        paths = self.path.glob("output*.txt")
        return sorted(paths, key=lambda path: (len(path.name), path.name))


def list_runs(project: Project) -> list[Run]:
    """Return the runs of a project, oldest first; folders without a configuration are no runs."""
    runs = []
    for path in sorted((project.path / "runs").glob("*/config.json")):
        try:
            runs.append(Run(path.parent))
        except ProjectError as error:  # one damaged run must not hide the others
            log.warning("%s", error)
    return runs


def find_run(project: Project, run_id: str | None = None, *, baselines: bool = False) -> Run:
    """Return a run by its id or the name that it was given, or the latest one.

    Parameters
    ----------
    baselines
        Whether the latest one may be a baseline.

    Raises
    ------
    ProjectError
        There is no such run.
    """
    if run_id:
        path = project.path / "runs" / id_of(project, run_id)
        if (path / "config.json").is_file():
            return Run(path)
    runs = list_runs(project)
    chosen = [] if run_id else [run for run in runs if baselines or not run.is_baseline]
    if not chosen:
        start = f"Start one: threestage run {project.path}"
        if not runs:
            raise ProjectError(f"Project {project.path} has no run yet.", start)
        what = f"no run {run_id}" if run_id else "no run but baselines"
        known = ", ".join(run.id for run in runs)
        look = f"See which there are: threestage runs {project.path}"
        raise ProjectError(
            f"Project {project.path} has {what}; there are: {known}.", look if run_id else start
        )
    return chosen[-1]


def indices_between(ids: Sequence[int], others: Sequence[int] | ClassTable) -> np.ndarray:
    """Return a table: ``table[labels]`` are indices of other classes, 0 for what those lack.

    Parameters
    ----------
    ids
        Ids of the classes of the labels, in their order.
    others
        Ids of the others, or the classes of a project, which know what became of former ones.
    """
    if not isinstance(others, Sequence):
        return others.indices(np.array([0, *ids]))
    places = {class_id: place for place, class_id in enumerate(others, 1)}
    return np.array([0, *(places.get(class_id, 0) for class_id in ids)], np.uint8)


def _start_path(path: Path, stage: int) -> Path:
    return path / "warm" / f"stage-{stage}.safetensors"


def _write_truth(path: Path, image_id: str, truth: np.ndarray) -> None:
    (path / "truth").mkdir(exist_ok=True)
    store.write_map(path / "truth" / image_id, truth, "tzyx"[-truth.ndim :])
