"""Backbones as five blocks of strides up to 32 (Table VII), each with the conv6 of a second branch.

Those of torchvision keep its names within a block.  The transformers have a module of their own.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.training.weights import load_backbone_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import NetworkConfig


@dataclass(frozen=True)
class Backbone:
    """Five blocks and what is needed to build the decoders and the own blocks of a second branch.

    Attributes
    ----------
    blocks
        The five blocks.
    channels
        Of their maps.
    last_block, last_channels
        conv6 and the channels of its map.  It may be the last of `blocks` itself: take the one or
        the other.
    multiple
        Images are padded to a multiple of it, so that no pixel is left out.
    n_tokens
        Class and register tokens that the maps of a transformer carry (see `transformers`).
    """

    blocks: list[nn.Module]
    channels: tuple[int, ...]
    last_block: nn.Module
    last_channels: int
    multiple: int = 1
    n_tokens: int = 0


def build_backbone(config: NetworkConfig, in_channels: int) -> Backbone:
    """Build the backbone with the weights that the configuration names.

    Raises
    ------
    ConfigError
        The weights cannot be read or do not fit the backbone, or timm is needed and missing.
    """
    if config.backbone.startswith("vit_"):
        from napari_threestage.training.transformers import build_transformer

        return build_transformer(config, in_channels)
    builders = {
        "compact": _compact,
        "convnext_small": _convnext,
        "convnext_tiny": _convnext,
        "mobilenet_v2": _mobilenet_v2,
        "mobilenet_v3_large": _mobilenet_v3,
    }
    return builders.get(config.backbone, _resnet)(config, in_channels)


def _resnet(config: NetworkConfig, in_channels: int) -> Backbone:
    from torchvision.models import resnet

    model = getattr(resnet, config.backbone)(weights=None)
    load_backbone_weights(model, config)
    model.conv1 = adapt_first(model.conv1, in_channels)
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    blocks = [stem, model.layer1, model.layer2, model.layer3, model.layer4]
    out = model.fc.in_features
    conv6 = _half_width_conv5(model.layer4, out // 2, out // 2)
    _set_output_stride([*([block] for block in blocks[:4]), [blocks[4], conv6]], config)
    return Backbone(blocks, (64, out // 8, out // 4, out // 2, out), conv6, out // 2)


def _half_width_conv5(conv5: nn.Sequential, in_channels: int, out_channels: int) -> nn.Module:
    """Return conv5's structure with half its channels and random weights (conv6 of Table VII)."""
    block_type: Any = type(conv5[0])
    planes = out_channels // block_type.expansion
    shortcut = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False), nn.BatchNorm2d(out_channels)
    )
    first = block_type(in_channels, planes, stride=2, downsample=shortcut)
    rest = (block_type(out_channels, planes) for _ in range(len(conv5) - 1))
    conv6 = nn.Sequential(first, *rest)
    _initialise(conv6)
    return conv6


def _mobilenet_v2(config: NetworkConfig, in_channels: int) -> Backbone:
    from torchvision.models import mobilenet_v2

    bounds = (0, 2, 4, 7, 14, 18)  # strides 2 to 32; the last 1x1 convolution is left out
    channels = (16, 24, 32, 96, 320)
    return _mobilenet(mobilenet_v2(weights=None), bounds, channels, config, in_channels)


def _mobilenet_v3(config: NetworkConfig, in_channels: int) -> Backbone:
    from torchvision.models import mobilenet_v3_large

    bounds = (0, 2, 4, 7, 13, 16)  # as those of MobileNetV2
    channels = (16, 24, 40, 112, 160)
    return _mobilenet(mobilenet_v3_large(weights=None), bounds, channels, config, in_channels)


def _mobilenet(
    model: Any,
    bounds: Sequence[int],
    channels: tuple[int, ...],
    config: NetworkConfig,
    in_channels: int,
) -> Backbone:
    load_backbone_weights(model, config)
    layers = model.features
    layers[0][0] = adapt_first(layers[0][0], in_channels)
    blocks: list[nn.Module] = [
        nn.Sequential(*layers[start:stop]) for start, stop in itertools.pairwise(bounds)
    ]
    conv6 = copy.deepcopy(blocks[-1])
    _initialise(conv6)
    _set_output_stride([*([block] for block in blocks[:4]), [blocks[4], conv6]], config)
    return Backbone(blocks, channels, conv6, channels[-1])


