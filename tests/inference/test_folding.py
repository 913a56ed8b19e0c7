"""A network as it is applied: without batch norm, with the same results."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_threestage.config import NetworkConfig
from napari_threestage.inference.folding import folded
from napari_threestage.training.networks import build_network

BACKBONES = ("compact", "mobilenet_v2", "mobilenet_v3_large", "resnet18", "resnet50")


@torch.no_grad()
@pytest.mark.parametrize("backbone", [*BACKBONES, "convnext_tiny"])
def test_nothing_but_the_batch_norms_is_gone(backbone: str) -> None:
    torch.manual_seed(0)
    config = NetworkConfig.model_validate(
        {"backbone": backbone, "weights": "none", "decoder": "pyramid", "decoder_channels": 8}
    )
    network = build_network(config, 2, 3)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        for values in (norm.running_mean, norm.bias):
            assert values is not None
            nn.init.normal_(values)
        assert norm.running_var is not None
        nn.init.uniform_(norm.running_var, 0.5, 2)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(2, 2, 64, 96)
    expected = network(images)
    found = folded(network)
    torch.testing.assert_close(
        found(images), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
    )
    assert norms and not [part for part in found.modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
