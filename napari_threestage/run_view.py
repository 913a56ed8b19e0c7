"""What the events of a run add up to: where it is, what it has learned, how long it still takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from napari_threestage import events
from napari_threestage.stages import SELF_TRAINING_COST, stage_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.events import Event, Failed, Sampled, Validated
    from napari_threestage.runs import Run

MOST_POINTS = 2000  # of a curve; a longer one is thinned evenly
MOST_SAMPLES = 500
TRAINING_SHARE = 0.9  # of a stage's work, the rest is prediction

T = TypeVar("T")
Curve = tuple[list[int], list[float]]  # steps and values


@dataclass
class StageView:
    """A stage as its events tell it.

    Attributes
    ----------
    phase
        waiting, training, predicting, scoring or finished.
    losses
        By name, each as steps and values.
    speed
        Images a second, as steps and values.
    scores
        By what they are on: validation or labelled.
    samples
        What the segmenter thought of the windows while it learned, oldest first.
    seconds
        How long the stage took; None before its end.
    memory
        Bytes.
    """

    number: int
    steps: int = 0
    phase: str = "waiting"
    step: int = 0
    predicted: int = 0
    total: int = 0
    seconds: float | None = None
    losses: dict[str, Curve] = field(default_factory=dict)
    speed: Curve = field(default_factory=lambda: ([], []))
    scores: dict[str, Validated] = field(default_factory=dict)
    samples: list[Sampled] = field(default_factory=list)
    memory: int = 0

    @property
    def fraction(self) -> float:
        """How much of the stage is done, 0..1."""
        if self.phase in ("scoring", "finished"):
            return 1.0
        trained = 1.0 if self.phase == "predicting" else self.step / max(self.steps, 1)
        predicted = self.predicted / max(self.total, 1)
        return TRAINING_SHARE * trained + (1 - TRAINING_SHARE) * predicted


class RunView:
    """Takes in the events of a run one by one; a resumed run goes on where it was.

    Parameters
    ----------
    steps
        Steps of each stage, where they are known before the stage begins.

    Attributes
    ----------
    run, device
        Name of the run and of the device.
    stages
        In order.
    state
        starting, running, paused, finished, stopped or failed, as far as events tell: that a
        process was killed they do not.
    warnings
        What the person should know, each once.
    failure
        The error that ended the run.
    """

    def __init__(self, steps: Mapping[int, int] | None = None) -> None:
        self.run = self.device = ""
        self.stages: list[StageView] = []
        self.state = "starting"
        self.warnings: list[str] = []
        self.failure: Failed | None = None
        self._steps = dict(steps or {})
        self._current: StageView | None = None
        self._seconds = 0.0  # of the whole run, when it is finished
        self._training_left: float | None = None
        self._per_image: float | None = None
        self._predicting_since: tuple[float, int] | None = None  # time, images done by then

    @classmethod
    def of(cls, run: Run) -> RunView:
        """Return the view of a run that knows the length of all its stages."""
        table = stage_table(run.config, run.inputs.last_stage)
        return cls({spec.number: spec.steps for spec in table})

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case events.Started():
                self._start(event)
            case events.Warned():
                if event.message not in self.warnings:
                    self.warnings.append(event.message)
            case events.Finished():
                stages = sum(stage.seconds or 0.0 for stage in self.stages)
                # The event knows of the time since the run last went on.
                self.state, self._seconds = "finished", max(event.seconds, stages)
            case events.StoppedEvent():
                self.state = "stopped"
            case events.Failed():
                self.state, self.failure = "failed", event
            case events.Paused():
                self.state = "paused"
            case events.Continued():
                self.state, self._predicting_since = "running", None
            case _:
                self._add_to_stage(event)

    def stage(self, number: int) -> StageView:
        """Return a stage by its number."""
        for stage in self.stages:
            if stage.number == number:
                return stage
        stage = StageView(number, self._steps.get(number, 0))
        self.stages = sorted([*self.stages, stage], key=lambda one: one.number)
        return stage

    @property
    def current(self) -> StageView | None:
        """The stage that the last events are about."""
        return self._current

    @property
    def fraction(self) -> float:
        """How much of the run is done, 0..1."""
        if self.state == "finished":
            return 1.0
        longest = max((stage.steps for stage in self.stages), default=0)
        costs = [
            (stage.steps or longest or 1) * (SELF_TRAINING_COST if stage.number > 1 else 1.0)
            for stage in self.stages
        ]
        done = sum(c * stage.fraction for c, stage in zip(costs, self.stages, strict=True))
        return done / sum(costs) if costs else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds that the run still takes from its last event on; None if nobody can tell."""
        if self.state not in ("running", "paused") or self._training_left is None:
            return None
        images = sum(
            (stage.total or self._total()) - stage.predicted
            for stage in self.stages
            if stage.phase not in ("scoring", "finished")
        )
        return self._training_left + images * (self._per_image or 0.0)

    @property
    def place(self) -> str:
        """Stage and step, or what else is done; empty before the first stage."""
        if self._current is None:
            return ""
        last = max(stage.number for stage in self.stages)
        return f"Stage {self._current.number} of {last}: {_doing(self._current)}"

    @property
    def sentence(self) -> str:
        """How the run is, for a status line."""
        if self.failure is not None:
            return f"{self.failure.message} {self.failure.hint}".strip()
        if self.state == "finished":
            return f"Finished in {about(self._seconds)}"
        if self._current is None:
            return self.state.capitalize() if self.state in ("paused", "stopped") else "Starting …"
        if self.state == "running":
            left = "" if self.eta is None else f", {about(self.eta)} left"
            return f"{self.place}{_speed(self._current)}{left}"
        return f"{self.state.capitalize()} in {self.place[0].lower()}{self.place[1:]}"

    def _start(self, event: events.Started) -> None:
        self.run, self.device = event.run, event.device
        self.state, self.failure = "running", None
        self._training_left = self._predicting_since = None
        for number in event.stages:
            self.stage(number)

    def _add_to_stage(self, event: Event) -> None:
        match event:
            case events.StageStarted():
                self._begin(event)
            case events.Progress():
                self._train(event)
            case events.Sampled():
                samples = self.stage(event.stage).samples
                samples.append(event)
                samples[:] = _thinned(samples, [one.step for one in samples], MOST_SAMPLES)
            case events.Predicted():
                self._predict(event)
            case events.Validated():
                self._current = self.stage(event.stage)
                self._current.phase = "scoring"
                self._current.scores[event.on] = event
            case events.StageFinished():
                stage = self._current = self.stage(event.stage)
                stage.phase, stage.seconds = "finished", event.seconds

    def _begin(self, event: events.StageStarted) -> None:
        """Begin a stage, or go on with it from its checkpoint: what came after that is redone."""
        stage = self._current = self.stage(event.stage)
        stage.phase, stage.step, stage.steps = "training", event.step, event.steps
        for curve in (*stage.losses.values(), stage.speed):
            kept = sum(step <= event.step for step in curve[0])
            del curve[0][kept:], curve[1][kept:]
        stage.samples = [one for one in stage.samples if one.step <= event.step]

    def _train(self, event: events.Progress) -> None:
        stage = self._current = self.stage(event.stage)
        stage.step, stage.steps, stage.memory = event.step, event.steps, event.memory
        stage.phase = "predicting" if event.step >= event.steps else "training"
        for name, value in event.losses.items():
            _add_point(stage.losses.setdefault(name, ([], [])), event.step, value)
        _add_point(stage.speed, event.step, event.images_per_second)
        self._training_left = event.eta
        self._predicting_since = None

    def _predict(self, event: events.Predicted) -> None:
        stage = self._current = self.stage(event.stage)
        stage.predicted, stage.total = event.done, event.total
        stage.phase = "scoring" if event.done >= event.total else "predicting"
        if self._predicting_since is None or self._predicting_since[1] >= event.done:
            self._predicting_since = event.time, event.done
        else:
            begun, before = self._predicting_since
            self._per_image = max(0.0, event.time - begun) / (event.done - before)

    def _total(self) -> int:
        return max((stage.total for stage in self.stages), default=0)


