"""One stage of training: one loop for all stages, steered by the stage's row and the configuration.

A step (eq. 4, 5):

1. draw labelled crops x_l and crops x_w of the whole set L and U, weakly augmented
2. the teacher labels both; A perturbs x_w, B moves the labels and pseudo-masks in the same way
3. one pass of the student through both branches on [x_l, A x_w]
4. L = L_seg + λ1 L_con + λ2 L_pl, one step of the optimiser, one of the moving average
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_threestage.config import for_stage
from napari_threestage.training.augment import StrongOperator, draw_operator
from napari_threestage.training.batches import Batch, CropSampler, Sample, join, step_generator
from napari_threestage.training.losses import (
    IGNORE,
    consistency_ramp,
    dice_loss,
    masked_cross_entropy,
)
from napari_threestage.training.teacher import Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.multitask import TwoBranchNetwork
    from napari_threestage.training.networks import BlockNetwork


class StageTrainer:
    """The state of a stage and its step.

    Parameters
    ----------
    spec
        Row of the stage table.
    config
        The recipe.
    samples
        All planes of L and U; from stage 2 on with their pseudo-masks.
    network
        f with the second branch of this stage.
    device
        Where to train.
    seed
        Decides, with the stage and the step, every random choice.
    """

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        samples: Sequence[Sample],
        network: TwoBranchNetwork,
        device: torch.device,
        seed: int,
    ) -> None:
        self.spec, self.config, self.device, self.seed = spec, config, device, seed
        labelled = [sample for sample in samples if sample.truth is not None]
        sampler_seed = seed * 97 + spec.number
        self._labelled = CropSampler(labelled, config.data, sampler_seed, labelled=True)
        self._whole = CropSampler(samples, config.data, sampler_seed, labelled=False)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.teacher = Teacher(
            self.network.segmenter, config.teacher, warm=spec.start_from is not None
        )
        self.optimiser = _build_optimiser(config, self.network)
        self.class_weight = self._class_weight(labelled) if config.loss.class_weights else None
        self.step = 0
        self._set_train_mode()

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.step >= self.spec.steps

    @property
    def averaged(self) -> bool:
        """Whether this stage has a teacher."""
        return self.spec.self_training or self.config.teacher.in_stage_1

    @property
    def segmenter(self) -> BlockNetwork:
        """What the stage ends with: the teacher where there is one, else the student."""
        return self.teacher.network if self.averaged else self.network.segmenter

    def train_step(self) -> dict[str, Tensor]:
        """Make one step and return its losses by name, as tensors on the device."""
        _set_learning_rate(self.optimiser, self.config, self.step, self.spec.steps)
        generator = step_generator(self.seed, self.spec.number, self.step)
        losses = self._losses(generator)
        self.optimiser.zero_grad(set_to_none=True)
        losses["total"].backward()
        if self.config.optimiser.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self.optimiser.step()
        if self.averaged:
            self.teacher.update(self.network.segmenter, self.step, self.spec.steps)
        self.step += 1
        return {name: value.detach() for name, value in losses.items()}

    @property
    def images_per_step(self) -> int:
        """Crops that the student sees in a step."""
        data = self.config.data
        return (
            data.labelled_batch + data.whole_set_batch
            if self.spec.self_training
            else data.stage1_batch
        )

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "stage": self.spec.number,
            "step": self.step,
            "network": self.network.state_dict(),
            "teacher": self.teacher.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.teacher.network.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the terms of the loss: eq. 2 in stage 1, eq. 4 and 5 later."""
        data, self_training = self.config.data, self.spec.self_training
        n_labelled = data.labelled_batch if self_training else data.stage1_batch
        batch = self._labelled.batch(self.step, n_labelled, generator)
        if self_training:
            whole = self._whole.batch(self.step, data.whole_set_batch, generator)
            batch = join(batch, whole)
        operator = self._draw_operator(batch, n_labelled, generator)
        batch = batch.to(self.device)
        target, confident = self._teacher_labels(batch) if self_training else (None, None)
        images = operator.image(batch.images)
        with self._autocast():
            logits, branch = self.network(images, branch=self.config.loss.pseudo > 0)
        truth = operator.labels(batch.truth)[:n_labelled]
        losses = {"segmentation": self._segmentation_loss(logits[:n_labelled], truth)}
        total = losses["segmentation"]
        if target is not None and confident is not None:
            weight = operator.labels(confident, fill=0).float()
            losses["consistency"] = masked_cross_entropy(
                logits, operator.labels(target), pixel_weight=weight
            )
            total = total + self._consistency_weight() * losses["consistency"]
            losses["confident"] = weight.mean()
        if branch is not None:
            losses["pseudo"] = masked_cross_entropy(branch, operator.labels(batch.pseudo))
            total = total + self.config.loss.pseudo * losses["pseudo"]
        return {"total": total, **losses}

    def _draw_operator(
        self, batch: Batch, n_labelled: int, generator: torch.Generator
    ) -> StrongOperator:
        """Draw A and B: the identity on labelled crops, but for the share the recipe perturbs.

        Labelled crops get no CutMix: mixing few labels was seen to cost several points.
        """
        place = torch.arange(len(batch.images))
        share = round(for_stage(self.config.augment.labelled, self.spec.number) * n_labelled)
        whole_set = place >= n_labelled
        size = batch.images.shape[-2:]
        return draw_operator(
            self.config.augment, len(place), size, generator, whole_set | (place < share), whole_set
        )

    def _consistency_weight(self) -> float:
        """λ1 with its ramp."""
        loss = self.config.loss
        return loss.consistency * consistency_ramp(self.step, self.spec.steps, loss.ramp_up)

    @torch.no_grad()
    def _teacher_labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return f_θ'(x) as hard labels (B, H, W), `IGNORE` in padding, and if it is confident."""
        with self._autocast():
            logits = self.teacher.network(batch.images)
        confidence, label = logits.softmax(1).max(1)
        label = torch.where(batch.inside, label, IGNORE).byte()
        return label, (batch.inside & (confidence >= self.config.loss.threshold)).byte()

    def _segmentation_loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """L_seg (eq. 2), with a Dice term where the recipe asks for one."""
        loss = masked_cross_entropy(logits, truth, class_weight=self.class_weight)
        if self.config.loss.dice:
            loss = loss + self.config.loss.dice * dice_loss(logits, truth)
        return loss

    def _autocast(self) -> torch.autocast:
        half = self.config.precision == "bfloat16" or (
            self.config.precision == "auto" and self.device.type == "cuda"
        )
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def _set_train_mode(self) -> None:
        self.network.train()
        if self.config.network.batch_norm == "frozen":
            *backbone, _ = self.network.segmenter.blocks
            for part in nn.ModuleList(backbone).modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval().requires_grad_(False)

    def _class_weight(self, labelled: Sequence[Sample]) -> Tensor:
        """Return weights (K,) as a power of the inverse share of labelled pixels, mean 1."""
        channels = self.network.segmenter.mean.shape[1]
        probe = torch.zeros(1, channels, 32, 32, device=self.device)
        with torch.no_grad():
            n_classes = self.network.segmenter.eval()(probe).shape[1]
        values = torch.cat(
            [sample.truth.flatten() for sample in labelled if sample.truth is not None]
        )
        counts = torch.bincount(values[values != IGNORE].long(), minlength=n_classes).float()
        share = counts.clamp(min=1) / counts.sum()
        weight = share.pow(-self.config.loss.class_weights) * (counts > 0)
        return (weight * (counts > 0).sum() / weight.sum()).to(self.device)


def _build_optimiser(config: Config, network: TwoBranchNetwork) -> torch.optim.Optimizer:
    """Give a pre-trained backbone its share of the learning rate; all new blocks have all of it."""
    *backbone, decoder = network.segmenter.blocks
    new = nn.ModuleList([decoder, *network.own_blocks])
    settings = config.optimiser
    factor = 1.0 if config.network.weights == "none" else settings.backbone_factor
    groups = [
        {"params": list(nn.ModuleList(backbone).parameters()), "factor": factor},
        {"params": list(new.parameters()), "factor": 1.0},
    ]
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _set_learning_rate(
    optimiser: torch.optim.Optimizer, config: Config, step: int, steps: int
) -> None:
    settings = config.optimiser
    factor = (1 - step / steps) ** 0.9 if settings.schedule == "poly" else 1.0
    factor *= min(1.0, (step + 1) / (settings.warm_up * steps + 1))
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * group["factor"] * factor
