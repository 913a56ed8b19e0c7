"""The network as it is exported: probabilities of images of any number and size.

``torch.export`` follows sizes as symbols.  The blocks of a transformer reckon with rows that its
class and register tokens fill, which takes symbols hours; here the tokens stay apart, and the
places of the patches are reckoned without Python's numbers, which would fix the size.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from napari_threestage.errors import ThreeStageError
from napari_threestage.inference.predict import MULTIPLE
from napari_threestage.training.transformers import TokenDecoder

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from napari_threestage.export.material import Material
    from napari_threestage.training.networks import BlockNetwork

LONGEST = 8192  # side of an image
MOST_IMAGES = 64


def size_multiple(network: BlockNetwork) -> int:
    """Return what the sides of images have to be multiples of, so that none is filled up inside."""
    steps = itertools.count(MULTIPLE, MULTIPLE)
    return next(side for side in steps if side * network.zoom % network.multiple == 0)


class ProbabilityNetwork(nn.Module):
    """Images (B, C, H, W) in [0, 1] to probabilities (B, K, H, W).

    Parameters
    ----------
    network
        f in evaluation mode.
    """

    def __init__(self, network: BlockNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of each class, for sides that are multiples of `size_multiple`."""
        network, decoder = self.network, self.network.blocks[-1]
        normalised = network.enlarge((images - network.mean) / network.std)
        if isinstance(decoder, TokenDecoder):
            logits = _decoded(decoder, _grids(network, normalised))
        else:
            maps = [normalised]
            for block in list(network.blocks)[:-1]:
                maps.append(network.run(block, maps[-1]))
            logits = network.run(decoder, maps[1:])
        enlarged = nn.functional.interpolate(
            logits, images.shape[-2:], mode="bilinear", align_corners=network.align_corners
        )
        return enlarged.softmax(1)


def exported_program(material: Material) -> ExportedProgram:
    """Return the program of a segmenter, for 1 to 64 images with sides up to 8192.

    Raises
    ------
    ThreeStageError
        PyTorch cannot follow the network for images of any size.
    """
    multiple = material.multiple
    longest = LONGEST // multiple
    least = max(1, 64 // multiple)
    sizes = {
        0: Dim("batch", min=1, max=MOST_IMAGES),
        2: multiple * Dim("rows", min=least, max=longest),
        3: multiple * Dim("columns", min=least, max=longest),
    }
    network = ProbabilityNetwork(material.segmenter.network).eval()
    example = torch.from_numpy(material.batches[1])  # not of one image: that would be taken for all
    try:
        with torch.no_grad():
            return torch.export.export(network, (example,), dynamic_shapes=(sizes,), strict=False)
    except RuntimeError as error:
        raise not_exportable(material, error) from error


def not_exportable(material: Material, reason: Exception) -> ThreeStageError:
    """Return the error of a network that an exporter of PyTorch cannot deal with."""
    backbone = material.segmenter.info.network.get("backbone")
    text = (str(reason).strip().splitlines() or [type(reason).__name__])[0].rstrip(".")
    return ThreeStageError(
        f"PyTorch cannot export a network with the backbone {backbone} ({text}).",
        "Export it with --format safetensors, or train with another network.backbone.",
    )


def _grids(network: BlockNetwork, images: Tensor) -> list[Tensor]:
    """Return the maps (B, C, h, w) of a transformer's blocks, without its other tokens."""
    embedding: Any
    embedding, *groups = list(network.blocks)[:-1]
    patches = embedding.model.patch_embed(images)
    height, width = patches.shape[1:3]
    tokens = embedding.model._pos_embed(patches)  # timm has no public name for it
    tokens = embedding.model.norm_pre(tokens[0] if isinstance(tokens, tuple) else tokens)
    n_tokens = embedding.model.num_prefix_tokens
    grids = []
    for group in (None, *groups):
        if group is not None:
            tokens = _through(group, tokens, height, width)
        grids.append(tokens[:, n_tokens:].transpose(1, 2).unflatten(2, (height, width)))
    return grids


def _through(group: Any, tokens: Tensor, height: int, width: int) -> Tensor:
    """Return tokens (B, n + h · w, C) after a group of layers, the last with its norm."""
    layers: Any
    last: list[Any]
    layers, *last = list(group) if isinstance(group, nn.Sequential) else [group]
    known = {} if layers.rotation is None else {"rope": _rotation(layers.rotation, height, width)}
    for layer in layers.layers:
        tokens = layer(tokens, **known)
    return last[0].layer(tokens) if last else tokens


def _rotation(rotation: Any, height: int, width: int) -> Tensor:
    """Return the rotations (h · w, 2 · channels of a head) of DINOv3."""
    sides = [(torch.arange(side, dtype=torch.float32) + 0.5) / side for side in (height, width)]
    places = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1).flatten(0, 1)
    found = rotation._rope._get_pos_embed_from_coords(2 * places - 1)
    return torch.cat(found, -1)


def _decoded(decoder: TokenDecoder, grids: list[Tensor]) -> Tensor:
    """Return the logits of maps that carry no other tokens."""
    if len(decoder.finer):
        made = [layer(grid) for layer, grid in zip(decoder.finer, grids[1:], strict=True)]
        grids = [grids[0], *made]
    logits: Tensor = decoder.decoder(grids)
    return logits
