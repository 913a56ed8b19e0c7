"""A trainer of a tiny network on small images whose grey values say the pseudo-masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.config import load_config
from napari_threestage.stages import StageSpec
from napari_threestage.training.batches import Sample
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.losses import IGNORE
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import AtrousPyramid, BlockNetwork

if TYPE_CHECKING:
    from napari_threestage.training.workers import Workers

N_CLASSES, N_LABELLED, N_WHOLE = 3, 2, 3
VALUE = 80  # class k of `samples` has the grey value k · VALUE
SMALL = {
    "data.crop": (32, 32),
    "data.labelled_batch": N_LABELLED,
    "data.whole_set_batch": N_WHOLE,
    "data.stage1_batch": N_LABELLED,
    "precision": "float32",
}
LIVE = {"network.batch_norm": "live"}


def block(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def decoder() -> nn.Module:
    return AtrousPyramid((4,), N_CLASSES, (1, 2))


def tiny_network(own: int) -> TwoBranchNetwork:
    """f of four blocks; g with `own` blocks of its own."""
    torch.manual_seed(0)
    f = BlockNetwork([block(1), block(4), block(4), decoder()], [0.3], [0.3])
    for part in f.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.3)  # so that all classes are predicted
    return TwoBranchNetwork(f, {0: [], 1: [decoder()], 2: [block(4), decoder()]}[own])


def samples(labelled: int = 3, unlabelled: int = 3, side: int = 48) -> list[Sample]:
    """Images in which the grey value says the pseudo-mask; the truth is another map."""
    generator = torch.Generator().manual_seed(9)
    made = []
    for number in range(labelled + unlabelled):
        small = torch.randint(0, N_CLASSES, (2, 6, 6), generator=generator, dtype=torch.uint8)
        pseudo, truth = F.interpolate(small[None].float(), (side, side), mode="nearest")[0].byte()
        made.append(Sample(pseudo[None] * VALUE, truth if number < labelled else None, pseudo))
    return made


def scribbled(planes: list[Sample]) -> list[Sample]:
    """Keep the labels of two lines across each labelled image."""
    return [replace(plane, truth=_lines(plane.truth)) for plane in planes]


def _lines(truth: Tensor | None) -> Tensor | None:
    if truth is None:
        return None
    kept = torch.full_like(truth, IGNORE)
    for row in (10, 33):
        kept[row : row + 3] = truth[row : row + 3]
    return kept


def make(
    changes: dict[str, Any] | None = None,
    *,
    stage: int = 2,
    own: int = 2,
    steps: int = 10,
    planes: list[Sample] | None = None,
    seed: int = 1,
    workers: Workers | None = None,
    device: str = "cpu",
    spec: StageSpec | None = None,
    sparse: bool = False,
) -> StageTrainer:
    config = load_config("paper-cityscapes", SMALL | {"data.flip": False} | (changes or {}))
    spec = spec or StageSpec(stage, stage - 1 if own else None, own, steps, None, stage > 1)
    planes = samples() if planes is None else planes
    planes = scribbled(planes) if sparse else planes
    return StageTrainer(
        spec, config, planes, tiny_network(own), torch.device(device), seed, workers
    )


def losses_of(step: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in step.items()}


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """Return the gradients that the last step followed."""
    return {
        name: value.grad.clone()
        for name, value in network.named_parameters()
        if value.grad is not None
    }


def assert_same_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Compare them before Adam, which makes much of the rounding of the smallest.

    That of a bias in front of batch norm is 0 but for rounding.
    """
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-4, msg=name)
