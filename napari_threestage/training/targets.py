"""What the student sees in a step and what it should say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_threestage.training.placing import to_device


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
        (B, H, W) float, 1 where the teacher is sure.
    """

    images: Tensor
    truth: Tensor
    teacher: Tensor
    confident: Tensor
    pseudo: Tensor
    n_labelled: int

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
            n_labelled,
        )


@dataclass(frozen=True)
class Counts:
    """Over how many pixels each mean is, in all processes together."""

    truth: Tensor
    teacher: Tensor
    pseudo: Tensor
