"""The multi-task network: f and a second branch on shared first blocks (Fig. 1, Table VII)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.training.networks import BlockNetwork


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

    def forward(self, images: Tensor, branch: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return the logits of f and of g, (B, K, H, W) each, from one pass of the shared blocks.

        Parameters
        ----------
        images
            (B, C, H, W) in [0, 1].
        branch
            Whether g is wanted; without, or without own blocks, its logits are None.
        """
        f, size = self.segmenter, images.shape[-2:]
        features = f.features(images, len(f.blocks) - 1)
        logits = f.upsample(f.run(f.blocks[-1], features), size)
        if not branch or not len(self.own_blocks):
            return logits, None
        shared = features[: self.n_shared]
        *hidden, decoder = self.own_blocks
        for block in hidden:
            shared = [*shared, f.run(block, shared[-1])]
        return logits, f.upsample(f.run(decoder, shared), size)
