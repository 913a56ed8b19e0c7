"""The numbers of `memory_estimate`, measured again on networks without data."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_threestage.backbone_costs import BACKBONES
from napari_threestage.config import NetworkConfig, load_config
from napari_threestage.memory_estimate import (
    FLOAT,
    HALF,
    LOGITS,
    PIXEL,
    PYRAMID,
    own_parameters,
    segmenter_parameters,
)
from napari_threestage.training.batch_norm import freeze_batch_norm
from napari_threestage.training.crf import crf_loss
from napari_threestage.training.losses import IGNORE, dice_loss, masked_cross_entropy
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIDE, BATCH, CLASSES = 128, 2, 3
NAMES = list(get_args(NetworkConfig.model_fields["backbone"].annotation))
NAMES.remove("auto")
DEEP = (
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet34",
    "resnet50",
    "resnet101",
    "convnext_tiny",
    "convnext_small",
)
# Those whose parts the others have as well.
SLOW = ("resnet34", "resnet101", "convnext_small", "vit_small_patch14_dinov2")
WHOLE_PATCHES = 224  # a side of them, of 14 and of 16 pixels


def network_config(
    backbone: str, stride: int = 16, decoder: str = "pyramid", zoom: float = 1.0
) -> NetworkConfig:
    changes = {"backbone": backbone, "weights": "none", "output_stride": stride}
    changes |= {"decoder": decoder, "zoom": zoom}
    return load_config("quick", {f"network.{name}": v for name, v in changes.items()}).network


def build(config: NetworkConfig, own_blocks: int = 2, device: str = "meta") -> TwoBranchNetwork:
    with torch.device(device):
        segmenter = build_network(config, 3, CLASSES)
        return TwoBranchNetwork(segmenter, build_own_blocks(config, 3, CLASSES, own_blocks))


def saved_per_pixel(
    network: TwoBranchNetwork, *, branch: bool, side: int = SIDE, device: str = "meta"
) -> float:
    """Return the bytes for a pixel that a forward pass keeps for the gradient."""
    own = {id_of(tensor) for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id_of(tensor) not in own:
            saved[id_of(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    network.train()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(torch.zeros(BATCH, 3, side, side, device=device), branch)
    assert logits[0].shape == (BATCH, CLASSES, side, side)  # and it lives until here
    return sum(saved.values()) / (BATCH * side**2)


def id_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class PeakMeter(TorchDispatchMode):
    """Knows the most bytes that ever lived at the same time of all that was made under it.

    Views of `known` tensors are not made.
    """

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, Any] = {id_of(tensor): None for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self._count(one for one in tree_leaves(made) if isinstance(one, torch.Tensor))
        return made

    def _count(self, tensors: Iterable[torch.Tensor]) -> None:
        for tensor in tensors:
            key, storage = id_of(tensor), tensor.untyped_storage()
            if key not in self._known:
                size = storage.nbytes()
                forget = lambda _, key=key, size=size: self._forget(key, size)  # noqa: E731
                self._known[key] = weakref.ref(storage, forget)
                self.live += size
                self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int) -> None:
        del self._known[key]
        self.live -= size


@pytest.fixture
def one_thread() -> Iterator[None]:
    """More would wait for each other for what takes milliseconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_backbone_is_in_the_table() -> None:
    assert list(BACKBONES) == NAMES


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(n, marks=pytest.mark.slow) if n.startswith("vit_base") or n in SLOW else n
        for n in NAMES
    ],
)
def test_a_network_is_as_the_table_says(backbone: str, one_thread: None) -> None:
    compare_with_table(network_config(backbone))


@pytest.mark.parametrize("backbone", ["compact", "mobilenet_v2"])
def test_a_zoomed_network_keeps_more_by_the_square(backbone: str, one_thread: None) -> None:
    plain, zoomed = (
        saved_per_pixel(build(network_config(backbone, zoom=zoom)), branch=True)
        for zoom in (1.0, 1.5)
    )
    assert zoomed == pytest.approx(1.5**2 * plain, rel=0.03)


