"""A stage's training in a memory that may be too small for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_threestage.events import Event, Warned
from napari_threestage.training.economy import (
    LAUNCHED,
    free_memory,
    is_out_of_memory,
    next_economy,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_threestage.training.economy import Economy
    from napari_threestage.training.live import LiveSamples
    from napari_threestage.training.loop import StageTrainer


class Thrift:
    """Lets a trainer go on where memory is too small, by saving some, and says so.

    Parameters
    ----------
    trainer
        The stage; its `economy` is what it saves.
    emit
        Takes the warnings.
    """

    def __init__(self, trainer: StageTrainer, emit: Callable[[Event], None]) -> None:
        self._trainer, self._emit = trainer, emit

    def step(self) -> dict[str, Tensor]:
        """Make a step; while memory is too small for it, save some and try again.

        Raises
        ------
        RuntimeError, MemoryError
            Of the step itself, or of memory where nothing is left to save.
        """
        trainer = self._trainer
        while True:
            try:
                return trainer.train_step()
            except (RuntimeError, MemoryError) as error:
                # Others may already wait for this process's gradients.
                if trainer.workers.count > 1 or not is_out_of_memory(error):
                    raise
                found = next_economy(
                    trainer.economy,
                    trainer.config,
                    trainer.device,
                    trainer.images_per_step,
                    trainer.holds_images,
                    trainer.replays,
                )
                if found is None:
                    raise
            # Here, for the error holds on to the tensors of its step.
            economy, what = found
            self._save_memory(economy)
            place = f"stage {trainer.spec.number}, step {trainer.step}"
            self._warn(f"Memory is too small for {place}. From now on {what}.")

    def look(self, live: LiveSamples | None, *, when_due: bool = False) -> LiveSamples | None:
        """Predict the samples; return what predicts the next: None where memory is too small."""
        if live is None:
            return None
        try:
            (live.look_when_due if when_due else live.look)(self._trainer)
            return live
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        replays = self._trainer.replays
        if replays:
            self._save_memory(replace(self._trainer.economy, graphs=False))
        else:
            free_memory(self._trainer.device)
        what = LAUNCHED if replays else "there are none"
        self._warn(f"Memory is too small for samples. From now on {what}.")
        return live if replays else None

    def _save_memory(self, economy: Economy) -> None:
        free_memory(self._trainer.device)
        self._trainer.use(economy)

    def _warn(self, message: str) -> None:
        self._emit(Warned(message=message))
