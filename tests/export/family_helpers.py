"""Material of a network with random weights, for backbones that take long to train."""

from __future__ import annotations

import numpy as np
import torch

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.export.material import Crop, Material, as_images
from napari_threestage.export.network import size_multiple
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.segmenter_info import Card, SegmenterInfo
from napari_threestage.training.networks import build_network


def make_material(backbone: str, n_channels: int = 3, zoom: float = 1.0) -> Material:
    config = NetworkConfig(
        backbone=backbone,  # type: ignore[arg-type]
        decoder="pyramid",
        weights="none",
        output_stride=16,
        decoder_channels=16,
        zoom=zoom,
    )
    torch.manual_seed(0)
    network = build_network(config, n_channels, 3).eval()
    info = SegmenterInfo(
        classes=[{"name": name, "color": [1, 2, 3]} for name in "abc"],
        channels=None,
        n_channels=n_channels,
        normalisation="auto",
        network=config.model_dump(mode="json"),
        inference=InferenceConfig(tile=128, halo=32).model_dump(mode="json"),
        stage=1,
        run="a-run",
        card=Card(name="x", channel_names=tuple("abcdef"[:n_channels])),
    )
    multiple = size_multiple(network)
    rng = np.random.default_rng(0)

    def crop(rows: int, columns: int) -> Crop:
        side = max(1, 64 // multiple) * multiple
        pixels = rng.integers(0, 256, (n_channels, rows * side, columns * side), np.uint8)
        return Crop(pixels, pixels)

    crops = ((crop(1, 2),), (crop(3, 2), crop(3, 2)))
    with torch.inference_mode():
        one, two = (network(torch.from_numpy(as_images(one))).softmax(1).numpy() for one in crops)
    segmenter = Segmenter(network, info, torch.device("cpu"))
    return Material(segmenter, multiple, "noise", crops, (one, two))
