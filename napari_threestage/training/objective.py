"""What a stage minimises: L = L_seg + λ1 L_con + λ2 L_pl (eq. 2 in stage 1, eq. 4 and 5 later)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_threestage.training.crf import crf_loss
from napari_threestage.training.losses import (
    IGNORE,
    consistency_ramp,
    dice_loss,
    masked_cross_entropy,
    soft_distance,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.targets import Counts, Targets
    from napari_threestage.training.workers import Workers


class Objective:
    """The loss of a step, which may come in parts, and from several processes.

    Parameters
    ----------
    spec
        Row of the stage table.
    config
        The recipe.
    class_weight
        (K,) float32, weights of the classes in L_seg; None: all alike.
    workers
        The processes that share the crops of a step.
    """

    def __init__(
        self, spec: StageSpec, config: Config, class_weight: Tensor | None, workers: Workers
    ) -> None:
        self._spec, self._loss, self._workers = spec, config.loss, workers
        self._class_weight = class_weight

    def __call__(
        self,
        part: Targets,
        logits: Tensor,
        branch: Tensor | None,
        counts: Counts,
        *,
        step: int,
        parts: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what to follow the gradient of, and the terms.

        Each term is this part's share of the mean over the whole step. Processes average their
        gradients, so that a share counts once for each of them.

        Parameters
        ----------
        part
            What the crops of this part are to become.
        logits, branch
            (B, K, H, W), what f and the second branch say of them; None: there is no such branch.
        counts
            Pixels that count in each mean, in all parts, of all processes.
        step
            Decides λ1.
        parts
            In how many the step is made.
        """
        loss, n = self._loss, part.n_labelled
        losses = {"segmentation": self._segmentation(part, logits[:n], counts)}
        total = losses["segmentation"]
        if self._spec.self_training and loss.consistency:
            losses["consistency"] = self._consistency(part, logits, counts)
            total = total + self._consistency_weight(step) * losses["consistency"]
            sure = part.confident * (part.teacher != IGNORE)
            losses["confident"] = sure.sum() / counts.teacher.clamp(min=1)
        guided = logits if self._guides_segmenter else branch
        if guided is not None:
            losses["pseudo"] = masked_cross_entropy(guided, part.pseudo, count=counts.pseudo)
            total = total + loss.pseudo * losses["pseudo"]
        total = total * self._workers.count
        if loss.dice:
            # Already that of all processes.
            dice = loss.dice * dice_loss(logits[:n], part.truth[:n], self._workers.total) / parts
            total = total + dice
            losses["segmentation"] = losses["segmentation"] + dice / self._workers.count
        return total, {name: value.detach() for name, value in losses.items()}

    def of_all(self, losses: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Add up the shares of all processes, and the terms."""
        values = self._workers.total(torch.stack(list(losses.values())))
        known = dict(zip(losses, values.unbind(), strict=True))
        weights = {
            "segmentation": 1.0,
            "consistency": self._consistency_weight(step),
            "pseudo": self._loss.pseudo,
        }
        total = sum(
            (w * known[name] for name, w in weights.items() if name in known), values[0] * 0
        )
        return {"total": total, **known}

    @property
    def _guides_segmenter(self) -> bool:
        """Whether pseudo-masks are labels of f, as in plain self-training."""
        loss, known = self._loss, self._spec.pseudo_masks_from is not None
        return known and loss.pseudo > 0 and loss.pseudo_on == "segmenter"

    def _segmentation(self, part: Targets, logits: Tensor, counts: Counts) -> Tensor:
        """L_seg (eq. 2) of labelled crops, but for the Dice term."""
        n = len(logits)
        truth = part.truth[:n]
        found = masked_cross_entropy(
            logits, truth, class_weight=self._class_weight, count=counts.truth
        )
        if part.paired is not None:
            crf = crf_loss(logits, part.images[:n], truth == IGNORE, part.paired[:n])
            found = found + self._loss.crf * crf / counts.paired.clamp(min=1)
        return found

    def _consistency(self, part: Targets, logits: Tensor, counts: Counts) -> Tensor:
        """L_con (eq. 1)."""
        if part.soft is None:
            return masked_cross_entropy(
                logits, part.teacher, pixel_weight=part.confident, count=counts.teacher
            )
        distance = soft_distance(logits, part.soft, self._loss.distance)
        valid = part.confident * (part.teacher != IGNORE)
        return (distance * valid).sum() / counts.teacher.clamp(min=1)

    def _consistency_weight(self, step: int) -> float:
        """λ1 with its ramp."""
        loss = self._loss
        return loss.consistency * consistency_ramp(step, self._spec.steps, loss.ramp_up)
