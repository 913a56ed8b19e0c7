"""The networks as blocks: sizes, strides, dilation, Table VII, input channels."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.config import NetworkConfig
from napari_threestage.training.networks import (
    AtrousPyramid,
    BlockNetwork,
    FeaturePyramid,
    build_network,
    build_own_blocks,
)

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
EXACT = (*RESNETS, "mobilenet_v2", "convnext_tiny", "compact")
BACKBONES = (*EXACT, "mobilenet_v3_large")  # squeeze and excitation sees all places of a map
DECODERS = ("aspp", "pyramid")
LAST_CHANNELS = {
    "resnet18": 512,
    "resnet34": 512,
    "mobilenet_v2": 320,
    "mobilenet_v3_large": 160,
    "convnext_tiny": 768,
    "compact": 160,
}


# Made of the same blocks as resnet18 and resnet50.
LONGER = ("resnet34", "resnet101")


def marked(backbones: tuple[str, ...]) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in LONGER else n for n in backbones]


def network_config(backbone: str, **changes: object) -> NetworkConfig:
    settings = {"backbone": backbone, "weights": "none", "decoder_channels": 8}
    return NetworkConfig.model_validate(settings | changes)


@cache
def network(
    backbone: str, decoder: str = "aspp", stride: int = 8, channels: int = 3
) -> BlockNetwork:
    torch.manual_seed(0)
    config = network_config(backbone, decoder=decoder, output_stride=stride)
    return build_network(config, channels, 4).eval()


def first_convolution(net: nn.Module) -> nn.Conv2d:
    return next(part for part in net.modules() if isinstance(part, nn.Conv2d))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 64), (33, 47), (50, 37)])
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("backbone", marked(BACKBONES))
def test_logits_have_the_size_of_the_input(
    backbone: str, decoder: str, size: tuple[int, int]
) -> None:
    net = network(backbone, decoder)
    logits = net(torch.rand(2, 3, *size))
    assert len(net.blocks) == 6
    assert logits.shape == (2, 4, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@torch.no_grad()
@pytest.mark.parametrize(
    ("stride", "sides"), [(8, [8, 8, 8]), (16, [8, 4, 4]), (32, [8, 4, 2])], ids=str
)
@pytest.mark.parametrize("backbone", marked(BACKBONES))
def test_the_output_stride_is_reached(backbone: str, stride: int, sides: list[int]) -> None:
    maps = network(backbone, stride=stride).features(torch.rand(1, 3, 64, 64), 5)
    assert [map_.shape[-1] for map_ in maps[2:]] == sides
    assert maps[-1].shape[1] == LAST_CHANNELS.get(backbone, 2048)


@torch.no_grad()
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("backbone", marked(EXACT))
def test_dilation_computes_what_strides_compute_at_more_places(backbone: str, stride: int) -> None:
    coarse, dense = network(backbone, stride=32), network(backbone, stride=stride)
    dense.load_state_dict(coarse.state_dict())
    images = torch.rand(1, 3, 96, 64)
    step = 32 // stride
    expected = coarse.features(images, 5)[-1]
    found = dense.features(images, 5)[-1][..., ::step, ::step]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize(
    "backbone", ["resnet18", "resnet50", "mobilenet_v2", "convnext_tiny", "compact"]
)
def test_the_own_hidden_block_is_dilated_too(backbone: str) -> None:
    blocks = [
        build_own_blocks(network_config(backbone, output_stride=stride), 3, 4, 2)[0].eval()
        for stride in (8, 32)
    ]
    dense, coarse = blocks
    dense.load_state_dict(coarse.state_dict())
    before = network(backbone, stride=8).features(torch.rand(1, 3, 64, 64), 4)[-1]
    expected = coarse(before[..., ::2, ::2])
    assert dense(before).shape[-2:] == before.shape[-2:]
    torch.testing.assert_close(dense(before)[..., ::4, ::4], expected, rtol=1e-3, atol=1e-3)


def test_conv6_of_resnet101_is_that_of_table_7() -> None:
    conv6, _ = build_own_blocks(network_config("resnet101"), 3, 21, 2)
    shapes = [
        (part.in_channels, part.out_channels, part.kernel_size[0])
        for name, part in conv6.named_modules()
        if isinstance(part, nn.Conv2d) and "downsample" not in name
    ]
    row = [(256, 256, 3), (256, 1024, 1)]
    assert shapes == [(1024, 256, 1), *row, (1024, 256, 1), *row, (1024, 256, 1), *row]


def test_resnet101_is_that_of_table_7() -> None:
    net = network("resnet101")
    depths = [len(cast("nn.Sequential", block)) for block in list(net.blocks)[1:5]]
    assert depths == [3, 4, 23, 3]
    assert [m.shape[1] for m in net.features(torch.zeros(1, 3, 32, 32), 5)] == [
        64,
        256,
        512,
        1024,
        2048,
    ]


def test_the_classifier_has_the_four_rates_of_deeplab() -> None:
    decoder = network("resnet101").blocks[-1]
    assert isinstance(decoder, AtrousPyramid)
    branches = [cast("nn.Conv2d", branch) for branch in decoder.branches]
    assert [branch.dilation for branch in branches] == [(6, 6), (12, 12), (18, 18), (24, 24)]
    assert [branch.kernel_size for branch in branches] == [(3, 3)] * 4
    assert {branch.in_channels for branch in branches} == {2048}


@torch.no_grad()
def test_the_classifier_is_the_sum_of_all_its_branches() -> None:
    rates = (6, 12, 18, 24)
    decoder = AtrousPyramid((5,), 3, rates)
    map_ = torch.rand(1, 5, 40, 30)
    convolutions: list[Any] = list(decoder.branches)
    parts = [
        F.conv2d(map_, convolution.weight, convolution.bias, padding=rate, dilation=rate)
        for convolution, rate in zip(convolutions, rates, strict=True)
    ]
    assert all(float(part.abs().max()) > 0 for part in parts)
    torch.testing.assert_close(decoder([map_]), parts[0] + parts[1] + parts[2] + parts[3])


def test_every_branch_of_the_classifier_learns() -> None:
    decoder = AtrousPyramid((5,), 3, (1, 2, 3, 4))
    decoder([torch.rand(1, 5, 8, 8)]).sum().backward()
    for parameter in decoder.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 0


@torch.no_grad()
def test_the_pyramid_uses_every_map_but_the_first() -> None:
    decoder = FeaturePyramid((2, 3, 4, 5), 3, 8).eval()
    maps = [torch.rand(1, 2 + n, 16 >> n, 16 >> n) for n in range(4)]
    logits = decoder(maps)
    assert logits.shape == (1, 3, 8, 8)
    for number in range(4):
        changed = [map_ + (n == number) for n, map_ in enumerate(maps)]
        assert torch.equal(decoder(changed), logits) == (number == 0)


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "channels"),
    [(name, n) for name in ("resnet18", "mobilenet_v2", "compact") for n in (1, 2, 5)]
    + [("resnet50", 5), ("mobilenet_v3_large", 2), ("convnext_tiny", 2)],
)
def test_any_number_of_input_channels_is_taken(backbone: str, channels: int) -> None:
    net = network(backbone, channels=channels)
    assert net(torch.rand(1, channels, 32, 32)).shape == (1, 4, 32, 32)
    assert net.mean.numel() == net.std.numel() == channels
    own = build_own_blocks(network_config(backbone), channels, 4, 2)
    assert len(own) == 2


def zoomed(zoom: float, stride: int = 16) -> tuple[BlockNetwork, BlockNetwork]:
    """A network that sees images enlarged, and one with the same weights that does not."""
    plain = network("compact", "pyramid", stride)
    config = network_config("compact", decoder="pyramid", output_stride=stride, zoom=zoom)
    net = build_network(config, 3, 4).eval()
    net.load_state_dict(plain.state_dict())
    return net, plain


@torch.no_grad()
@pytest.mark.parametrize("zoom", [0.5, 1.5, 2.0])
def test_a_zoomed_network_sees_images_enlarged(zoom: float) -> None:
    net, plain = zoomed(zoom)
    images = torch.rand(2, 3, 64, 96)
    seen = (int(64 * zoom), int(96 * zoom))
    large = F.interpolate(images, seen, mode="bilinear", antialias=zoom < 1)
    coarse = plain.blocks[-1](plain.features(large, 5))
    expected = F.interpolate(coarse, (64, 96), mode="bilinear", align_corners=True)
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("zoom", [0.25, 1.25, 1.75])
@pytest.mark.parametrize("size", [(32, 64), (33, 47), (50, 37)])
def test_zoomed_logits_have_the_size_of_the_image(zoom: float, size: tuple[int, int]) -> None:
    net, _ = zoomed(zoom)
    logits = net(torch.rand(2, 3, *size))
    assert logits.shape == (2, 4, *size)
    assert torch.isfinite(logits).all()


@torch.no_grad()
def test_a_zoomed_network_stays_in_place_where_sides_do_not_fit() -> None:
    net, _ = zoomed(1.5, stride=32)
    large = torch.rand(1, 3, 128, 128)
    cut = net(large[..., :104, :104])  # 156 of 160
    inside = slice(16, 56)  # what is cut off is far away
    far = net(large)[..., inside, inside] - cut[..., inside, inside]
    shifted = net(large)[..., 18:58, 18:58] - cut[..., inside, inside]
    assert float(far.abs().mean()) < 0.5 * float(shifted.abs().mean())


def adapted(channels: int) -> tuple[Tensor, Tensor]:
    """The first convolution's weights for 3 and for other channels, from the same numbers."""
    weights = []
    for count in (3, channels):
        torch.manual_seed(1)
        net = build_network(network_config("resnet18"), count, 2)
        weights.append(first_convolution(net).weight.detach())
    return weights[0], weights[1]


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_the_response_to_grey_images_stays_with_other_channels(channels: int) -> None:
    colour, other = adapted(channels)
    grey = torch.rand(1, 1, 16, 16)
    expected = F.conv2d(grey.expand(-1, 3, -1, -1), colour)
    found = F.conv2d(grey.expand(-1, channels, -1, -1), other)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channels_repeat_the_weights_at_the_same_total(channels: int) -> None:
    colour, other = adapted(channels)
    for channel in range(channels):
        torch.testing.assert_close(other[:, channel], colour[:, channel % 3] * 3 / channels)


