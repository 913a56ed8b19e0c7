"""ConvNeXt, MobileNetV3 and vision transformers as blocks: weights, training, prediction."""

from __future__ import annotations

import copy
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from trainer_helpers import (
    N_CLASSES,
    SMALL,
    assert_same_gradients,
    gradients,
    losses_of,
    samples,
)

from napari_threestage.config import Config, InferenceConfig, NetworkConfig, load_config
from napari_threestage.errors import ConfigError
from napari_threestage.inference.segmenter import Segmenter, load_segmenter
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.stages import StageSpec
from napari_threestage.store import ImageArray
from napari_threestage.training.economy import Economy
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks
from napari_threestage.training.transformers import LayerGroup, to_map, to_tokens
from napari_threestage.training.weights import find_weights

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.training.networks import BlockNetwork

DINOV2, DINOV3 = "vit_small_patch14_dinov2", "vit_small_patch16_dinov3"
VITS = (DINOV2, DINOV3)
ENCODERS = ("mobilenet_v3_large", "convnext_tiny", *VITS)
PATCH = {DINOV2: 14, DINOV3: 16}
N_TOKENS = {DINOV2: 1, DINOV3: 5}
CPU = torch.device("cpu")
State = dict[str, Tensor]

slow = pytest.mark.slow
every_encoder = pytest.mark.parametrize("backbone", ENCODERS)
# One with batch norm and one with tokens; the others take the same ways.
two_encoders = pytest.mark.parametrize(
    "backbone",
    [
        "mobilenet_v3_large",
        DINOV3,
        *(pytest.param(n, marks=slow) for n in ("convnext_tiny", DINOV2)),
    ],
)
every_vit = pytest.mark.parametrize("backbone", VITS)
every_decoder = pytest.mark.parametrize("decoder", ["aspp", "pyramid"])


def network_config(backbone: str, weights: object = "none", **changes: object) -> NetworkConfig:
    settings = {"backbone": backbone, "weights": str(weights), "decoder_channels": 8}
    return NetworkConfig.model_validate(settings | {"output_stride": 32} | changes)


