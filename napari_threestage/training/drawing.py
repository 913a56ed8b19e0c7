"""The host's part of a step: which crops, which A and B; a pure function of the step's number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_threestage.config import for_stage
from napari_threestage.stages import crops_per_step
from napari_threestage.training.augment import StrongOperator, draw_operator
from napari_threestage.training.batches import CropSampler, join, step_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import Config, DataConfig
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.batches import Sample
    from napari_threestage.training.crops import Fetched, Planes
    from napari_threestage.training.workers import Workers


@dataclass(frozen=True)
class Drawn:
    """The host's part of a step: windows, A and B, and how many of the crops are labelled."""

    fetched: Fetched
    operator: StrongOperator
    n_labelled: int
    before: int = 0  # crops of other processes at the start, which CutMix takes boxes from


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
        sampler_seed = seed * 97 + spec.number
        self._labelled = CropSampler(samples, data, sampler_seed, labelled=True)
        self._whole = CropSampler(samples, data, sampler_seed, labelled=False)

    def __call__(self, step: int) -> Drawn:
        """Draw a step for all processes, and fetch the crops of this one."""
        generator = step_generator(self._seed, self._spec.number, step)
        n_labelled, n_whole = crops_per_step(self._config, self._spec)
        windows = self._labelled.windows(step, n_labelled, generator)
        if self._spec.self_training:
            windows = join(windows, self._whole.windows(step, n_whole, generator))
        operator = self._draw_operator(n_labelled, n_labelled + n_whole, generator)
        mine = self._workers.share(n_labelled + n_whole)
        drawn, before = mine, 0
        if self._workers.count > 1:
            drawn, before = torch.cat([(mine[:1] - 1) % len(windows), mine]), 1
        fetched = self._planes.fetch(windows.part(drawn))
        operator = operator.part(drawn).to(self._device)
        return Drawn(fetched, operator, int((mine < n_labelled).sum()), before)

    def _draw_operator(
        self, n_labelled: int, n_crops: int, generator: torch.Generator
    ) -> StrongOperator:
        """Draw A and B: the identity on labelled crops, but for the share the recipe perturbs.

        Labelled crops get no CutMix: mixing few labels was seen to cost several points.
        """
        place = torch.arange(n_crops)
        share = round(for_stage(self._config.augment.labelled, self._spec.number) * n_labelled)
        whole_set = place >= n_labelled
        size = self._crop
        return draw_operator(
            self._config.augment, n_crops, size, generator, whole_set | (place < share), whole_set
        )
