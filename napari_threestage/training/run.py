"""A run from beginning to end: the stages in order (Algorithm 1).

`execute_run` does the work of a run that `prepare.prepare_run` has frozen, and can be called again
after any interruption: what is finished is skipped, the rest goes on from the last checkpoint.
Where torchrun has started several processes, each calls it: all train and predict, one writes.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_threestage import store
from napari_threestage.errors import (
    NotReadyError,
    Stopped,
)
from napari_threestage.events import (
    Event,
    Finished,
    StageFinished,
    StageStarted,
    Started,
    Validated,
    Warned,
)
from napari_threestage.inference.device import choose_device, describe_device
from napari_threestage.inference.segmenter import Segmenter, load_segmenter
from napari_threestage.pixel_size import pixel_of_run
from napari_threestage.project import content_hash
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.stages import crops_per_step, stage_table
from napari_threestage.training.batches import stage_seed
from napari_threestage.training.checkpoint import load_checkpoint, save_checkpoint
from napari_threestage.training.control import Control
from napari_threestage.training.data import SampleSet, present_truth
from napari_threestage.training.economy import (
    is_out_of_memory,
    keep_economy,
    latest_economy,
)
from napari_threestage.training.failure import failed, out_of_memory
from napari_threestage.training.heartbeat import Heartbeat
from napari_threestage.training.live import LiveSamples
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.masks import MaskWriter
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_own_blocks
from napari_threestage.training.precision import tune
from napari_threestage.training.progress import ProgressMeter
from napari_threestage.training.thrift import Thrift
from napari_threestage.training.warm_start import build_segmenter, load_start
from napari_threestage.training.witness import Witness
from napari_threestage.training.workers import (
    Workers,
    check_batches,
    own_device,
    processes_here,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.compare import Scores
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.networks import BlockNetwork

    OnEvent = Callable[[Event], None]


def execute_run(
    project: Project,
    run: Run,
    on_event: OnEvent,
    should_stop: Callable[[], bool],
    workers: Workers | None = None,
) -> None:
    """Train all stages of a run, or what is left of it.

    Parameters
    ----------
    on_event
        Called with every event, after it is on disk.
    should_stop
        Asked at every step and image; true: save and raise `Stopped`.
    workers
        The processes that train together, this one alone if not given.

    Raises
    ------
    Stopped
        The run was asked to end; it can be resumed.
    OutOfMemoryError
        Even a step that saves memory in every way does not fit.

    Any other error, too, is the run's last event before it is raised.
    """
    workers = workers or Workers()
    with Heartbeat(run) if workers.leads else nullcontext():
        try:
            _Execution(project, run, on_event, should_stop, workers).all_stages()
        except Stopped:
            raise
        except Exception as error:
            known = out_of_memory(run) if is_out_of_memory(error) else error
            if workers.leads:
                event = failed(run, known)
                run.record(event)
                on_event(event)
            raise known from (None if known is error else error)


class _Execution:
    """One call of `execute_run`: what all its stages share."""

    def __init__(
        self,
        project: Project,
        run: Run,
        on_event: OnEvent,
        should_stop: Callable[[], bool],
        workers: Workers,
    ) -> None:
        self.project, self.run, self._on_event = project, run, on_event
        self.config, self.inputs, self.workers = run.config, run.inputs, workers
        self.device = own_device(choose_device(run.inputs.device))
        self.control = Control(run, self.emit, should_stop)
        self.masks = MaskWriter(project, run, self.emit, self.control.obey)
        torch.set_num_threads(max(1, run.inputs.threads // processes_here()))
        tune(self.device)
        if self.device.type == "cpu":
            _be_nice()

    def all_stages(self) -> None:
        begun = self.control.clock()
        done = self.run.finished_stages()
        table = stage_table(self.config, self.inputs.last_stage)[self.inputs.first_stage - 1 :]
        self._check_inputs()
        crops = [crops_per_step(self.config, spec) for spec in table]
        check_batches([sum(one) for one in crops], self.workers.count)
        self.economy = latest_economy(self.run.stage_path(stage) for stage in sorted(done))
        self.emit(self._started(table, resumed=self.run.events_path.exists()))
        for warning in self.inputs.warnings:
            self.emit(Warned(message=warning))
        self.meter = ProgressMeter(self.config, table, self.device, self.control.clock)
        data = SampleSet(self.project, self.run)
        self.live = LiveSamples(self.project, self.run, self.emit) if self.workers.leads else None
        try:
            for spec in table:
                if spec.number not in done:
                    self._stage(spec, data)
                elif self.workers.leads:  # it may have been killed before it did
                    self._tidy(spec)
        finally:
            data.close()
        self.emit(Finished(run=self.run.id, seconds=self.control.clock() - begun))

    def emit(self, event: Event) -> None:
        if not self.workers.leads:
            return
        self.run.record(event)
        self._on_event(event)

    def _stage(self, spec: StageSpec, data: SampleSet) -> None:
        """Train, then write the stage's model, pseudo-masks and scores; the scores come last."""
        begun = self.control.clock()
        self.control.place = (spec.number, 0)
        self.run.stage_path(spec.number).mkdir(exist_ok=True)
        self.workers.wait()  # or some would see what others have finished meanwhile
        if not self.run.model_path(spec.number).exists():
            if spec.pseudo_masks_from is not None:
                data.load_pseudo_masks(spec.pseudo_masks_from)
            self._train(spec, data)
        self.workers.wait()  # for the model
        witness, rank = self._witness(spec), self.workers.rank
        if self.workers.count > 1:
            ours = self.masks.images[rank :: self.workers.count]
            self._together(lambda: self.masks.write_share(spec, witness, ours, rank))
        if self.workers.leads:
            self._together(lambda: self._finish(spec, witness, begun))
        else:
            self._together(lambda: None)

    def _together(self, work: Callable[[], None]) -> None:
        """Do this process's part, wait for the others; where one was asked to end, all do."""
        stopped = False
        try:
            work()
        except Stopped:
            stopped = True
        if self.workers.any(stopped):
            self.control.end()

    def _witness(self, spec: StageSpec) -> Witness:
        """Load what the stage ended with, and the student that the teacher may disagree with."""
        student = self._student_path(spec)
        return Witness(
            load_segmenter(self.run.model_path(spec.number), self.device),
            load_segmenter(student, self.device) if student.exists() else None,
        )

    def _student_path(self, spec: StageSpec) -> Path:
        return self.run.stage_path(spec.number) / "student.safetensors"

    def _finish(self, spec: StageSpec, witness: Witness, begun: float) -> None:
        """Write pseudo-masks and scores; the scores mark the stage as finished."""
        scores = self.masks.write_masks(spec, witness)
        for name, score in scores.items():
            self.emit(_validated(spec.number, name, score))
        metrics = {name: score.to_dict() for name, score in scores.items()}
        store.write_json(self.run.stage_path(spec.number) / "metrics.json", metrics)
        self._tidy(spec)
        self.emit(StageFinished(stage=spec.number, seconds=self.control.clock() - begun))

    def _tidy(self, spec: StageSpec) -> None:
        """Remove what a finished stage needs no more."""
        checkpoint = self.run.stage_path(spec.number) / "checkpoint.pt"
        for path in (checkpoint, self._student_path(spec), self.run.start_path(spec.number)):
            path.unlink(missing_ok=True)

    def _train(self, spec: StageSpec, data: SampleSet) -> None:
        checkpoint = self.run.stage_path(spec.number) / "checkpoint.pt"
        trainer = self._trainer(spec, data)
        state = load_checkpoint(checkpoint)
        if state is not None:
            trainer.load_state(state)
        thrift = Thrift(trainer, self.emit)
        self.emit(StageStarted(stage=spec.number, steps=spec.steps, step=trainer.step))
        self.live = thrift.look(self.live)
        self.meter.start(spec, trainer.step)
        saved = self.control.clock()
        while not trainer.done:
            self.control.place = (spec.number, trainer.step)
            wanted = self.workers.decide(self.control.wanted())
            if wanted or self.control.clock() - saved > self.config.checkpoint_seconds:
                self._save(checkpoint, trainer)
                saved = self.control.clock()
            if wanted == "stop":
                self.control.end()
            elif wanted == "pause":
                if self.workers.leads:  # the others wait for what it decides next
                    self.control.hold()
                continue
            losses = thrift.step()
            event = self.meter.add(losses, trainer) if self.workers.leads else None
            if event is not None:
                self.emit(event)
            if not trainer.done:
                self.live = thrift.look(self.live, when_due=True)
        trainer.close()
        witnessed = trainer.averaged and spec.number == self.inputs.last_stage
        # Several processes make every pass together, so none may leave.
        obey = self.control.obey if self.workers.count == 1 else lambda: None
        trainer.finish(student=witnessed, obey=obey)
        self.live = thrift.look(self.live)
        self.economy = trainer.economy  # which the next stage begins with
        if self.workers.leads:
            keep_economy(self.run.stage_path(spec.number), trainer.economy)
            if witnessed:
                student = trainer.network.segmenter
                self._segmenter(spec, student).save(self._student_path(spec))
            # Last, as a stage with a model is not trained again.
            self._segmenter(spec, trainer.segmenter).save(self.run.model_path(spec.number))

    def _save(self, checkpoint: Path, trainer: StageTrainer) -> None:
        if self.workers.leads:
            save_checkpoint(checkpoint, trainer.state())

    def _trainer(self, spec: StageSpec, data: SampleSet) -> StageTrainer:
        """Build f as it starts, with this stage's second branch."""
        inputs, network = self.inputs, self.config.network
        torch.manual_seed(stage_seed(inputs.seed, spec.number))
        segmenter, n_classes = build_segmenter(self.run), len(inputs.classes)
        own_blocks = build_own_blocks(network, inputs.n_channels, n_classes, spec.own_blocks)
        load_start(segmenter, self.run, spec)
        if inputs.refreshes is not None:  # the teacher, too, knows something from the start
            spec = replace(spec, start_from=spec.number)
        two_branches = TwoBranchNetwork(segmenter, own_blocks)
        return StageTrainer(
            spec,
            self.config,
            data.samples,
            two_branches,
            self.device,
            inputs.seed,
            self.workers,
            self.economy,
        )

    def _segmenter(self, spec: StageSpec, network: BlockNetwork) -> Segmenter:
        info = SegmenterInfo(
            classes=self.inputs.classes,
            channels=self.inputs.channels,
            n_channels=self.inputs.n_channels,
            normalisation=self.inputs.normalisation,
            network=self.config.network.model_dump(mode="json") | {"weights": "none"},
            inference=self.config.inference.model_dump(mode="json"),
            stage=spec.number,
            run=self.run.id,
            pixel=pixel_of_run(self.project, self.run),
        )
        return Segmenter(network, info, self.device)

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
