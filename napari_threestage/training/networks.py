"""Segmentation networks as sequences of N blocks (section III-A, Table VII).

Every block maps the list of feature maps made so far to one more; the last block, the decoder,
gives the logits.  A plain sequence uses only the newest map (DeepLabv2), a decoder with skip
connections uses older ones as well.  Sharing the first blocks is all that the two-branch networks
need, so any network in this form gets ĝ and g̃ for free.
"""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_threestage.training.backbones import build_backbone
from napari_threestage.training.recompute import recomputed
from napari_threestage.training.transformers import TokenDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import NetworkConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_STRIDE = 32  # of a backbone's last map


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
    multiple
        Images are filled up below and to the right to a multiple of it, with their mean.
    zoom
        The blocks see images enlarged by this, so that small structures survive their strides.

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
        multiple: int = 1,
        zoom: float = 1.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.align_corners = align_corners
        self.multiple = multiple
        self._set_zoom(zoom)
        self._by_areas = False
        self.recompute = False
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def features(self, images: Tensor, n_blocks: int) -> list[Tensor]:
        """Return the maps of the first `n_blocks` blocks for images (B, C, H, W) in [0, 1]."""
        normalised = self.enlarge((images - self.mean) / self.std)
        height, width = normalised.shape[-2:]
        margin = (0, -width % self.multiple, 0, -height % self.multiple)
        maps = [F.pad(normalised, margin) if any(margin) else normalised]
        for block in self.blocks[:n_blocks]:
            maps.append(self.run(block, maps[-1]))
        return maps[1:]

    def enlarge(self, images: Tensor) -> Tensor:
        """Return images (B, C, H, W) at the size at which the blocks are to see them."""
        if self.zoom == 1:
            return images
        size = self._seen(images.shape[-2:])
        # Pixels stay areas, whatever is done with logits: exporters know no other antialiasing.
        return F.interpolate(images, size, mode="bilinear", antialias=self.zoom < 1)

    def _seen(self, size: Sequence[int]) -> tuple[int, int]:
        """Return (H, W) of what the blocks see of images of a size."""
        many, few = self._ratio
        height, width = (side * many // few for side in size)
        return height, width

    def _set_zoom(self, zoom: float) -> None:
        self.zoom = zoom
        # Whole numbers, which exporters can follow, and no side is a pixel short by rounding.
        self._ratio = Fraction(zoom).limit_denominator(1000).as_integer_ratio()

    def magnified(self, factor: float) -> BlockNetwork:
        """Return a network of the same weights that sees images so many times as large."""
        other = copy.copy(self)
        other._set_zoom(self.zoom * factor)
        # `enlarge` takes pixels for areas.  A network that aligns corners has learned to live with
        # its own zoom, but another one would stretch the mask.
        other._by_areas = self.align_corners and factor != 1
        if other.zoom != 1 and other.multiple == 1:
            other.multiple = LARGEST_STRIDE
        return other

    def run(self, block: nn.Module, features: Any) -> Tensor:
        """Apply a block, this network's own or one of a second branch."""
        if self.recompute and torch.is_grad_enabled():
            return recomputed(block, features)
        result: Tensor = block(features)
        return result

    def upsample(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Bring logits to (H, W) of the input, in float32 for the losses."""
        height, width = seen = self._seen(size)
        whole = (height + -height % self.multiple, width + -width % self.multiple)
        if whole == seen and not self._by_areas:
            return self._resize(logits, size)
        enlarged = self._resize(logits, whole)[..., :height, :width]
        if self._by_areas:
            return F.interpolate(enlarged, size, mode="bilinear", align_corners=False)
        return enlarged if self.zoom == 1 else self._resize(enlarged, size)

    def _resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(
            logits.float(), size, mode="bilinear", align_corners=self.align_corners
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for images (B, C, H, W) in [0, 1]."""
        features = self.features(images, len(self.blocks) - 1)
        return self.upsample(self.run(self.blocks[-1], features), images.shape[-2:])


def build_network(config: NetworkConfig, in_channels: int, n_classes: int) -> BlockNetwork:
    """Build f with the weights that the configuration names.

    Raises
    ------
    ConfigError
        The weights cannot be read or do not fit the backbone, or timm is needed and missing.
    """
    backbone = build_backbone(config, in_channels)
    decoder = build_decoder(config, backbone.channels, n_classes, backbone.n_tokens)
    repeats = in_channels // 3 + 1
    mean, std = (list(values * repeats)[:in_channels] for values in (IMAGENET_MEAN, IMAGENET_STD))
    if in_channels == 1:
        mean, std = [sum(IMAGENET_MEAN) / 3], [sum(IMAGENET_STD) / 3]
    multiple = backbone.multiple
    if config.zoom != 1 and multiple == 1:  # zoomed, a side may end within a step of the last map
        multiple = config.output_stride
    blocks = [*backbone.blocks, decoder]
    return BlockNetwork(blocks, mean, std, config.align_corners, multiple, config.zoom)


def build_own_blocks(
    config: NetworkConfig, in_channels: int, n_classes: int, own_blocks: int
) -> list[nn.Module]:
    """Build the own last blocks of a second branch: 1 for g̃ (decoder), 2 for ĝ (conv6, decoder).

    ĝ's conv6 has half of conv5's width in a ResNet (Table VII); other backbones repeat their last
    block, a transformer its last group of layers.  It has random weights and always live batch
    norm, as it has no pre-trained statistics.
    """
    if own_blocks == 0:
        return []
    backbone = build_backbone(config.model_copy(update={"weights": "none"}), in_channels)
    if own_blocks == 1:
        return [build_decoder(config, backbone.channels, n_classes, backbone.n_tokens)]
    channels = (*backbone.channels[:-1], backbone.last_channels)
    return [backbone.last_block, build_decoder(config, channels, n_classes, backbone.n_tokens)]


def build_decoder(
    config: NetworkConfig, channels: Sequence[int], n_classes: int, n_tokens: int = 0
) -> nn.Module:
    """Build the last block; `n_tokens` class and register tokens tell that of a transformer."""
    if config.decoder == "aspp":
        pyramid = AtrousPyramid(channels, n_classes, config.aspp_rates)
        return TokenDecoder(pyramid, n_tokens, channels, None) if n_tokens else pyramid
    width = config.decoder_channels
    if n_tokens:
        skips = FeaturePyramid((width,) * len(channels), n_classes, width)
        return TokenDecoder(skips, n_tokens, channels, width)
    return FeaturePyramid(channels, n_classes, width)
