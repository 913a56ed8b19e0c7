"""The names that published files have for the tensors of a backbone, brought to ours.

Our models are those of torchvision and, for vision transformers, of timm.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPERS = ("module.", "model.", "backbone.", "encoder.")  # that others save a backbone in

# From timm's ConvNeXt to that of its authors, which DINOv3 has too; from there to torchvision's.
CONVNEXT = (
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
    (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
    (r"^(stages\.\d\.\d+)\.(dwconv|conv_dw)\.", r"\1.block.0."),
    (r"^(stages\.\d\.\d+)\.norm\.", r"\1.block.2."),
    (r"^(stages\.\d\.\d+)\.(pwconv1|mlp\.fc1)\.", r"\1.block.3."),
    (r"^(stages\.\d\.\d+)\.(pwconv2|mlp\.fc2)\.", r"\1.block.5."),
    (r"^(stages\.\d\.\d+)\.gamma$", r"\1.layer_scale"),
)


def known_names(state: dict[str, Tensor], model: nn.Module, backbone: str) -> dict[str, Tensor]:
    """Return the tensors of a file under the model's names, as far as they can be told.

    Parameters
    ----------
    state
        What the file holds.
    model
        Of torchvision or timm.
    backbone
        Its name.
    """
    for wrapper in WRAPPERS:
        inside = {k.removeprefix(wrapper): v for k, v in state.items() if k.startswith(wrapper)}
        state = inside or state
    if backbone.startswith("convnext"):
        return _convnext(state)
    return _transformer(state, model) if backbone.startswith("vit_") else state


def _convnext(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in CONVNEXT:
            name = re.sub(pattern, replacement, name)
        match = re.match(r"(downsample_layers|stages)\.(\d)\.", name)
        if match:  # torchvision counts both together
            number = 2 * int(match[2]) + (match[1] == "stages")
            name = f"features.{number}.{name[match.end() :]}"
        renamed[name] = value.reshape(-1, 1, 1) if name.endswith(".layer_scale") else value
    return renamed


def _transformer(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Let timm convert the file; it knows those of the authors, and other numbers of positions."""
    published = "storage_tokens" in state  # by the authors of DINOv3, with biases of 0 for timm's
    kept = {k: v for k, v in state.items() if not (published and k.endswith(".qkv.bias"))}
    convert = sys.modules[type(model).__module__].checkpoint_filter_fn
    try:
        converted: dict[str, Tensor] = convert(kept, model)
    except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):
        return {}  # made for another network: then nothing of it fits
    return converted