@pytest.mark.parametrize("stride", [8, 32])
@pytest.mark.parametrize(
    "backbone", ["compact", "resnet18", *(pytest.param(n, marks=pytest.mark.slow) for n in DEEP)]
)
def test_with_another_stride_too(backbone: str, stride: int) -> None:
    compare_with_table(network_config(backbone, stride))


def compare_with_table(config: NetworkConfig) -> None:
    known = BACKBONES[config.backbone].activations[config.output_stride]
    decoder = PYRAMID * config.decoder_channels
    side, device = SIDE, "meta"
    if config.backbone.startswith("vit_"):  # without data, attention takes a way that keeps more
        side, device = WHOLE_PATCHES, "cpu"
    network = build(config, device=device)
    alone = saved_per_pixel(network, branch=False, side=side, device=device) - decoder
    own = saved_per_pixel(network, branch=True, side=side, device=device) - alone - 2 * decoder
    tile = tile_peak_per_pixel(network, side, device)
    freeze_batch_norm(network.segmenter.blocks[:-1])
    frozen = saved_per_pixel(network, branch=False, side=side, device=device) - decoder
    measured = (round(alone), round(frozen), round(own), round(tile))
    assert alone == pytest.approx(known.segmenter, rel=0.1), measured
    assert frozen == pytest.approx(known.frozen, rel=0.1), measured
    assert own == pytest.approx(known.own, rel=0.1, abs=1), measured
    assert tile == pytest.approx(known.tile, rel=0.1), measured
    assert count(network.segmenter) == segmenter_parameters(config, CLASSES)
    assert count(network.own_blocks) == own_parameters(config, CLASSES, 2)


def tile_peak_per_pixel(network: TwoBranchNetwork, side: int, device: str) -> float:
    images = torch.zeros(BATCH, 3, side, side, device=device)
    with torch.no_grad(), PeakMeter([*network.parameters(), *network.buffers()]) as meter:
        network.segmenter.eval()(images)
    return meter.peak / (BATCH * side**2)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("own_blocks", [0, 1, 2])
@pytest.mark.parametrize("decoder", ["pyramid", "aspp"])
def test_parameters_of_every_branch_are_counted(decoder: str, own_blocks: int) -> None:
    config = network_config("resnet18", decoder=decoder)
    network = build(config, own_blocks)
    assert count(network.segmenter) == segmenter_parameters(config, CLASSES)
    assert count(network.own_blocks) == own_parameters(config, CLASSES, own_blocks)


def test_the_other_decoder_saves_as_much_as_is_known() -> None:
    network = build(network_config("resnet18", decoder="aspp"))
    known = BACKBONES["resnet18"].activations[16]
    assert saved_per_pixel(network, branch=False) == pytest.approx(known.segmenter, rel=0.1)


@pytest.mark.parametrize("backbone", ["compact", "resnet18"])
def test_half_precision_saves_half_of_it(backbone: str, one_thread: None) -> None:
    # Autocast knows no device without data.
    network = build(network_config(backbone), device="cpu")
    whole = saved_per_pixel(network, branch=True, side=32, device="cpu")
    with torch.autocast("cpu", torch.bfloat16):
        half = saved_per_pixel(network, branch=True, side=32, device="cpu")
    copies = 2 * count(network) / (BATCH * 32**2)  # of the weights
    assert half - copies == pytest.approx(HALF * whole, rel=0.1)


@pytest.mark.parametrize("n_classes", [2, 20])
def test_all_terms_of_labelled_crops_need_no_more_than_losses_are_said_to(n_classes: int) -> None:
    side = 32
    truth = torch.randint(n_classes, (BATCH, side, side))
    truth[:, :20] = IGNORE
    images, everywhere = torch.rand(BATCH, 3, side, side), torch.ones_like(truth, dtype=torch.bool)
    with PeakMeter([truth, images, everywhere]) as meter:
        logits = torch.randn(BATCH, n_classes, side, side, requires_grad=True)
        total = masked_cross_entropy(logits, truth) + dice_loss(logits, truth)
        total = total + crf_loss(logits, images, truth == IGNORE, everywhere)
        total.backward()
    said = PIXEL + FLOAT * LOGITS * n_classes
    assert said / 3 < meter.peak / truth.numel() < said
