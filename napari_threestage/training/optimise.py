"""The optimiser: two learning rates, their schedule, and steps that are safe in half precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from napari_threestage.config import Config
    from napari_threestage.training.multitask import TwoBranchNetwork


class Optimiser:
    """Adam or AdamW with the recipe's learning rates.

    A pre-trained backbone has its share of the learning rate; all new blocks have all of it.

    Parameters
    ----------
    config
        The recipe.
    network
        What learns.
    """

    def __init__(self, config: Config, network: TwoBranchNetwork) -> None:
        settings = config.optimiser
        *backbone, decoder = network.segmenter.blocks
        new = nn.ModuleList([decoder, *network.own_blocks])
        factor = 1.0 if config.network.weights == "none" else settings.backbone_factor
        groups = [
            {"params": list(nn.ModuleList(backbone).parameters()), "factor": factor},
            {"params": list(new.parameters()), "factor": 1.0},
        ]
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        self.inner = kind(
            groups,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over all weights
        )
        self._settings = settings
        self._parameters = list(network.parameters())
        self._device = next(network.parameters()).device.type
        self._allocate()
        self.scale(False)

    def scale(self, wanted: bool) -> None:
        """Say whether the loss is scaled, so that float16 gradients do not vanish."""
        self._scaler = torch.amp.GradScaler(self._device, enabled=wanted)

    @torch.no_grad()
    def _allocate(self) -> None:
        """Have all memory from the start, so that no step fails when it is half done.

        A step of the learning rate 0 with gradients of 0 changes neither weights nor averages.
        """
        for group in self.param_groups:
            group["lr"] = 0.0
        learning = [one for one in self._parameters if one.requires_grad]
        for parameter in learning:
            parameter.grad = torch.zeros_like(parameter)
        self.inner.step()
        for state in self.inner.state.values():
            state["step"].zero_()
        self.inner.zero_grad(set_to_none=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The backbone's, and that of all new blocks."""
        return self.inner.param_groups

    def begin(self, step: int, steps: int) -> None:
        """Set the learning rates of a step, and forget the gradients of the one before."""
        settings = self._settings
        factor = (1 - step / steps) ** 0.9 if settings.schedule == "poly" else 1.0
        factor *= min(1.0, (step + 1) / (settings.warm_up * steps + 1))
        for group in self.param_groups:
            group["lr"] = settings.learning_rate * group["factor"] * factor
        self.inner.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        self._scaler.scale(loss).backward()

    def step(self) -> None:
        """Change the weights; a gradient that float16 could not hold is left out."""
        if self._settings.clip:
            self._scaler.unscale_(self.inner)
            nn.utils.clip_grad_norm_(self._parameters, self._settings.clip)
        self._scaler.step(self.inner)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return self.inner.state_dict() | {"scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        inner = dict(state)
        scaler = inner.pop("scaler", None)
        if scaler:  # of a run in float16
            self._scaler.load_state_dict(scaler)
        self.inner.load_state_dict(inner)
