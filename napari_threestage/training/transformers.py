"""Vision transformers of timm as five blocks: the embedding of the patches, four groups of layers.

All maps have the stride of the patches; `network.output_stride` changes nothing.  A map carries the
class and register tokens as well, in r rows below the grid of patches (B, C, h + r, w), so that the
blocks are those of any network and a second branch can go on from any of them.  `TokenDecoder`
takes these rows off, and for a decoder with skip connections makes finer maps of the earlier ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_threestage.training.backbones import Backbone, adapt_first
from napari_threestage.training.weights import load_backbone_weights, timm_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.config import NetworkConfig

GROUPS = 4
FINER = (4, 2, 1, 1)  # how much finer the map of each group is made


def build_transformer(config: NetworkConfig, in_channels: int) -> Backbone:
    """Build a transformer of timm with the weights that the configuration names.

    Raises
    ------
    ConfigError
        timm is not installed, or the weights cannot be read or do not fit.
    """
    create: Any = timm_library().create_model
    model = create(config.backbone, pretrained=False, num_classes=0, dynamic_img_size=True)
    load_backbone_weights(model, config)
    patches, n_tokens, width = model.patch_embed, model.num_prefix_tokens, model.embed_dim
    patches.proj = adapt_first(patches.proj, in_channels)
    layers, norm, rope = list(model.blocks), model.norm, getattr(model, "rope", None)
    model.blocks, model.norm, model.rope = nn.ModuleList(), nn.Identity(), None
    size = len(layers) // GROUPS
    groups: list[nn.Module] = [
        LayerGroup(layers[start : start + size], _Rotation(rope) if rope else None, n_tokens)
        for start in range(0, len(layers), size)
    ]
    groups[-1] = nn.Sequential(groups[-1], _OnChannels(norm))
    blocks = [PatchEmbedding(model), *groups]
    channels = (width,) * len(blocks)
    return Backbone(blocks, channels, groups[-1], width, patches.patch_size[0], n_tokens)


class PatchEmbedding(nn.Module):
    """Patches as tokens with their positions, of images whose sides are multiples of a patch.

    Parameters
    ----------
    model
        What a transformer of timm is without its layers; its positions fit any size.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the map (B, C, h + r, w) of images (B, 3, H, W)."""
        patches = self.model.patch_embed(images)
        tokens = self.model._pos_embed(patches)  # timm has no public name for it
        if isinstance(tokens, tuple):  # with rotations, which the groups have
            tokens = tokens[0]
        return to_map(self.model.norm_pre(tokens), self.model.num_prefix_tokens, patches.shape[2])


class LayerGroup(nn.Module):
    """Successive layers of a transformer.

    Parameters
    ----------
    layers
        Layers of timm.
    rotation
        Of tokens by their place in the grid (RoPE), for transformers that have it.
    n_tokens
        Class and register tokens.
    """

    def __init__(
        self, layers: Sequence[nn.Module], rotation: _Rotation | None, n_tokens: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.rotation = rotation
        self.n_tokens = n_tokens

    def forward(self, map_: Tensor) -> Tensor:
        """Return the map (B, C, h + r, w) after these layers."""
        tokens, height, width = to_tokens(map_, self.n_tokens)
        known = {} if self.rotation is None else {"rope": self.rotation(height, width)}
        for layer in self.layers:
            tokens = layer(tokens, **known)
        return to_map(tokens, self.n_tokens, width)


class _Rotation(nn.Module):
    """The rotations of a grid, kept: timm computes them on the host, which a GPU would wait for."""

    def __init__(self, rope: nn.Module) -> None:
        super().__init__()
        self._rope: Any = rope
        # All are kept: a CUDA graph may have taken down where one of them is.
        self._known: dict[tuple[Any, ...], Tensor] = {}

    def forward(self, height: int, width: int) -> Tensor:
        """Return the rotations (h · w, 2 · channels of a head)."""
        key = height, width, self._rope.periods.device
        if key not in self._known:
            with torch.inference_mode(False), torch.no_grad():  # good for training too
                self._known[key] = self._rope.get_embed(shape=[height, width])
        return self._known[key]


class _OnChannels(nn.Module):
    """A layer for (…, C), such as a norm, applied to a map (B, C, h, w)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, map_: Tensor) -> Tensor:
        """Return the map after the layer."""
        result: Tensor = self.layer(map_.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return result


class TokenDecoder(nn.Module):
    """A decoder for the maps of a transformer.

    With `width`, the maps of the groups get norm, that many channels, and strides of 1/4, 1/2, 1
    and 1 patch, as DPT has them (Ranftl et al., ICCV 2021), by one transposed convolution each, as
    in the simple feature pyramid of ViTDet (Li et al., ECCV 2022).

    Parameters
    ----------
    decoder
        For the maps without the class and register tokens.
    n_tokens
        How many of them there are.
    channels
        Of the maps.
    width
        Channels that `decoder` expects; None: it takes the maps as they are.
    """

    def __init__(
        self, decoder: nn.Module, n_tokens: int, channels: Sequence[int], width: int | None
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.n_tokens = n_tokens
        self.finer = nn.ModuleList()
        if width is not None:
            groups = zip(channels[1:], FINER, strict=True)
            self.finer.extend(_finer(count, width, factor) for count, factor in groups)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits (B, K, h, w) at the resolution of the decoder."""
        grids = [map_[:, :, : grid_height(map_, self.n_tokens)] for map_ in features]
        if len(self.finer):
            made = [layer(grid) for layer, grid in zip(self.finer, grids[1:], strict=True)]
            grids = [grids[0], *made]
        logits: Tensor = self.decoder(grids)
        return logits


def _finer(channels: int, width: int, factor: int) -> nn.Module:
    from torchvision.models.convnext import LayerNorm2d

    layers = [LayerNorm2d(channels, eps=1e-6), nn.Conv2d(channels, width, 1)]
    if factor > 1:
        layers.append(nn.ConvTranspose2d(width, width, factor, factor))
    return nn.Sequential(*layers)


def grid_height(map_: Tensor, n_tokens: int) -> int:
    """Return h of a map (B, C, h + r, w); the r rows below have room for `n_tokens`."""
    height, width = map_.shape[-2:]
    return height - -(-n_tokens // width)


def to_tokens(map_: Tensor, n_tokens: int) -> tuple[Tensor, int, int]:
    """Return tokens (B, n + h · w, C), class and register tokens first, and h and w."""
    height, width = grid_height(map_, n_tokens), map_.shape[-1]
    tokens = map_.flatten(2).transpose(1, 2)
    end = height * width
    return torch.cat([tokens[:, end : end + n_tokens], tokens[:, :end]], 1), height, width


def to_map(tokens: Tensor, n_tokens: int, width: int) -> Tensor:
    """Return the map (B, C, h + r, w) of tokens (B, n + h · w, C); what is left over is 0."""
    batch, _, channels = tokens.shape
    empty = tokens.new_zeros(batch, -n_tokens % width, channels)
    rows = torch.cat([tokens[:, n_tokens:], tokens[:, :n_tokens], empty], 1)
    map_: Tensor = rows.transpose(1, 2).unflatten(2, (-1, width))
    return map_