@torch.no_grad()
def test_images_are_normalised_before_the_first_block() -> None:
    seen: list[Tensor] = []
    net = network("resnet18")
    handle = net.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.full((1, 3, 32, 32), 0.5))
    handle.remove()
    expected = [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(expected)


@torch.no_grad()
@pytest.mark.parametrize("align", [True, False])
def test_logits_are_enlarged_as_the_recipe_says(align: bool) -> None:
    net = BlockNetwork([nn.Identity(), AtrousPyramid((1,), 2, (1,))], [0.0], [1.0], align)
    logits = torch.rand(1, 2, 3, 3)
    enlarged = net.upsample(logits, (9, 9))
    corners = enlarged[..., ::4, ::4] if align else enlarged[..., 1::3, 1::3]
    torch.testing.assert_close(corners, logits)


@torch.no_grad()
@pytest.mark.parametrize("align", [True, False])
def test_an_image_of_any_size_is_part_of_one_that_is_filled_up(align: bool) -> None:
    blocks = [nn.AvgPool2d(4), AtrousPyramid((1,), 2, (1,))]
    net = BlockNetwork(blocks, [0.3], [0.5], align, multiple=4)
    images = torch.rand(1, 1, 5, 10)
    filled = torch.full((1, 1, 8, 12), 0.3)
    filled[..., :5, :10] = images
    torch.testing.assert_close(net(images), net(filled)[..., :5, :10])


def test_no_second_branch_has_no_own_blocks() -> None:
    assert build_own_blocks(network_config("resnet18"), 3, 4, 0) == []
