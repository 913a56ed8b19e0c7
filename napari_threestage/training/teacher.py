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

    Batch norm statistics are averaged like weights, so that the teacher needs none of its own.

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

    @torch.no_grad()
    def update(self, student: nn.Module, step: int, steps: int) -> None:
        """θ' <- α θ' + (1 - α) θ with the decay α of this step."""
        decay = decay_at(self.config, step, steps)
        mine, theirs = self.network.state_dict().values(), student.state_dict().values()
        pairs = list(zip(mine, theirs, strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in averaged], [b for _, b in averaged], 1 - decay)
        for ours, new in pairs:
            if not ours.is_floating_point():  # batch norm counts its batches
                ours.copy_(new)


def decay_at(config: TeacherConfig, step: int, steps: int) -> float:
    """Return α: a step function of the share of steps done, limited by 1 - 1 / (step + 1)."""
    if not config.enabled:
        return 0.0
    done = step / steps
    decay = next((value for until, value in config.decay if done < until), config.decay[-1][1])
    return min(decay, 1 - 1 / (step + 1)) if config.warm_up else decay