def about(seconds: float) -> str:
    """Return a time as roughly as people say it, e.g. ``about 4 min``."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    if seconds < 3600:
        return f"about {round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes:02d} min"


def _doing(stage: StageView) -> str:
    if stage.phase == "predicting" and stage.total:
        return f"pseudo-mask {stage.predicted} of {stage.total}"
    if stage.phase == "predicting":
        return "writing pseudo-masks"
    if stage.phase == "training":
        return f"step {stage.step} of {stage.steps}"
    return stage.phase


def _speed(stage: StageView) -> str:
    known = stage.phase == "training" and stage.speed[1]
    return f", {stage.speed[1][-1]:.1f} images/s" if known else ""


def _add_point(curve: Curve, step: int, value: float) -> None:
    steps, values = curve
    steps.append(step)
    values.append(value)
    if len(steps) > MOST_POINTS:
        values[:] = _thinned(values, steps, MOST_POINTS)
        steps[:] = _thinned(steps, steps, MOST_POINTS)


def _thinned(entries: list[T], steps: list[int], most: int) -> list[T]:
    """Keep half as many entries as are allowed, evenly spaced, when there are more than that."""
    if len(entries) <= most:
        return entries
    gap = (steps[-1] - steps[0]) / (most / 2 - 1)
    kept, due = [], float(steps[0])
    for entry, step in zip(entries[:-1], steps[:-1], strict=True):
        if step >= due:
            kept.append(entry)
            due = max(due + gap, step)
    return [*kept, entries[-1]]
