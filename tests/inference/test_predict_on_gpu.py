"""A GPU predicts what the CPU does, in batches and with half the bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.predict import BandPredictor, BytesPlane
from napari_threestage.training.networks import build_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
CONFIG = NetworkConfig(backbone="compact", decoder="pyramid", weights="none")


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(probabilities=True)])
@pytest.mark.parametrize("size", [(96, 128), (700, 900)])
def test_a_gpu_predicts_what_the_cpu_does(size: tuple[int, int], wanted: Wanted) -> None:
    torch.manual_seed(0)
    network = build_network(CONFIG, 3, 4).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    found = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        inference = InferenceConfig(tile=256, blend=32, halo=64)
        predictor = BandPredictor(network.to(device), inference, device, wanted)
        bands = [*predictor.bands(BytesPlane(pixels))]
        found.append(np.concatenate([band.confidence for band in bands]).astype(int))
    assert found[0].shape == found[1].shape == size
    assert np.abs(found[0] - found[1]).max() <= 0.03 * 255
