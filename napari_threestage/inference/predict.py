"""Whole planes through a segmenter: at once where they fit a tile, else tiled and blended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from napari_threestage.config import InferenceConfig

MULTIPLE = 32  # the largest output stride; sides are padded to it


@torch.inference_mode()
def predict_plane(
    network: nn.Module, plane: np.ndarray, config: InferenceConfig, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Predict one plane.

    Parameters
    ----------
    network
        A segmenter in evaluation mode on `device`: (B, C, H, W) in [0, 1] -> logits.
    plane
        (C, H, W) uint8.
    config
        Tile, halo and flips.
    device
        Where the network is.

    Returns
    -------
    The class index 0..K-1 of each pixel, (H, W) uint8, and its confidence, (H, W) uint8 in 0..255.
    """
    height, width = plane.shape[1:]
    mask = np.empty((height, width), np.uint8)
    confidence = np.empty((height, width), np.uint8)
    for rows, columns, probability in _probabilities(network, plane, config, device):
        best, label = probability.max(0)
        mask[rows, columns] = label.byte().cpu().numpy()
        confidence[rows, columns] = (best * 255).round().byte().cpu().numpy()
    return mask, confidence


def _probabilities(
    network: nn.Module, plane: np.ndarray, config: InferenceConfig, device: torch.device
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield the probabilities (K, h, w) of blocks that cover the plane once.

    Each block is predicted with a halo around it, which is cut off: no pixel is near a border that
    the image does not have.
    """
    height, width = plane.shape[1:]
    halo = config.halo if max(height, width) > config.tile else 0
    for top in range(0, height, config.tile):
        for left in range(0, width, config.tile):
            bottom, right = min(top + config.tile, height), min(left + config.tile, width)
            outer_top, outer_left = max(top - halo, 0), max(left - halo, 0)
            window = plane[:, outer_top : bottom + halo, outer_left : right + halo]
            images = torch.from_numpy(np.ascontiguousarray(window)).to(device).float()[None] / 255
            probability = _probability(network, images, config.flips)[0]
            inner = probability[
                :, top - outer_top : bottom - outer_top, left - outer_left : right - outer_left
            ]
            yield slice(top, bottom), slice(left, right), inner


def _probability(network: nn.Module, images: Tensor, flips: bool) -> Tensor:
    height, width = images.shape[-2:]
    padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    padded = F.pad(images, padding, mode="replicate").contiguous(memory_format=torch.channels_last)
    probability: Tensor = network(padded).softmax(1)
    if flips:
        probability = (probability + network(padded.flip(-1)).softmax(1).flip(-1)) / 2
    return probability[..., :height, :width]
