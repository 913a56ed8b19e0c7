"""Segmentation networks as sequences of N blocks (section III-A, Table VII).

Every block maps the list of feature maps made so far to one more; the last block, the decoder,
gives the logits.  A plain sequence uses only the newest map (DeepLabv2), a decoder with skip
connections uses older ones as well.  Sharing the first blocks is all that the two-branch networks
need, so any network in this form gets ĝ and g̃ for free.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.training.recompute import recomputed
from napari_threestage.training.weights import load_backbone_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import NetworkConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class AtrousPyramid(nn.Module):
    """DeepLabv2's classifier: the sum of 3x3 convolutions with several dilation rates."""

    def __init__(self, channels: Sequence[int], n_classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels[-1], n_classes, 3, padding=rate, dilation=rate) for rate in rates
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.01 if parameter.ndim > 1 else 0.0)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits (B, K, h, w) at the resolution of the newest feature map."""
        return torch.stack([branch(features[-1]) for branch in self.branches]).sum(0)


class FeaturePyramid(nn.Module):
    """Decoder with skip connections: maps are reduced, added up from coarse to fine, mixed.

    Thin structures survive, which the strides of 8 and 16 of `AtrousPyramid` lose.  The map of the
    first block is left out: it costs more than it gives.
    """

    def __init__(self, channels: Sequence[int], n_classes: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels[1:])
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.classify = nn.Conv2d(width, n_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits (B, K, h, w) at the resolution of the second feature map."""
        reduced = [layer(map_) for layer, map_ in zip(self.lateral, features[1:], strict=True)]
        total = reduced.pop()
        while reduced:
            finer = reduced.pop()
            total = finer + F.interpolate(
                total, finer.shape[-2:], mode="bilinear", align_corners=False
            )
        logits: Tensor = self.classify(self.mix(total))
        return logits


class BlockNetwork(nn.Module):
    """A segmentation network f: normalisation, N blocks, logits at the size of the input.

    Parameters
    ----------
    blocks
        N modules; all but the last map a feature map to the next, the last is a decoder that maps
        the list of all feature maps to logits.
    mean, std
        Normalisation of each input channel, for images in [0, 1].
    align_corners
        How logits are brought to the size of the input.

    Attributes
    ----------
    recompute
        Whether training computes blocks twice, to remember less.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        mean: Sequence[float],
        std: Sequence[float],
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.align_corners = align_corners
        self.recompute = False
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def features(self, images: Tensor, n_blocks: int) -> list[Tensor]:
        """Return the maps of the first `n_blocks` blocks for images (B, C, H, W) in [0, 1]."""
        maps = [(images - self.mean) / self.std]
        for block in self.blocks[:n_blocks]:
            maps.append(self.run(block, maps[-1]))
        return maps[1:]

    def run(self, block: nn.Module, features: Any) -> Tensor:
        """Apply a block, this network's own or one of a second branch."""
        if self.recompute and torch.is_grad_enabled():
            return recomputed(block, features)
        result: Tensor = block(features)
        return result

    def upsample(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Bring logits to (H, W) of the input, in float32 for the losses."""
        return F.interpolate(
            logits.float(), tuple(size), mode="bilinear", align_corners=self.align_corners
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images (B, C, H, W) in [0, 1]."""
        features = self.features(images, len(self.blocks) - 1)
        return self.upsample(self.run(self.blocks[-1], features), images.shape[-2:])


@dataclass(frozen=True)
class Backbone:
    """Five blocks and what is needed to build the own blocks of a second branch."""

    blocks: list[nn.Module]
    channels: tuple[int, ...]
    last_block: nn.Module
    last_channels: int


def build_network(config: NetworkConfig, in_channels: int, n_classes: int) -> BlockNetwork:
    """Build f with the weights that the configuration names.

    Raises
    ------
    ConfigError
        The weights cannot be read or do not fit the backbone.
    """
    backbone = _build_backbone(config, in_channels)
    blocks = [*backbone.blocks, build_decoder(config, backbone.channels, n_classes)]
    repeats = in_channels // 3 + 1
    mean, std = (list(values * repeats)[:in_channels] for values in (IMAGENET_MEAN, IMAGENET_STD))
    if in_channels == 1:
        mean, std = [sum(IMAGENET_MEAN) / 3], [sum(IMAGENET_STD) / 3]
    return BlockNetwork(blocks, mean, std, config.align_corners)


def build_own_blocks(
    config: NetworkConfig, in_channels: int, n_classes: int, own_blocks: int
) -> list[nn.Module]:
    """Build the own last blocks of a second branch: 1 for g̃ (decoder), 2 for ĝ (conv6, decoder).

    ĝ's conv6 has half of conv5's width in a ResNet (Table VII); other backbones repeat their last
    block.  It always has live batch norm, as it has no pre-trained statistics.
    """
    if own_blocks == 0:
        return []
    backbone = _build_backbone(config.model_copy(update={"weights": "none"}), in_channels)
    if own_blocks == 1:
        return [build_decoder(config, backbone.channels, n_classes)]
    channels = (*backbone.channels[:-1], backbone.last_channels)
    return [backbone.last_block, build_decoder(config, channels, n_classes)]


def build_decoder(config: NetworkConfig, channels: Sequence[int], n_classes: int) -> nn.Module:
    """Build the last block."""
    if config.decoder == "aspp":
        return AtrousPyramid(channels, n_classes, config.aspp_rates)
    return FeaturePyramid(channels, n_classes, config.decoder_channels)


def _build_backbone(config: NetworkConfig, in_channels: int) -> Backbone:
    builders = {"mobilenet_v2": _mobilenet_v2, "compact": _compact}
    return builders.get(config.backbone, _resnet)(config, in_channels)


def _resnet(config: NetworkConfig, in_channels: int) -> Backbone:
    from torchvision.models import resnet

    model = getattr(resnet, config.backbone)(weights=None)
    load_backbone_weights(model, config)
    model.conv1 = _adapt_first(model.conv1, in_channels)
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

    model = mobilenet_v2(weights=None)
    load_backbone_weights(model, config)
    layers = model.features
    layers[0][0] = _adapt_first(layers[0][0], in_channels)
    bounds = (0, 2, 4, 7, 14, 18)  # strides 2 to 32; the last 1x1 convolution is left out
    blocks: list[nn.Module] = [
        nn.Sequential(*layers[start:stop]) for start, stop in itertools.pairwise(bounds)
    ]
    conv6 = copy.deepcopy(blocks[-1])
    _initialise(conv6)
    _set_output_stride([*([block] for block in blocks[:4]), [blocks[4], conv6]], config)
    return Backbone(blocks, (16, 24, 32, 96, 320), conv6, 320)


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


def _adapt_first(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Give the first convolution another number of input channels, keeping the response's size."""
    if in_channels == conv.in_channels:
        return conv
    adapted = nn.Conv2d(
        in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=False,
    )
    order = torch.arange(in_channels) % conv.in_channels
    weight = conv.weight.detach()
    weight = weight.sum(1, keepdim=True) if in_channels == 1 else weight[:, order]
    adapted.weight.data.copy_(weight * (1 if in_channels == 1 else 3 / in_channels))
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
        if module.kernel_size == (3, 3):
            module.dilation = module.padding = (current, current)
        if strided and module.kernel_size == (3, 3):
            current = after


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
