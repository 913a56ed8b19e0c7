"""What an image looks like to the encoder, caught while it is predicted anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_threestage.inference.segmenter import Segmenter

LARGEST = 1e30  # that can be projected in float32
LENGTH = 128  # of what is kept; wider maps are projected, which keeps distances


class FeatureMean:
    """While entered, sums up the last map before the decoder of all that a segmenter predicts.

    Parameters
    ----------
    segmenter
        Its network is listened to.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._block = segmenter.applied.blocks[-2]
        self._sum: Tensor | None = None
        self._count = 0
        self._projection: np.ndarray | None = None

    def __enter__(self) -> FeatureMean:
        self._hook = self._block.register_forward_hook(self._listen)
        return self

    def __exit__(self, *exception: object) -> None:
        self._hook.remove()

    def take(self) -> np.ndarray | None:
        """Return the mean over all places since the last call, float16; None without any.

        What float16 cannot hold, as networks without batch norm may give, becomes its largest.
        """
        if self._sum is None:
            return None
        mean = (self._sum / self._count).cpu().numpy()
        self._sum, self._count = None, 0
        largest = np.finfo(np.float16).max
        short = self._short(np.nan_to_num(mean).clip(-LARGEST, LARGEST))
        return short.clip(-largest, largest).astype(np.float16)

    def _listen(self, module: nn.Module, given: Any, found: Tensor) -> None:
        total = found.detach().float().sum((0, 2, 3))
        self._sum = total if self._sum is None else self._sum + total
        self._count += found.shape[0] * found.shape[2] * found.shape[3]

    def _short(self, mean: np.ndarray) -> np.ndarray:
        """Project a long vector onto `LENGTH` random directions, the same ones everywhere."""
        if len(mean) <= LENGTH:
            return mean
        if self._projection is None:
            directions = np.random.default_rng(0).standard_normal((len(mean), LENGTH))
            self._projection = directions / np.sqrt(LENGTH)
        projected: np.ndarray = mean @ self._projection
        return projected
