"""Batch norm statistics of images as they are, instead of those of the student's batches.

The student's batches are perturbed, and half of their crops or all are of the few labelled images,
placed on rare classes.  Means and variances of such crops are not those of the images that the
segmenter is for, and where batch norm divides by the wrong ones, a good network gives bad masks.
So a stage ends with those of unperturbed crops of L and U.  They need no labels (Li et al.,
Revisiting Batch Normalization For Practical Domain Adaptation, 2016), and an average of weights
needs its own in any case (Izmailov et al., UAI 2018; Wu and Johnson, Rethinking "Batch" in
BatchNorm, 2021).

A frozen batch norm goes on dividing by the statistics of its weights, but says so in terms of those
of the images: only then does `adapt` know how far other images are from them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_threestage.sections import STATISTICS_CROPS
from napari_threestage.training.batch_norm import frozen_batch_norms, live_batch_norms
from napari_threestage.training.batches import CropSampler, stage_seed, step_generator
from napari_threestage.training.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from napari_threestage.config import DataConfig
    from napari_threestage.training.batch_norm import FrozenBatchNorm
    from napari_threestage.training.batches import Sample
    from napari_threestage.training.crops import Planes


class PlainCrops:
    """Batches of unperturbed crops of L and U, every image once before any comes again.

    They are flipped as in training, and zoomed only where the recipe always does that.  Images
    smaller than a crop are padded as in training.

    Parameters
    ----------
    samples, planes
        All planes, and how their pixels are reached.
    data
        Size of the crops, flips and range of zooms.
    seed, stage
        Decide, with the number of a batch, which crops it has.
    size
        Crops in a batch.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        planes: Planes,
        data: DataConfig,
        seed: int,
        stage: int,
        size: int,
    ) -> None:
        low, high = data.scale
        zoom = min(max(1.0, low), high)
        plain = data.model_copy(update={"scale": (zoom, zoom)})
        self._sampler = CropSampler(samples, plain, stage_seed(seed, stage), labelled=False)
        self._planes, self._seed, self._stage, self.size = planes, seed, stage, size

    def __call__(self, number: int) -> Tensor:
        """Return a batch, (B, C, H, W) float32 in [0, 1]."""
        generator = step_generator(self._seed, self._stage, number, stream=3)
        windows = self._sampler.windows(number, self.size, generator)
        return self._planes.cut(self._planes.fetch(windows)).images


class CleanStatistics:
    """Gives networks the batch norm statistics of unperturbed crops.

    A variance is the mean of those of the batches, as in training, which normalises by these.
    What a frozen batch norm does stays the same.

    Parameters
    ----------
    crops
        Where these come from.
    precision, device
        What the networks compute in, and where.
    """

    def __init__(self, crops: PlainCrops, precision: torch.dtype, device: torch.device) -> None:
        self._crops, self._precision, self._device = crops, precision, device

    def recompute(self, network: nn.Module, obey: Callable[[], None]) -> None:
        """Replace the statistics by their mean over `STATISTICS_CROPS` crops.

        Parameters
        ----------
        obey
            Called before every batch; raises to end.
        """
        count = -(-STATISTICS_CROPS // self._crops.size)
        batches = (self._crops(number) for number in range(count))
        gather_statistics(network, batches, self._precision, self._device, obey)


def gather_statistics(
    network: nn.Module,
    batches: Iterable[Tensor],
    precision: torch.dtype,
    device: torch.device,
    obey: Callable[[], None] = lambda: None,
) -> None:
    """Replace a network's batch norm statistics by their mean over batches.

    Frozen ones get a factor and an offset with which they do the same as before.

    Parameters
    ----------
    batches
        (B, C, H, W) float32 in [0, 1] each; none is asked for where there is no batch norm.
    precision, device
        What the network computes in, and where.
    obey
        Called before every batch; raises to end.
    """
    with _gathering(network) as norms, _observing(network) as observed:
        for number, images in enumerate(batches if norms or observed else ()):
            obey()
            for norm in norms:
                norm.momentum = 1 / (number + 1)
            with torch.no_grad(), autocast(precision, device):
                # Not compiled, which would be done anew for every momentum.
                network.forward(images)
    for frozen, moments in observed:
        frozen.rebase(moments.mean, moments.variance)


@contextmanager
def _gathering(network: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let those batch norms that are not frozen take in what they see; nothing else changes."""
    norms = live_batch_norms(network)
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.train()
    try:
        yield norms
    finally:
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)


@contextmanager
def _observing(network: nn.Module) -> Iterator[list[tuple[FrozenBatchNorm, _Moments]]]:
    """Take in what frozen batch norms see."""
    pairs = [(norm, _Moments(norm.weight.detach())) for norm in frozen_batch_norms(network)]
    hooks = [norm.register_forward_pre_hook(moments.add) for norm, moments in pairs]
    try:
        yield pairs
    finally:
        for hook in hooks:
            hook.remove()


class _Moments:
    """Means over batches of the means and variances of maps, each like a given tensor (C,)."""

    def __init__(self, like: Tensor) -> None:
        self.mean, self.variance = torch.zeros_like(like), torch.zeros_like(like)
        self._batches = 0

    def add(self, _: nn.Module, given: tuple[Tensor]) -> None:
        """Take in a batch of maps, the only argument of a layer."""
        [maps] = given
        maps = maps.float()
        mean = maps.mean((0, 2, 3))
        variance = (maps - mean[:, None, None]).square().mean((0, 2, 3))
        self._batches += 1
        self.mean.lerp_(mean, 1 / self._batches)
        self.variance.lerp_(variance, 1 / self._batches)
