"""How much memory a run needs, before it begins.

A run needs most at one of two moments of one of its stages: in a step of training, or when it
predicts the largest tile.  What the backbones need is in `backbone_costs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import psutil

from napari_threestage.backbone_costs import BACKBONES
from napari_threestage.estimate import AUTO
from napari_threestage.stages import stage_table, student_crops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.backbone_costs import Backbone
    from napari_threestage.config import Config, NetworkConfig
    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord
    from napari_threestage.stages import StageSpec

FLOAT = 4  # bytes
HALF = 0.52  # of the activations with convolutions in half precision
PROCESS = int(0.95e9)  # torch, torchvision and what reads the images
CUDA_PROCESS = int(1.5e9)  # the same in main memory when CUDA is loaded too
CUDA_CONTEXT = int(0.6e9)  # on the device: kernels and work space of its libraries
PYRAMID = 0.75  # bytes per input pixel and channel that the pyramid decoder saves
FINER = (4, 2, 1, 1)  # how much finer that decoder makes the maps of a transformer
PIXEL = 100  # bytes of a crop's pixel: the crop, its perturbed copy, targets, weights, warps
LOGITS = 7  # numbers of a crop's pixel and class in each branch, with Dice and a CRF at most
TILE_LOGITS = 4  # the same for a tile: logits, probabilities, flips
TILE_IMAGES = 2  # copies of a tile: bytes and float32
BATCH_PIXELS = 2**22  # of tiles that a GPU predicts at once
MASKS = 4  # bytes for a pixel of a stack: mask and confidence, and copies while they are written
BYTES_READING = 4  # bytes for a value of the largest plane while it is read
READING = 24  # the same where it is not of bytes, but has to be scaled to them


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run needs at its peak.

    Attributes
    ----------
    device_bytes
        On the device that trains; the CPU has all in one memory.
    host_bytes
        In main memory.
    parts
        What the memory of both is for, in bytes: ``process``, ``networks`` (weights, gradients,
        optimiser, teacher), ``crops`` (activations) and ``losses`` or else ``tiles``, ``images``
        (with truths and pseudo-masks).
    device_kind
        ``cpu``, ``cuda`` or ``mps``.
    """

    device_bytes: int
    host_bytes: int
    parts: dict[str, int]
    device_kind: str = "cpu"


@dataclass(frozen=True)
class FreeMemory:
    """Bytes that are free on the device, None if nobody knows, and in main memory."""

    device: int | None
    host: int


def free_memory(device_kind: str, device_bytes: int | None = None) -> FreeMemory:
    """Return what is free now.

    Parameters
    ----------
    device_bytes
        What is free on the device, from someone who knows; not needed for the CPU, nor for MPS,
        which shares its memory.
    """
    host = int(psutil.virtual_memory().available)
    return FreeMemory(device_bytes if device_kind == "cuda" else host, host)


def estimate_memory(
    project: Project,
    config: Config,
    stages: tuple[int, int],
    device_kind: str,
    labelled: Sequence[str],
    unlabelled: Sequence[str],
) -> MemoryEstimate:
    """Say what memory the stages will need.

    Parameters
    ----------
    config
        The recipe.
    stages
        First and last stage.
    device_kind
        ``cpu``, ``cuda`` or ``mps``.
    labelled, unlabelled
        Ids of the images of L and U.
    """
    records = [project.images[image_id] for image_id in (*labelled, *unlabelled)]
    n_channels, n_classes = project.n_channels, len(project.classes)
    table = stage_table(config, stages[1])[stages[0] - 1 :]
    half = config.precision not in ("auto", "float32") or (
        config.precision == "auto" and device_kind == "cuda"
    )
    moments = [_training(config, spec, n_classes, half) for spec in table]
    if device_kind == "cuda" and config.cuda_graphs:  # they keep what samples cannot use then
        window = config.live.window**2 if config.live.images else 0
        tiles = _tiles(config, window, n_channels, n_classes, device_kind)
        moments = [{**moment, "tiles": tiles} for moment in moments]
    everything = list(project.images.values())  # those for validation are predicted too
    moments.append(_predicting(config, everything, n_channels, n_classes, device_kind))
    peak = max(moments, key=lambda parts: sum(parts.values()))
    images = _images(project, config, labelled, records, pseudo=stages[1] > 1)
    if device_kind != "cuda":
        parts = {"process": PROCESS, **peak, "images": images}
        return MemoryEstimate(sum(parts.values()), sum(parts.values()), parts, device_kind)
    parts = {"process": CUDA_CONTEXT + CUDA_PROCESS, **peak, "images": images}
    on_device = CUDA_CONTEXT + sum(peak.values())
    return MemoryEstimate(on_device, CUDA_PROCESS + images, parts, device_kind)


