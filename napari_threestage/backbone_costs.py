"""What each backbone costs: parameters, channels, and memory for a pixel of the input.

The numbers are measured on networks without data (torch's device ``meta``), those of transformers
on a CPU; `tests/training/test_memory_table.py` measures them again and fails when they are stale.
"""

from __future__ import annotations

from typing import NamedTuple


class Activations(NamedTuple):
    """Bytes for a pixel of the input in float32.

    Attributes
    ----------
    segmenter
        What f's blocks save for the gradient.
    frozen
        The same with a backbone whose batch norm is frozen.
    own
        What conv6 of ĝ saves on top.
    tile
        The most at any time when f only predicts.
    """

    segmenter: int
    frozen: int
    own: int
    tile: int


class Backbone(NamedTuple):
    """What a backbone costs.

    Attributes
    ----------
    parameters, own_parameters
        Of the five blocks, and of conv6.
    channels, own_channels
        Of the five maps, and of conv6.
    activations
        By output stride.
    patch
        Side of a transformer's patches, to which crops are filled up; 0 for other backbones.
    """

    parameters: int
    own_parameters: int
    channels: tuple[int, ...]
    own_channels: int
    activations: dict[int, Activations]
    patch: int = 0


def _backbone(
    parameters: tuple[int, int],
    channels: tuple[int, ...],
    own_channels: int,
    *by_stride: tuple[int, int, int, int],
) -> Backbone:
    activations = {
        stride: Activations(*one) for stride, one in zip((8, 16, 32), by_stride, strict=True)
    }
    return Backbone(*parameters, channels, own_channels, activations)


def _transformer(
    parameters: tuple[int, int], width: int, patch: int, activations: tuple[int, int, int]
) -> Backbone:
    """Return what a transformer costs, whose attention does not keep how much each pixel counts."""
    segmenter, *others = activations
    by_stride = dict.fromkeys((8, 16, 32), Activations(segmenter, segmenter, *others))
    return Backbone(*parameters, (width,) * 5, width, by_stride, patch)


THIN, WIDE = (64, 64, 128, 256, 512), (64, 256, 512, 1024, 2048)
NEXT = (96, 96, 192, 384, 768)
# fmt: off
BACKBONES = {
    "compact": _backbone(
        (2_170_048, 948_800), (32, 48, 96, 160, 160), 160,
        (418, 196, 90, 134), (283, 136, 23, 119), (266, 129, 6, 117)),
    "mobilenet_v2": _backbone(
        (1_811_712, 1_269_184), (16, 24, 32, 96, 320), 320,
        (3671, 2412, 1396, 232), (1790, 1179, 349, 220), (1548, 1021, 108, 220)),
    "mobilenet_v3_large": _backbone(
        (2_816_432, 2_023_944), (16, 24, 40, 112, 160), 160,
        (2594, 1723, 1197, 234), (1076, 668, 302, 156), (876, 526, 102, 156)),
    "resnet18": _backbone(
        (11_176_512, 2_427_392), THIN, 256,
        (820, 412, 144, 164), (496, 268, 36, 140), (442, 244, 9, 140)),
    "resnet34": _backbone(
        (21_284_672, 3_608_064), THIN, 256,
        (1332, 668, 208, 164), (720, 380, 52, 140), (642, 344, 13, 140)),
    "resnet50": _backbone(
        (23_508_032, 4_402_176), WIDE, 1024,
        (3788, 1780, 640, 572), (1940, 928, 160, 236), (1712, 826, 46, 220)),
    "resnet101": _backbone(
        (42_500_160, 4_402_176), WIDE, 1024,
        (7052, 3412, 640, 572), (2756, 1336, 160, 236), (2528, 1234, 46, 220)),
    "convnext_tiny": _backbone(
        (27_818_592, 15_470_592), NEXT, 768,
        (5833, 5833, 1807, 576), (2513, 2513, 452, 252), (2178, 2178, 117, 252)),
    "convnext_small": _backbone(
        (49_453_152, 15_470_592), NEXT, 768,
        (11_019, 11_019, 1807, 576), (3810, 3810, 452, 252), (3475, 3475, 117, 252)),
    "vit_small_patch14_dinov2": _transformer((22_056_192, 5_326_464), 384, 14, (1833, 520, 154)),
    "vit_base_patch14_dinov2": _transformer((86_579_712, 21_269_760), 768, 14, (3607, 993, 252)),
    "vit_small_patch16_dinov3": _transformer((21_586_944, 5_323_008), 384, 16, (1649, 450, 122)),
    "vit_base_patch16_dinov3": _transformer((85_641_216, 21_262_848), 768, 16, (3257, 875, 215)),
}
# fmt: on
