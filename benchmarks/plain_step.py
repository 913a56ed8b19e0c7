"""The step of training as one would first write it down from the paper, to compare ours with.

The network's modules, the losses, the batch sizes and all other settings are the same as in
`napari_threestage.training.loop`.  This is what differs:

- images are augmented one by one with PIL, one operation after the other: crop, flips and zoom,
  then RandAugment, CutMix and Cutout; label maps and the teacher's labels go through the same
  operations, nearest neighbour
- float32 throughout, tensors in torch's default layout (NCHW), torch's default settings (`step.py`
  takes back those that a training makes, but for the number of threads)
- the student sees labelled crops and those of the whole set in two passes, and so does the teacher
- the second branch computes the shared blocks again
- the teacher's average is a Python loop over its tensors
- torch's Adam or AdamW with their defaults
- the losses are read with `.item()` in every step

Nothing is slower than that on purpose: the images are decoded once and stay in memory, a stage
makes only the label maps that it needs, and with `workers` as many threads augment (PIL works
without Python's lock).
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import torch
from PIL import Image
from plain_images import (
    IGNORE,
    Item,
    Plane,
    cut_mix,
    cut_out,
    image_batch,
    map_batch,
    rand_augment,
    weak_crop,
)
from torch import Tensor, nn

from napari_threestage.config import for_stage
from napari_threestage.training.batches import is_sparse
from napari_threestage.training.losses import consistency_ramp, dice_loss, masked_cross_entropy
from napari_threestage.training.teacher import decay_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.batches import Sample
    from napari_threestage.training.multitask import TwoBranchNetwork


class PlainTrainer:
    """Called as `StageTrainer` is."""

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        samples: Sequence[Sample],
        network: TwoBranchNetwork,
        device: torch.device,
        seed: int,
        workers: int = 0,
    ) -> None:
        if config.loss.class_weights:
            raise ValueError("loss.class_weights is not part of the plain step")
        if config.loss.crf and any(is_sparse(sample.truth) for sample in samples):
            raise ValueError("loss.crf is not part of the plain step; label the images whole")
        self.spec, self.config, self.device, self.step = spec, config, device, 0
        self.network = network.to(device)
        self.teacher = copy.deepcopy(network.segmenter).eval().requires_grad_(False)
        self.optimiser = build_optimiser(config, network)
        self.branched = spec.pseudo_masks_from is not None and config.loss.pseudo > 0
        names = ["truth", *(["inside"] if spec.self_training else [])]
        names += ["pseudo"] if self.branched else []
        planes = [Plane(sample, names) for sample in samples]
        has_truth = [sample.truth is not None for sample in samples]
        labelled = [plane for plane, known in zip(planes, has_truth, strict=True) if known]
        self.random = Random(seed)
        self._labelled, self._whole = (self._endless(part) for part in (labelled, planes))
        self._map = ThreadPoolExecutor(workers).map if workers else map
        set_train_mode(network, config)

    def train_step(self) -> dict[str, float]:
        """Make one step and return its losses by name."""
        data, self_training = self.config.data, self.spec.self_training
        n_labelled = data.labelled_batch if self_training else data.stage1_batch
        items = self._crops(self._labelled, n_labelled, focus=True)
        if self_training:
            whole = self._crops(self._whole, data.whole_set_batch, focus=False)
            self._add_teacher_labels(items)
            self._add_teacher_labels(whole)
            items = items + whole
        losses = self._losses(self._perturb(items, n_labelled), n_labelled)
        self._set_learning_rate()
        self.optimiser.zero_grad()
        losses["total"].backward()
        if self.config.optimiser.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self.optimiser.step()
        if self_training or self.config.teacher.in_stage_1:
            self._average()
        self.step += 1
        return {name: value.item() for name, value in losses.items()}

    def _endless(self, planes: Sequence[Plane]) -> Iterator[Plane]:
        """Yield all planes in random order, again and again."""
        while True:
            yield from self.random.sample(planes, len(planes))

    def _crops(self, planes: Iterator[Plane], count: int, focus: bool) -> list[Item]:
        drawn = [(next(planes), Random(self.random.random())) for _ in range(count)]
        return list(
            self._map(lambda pair: weak_crop(pair[0], self.config.data, focus, pair[1]), drawn)
        )

    @torch.no_grad()
    def _add_teacher_labels(self, items: Sequence[Item]) -> None:
        """Give every item the teacher's labels of it, and where the teacher is sure of them."""
        if not items:
            return
        confidence, label = self.teacher(image_batch(items, self.device)).softmax(1).max(1)
        inside = map_batch(items, "inside", self.device).bool()
        target = torch.where(inside, label, IGNORE).byte().cpu().numpy()
        sure = (inside & (confidence >= self.config.loss.threshold)).byte().cpu().numpy()
        for item, item_target, item_sure in zip(items, target, sure, strict=True):
            item.maps.pop("inside")
            item.maps["target"] = Image.fromarray(item_target)
            item.maps["confident"] = Image.fromarray(item_sure)

    def _perturb(self, items: Sequence[Item], n_labelled: int) -> list[Item]:
        """Perturb the whole set's crops, and the recipe's share of the labelled ones."""
        augment = self.config.augment
        share = round(for_stage(augment.labelled, self.spec.number) * n_labelled)
        randoms = [Random(self.random.random()) for _ in items]
        chosen = [place < share or place >= n_labelled for place in range(len(items))]

        def operations(place: int) -> Item:
            item = items[place]
            return rand_augment(item, augment, randoms[place]) if chosen[place] else item

        moved = list(self._map(operations, range(len(items))))

        def boxes(place: int) -> Item:
            item, random = moved[place], randoms[place]
            if place >= n_labelled and random.random() < augment.cutmix:
                item = cut_mix(item, moved[place - 1], random)
            return cut_out(item, augment, random) if chosen[place] else item

        return list(self._map(boxes, range(len(items))))

    def _losses(self, items: Sequence[Item], n_labelled: int) -> dict[str, Tensor]:
        loss, images = self.config.loss, image_batch(items, self.device)
        sub_batches = [images[:n_labelled], images[n_labelled:]]
        logits = torch.cat([self.network.segmenter(part) for part in sub_batches if len(part)])
        truth = map_batch(items[:n_labelled], "truth", self.device)
        losses = {"segmentation": masked_cross_entropy(logits[:n_labelled], truth)}
        if loss.dice:
            dice = dice_loss(logits[:n_labelled], truth)
            losses["segmentation"] = losses["segmentation"] + loss.dice * dice
        total = losses["segmentation"]
        if self.spec.self_training:
            sure = map_batch(items, "confident", self.device).float()
            target = map_batch(items, "target", self.device)
            losses["consistency"] = masked_cross_entropy(logits, target, pixel_weight=sure)
            ramp = consistency_ramp(self.step, self.spec.steps, loss.ramp_up)
            total = total + loss.consistency * ramp * losses["consistency"]
        if self.branched:
            pseudo = map_batch(items, "pseudo", self.device)
            losses["pseudo"] = masked_cross_entropy(self._branch(images), pseudo)
            total = total + loss.pseudo * losses["pseudo"]
        return {"total": total, **losses}

    def _branch(self, images: Tensor) -> Tensor:
        """g, all of it."""
        f = self.network.segmenter
        features = f.features(images, self.network.n_shared)
        *hidden, decoder = self.network.own_blocks
        for block in hidden:
            features.append(block(features[-1]))
        return f.upsample(decoder(features), images.shape[-2:])

    @torch.no_grad()
    def _average(self) -> None:
        warm = self.spec.start_from is not None  # then the teacher keeps what it knows
        teacher = self.config.teacher
        teacher = teacher.model_copy(update={"warm_up": False}) if warm else teacher
        decay = decay_at(teacher, self.step, self.spec.steps)
        student = self.network.segmenter.state_dict()
        for name, mine in self.teacher.state_dict().items():
            if mine.is_floating_point():
                mine.mul_(decay).add_(student[name], alpha=1 - decay)
            else:
                mine.copy_(student[name])

    def _set_learning_rate(self) -> None:
        settings, share = self.config.optimiser, self.step / self.spec.steps
        factor = (1 - share) ** 0.9 if settings.schedule == "poly" else 1.0
        factor *= min(1.0, (self.step + 1) / (settings.warm_up * self.spec.steps + 1))
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * group["factor"] * factor


def build_optimiser(config: Config, network: TwoBranchNetwork, **how: bool) -> torch.optim.Adam:
    """Adam or AdamW with the rates of the recipe."""
    settings = config.optimiser
    *backbone, decoder = network.segmenter.blocks
    factor = 1.0 if config.network.weights == "none" else settings.backbone_factor
    groups = [
        {"params": list(nn.ModuleList(backbone).parameters()), "factor": factor},
        {
            "params": [*decoder.parameters(), *network.own_blocks.parameters()],
            "factor": 1.0,
        },
    ]
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, **how)


def set_train_mode(network: TwoBranchNetwork, config: Config) -> None:
    """Training mode, with the backbone's batch norm as the recipe has it."""
    network.train()
    if config.network.batch_norm_is_frozen:
        for block in list(network.segmenter.blocks)[:-1]:
            for part in block.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval().requires_grad_(False)
