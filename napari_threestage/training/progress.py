"""Speed, remaining time and mean losses, told every second or so without stopping the device."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import psutil
import torch

from napari_threestage.errors import ThreeStageError
from napari_threestage.events import Progress
from napari_threestage.stages import SELF_TRAINING_COST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.loop import StageTrainer


class ProgressMeter:
    """Sums the losses on the device and reads them only when an event is due.

    Parameters
    ----------
    config, table, device
        The recipe, the stages of the run and where they are trained.
    clock
        Seconds that do not run on during a pause.
    """

    def __init__(
        self,
        config: Config,
        table: Sequence[StageSpec],
        device: torch.device,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._interval = config.progress_seconds
        self._table = list(table)
        self._device = device
        self._seconds_per_step: dict[bool, float] = {}

    def start(self, spec: StageSpec, step: int) -> None:
        """Begin to measure a stage."""
        self._spec = spec
        self._sums: dict[str, torch.Tensor] = {}
        self._since = step
        self._begun = self._clock()

    def add(self, losses: dict[str, torch.Tensor], trainer: StageTrainer) -> Progress | None:
        """Count a step; return an event when it is time for one.

        Raises
        ------
        ThreeStageError
            The loss is no number any more.
        """
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        elapsed = self._clock() - self._begun
        if elapsed < self._interval and not trainer.done:
            return None
        steps = trainer.step - self._since
        means = {name: float(value) / steps for name, value in self._sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise ThreeStageError(
                f"Training diverged in stage {self._spec.number} at step {trainer.step}.",
                "Use a smaller learning rate: --set optimiser.learning_rate=0.0003",
            )
        self._remember_speed(max(elapsed, 1e-9) / steps)
        event = Progress(
            stage=self._spec.number,
            step=trainer.step,
            steps=self._spec.steps,
            losses=means,
            images_per_second=trainer.images_per_step * steps / max(elapsed, 1e-9),
            eta=self._eta(trainer.step),
            memory=self._memory(),
        )
        self.start(self._spec, trainer.step)
        return event

    def _remember_speed(self, seconds: float) -> None:
        kind = self._spec.self_training
        old = self._seconds_per_step.get(kind, seconds)
        self._seconds_per_step[kind] = 0.8 * old + 0.2 * seconds

    def _eta(self, step: int) -> float:
        """Return the seconds that training will still take; prediction comes on top."""
        remaining = 0.0
        known = self._seconds_per_step
        guess = known.get(False, 0.0) * SELF_TRAINING_COST
        for spec in self._table:
            left = spec.steps - (step if spec.number == self._spec.number else 0)
            if spec.number >= self._spec.number:
                remaining += left * known.get(spec.self_training, guess)
        return remaining

    def _memory(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return int(psutil.Process().memory_info().rss)
