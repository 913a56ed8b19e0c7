"""The host's part of a step: which crops, which A and B; a pure function of the step's number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_threestage.config import AugmentConfig, for_stage
from napari_threestage.stages import crops_per_step
from napari_threestage.training.augment import StrongOperator, draw_operator, join_operators
from napari_threestage.training.batches import (
    CropSampler,
    is_sparse,
    join,
    stage_seed,
    step_generator,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_threestage.config import Config, DataConfig
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.batches import Sample
    from napari_threestage.training.crops import Fetched, Planes
    from napari_threestage.training.workers import Workers


@dataclass(frozen=True)
class Drawn:
    """The host's part of a step.

    Attributes
    ----------
    fetched
        The crops.
    views
        Which crop each of the student's is a version of: all in order, then those of L and U again
        for each further view.
    operator
        A and B for the student's crops.
    n_labelled
        How many of the crops are labelled.
    n_weak
        How many views at the end are weak; the student sees these with features dropped.
    sparse
        (B,) bool, on the host: crops of planes that are labelled in part, where a CRF is wanted.
    before
        Crops of other processes at the start, of which mixing takes parts.  Further views are mixed
        within a process.
    """

    fetched: Fetched
    views: Tensor
    operator: StrongOperator
    n_labelled: int
    sparse: Tensor
    n_weak: int = 0
    before: int = 0


class Drawing:
    """Draws the steps of a stage for all processes, and fetches the crops of this one.

    Parameters
    ----------
    spec, config
        The stage and the recipe.
    data
        The recipe's crops, or smaller ones.
    samples, planes
        All planes, and how their pixels are reached.
    device
        Where A and B are applied.
    seed
        Decides, with the stage and the step, every random choice.
    workers
        The processes that share a step.
    """

    def __init__(
        self,
        spec: StageSpec,
        config: Config,
        data: DataConfig,
        samples: Sequence[Sample],
        planes: Planes,
        device: torch.device,
        seed: int,
        workers: Workers,
    ) -> None:
        self._spec, self._config, self._planes, self._device = spec, config, planes, device
        self._seed, self._workers, self._crop = seed, workers, data.crop
        own = config.augment.labelled_with
        self._labelled_with = AugmentConfig.model_validate(own.model_dump()) if own else None
        wants_crf = config.loss.crf > 0
        self._sparse = torch.tensor([wants_crf and is_sparse(one.truth) for one in samples])
        sampler_seed = stage_seed(seed, spec.number)
        self._labelled = CropSampler(samples, data, sampler_seed, labelled=True)
        self._whole = CropSampler(samples, data, sampler_seed, labelled=False)

    def __call__(self, step: int) -> Drawn:
        """Draw a step for all processes, and fetch the crops of this one."""
        generator = step_generator(self._seed, self._spec.number, step)
        n_labelled, n_whole = crops_per_step(self._config, self._spec)
        windows = self._labelled.windows(step, n_labelled, generator)
        if self._spec.self_training:
            windows = join(windows, self._whole.windows(step, n_whole, generator))
        operator = self._draw_operator(n_labelled, n_whole, generator)
        mine = self._workers.share(n_labelled + n_whole)
        drawn, before = mine, 0
        if self._workers.count > 1:
            drawn, before = torch.cat([(mine[:1] - 1) % len(windows), mine]), 1
        places = torch.arange(len(drawn))
        again = places[before:][mine >= n_labelled]
        extra = self._more_views()
        parts = [drawn, *(drawn[again] + (view + 1) * n_whole for view in range(extra))]
        return Drawn(
            self._planes.fetch(windows.part(drawn)),
            torch.cat([places, *[again] * extra]),
            operator.part(torch.cat(parts)).to(self._device),
            n_labelled=int((mine < n_labelled).sum()),
            sparse=self._sparse[windows.sample[mine]] & (mine < n_labelled),
            n_weak=len(again) if self._config.augment.feature_view else 0,
            before=before,
        )

    def _more_views(self) -> int:
        """How often crops from L and U come again."""
        augment = self._config.augment
        return augment.views - 1 + augment.feature_view

    def _draw_operator(
        self, n_labelled: int, n_whole: int, generator: torch.Generator
    ) -> StrongOperator:
        """Draw A and B for all crops and then for all further views of those from L and U.

        They are the identity on labelled crops, but for the share the recipe perturbs, and on the
        view with dropped features.  Labelled crops are not mixed: mixing few labels was seen to
        cost several points.
        """
        augment, size = self._config.augment, self._crop
        n_strong = n_labelled + augment.views * n_whole
        place = torch.arange(n_labelled + (1 + self._more_views()) * n_whole)
        share = round(for_stage(augment.labelled, self._spec.number) * n_labelled)
        strong = (place >= n_labelled) & (place < n_strong)
        if self._labelled_with is None:
            wanted = strong | (place < share)
            return draw_operator(augment, len(place), size, generator, wanted, strong)
        perturbed = place[:n_labelled] < share
        first = draw_operator(self._labelled_with, n_labelled, size, generator, perturbed)
        strong = strong[n_labelled:]
        others = draw_operator(augment, len(strong), size, generator, strong, strong)
        return join_operators(first, others)
