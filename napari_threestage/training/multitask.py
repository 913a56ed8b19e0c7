"""The multi-task network: f and a second branch on shared first blocks (Fig. 1, Table VII)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_threestage.training.placing import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.training.networks import BlockNetwork


@dataclass(frozen=True)
class FeatureDropout:
    """Drops half of the channels of all feature maps of some crops (Yang et al., CVPR 2023).

    Attributes
    ----------
    crops
        (B,) bool, which crops.
    generator
        Draws the channels on the host, so that a step is repeatable.
    """

    crops: Tensor
    generator: torch.Generator

    def __call__(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps (B, C, h, w) with channels dropped and the others doubled."""
        return [map_ * self._factor(map_) for map_ in maps]

    def _factor(self, map_: Tensor) -> Tensor:
        kept = torch.rand(map_.shape[:2], generator=self.generator) < 0.5
        factor = to_device(kept.float() * 2, map_.device)
        factor = torch.where(self.crops.unsqueeze(1), factor, 1.0)
        return factor.to(map_.dtype).unsqueeze(-1).unsqueeze(-1)


class TwoBranchNetwork(nn.Module):
    """f and, on its first N - k blocks, a branch g with k own blocks: ĝ for k = 2, g̃ for k = 1.

    Parameters
    ----------
    segmenter
        f; the only part that is evaluated and exported.
    own_blocks
        The last k blocks of g; none: f alone.
    """

    def __init__(self, segmenter: BlockNetwork, own_blocks: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.own_blocks = nn.ModuleList(own_blocks)

    @property
    def n_shared(self) -> int:
        """Number of blocks that f and g share."""
        return len(self.segmenter.blocks) - len(self.own_blocks)

    def forward(
        self, images: Tensor, branch: bool = True, dropout: FeatureDropout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the logits of f and of g, (B, K, H, W) each, from one pass of the shared blocks.

        Parameters
        ----------
        images
            (B, C, H, W) in [0, 1].
        branch
            Whether g is wanted; without, or without own blocks, its logits are None.
        dropout
            Drops features that f's decoder and g get to see.
        """
        f, size = self.segmenter, images.shape[-2:]
        features = f.features(images, len(f.blocks) - 1)
        if dropout is not None:
            features = dropout(features)
        logits = f.upsample(f.run(f.blocks[-1], features), size)
        if not branch or not len(self.own_blocks):
            return logits, None
        shared = features[: self.n_shared]
        *hidden, decoder = self.own_blocks
        for block in hidden:
            shared = [*shared, f.run(block, shared[-1])]
        return logits, f.upsample(f.run(decoder, shared), size)
