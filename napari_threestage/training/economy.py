"""Ways to make a step need less memory, from those that change nothing to those that cost quality.

A run that does not fit takes the next way and makes the same step again.
"""

from __future__ import annotations

import gc
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_threestage.config import Config

FILE = "economy.json"
LAUNCHED = "the GPU's kernels are launched one by one"
SMALLEST_CROP = 64  # as the network sees it
SHRINK = 3 / 4


@dataclass(frozen=True)
class Economy:
    """How a step saves memory.

    Attributes
    ----------
    graphs
        Passes are replayed as CUDA graphs, each of which keeps its memory, where that is possible.
    host_images
        Images stay in the host's memory, even where the device's could hold them.
    half
        Half precision where the recipe has float32.
    recompute
        Blocks are computed again for the gradient instead of being remembered: the same result,
        about a third slower.
    parts
        The student sees the crops of a step in so many parts, one after another. The gradient is
        that of all; batch norm and the Dice term see each part for itself.
    crop
        Smaller crops than the recipe's.
    """

    graphs: bool = True
    host_images: bool = False
    half: bool = False
    recompute: bool = False
    parts: int = 1
    crop: tuple[int, int] | None = None

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> Economy:
        """Read what `to_dict` returned."""
        crop = entries.get("crop")
        return cls(**(entries | {"crop": tuple(crop) if crop else None}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def next_economy(
    now: Economy,
    config: Config,
    device: torch.device,
    n_crops: int,
    holds_images: bool = False,
    replays: bool = False,
) -> tuple[Economy, str] | None:
    """Return the next way to save memory and what it does, for people; None if there is none.

    Parameters
    ----------
    n_crops
        Crops that the student sees in a step.
    holds_images
        Whether the images are in the device's memory.
    replays
        Whether there are CUDA graphs.
    """
    if replays and now.graphs:
        return replace(now, graphs=False), LAUNCHED
    if holds_images and not now.host_images:
        return replace(now, host_images=True), "the images stay in main memory"
    if not now.half and config.precision == "float32" and device.type == "cuda":
        return replace(now, half=True), "convolutions compute in half precision"
    if not now.recompute:
        return replace(now, recompute=True), "blocks are computed twice instead of remembered"
    if now.parts < n_crops:
        parts = min(2 * now.parts, n_crops)
        return replace(now, parts=parts), f"the {n_crops} crops of a step come in {parts} parts"
    height, width = now.crop or config.data.crop
    least = math.ceil(SMALLEST_CROP / config.network.zoom)
    crop = (max(least, int(height * SHRINK)), max(least, int(width * SHRINK)))
    if crop[0] < height or crop[1] < width:
        smaller = min(crop[0], height), min(crop[1], width)
        return replace(now, crop=smaller), f"crops have {smaller[0]} x {smaller[1]} pixels"
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    says = str(error).lower()
    known = ("can't allocate memory", "out of memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(words in says for words in known)


def free_memory(device: torch.device) -> None:
    """Give back what a step that failed has left."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def keep_economy(stage: Path, economy: Economy) -> None:
    """Note in a stage's folder how it saved memory."""
    write_json(stage / FILE, economy.to_dict())


def latest_economy(stages: Iterable[Path]) -> Economy:
    """Return how the last of some stages saved memory; usually not at all."""
    known = [json.loads((stage / FILE).read_text()) for stage in stages if (stage / FILE).exists()]
    return Economy.from_dict(known[-1]) if known else Economy()