def _training(config: Config, spec: StageSpec, n_classes: int, half: bool) -> dict[str, int]:
    """Return what a step needs, at the end of its forward pass."""
    backbone = _known(config.network)
    crops = student_crops(config, spec)
    pixels = crops * prod(config.data.crop)
    zoom, multiple = config.network.zoom, backbone.patch
    if zoom != 1 and not multiple:
        multiple = config.network.output_stride
    seen = crops * prod(_filled(int(side * zoom), multiple) for side in config.data.crop)
    own_blocks = spec.own_blocks if config.loss.pseudo > 0 else 0
    branches = 2 if own_blocks else 1
    bytes_kept = backbone.activations[config.network.output_stride]
    frozen = config.network.batch_norm_is_frozen
    saved: float = bytes_kept.frozen if frozen else bytes_kept.segmenter
    if own_blocks == 2:
        saved += bytes_kept.own
    if config.network.decoder == "pyramid":
        saved += PYRAMID * config.network.decoder_channels * branches
    return {
        "networks": FLOAT * _numbers(config.network, spec.own_blocks, n_classes),
        "crops": int(seen * saved * (HALF if half else 1)),
        "losses": pixels * (PIXEL + FLOAT * LOGITS * n_classes * branches),
    }


def _filled(side: int, multiple: int) -> int:
    return side + -side % multiple if multiple else side


def _numbers(network: NetworkConfig, own_blocks: int, n_classes: int) -> int:
    """Count weights, gradients, two moments of the optimiser, and the teacher's weights."""
    segmenter = segmenter_parameters(network, n_classes)
    return 5 * segmenter + 4 * own_parameters(network, n_classes, own_blocks)


def segmenter_parameters(network: NetworkConfig, n_classes: int) -> int:
    """Count the parameters of f."""
    backbone = _known(network)
    return backbone.parameters + _decoder_parameters(network, backbone.channels, n_classes)


def own_parameters(network: NetworkConfig, n_classes: int, own_blocks: int) -> int:
    """Count the parameters of the own blocks of ĝ (2), g̃ (1) or of none (0)."""
    backbone = _known(network)
    if own_blocks == 2:
        channels = (*backbone.channels[:-1], backbone.own_channels)
        return backbone.own_parameters + _decoder_parameters(network, channels, n_classes)
    return _decoder_parameters(network, backbone.channels, n_classes) if own_blocks else 0


def _decoder_parameters(network: NetworkConfig, channels: Sequence[int], n_classes: int) -> int:
    if network.decoder == "aspp":
        return len(network.aspp_rates) * (9 * channels[-1] + 1) * n_classes
    width, finer = network.decoder_channels, 0
    if _known(network).patch:
        finer = _finer_parameters(channels, width)
        channels = (width,) * len(channels)
    lateral = sum(width * (count + 1) for count in channels[1:])
    return finer + lateral + 9 * width**2 + 2 * width + (width + 1) * n_classes