@cache
def original(backbone: str) -> Any:
    """A model of torchvision or timm in which every tensor matters and is unlike any other."""
    torch.manual_seed(4)
    if backbone in VITS:
        model = timm.create_model(backbone, num_classes=0, dynamic_img_size=True)
    else:
        model = getattr(torchvision.models, backbone)(weights=None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        for name, parameter in model.named_parameters():
            if name.endswith(("gamma", "gamma_1", "gamma_2", "layer_scale")):
                parameter.add_(0.1)
    return model.eval()


def state_of(backbone: str) -> State:
    return {name: value.clone() for name, value in original(backbone).state_dict().items()}


def encoder_tensors(backbone: str) -> list[Tensor]:
    behind = ("classifier.", "features.16.") if backbone.startswith("mobile") else "classifier."
    return [value for name, value in state_of(backbone).items() if not name.startswith(behind)]


def fingerprint(value: Tensor) -> tuple[object, ...]:
    return tuple(value.shape), float(value.double().sum())


def loaded(state: dict[str, Any], backbone: str, path: Path, **changes: object) -> BlockNetwork:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return build_network(network_config(backbone, path, **changes), 3, 4).eval()


@torch.no_grad()
def assert_computes_the_same(net: BlockNetwork, backbone: str) -> None:
    side = 4 * PATCH.get(backbone, 16)
    images = torch.rand(2, 3, side, 2 * side, generator=torch.Generator().manual_seed(1))
    found = net.features(images, 5)[-1]
    normalised, model = (images - net.mean) / net.std, original(backbone)
    if backbone in VITS:
        tokens, height, width = to_tokens(found, N_TOKENS[backbone])
        assert (height, width) == (4, 8)
        torch.testing.assert_close(tokens, model.forward_features(normalised), rtol=1e-3, atol=1e-3)
    else:
        features = model.features[:16] if backbone.startswith("mobile") else model.features
        torch.testing.assert_close(found, features(normalised), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("backbone", "suffix"), [*((name, ".pth") for name in ENCODERS), (DINOV3, ".safetensors")]
)
def test_a_file_of_weights_gives_the_original_network(
    backbone: str, suffix: str, tmp_path: Path
) -> None:
    net = loaded(state_of(backbone), backbone, tmp_path / f"weights{suffix}")
    mine = {fingerprint(value) for value in net.state_dict().values()}
    for value in encoder_tensors(backbone):
        assert fingerprint(value) in mine
    assert_computes_the_same(net, backbone)


def convnext_of_its_authors() -> State:
    state = {}
    names = {"block.0": "dwconv", "block.2": "norm", "block.3": "pwconv1", "block.5": "pwconv2"}
    for name, value in state_of("convnext_tiny").items():
        match = re.match(r"features\.(\d)\.(\d+)\.(.*)", name)
        if match is None:
            continue
        number, place, rest = int(match[1]), match[2], match[3]
        if number % 2 == 0:
            state[f"downsample_layers.{number // 2}.{place}.{rest}"] = value
        elif rest == "layer_scale":
            state[f"stages.{number // 2}.{place}.gamma"] = value.flatten()
        else:
            layer, kind = rest.rsplit(".", 1)
            state[f"stages.{number // 2}.{place}.{names[layer]}.{kind}"] = value
    return state | {"norm.weight": torch.ones(768), "head.weight": torch.ones(3, 768)}


def convnext_of_timm() -> State:
    from timm.models.convnext import checkpoint_filter_fn

    model = timm.create_model("convnext_tiny", num_classes=3)
    converted: State = checkpoint_filter_fn(convnext_of_its_authors(), model)
    return {name: value.contiguous() for name, value in converted.items()}


def dinov2_of_its_authors() -> State:
    return state_of(DINOV2) | {"mask_token": torch.zeros(1, 384)}


def dinov3_of_its_authors() -> State:
    state = {
        name.replace("reg_token", "storage_tokens")
        .replace("gamma_1", "ls1.gamma")
        .replace("gamma_2", "ls2.gamma"): value
        for name, value in state_of(DINOV3).items()
    }
    state |= {f"blocks.{n}.attn.qkv.bias": torch.zeros(3 * 384) for n in range(12)}
    return state | {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}


PUBLISHED = {
    "convnext_tiny": (convnext_of_its_authors, convnext_of_timm),
    DINOV2: (dinov2_of_its_authors,),
    DINOV3: (dinov3_of_its_authors,),
}


@pytest.mark.parametrize(
    ("backbone", "published", "wrapper"),
    [
        *((name, one, "") for name, all_ in PUBLISHED.items() for one in all_),
        (DINOV3, dinov3_of_its_authors, "module.backbone."),
    ],
)
def test_files_of_the_authors_are_understood(
    backbone: str,
    published: Any,
    wrapper: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = {f"{wrapper}{name}": value for name, value in published().items()}
    net = loaded(state, backbone, tmp_path / "weights.pth")
    assert_computes_the_same(net, backbone)
    assert capsys.readouterr().out == ""  # where a program expects events


def test_a_file_with_the_model_within_is_understood(tmp_path: Path) -> None:
    state = {"model": convnext_of_its_authors()}
    assert_computes_the_same(loaded(state, "convnext_tiny", tmp_path / "w.pth"), "convnext_tiny")


@torch.no_grad()
def test_positions_of_other_images_are_taken(tmp_path: Path) -> None:
    state = state_of(DINOV2)
    state["pos_embed"] = state["pos_embed"][:, : 1 + 16 * 16].clone()
    net = loaded(state, DINOV2, tmp_path / "weights.pth")
    assert torch.isfinite(net(torch.rand(1, 3, 56, 56))).all()


def resized() -> State:
    state = state_of(DINOV2)
    return state | {"norm.weight": torch.ones(768)}


@pytest.mark.parametrize(
    ("state", "backbone", "says"),
    [
        (lambda: state_of(DINOV2), DINOV3, r"do not belong to vit_small_patch16_dinov3"),
        (lambda: state_of(DINOV3), DINOV2, r"do not belong.*pos_embed"),
        (resized, DINOV2, r" 1 of 1\d\d tensors .*another shape, the first is norm\.weight"),
        (lambda: state_of("mobilenet_v3_large"), DINOV2, "timm's vit_small_patch14_dinov2"),
        (lambda: state_of(DINOV2), "convnext_tiny", "torchvision's convnext_tiny"),
        (lambda: state_of("convnext_tiny"), "convnext_small", r"features\.5\.9\."),
        (dict, DINOV3, r": (\d+) of \1 tensors"),
    ],
)
def test_weights_of_another_network_are_refused(
    state: Any, backbone: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded(state(), backbone, tmp_path / "weights.pth")


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["convnext_tiny", *VITS])
def test_the_first_convolution_keeps_its_bias_and_its_response_to_grey(
    backbone: str, tmp_path: Path
) -> None:
    colour = loaded(state_of(backbone), backbone, tmp_path / "weights.pth")
    grey = build_network(network_config(backbone, tmp_path / "weights.pth"), 1, 4)
    image = torch.rand(1, 1, 64, 64)
    first, other = (
        next(part for part in net.modules() if isinstance(part, nn.Conv2d))
        for net in (colour, grey)
    )
    expected = first(image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(other(image), expected, rtol=1e-3, atol=1e-4)


@every_vit
def test_tokens_come_back_from_their_map(backbone: str) -> None:
    n_tokens = N_TOKENS[backbone]
    for width in (1, 3, 7):
        tokens = torch.rand(2, n_tokens + 4 * width, 6)
        map_ = to_map(tokens, n_tokens, width)
        assert map_.shape[:2] == (2, 6)
        found, *size = to_tokens(map_, n_tokens)
        assert size == [4, width]
        assert torch.equal(found, tokens)
        first = tokens[:, n_tokens : n_tokens + width].transpose(1, 2)
        assert torch.equal(map_[:, :, 0], first)  # the grid is above


@cache
def network(backbone: str, decoder: str) -> BlockNetwork:
    torch.manual_seed(0)
    return build_network(network_config(backbone, decoder=decoder), 3, 4).eval()


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 64), (33, 47), (50, 5)])
@every_decoder
@every_vit
def test_logits_have_the_size_of_the_input(
    backbone: str, decoder: str, size: tuple[int, int]
) -> None:
    net = network(backbone, decoder)
    logits = net(torch.rand(2, 3, *size))
    assert len(net.blocks) == 6
    assert logits.shape == (2, 4, *size)
    assert torch.isfinite(logits).all()