def _compact(config: NetworkConfig, in_channels: int) -> Backbone:
    """Return a small residual network that learns from random weights within minutes on a CPU."""
    from torchvision.models.resnet import BasicBlock

    def block(before: int, after: int, stride: int) -> nn.Module:
        shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )
        return nn.Sequential(BasicBlock(before, after, stride, shortcut), BasicBlock(after, after))

    widths = (32, 48, 96, 160, 160)
    stem = nn.Sequential(
        nn.Conv2d(in_channels, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
    )
    blocks = [stem, *(block(a, b, 2) for a, b in itertools.pairwise(widths))]
    conv6 = block(*widths[-2:], 2)
    for part in (*blocks, conv6):
        _initialise(part)
    _set_output_stride([*([part] for part in blocks[:4]), [blocks[4], conv6]], config)
    return Backbone(blocks, widths, conv6, widths[-1])


class Downsampling(nn.Conv2d):
    """A 2x2 convolution whose stride may be replaced by dilation.

    Zeros to the right and below then keep the size: every second result is what the stride gives.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return maps of half the size, or of the same size once the stride is 1."""
        if self.stride == (1, 1):
            reach = self.dilation[0]
            features = F.pad(features, (0, reach, 0, reach))
        return super().forward(features)


def _convnext(config: NetworkConfig, in_channels: int) -> Backbone:
    """Return ConvNeXt (Liu et al., CVPR 2022) as stem and four stages, without stochastic depth.

    A run draws all its random numbers itself, so that it is repeatable.  There is no batch norm.
    """
    from torchvision.models import convnext

    model = getattr(convnext, config.backbone)(weights=None, stochastic_depth_prob=0.0)
    load_backbone_weights(model, config)
    layers = model.features
    layers[0][0] = adapt_first(layers[0][0], in_channels)
    for number in (2, 4, 6):
        layers[number][1] = _downsampling(layers[number][1])
    bounds = (0, 1, 2, 4, 6, 8)  # strides 4, 4, 8, 16, 32
    blocks: list[nn.Module] = [
        nn.Sequential(*layers[start:stop]) for start, stop in itertools.pairwise(bounds)
    ]
    _set_output_stride([[block] for block in blocks], config)
    return Backbone(blocks, (96, 96, 192, 384, 768), blocks[-1], 768, config.output_stride)


def _downsampling(conv: nn.Conv2d) -> Downsampling:
    made = Downsampling(conv.in_channels, conv.out_channels, 2, 2)
    made.load_state_dict(conv.state_dict())
    return made


def adapt_first(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Give the first convolution another number of input channels, keeping the response's size."""
    if in_channels == conv.in_channels:
        return conv
    adapted = nn.Conv2d(
        in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    order = torch.arange(in_channels) % conv.in_channels
    weight = conv.weight.detach()
    weight = weight.sum(1, keepdim=True) if in_channels == 1 else weight[:, order]
    adapted.weight.data.copy_(weight * (1 if in_channels == 1 else 3 / in_channels))
    if conv.bias is not None and adapted.bias is not None:
        adapted.bias.data.copy_(conv.bias.detach())
    return adapted


def _set_output_stride(levels: Sequence[Sequence[nn.Module]], config: NetworkConfig) -> None:
    """Replace the strides of the last levels by dilations, as DeepLab does.

    A level holds the alternatives for one place of the sequence: conv5 and conv6.
    """
    stride, dilation = 1, 1
    for level in levels:
        level_stride = _stride_of(level[0])
        if stride * level_stride <= config.output_stride:
            stride *= level_stride
            continue
        for block in level:
            _dilate(block, dilation, dilation * level_stride)
        dilation *= level_stride


def _stride_of(block: nn.Module) -> int:
    """Return how much smaller a block's output is than its input, tried on a small image."""
    first = next(module for module in block.modules() if isinstance(module, nn.Conv2d))
    training = block.training
    with torch.no_grad():
        size = block.eval()(torch.zeros(1, first.in_channels, 16, 16)).shape[-1]
    block.train(training)
    return 16 // int(size)


def _dilate(block: nn.Module, before: int, after: int) -> None:
    """Turn strided convolutions into dense ones; those behind them see `after` as dilation."""
    current = before
    for module in block.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        strided = module.stride != (1, 1)
        module.stride = (1, 1)
        reach, odd = divmod(module.kernel_size[0], 2)
        if not reach:
            continue
        module.dilation = (current, current)
        if odd:  # `Downsampling` pads by itself
            module.padding = (reach * current, reach * current)
        if strided:
            current = after


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
