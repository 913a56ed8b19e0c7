"""What the student sees in a step and what it should say: the teacher labels, A and B perturb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import record_function

from napari_threestage.training.batches import step_generator
from napari_threestage.training.losses import IGNORE, count_valid
from napari_threestage.training.placing import to_device

if TYPE_CHECKING:
    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.crops import Batch
    from napari_threestage.training.drawing import Drawn
    from napari_threestage.training.passes import Passes
    from napari_threestage.training.teacher import Teacher
    from napari_threestage.training.workers import Workers


@dataclass(frozen=True)
class Targets:
    """What the student sees and what it should say.

    Attributes
    ----------
    images
        (B, C, H, W), the first `n_labelled` of them of the labelled sub-batch.
    truth, teacher, pseudo
        (B, H, W) uint8, `IGNORE` where a pixel does not count; `truth` does for labelled crops.
    confident
        (B, H, W) float, 1 where the teacher is sure; or the share that every pixel counts by.
    weak
        (B,) bool: views whose features are dropped.
    soft
        (B, K, H, W) probabilities of the teacher, where these are the target.
    paired
        (B, H, W) bool: pixels that the CRF makes pairs of, which are those of crops labelled in
        part, but no padding, nothing from outside the frame or under a Cutout box; None: no crop.
    """

    images: Tensor
    truth: Tensor
    teacher: Tensor
    confident: Tensor
    pseudo: Tensor
    weak: Tensor
    n_labelled: int
    soft: Tensor | None = None
    paired: Tensor | None = None

    def split(self, parts: int) -> list[Targets]:
        """Return parts that hold their share of both sub-batches; none is empty."""
        if parts == 1:
            return [self]
        places = torch.arange(len(self.images))
        labelled, whole = places[: self.n_labelled], places[self.n_labelled :]
        shares = [(labelled[one::parts], whole[one::parts]) for one in range(parts)]
        return [
            self._part(torch.cat(share), len(share[0])) for share in shares if sum(map(len, share))
        ]

    def _part(self, index: Tensor, n_labelled: int) -> Targets:
        index = to_device(index, self.images.device)
        return Targets(
            self.images[index],
            self.truth[index],
            self.teacher[index],
            self.confident[index],
            self.pseudo[index],
            self.weak[index],
            n_labelled,
            None if self.soft is None else self.soft[index],
            None if self.paired is None else self.paired[index],
        )


@dataclass(frozen=True)
class Counts:
    """Over how many pixels each mean is, in all processes together."""

    truth: Tensor
    teacher: Tensor
    pseudo: Tensor
    paired: Tensor


@dataclass(frozen=True)
class Opinion:
    """What the teacher says of crops.

    Attributes
    ----------
    label
        (B, H, W) uint8, its classes, `IGNORE` in padding.
    sure
        (B, H, W) uint8, 1 where its confidence reaches the threshold.
    soft
        (B, K, H, W) its probabilities, where they are wanted.
    """

    label: Tensor
    sure: Tensor
    soft: Tensor | None


class TargetMaker:
    """Makes the targets of a step from its crops.

    Parameters
    ----------
    spec, config
        The stage and the recipe.
    teacher
        θ', which labels the crops.
    device
        Where the crops are.
    seed
        Decides, with the stage and the step, every random choice.
    workers
        The processes that share a step.
    """

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        teacher: Teacher,
        device: torch.device,
        seed: int,
        workers: Workers,
    ) -> None:
        self._spec, self._config, self._teacher = spec, config, teacher
        self._device, self._seed, self._workers = device, seed, workers
        self._asks = spec.self_training and config.loss.consistency > 0

    def __call__(
        self, batch: Batch, drawn: Drawn, step: int, passes: Passes, parts: int
    ) -> Targets:
        """Let the teacher label the crops, then apply A to them and B to all labels.

        Parameters
        ----------
        batch, drawn
            The crops, and what the host has drawn for them.
        step
            Number of the step.
        passes
            How the teacher goes over the crops.
        parts
            In how many of them, to need less memory.
        """
        images, maps, soft = batch.images, [batch.truth, batch.pseudo], None
        if self._asks:
            with record_function("threestage::teacher"):
                opinion = self._ask(batch, passes, parts)
                images = self._worst(images, opinion, drawn, step, passes, parts)
            maps += [opinion.label, opinion.sure]
            soft = None if self._config.loss.distance == "hard" else opinion.soft
        maps += [batch.inside.byte()] * bool(drawn.sparse.any())
        with record_function("threestage::perturb"):
            return self._perturbed(images, torch.stack(maps, 1), soft, drawn)

    def _perturbed(
        self, images: Tensor, maps: Tensor, soft: Tensor | None, drawn: Drawn
    ) -> Targets:
        """Apply A to images, B to maps (truth, pseudo-mask, what the teacher says, and inside)."""
        operator, own = drawn.operator, slice(drawn.before, None)
        if len(drawn.views) > len(images):
            views = to_device(drawn.views, self._device)
            images, maps = images[views], maps[views]
            soft = None if soft is None else soft[views]
        moved = operator.moved(maps)
        mask = operator.mix_mask(moved[:, 2 if self._asks else 1])
        moved = operator.mixed(moved, mask)
        if self._asks:
            self._leave_out(moved[:, 2], drawn)
        truth, pseudo, *others = moved[own].unbind(1)
        paired = self._paired(others.pop(), drawn) if drawn.sparse.any() else None
        label, sure = others or (torch.full_like(truth, IGNORE),) * 2
        if soft is not None:
            soft = operator.blended(operator.mixed(operator.moved(soft, 0), mask))[own]
        weak = to_device(torch.arange(len(truth)) >= len(truth) - drawn.n_weak, self._device)
        n = drawn.n_labelled
        truth[n:] = IGNORE
        pseudo = pseudo.masked_fill(weak.view(-1, 1, 1), IGNORE)
        if self._config.loss.pseudo_on == "segmenter":
            pseudo[:n] = IGNORE  # it has their truth
        images = operator.image(images, mask)[own]
        confident = self._weight(label, sure)
        return Targets(images, truth, label, confident, pseudo, weak, n, soft, paired)

    def _paired(self, inside: Tensor, drawn: Drawn) -> Tensor:
        """Return the pixels (B, H, W) that the CRF makes pairs of."""
        views = F.pad(drawn.sparse, (0, len(inside) - len(drawn.sparse)))
        wanted = to_device(views, self._device).view(-1, 1, 1)
        return wanted & (inside == 1) & ~drawn.operator.under_cutouts()[drawn.before :]

    def _leave_out(self, label: Tensor, drawn: Drawn) -> None:
        """Take what does not count in L_con out of the teacher's labels (B, H, W)."""
        operator = drawn.operator
        if operator.blend is not None:
            label.masked_fill_(operator.lacks_partner(label), IGNORE)
        if not self._config.augment.cutout_labels:
            label.masked_fill_(operator.under_cutouts(), IGNORE)
        if self._config.loss.consistency_on == "whole_set":
            label[: drawn.before + drawn.n_labelled] = IGNORE

    def _weight(self, label: Tensor, sure: Tensor) -> Tensor:
        """By how much each pixel counts in L_con."""
        confident = (sure == 1).float()
        if self._config.loss.gate == "pixel":
            return confident
        sums = self._workers.total(torch.stack([confident.sum(), count_valid(label).float()]))
        return torch.ones_like(confident) * (sums[0] / sums[1].clamp(min=1))

    @torch.no_grad()
    def _ask(self, batch: Batch, passes: Passes, parts: int) -> Opinion:
        """Return f_θ'(x)."""
        loss, found = self._config.loss, []
        wants_soft = loss.distance != "hard" or self._config.augment.adversarial > 0
        kept: list[Tensor] = []
        for images in batch.images.chunk(parts):
            probability = passes.teacher(images).softmax(1)
            found.append(probability.max(1))
            kept += [probability] * wants_soft
        confidence, label = (torch.cat(both) for both in zip(*found, strict=True))
        label = torch.where(batch.inside, label, IGNORE).byte()
        sure = (batch.inside & (confidence >= loss.threshold)).byte()
        return Opinion(label, sure, torch.cat(kept) if wants_soft else None)

    def _worst(
        self,
        images: Tensor,
        opinion: Opinion,
        drawn: Drawn,
        step: int,
        passes: Passes,
        parts: int,
    ) -> Tensor:
        """Change the crops of L and U to what the teacher is most misled by, if that is wanted."""
        radius = self._config.augment.adversarial
        if not radius:
            return images
        assert opinion.soft is not None
        generator = step_generator(self._seed, self._spec.number, step, stream=2)
        first = drawn.before + drawn.n_labelled
        changed = [images[:first]]
        pairs = zip(images[first:].chunk(parts), opinion.soft[first:].chunk(parts), strict=True)
        for some, soft in pairs:
            begin = to_device(torch.randn(some.shape, generator=generator), self._device)
            change = passes.worst_change(some, soft, begin, radius)
            changed.append((some + change).clamp(0, 1))
        return torch.cat(changed)