@torch.no_grad()
@every_vit
def test_the_pyramid_is_four_times_finer_than_the_patches(backbone: str) -> None:
    net = network(backbone, "pyramid")
    features = net.features(torch.rand(1, 3, 80, 112), 5)
    rows, columns = -(-80 // PATCH[backbone]), -(-112 // PATCH[backbone])
    assert net.blocks[-1](features).shape == (1, 4, 4 * rows, 4 * columns)


@torch.no_grad()
@every_decoder
@every_vit
def test_the_decoder_sees_no_class_or_register_token(backbone: str, decoder: str) -> None:
    net = network(backbone, decoder)
    features = net.features(torch.rand(1, 3, 64, 64), 5)
    expected = net.blocks[-1](features)
    height = -(-64 // PATCH[backbone])
    for map_ in features:
        assert map_.shape[2] > height
        map_[:, :, height:] += 1
    assert torch.equal(net.blocks[-1](features), expected)


def test_rotations_learned_by_a_look_serve_training_too() -> None:
    net = build_network(network_config(DINOV3), 3, 4)
    images = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        expected = net(images)
    assert any(isinstance(part, LayerGroup) and part.rotation for part in net.modules())
    logits = net(images)
    logits.sum().backward()
    torch.testing.assert_close(logits, expected)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["convnext_tiny", *VITS])
def test_no_random_number_is_drawn_in_training(backbone: str) -> None:
    net = build_network(network_config(backbone), 3, 4).train()
    net.blocks[-1].eval()
    before = torch.get_rng_state()
    net(torch.zeros(1, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


def recipe(backbone: str) -> Config:
    changes = {"backbone": backbone, "decoder": "pyramid", "decoder_channels": 8}
    changes |= {"weights": "none", "output_stride": 16}
    settings = {f"network.{name}": value for name, value in changes.items()}
    return load_config("paper-cityscapes", SMALL | settings | {"optimiser.learning_rate": 1e-3})


def trainer_of(backbone: str, stage: int, own: int) -> StageTrainer:
    config = recipe(backbone)
    torch.manual_seed(0)
    segmenter = build_network(config.network, 1, N_CLASSES)
    own_blocks = build_own_blocks(config.network, 1, N_CLASSES, own)
    spec = StageSpec(stage, stage - 1, own, 4, None, True)
    net = TwoBranchNetwork(segmenter, own_blocks)
    return StageTrainer(spec, config, samples(), net, CPU, 1)


@pytest.mark.parametrize(
    ("backbone", "stage", "own"),
    [
        ("mobilenet_v3_large", 2, 2),
        ("convnext_tiny", 3, 1),
        (DINOV3, 2, 2),
        pytest.param("mobilenet_v3_large", 3, 1, marks=slow),
        pytest.param("convnext_tiny", 2, 2, marks=slow),
        pytest.param(DINOV2, 2, 2, marks=slow),
        pytest.param(DINOV2, 3, 1, marks=slow),
        pytest.param(DINOV3, 3, 1, marks=slow),
    ],
)
def test_a_stage_trains_every_block_and_goes_on_bit_for_bit(
    backbone: str, stage: int, own: int
) -> None:
    first, second = trainer_of(backbone, stage, own), trainer_of(backbone, stage, own)
    before = {name: value.clone() for name, value in first.network.named_parameters()}
    first.train_step()
    second.load_state(copy.deepcopy(first.state()))
    expected = losses_of(first.train_step())
    assert losses_of(second.train_step()) == expected
    assert all(np.isfinite(value) for value in expected.values())
    theirs = second.network.state_dict()
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    parameters = first.network.named_parameters()
    changed = [name for name, value in parameters if not torch.equal(value, before[name])]
    blocks = {name.split("blocks.")[0] + name.split("blocks.")[1][0] for name in changed}
    assert len(blocks) == 6 + own


@two_encoders
def test_blocks_that_are_computed_twice_learn_the_same(backbone: str) -> None:
    usual, saving = trainer_of(backbone, 2, 2), trainer_of(backbone, 2, 2)
    saving.use(Economy(recompute=True))
    expected = losses_of(usual.train_step())
    assert losses_of(saving.train_step()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert_same_gradients(gradients(saving.network), gradients(usual.network))


@two_encoders
def test_a_segmenter_from_its_file_predicts_the_same(backbone: str, tmp_path: Path) -> None:
    network_settings = network_config(backbone, decoder="pyramid", output_stride=16)
    info = SegmenterInfo(
        classes=[{"name": name, "color": [0, 0, 0]} for name in "abc"],
        channels=None,
        n_channels=2,
        normalisation="range",
        network=network_settings.model_dump(mode="json"),
        inference=InferenceConfig(tile=64, halo=16).model_dump(mode="json"),
        stage=1,
        run="some-run",
    )
    torch.manual_seed(2)
    net = build_network(network_settings, 2, 3).to(memory_format=torch.channels_last)
    segmenter = Segmenter(net, info, CPU)
    segmenter.save(tmp_path / "model.safetensors")
    again = load_segmenter(tmp_path / "model.safetensors", CPU)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 90, 70), np.uint8)
    image = ImageArray(pixels, "cyx")
    mask, confidence = segmenter.predict(image)
    found_mask, found_confidence = again.predict(image)
    assert len(np.unique(confidence)) > 1
    assert np.array_equal(found_mask, mask)
    assert np.array_equal(found_confidence, confidence)


@every_encoder
def test_half_precision_gives_nearly_the_same(backbone: str) -> None:
    torch.manual_seed(0)
    net = build_network(network_config(backbone, decoder="pyramid"), 3, 4).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = net(images)
        with torch.autocast("cpu", torch.bfloat16):
            found = net(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


@pytest.mark.parametrize("weights", ["auto", "imagenet", "none"])
def test_timm_is_asked_for_where_it_is_missing(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r'pip install "napari-threestage\[encoders\]"'):
        build_network(find_weights(network_config(DINOV2, weights))[0], 3, 4)


def refuse(*_: object, **__: object) -> NoReturn:
    raise OSError("no route")


def test_without_a_connection_a_transformer_starts_from_random_weights_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    config, warning = find_weights(network_config(DINOV3, "auto"))
    assert (config.weights, config.backbone) == ("none", DINOV3)
    assert warning is not None
    assert "random weights" in warning
    with pytest.raises(ConfigError, match=r"cannot be downloaded.*network\.weights=FILE"):
        find_weights(network_config(DINOV3, "imagenet"))


def test_weights_of_a_transformer_downloaded_before_need_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, ...]] = []

    def known(*place: str) -> str:
        asked.append(place)
        return "/cache/model.safetensors"

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", known)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    config, warning = find_weights(network_config(DINOV2, "imagenet"))
    assert (config.weights, warning) == ("/cache/model.safetensors", None)
    assert asked == [("timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors")]
