"""The network and the optimiser on fixed tensors: what a step costs if its input costs nothing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from plain_step import build_optimiser, set_train_mode
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_threestage.training.losses import masked_cross_entropy
from napari_threestage.training.precision import autocast, choose_precision

if TYPE_CHECKING:
    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.multitask import TwoBranchNetwork


class BareStep:
    """Teacher's and student's forward pass, cross-entropy, backward pass, optimiser."""

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        network: TwoBranchNetwork,
        device: torch.device,
        n_classes: int,
    ) -> None:
        self.spec, self.config, self.device = spec, config, device
        self.precision = choose_precision(config, device)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.teacher = copy.deepcopy(network.segmenter).eval().requires_grad_(False)
        self.optimiser = build_optimiser(config, network, fused=True)
        self.branched = spec.pseudo_masks_from is not None and config.loss.pseudo > 0
        shape = (images_per_step(config, spec), 3, *config.data.crop)
        images = torch.rand(shape, device=device)
        self.images = images.to(memory_format=torch.channels_last)
        self.target = torch.randint(n_classes, (shape[0], *shape[2:]), device=device)
        set_train_mode(network, config)

    def __call__(self) -> None:
        with autocast(self.precision, self.device):
            if self.spec.self_training:
                with torch.no_grad():
                    self.teacher(self.images)
            logits = self.network(self.images, branch=self.branched)
        loss = sum(masked_cross_entropy(part, self.target) for part in logits if part is not None)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.optimiser.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self.optimiser.step()

    @torch.no_grad()
    def flops(self) -> int:
        """Operations of a step, counted in the forward passes; a backward pass is two more."""
        with FlopCounterMode(display=False) as student:
            self.network(self.images, branch=self.branched)
        with FlopCounterMode(display=False) as teacher:
            if self.spec.self_training:
                self.teacher(self.images)
        return 3 * student.get_total_flops() + teacher.get_total_flops()


def images_per_step(config: Config, spec: StageSpec) -> int:
    data = config.data
    return data.labelled_batch + data.whole_set_batch if spec.self_training else data.stage1_batch
