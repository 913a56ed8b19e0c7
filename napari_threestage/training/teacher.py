"""The teacher θ': an exponential moving average of the student's weights (eq. 1)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from napari_threestage.config import TeacherConfig
    from napari_threestage.training.networks import BlockNetwork


class Teacher:
    """Holds θ' as a network in evaluation mode and moves it towards θ after every step.

    Batch norm statistics are averaged like weights; a stage may end with others
    (`clean_statistics`).

    Parameters
    ----------
    student
        f, which the teacher begins as a copy of.
    config
        The decay.
    warm
        Whether f has been trained before; the teacher then keeps what it knows from the start.
    """

    def __init__(self, student: BlockNetwork, config: TeacherConfig, warm: bool = False) -> None:
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self.config = config.model_copy(update={"warm_up": False}) if warm else config
        self._pairs: _Pairs | None = None

    @torch.no_grad()
    def update(self, student: nn.Module, step: int, steps: int) -> None:
        """θ' <- α θ' + (1 - α) θ with the decay α of this step."""
        if self._pairs is None or self._pairs.student is not student:
            self._pairs = _Pairs(self.network, student)
        torch._foreach_lerp_(
            self._pairs.mine, self._pairs.theirs, 1 - decay_at(self.config, step, steps)
        )
        if self._pairs.my_counts:  # batch norm counts its batches
            torch._foreach_copy_(self._pairs.my_counts, self._pairs.their_counts)


class _Pairs:
    """The tensors of teacher and student, looked up once: both change them in place."""

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        self.student = student
        pairs = list(zip(teacher.state_dict().values(), student.state_dict().values(), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        counted = [pair for pair in pairs if not pair[0].is_floating_point()]
        self.mine, self.theirs = [a for a, _ in averaged], [b for _, b in averaged]
        self.my_counts, self.their_counts = [a for a, _ in counted], [b for _, b in counted]


def decay_at(config: TeacherConfig, step: int, steps: int) -> float:
    """Return α: a step function of the share of steps done, limited by 1 - 1 / (step + 1)."""
    if not config.enabled:
        return 0.0
    done = step / steps
    decay = next((value for until, value in config.decay if done < until), config.decay[-1][1])
    return min(decay, 1 - 1 / (step + 1)) if config.warm_up else decay
