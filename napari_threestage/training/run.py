"""A run from beginning to end: the stages in order (Algorithm 1).

`execute_run` does the work of a run that `prepare.prepare_run` has frozen, and can be called again
after any interruption: what is finished is skipped, the rest goes on from the last checkpoint.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

import torch

from napari_threestage import store
from napari_threestage.errors import (
    NotReadyError,
    OutOfMemoryError,
    Stopped,
    ThreeStageError,
)
from napari_threestage.events import (
    Event,
    Failed,
    Finished,
    StageFinished,
    StageStarted,
    Started,
    Validated,
    Warned,
)
from napari_threestage.inference.device import choose_device, describe_device
from napari_threestage.inference.segmenter import Segmenter, SegmenterInfo, load_segmenter
from napari_threestage.project import content_hash
from napari_threestage.stages import stage_table
from napari_threestage.training.checkpoint import load_checkpoint, save_checkpoint
from napari_threestage.training.control import Control
from napari_threestage.training.data import SampleSet, present_truth
from napari_threestage.training.heartbeat import Heartbeat
from napari_threestage.training.live import LiveSamples
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.masks import MaskWriter
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks
from napari_threestage.training.progress import ProgressMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.compare import Scores
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec

    OnEvent = Callable[[Event], None]


def execute_run(
    project: Project, run: Run, on_event: OnEvent, should_stop: Callable[[], bool]
) -> None:
    """Train all stages of a run, or what is left of it.

    Parameters
    ----------
    on_event
        Called with every event, after it is on disk.
    should_stop
        Asked at every step and image; true: save and raise `Stopped`.

    Raises
    ------
    Stopped
        The run was asked to end; it can be resumed.
    OutOfMemoryError
        A step does not fit into the device's memory.

    Any other error, too, is the run's last event before it is raised.
    """
    with Heartbeat(run):
        try:
            _Execution(project, run, on_event, should_stop).all_stages()
        except Stopped:
            raise
        except Exception as error:
            known = _out_of_memory(run) if isinstance(error, torch.OutOfMemoryError) else error
            failed = _failed(run, known)
            run.record(failed)
            on_event(failed)
            raise known from (None if known is error else error)


def _out_of_memory(run: Run) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"The memory of {run.inputs.device} is too small for this run.",
        "Use smaller crops or batches, e.g. --set data.whole_set_batch=2 "
        "--set data.crop=[96,96], or --device cpu.",
    )


def _failed(run: Run, error: Exception) -> Failed:
    """Return the event of an error; one that is our bug leaves its traceback in the log."""
    kind = type(error).__name__
    if isinstance(error, ThreeStageError):
        return Failed(error=kind, message=error.message, hint=error.hint)
    log = run.path / "log.txt"
    log.write_text(traceback.format_exc())
    return Failed(error=kind, message=str(error), hint=f"The details are in {log}.")


class _Execution:
    """One call of `execute_run`: what all its stages share."""

    def __init__(
        self, project: Project, run: Run, on_event: OnEvent, should_stop: Callable[[], bool]
    ) -> None:
        self.project, self.run, self._on_event = project, run, on_event
        self.config, self.inputs = run.config, run.inputs
        self.device = choose_device(run.inputs.device)
        self.control = Control(run, self.emit, should_stop)
        self.masks = MaskWriter(project, run, self.emit, self.control.obey)
        torch.set_num_threads(run.inputs.threads)
        if self.device.type == "cpu":
            _be_nice()

    def all_stages(self) -> None:
        begun = self.control.clock()
        done = self.run.finished_stages()
        table = stage_table(self.config, self.inputs.last_stage)[self.inputs.first_stage - 1 :]
        self._check_inputs()
        self.emit(self._started(table, resumed=self.run.events_path.exists()))
        for warning in self.inputs.warnings:
            self.emit(Warned(message=warning))
        self.meter = ProgressMeter(self.config, table, self.device, self.control.clock)
        data = SampleSet(self.project, self.run)
        self.live = LiveSamples(self.project, self.run, self.emit)
        try:
            for spec in table:
                if spec.number not in done:
                    self._stage(spec, data)
        finally:
            data.close()
        self.emit(Finished(run=self.run.id, seconds=self.control.clock() - begun))

    def emit(self, event: Event) -> None:
        self.run.record(event)
        self._on_event(event)

    def _stage(self, spec: StageSpec, data: SampleSet) -> None:
        """Train, then write the stage's model, pseudo-masks and scores; the scores come last."""
        begun = self.control.clock()
        self.control.place = (spec.number, 0)
        self.run.stage_path(spec.number).mkdir(exist_ok=True)
        if not self.run.model_path(spec.number).exists():
            if spec.pseudo_masks_from is not None:
                data.load_pseudo_masks(spec.pseudo_masks_from)
            self._train(spec, data)
        segmenter = load_segmenter(self.run.model_path(spec.number), self.device)
        scores = {"labelled": self.masks.write_masks(spec, segmenter)}
        validation = self.masks.validate(segmenter)
        if validation is not None:
            scores["validation"] = validation
        for name, score in scores.items():
            self.emit(_validated(spec.number, name, score))
        metrics = {name: score.to_dict() for name, score in scores.items()}
        store.write_json(self.run.stage_path(spec.number) / "metrics.json", metrics)
        (self.run.stage_path(spec.number) / "checkpoint.pt").unlink(missing_ok=True)
        self.emit(StageFinished(stage=spec.number, seconds=self.control.clock() - begun))

    def _train(self, spec: StageSpec, data: SampleSet) -> None:
        checkpoint = self.run.stage_path(spec.number) / "checkpoint.pt"
        trainer = self._trainer(spec, data)
        state = load_checkpoint(checkpoint)
        if state is not None:
            trainer.load_state(state)
        self.emit(StageStarted(stage=spec.number, steps=spec.steps, step=trainer.step))
        self.live.look(trainer)
        self.meter.start(spec, trainer.step)
        saved = self.control.clock()
        while not trainer.done:
            self.control.place = (spec.number, trainer.step)
            wanted = self.control.wanted()
            if wanted or self.control.clock() - saved > self.config.checkpoint_seconds:
                save_checkpoint(checkpoint, trainer.state())
                saved = self.control.clock()
            if wanted:
                self.control.obey()
            event = self.meter.add(trainer.train_step(), trainer)
            if event is not None:
                self.emit(event)
            if not trainer.done:
                self.live.look_when_due(trainer)
        self.live.look(trainer)
        self._segmenter(spec, trainer).save(self.run.model_path(spec.number))

    def _trainer(self, spec: StageSpec, data: SampleSet) -> StageTrainer:
        """Build f, initialised anew or from the stage before, with this stage's second branch."""
        inputs, network = self.inputs, self.config.network
        torch.manual_seed(inputs.seed * 97 + spec.number)
        n_classes = len(inputs.classes)
        segmenter = build_network(network, inputs.n_channels, n_classes)
        own_blocks = build_own_blocks(network, inputs.n_channels, n_classes, spec.own_blocks)
        if spec.start_from is not None:
            before = load_segmenter(self.run.model_path(spec.start_from), self.device)
            segmenter.load_state_dict(before.network.state_dict())
        two_branches = TwoBranchNetwork(segmenter, own_blocks)
        return StageTrainer(spec, self.config, data.samples, two_branches, self.device, inputs.seed)

    def _segmenter(self, spec: StageSpec, trainer: StageTrainer) -> Segmenter:
        info = SegmenterInfo(
            classes=self.inputs.classes,
            channels=self.inputs.channels,
            n_channels=self.inputs.n_channels,
            normalisation=self.inputs.normalisation,
            network=self.config.network.model_dump(mode="json") | {"weights": "none"},
            inference=self.config.inference.model_dump(mode="json"),
            stage=spec.number,
            run=self.run.id,
        )
        return Segmenter(trainer.segmenter, info, self.device)

    def _check_inputs(self) -> None:
        """Refuse to go on without an image; runs of older versions also with other labels."""
        gone = [i for i in self.inputs.images if i not in self.project.images]
        if gone:
            raise NotReadyError(f"Image {gone[0]} of this run is gone.", "Start a new run.")
        if (self.run.path / "truth").is_dir():
            return
        for image_id, digest in self.inputs.labels.items():
            if digest != self._present_hash(image_id):
                raise NotReadyError(
                    "The ground truth has changed since this run began.",
                    "Start a new run to use the new labels.",
                )

    def _present_hash(self, image_id: str) -> str:
        truth = present_truth(self.project, self.run, image_id)
        return "" if truth is None else content_hash(truth)

    def _started(self, table: list[StageSpec], resumed: bool) -> Started:
        return Started(
            run=self.run.id,
            device=describe_device(self.device),
            stages=[spec.number for spec in table],
            labelled=len(self.inputs.labels),
            unlabelled=len(self.inputs.images) - len(self.inputs.labels),
            resumed=resumed,
        )


def _validated(stage: int, on: str, scores: Scores) -> Validated:
    return Validated(stage=stage, on=on, miou=scores.miou, iou=scores.iou, accuracy=scores.accuracy)


def _be_nice() -> None:
    """Leave the processor to the viewer when both want it."""
    if hasattr(os, "nice"):
        os.nice(max(0, 10 - os.nice(0)))