def _finer_parameters(channels: Sequence[int], width: int) -> int:
    """Count norms, 1x1 convolutions, and transposed ones."""
    reduced = sum(2 * count + width * (count + 1) for count in channels[1:])
    return reduced + sum(width * (width * factor**2 + 1) for factor in FINER if factor > 1)


def _predicting(
    config: Config,
    records: Sequence[ImageRecord],
    n_channels: int,
    n_classes: int,
    device_kind: str,
) -> dict[str, int]:
    """Return what the network, as it is and as it is applied, needs, tiles and masks."""
    pixels = max((_tile_pixels(record, config, device_kind) for record in records), default=0)
    stack = max((prod(record.label_shape) for record in records), default=0)
    return {
        "networks": 2 * FLOAT * segmenter_parameters(config.network, n_classes),
        "tiles": _tiles(config, pixels, n_channels, n_classes, device_kind) + MASKS * stack,
    }


def _tiles(config: Config, pixels: int, n_channels: int, n_classes: int, device_kind: str) -> int:
    """Return what predicting so many pixels at once needs."""
    tile: float = _known(config.network).activations[config.network.output_stride].tile
    tile *= config.network.zoom**2 * (HALF if device_kind == "cuda" else 1)
    logits = TILE_LOGITS * min(config.inference.n_passes, 2) * n_classes
    return int(pixels * (tile + FLOAT * (TILE_IMAGES * n_channels + logits)))


def _tile_pixels(record: ImageRecord, config: Config, device_kind: str) -> int:
    """Return the pixels that are predicted at once; a GPU takes several tiles of a plane."""
    extents, inference = record.label_shape[-2:], config.inference
    side = inference.tile + inference.blend + 2 * inference.halo
    one = prod(extent if extent <= inference.tile else min(extent, side) for extent in extents)
    return one if device_kind == "cpu" else max(one, min(prod(extents), BATCH_PIXELS))


def _images(
    project: Project,
    config: Config,
    labelled: Sequence[str],
    records: Sequence[ImageRecord],
    pseudo: bool,
) -> int:
    """Return what decoded images, truths and pseudo-masks need; too many images stay on disk."""
    pixels = sum(prod(record.label_shape) for record in records)
    decoded = pixels * project.n_channels
    kept = decoded if decoded <= config.data.cache_gigabytes * 1e9 else 0
    truths = sum(prod(project.images[image_id].label_shape) for image_id in labelled)
    reading = max((_reading(record) * project.n_channels for record in records), default=0)
    return kept + truths + (pixels if pseudo else 0) + reading


def _reading(record: ImageRecord) -> int:
    value = BYTES_READING if record.dtype in ("uint8", "bool") else READING
    return value * prod(record.label_shape[-2:])


def _known(network: NetworkConfig) -> Backbone:
    return BACKBONES[AUTO[0] if network.backbone == "auto" else network.backbone]


def memory_sentence(needed: MemoryEstimate, free: FreeMemory) -> str:
    """Tell people what a run needs and what there is."""
    parts = needed.parts
    images = parts["images"]
    work = sum(parts.values()) - images - parts["process"]
    what = "tiles" if "tiles" in parts else "crops"
    if needed.device_kind != "cuda":
        return (
            f"Needs about {memory_text(needed.host_bytes)} of memory "
            f"({memory_text(work)} for {what} and networks, {memory_text(images)} for images); "
            f"{memory_text(free.host)} are free."
        )
    on_gpu = f" of {memory_text(free.device)}" if free.device is not None else ""
    return (
        f"Needs about {memory_text(needed.device_bytes)}{on_gpu} on the GPU "
        f"and {memory_text(needed.host_bytes)} of {memory_text(free.host)} in main memory."
    )


def memory_text(count: int) -> str:
    """Return bytes in the units that memory is sold in: ``18 GB``, ``1.4 GB``, ``95 MB``."""
    size = count / 2**30
    if size < 0.95:
        return f"{max(1, round(1024 * size))} MB"
    return f"{size:.0f} GB" if size >= 9.95 else f"{size:.1f} GB"
