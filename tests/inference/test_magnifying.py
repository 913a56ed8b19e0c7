"""Images that the network sees larger or smaller than they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inference_helpers import describe

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.inference import predict
from napari_threestage.inference.adapting import SIDE, adapted, draw_windows
from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.magnifying import (
    other_pixels,
    trained_at,
    wanted_magnification,
)
from napari_threestage.inference.segmenter import Segmenter, load_segmenter, seen_tiles
from napari_threestage.lengths import PixelSize
from napari_threestage.segmenter_info import Card, read_info
from napari_threestage.store import ImageArray
from napari_threestage.training.networks import BlockNetwork, build_network

CPU = torch.device("cpu")
BASE = {"backbone": "compact", "weights": "none", "decoder": "pyramid", "decoder_channels": 8}


def make(**network: Any) -> Segmenter:
    torch.manual_seed(1)
    config = NetworkConfig.model_validate(BASE | network)
    built = build_network(config, 1, 3)
    with torch.no_grad():
        built.train()(torch.rand(4, 1, 64, 64))  # statistics that are not the default
        classify = cast("Any", built.blocks[-1]).classify
        classify.weight.mul_(30)  # so that pixels differ, and no class wins them all
        logits = built.eval()(torch.from_numpy(smooth(64, 64))[None, None] / 255)
        classify.bias.sub_(logits.mean((0, 2, 3)))
    return Segmenter(built, describe(config), CPU)


def smooth(*shape: int) -> np.ndarray:
    """An image of 0 to 255 whose structures survive being made smaller."""
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 1, *(n // 8 for n in shape))))
    values = F.interpolate(noise, shape, mode="bicubic")[0, 0].numpy()
    found: np.ndarray = np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)
    return found


@pytest.mark.parametrize("zoom", [1.0, 1.5])
@pytest.mark.parametrize("factor", [0.5, 0.7, 1.25, 2.0])
def test_the_network_sees_images_at_another_size(zoom: float, factor: float) -> None:
    network = make(zoom=zoom).network
    images = torch.rand(2, 1, 64, 128)
    found = network.magnified(factor)(images)
    expected = by_hand(network, images, factor)
    torch.testing.assert_close(found, expected)
    assert network.zoom == zoom
    assert not torch.allclose(found, network(images), atol=1e-3)


def by_hand(network: BlockNetwork, images: torch.Tensor, factor: float) -> torch.Tensor:
    """Logits of images resized around a network without zoom, and filled up with the mean."""
    bare = make(zoom=1.0).network
    bare.load_state_dict(network.state_dict())
    height, width = (int(side * network.zoom * factor + 1e-6) for side in images.shape[-2:])
    multiple = network.magnified(factor).multiple
    shrinks = network.zoom * factor < 1
    seen = F.interpolate(images, (height, width), mode="bilinear", antialias=shrinks)
    padding = (0, -width % multiple, 0, -height % multiple)
    filled = F.pad(seen, padding, value=bare.mean.item())
    logits = bare.run(bare.blocks[-1], bare.features(filled, len(bare.blocks) - 1))
    whole = F.interpolate(logits, filled.shape[-2:], mode="bilinear", align_corners=True)
    size = images.shape[-2:]
    return F.interpolate(whole[..., :height, :width], size, mode="bilinear", align_corners=False)


def test_sides_are_not_a_pixel_short() -> None:
    network = make().network
    assert network.magnified(0.7)._seen((640, 10)) == (448, 7)
    assert network.magnified(1 / 3)._seen((96, 3)) == (32, 1)
    assert network.magnified(0.3)._seen((640, 10)) == (192, 3)


@pytest.mark.parametrize("side", [37, 64, 90])
@pytest.mark.parametrize("factor", [0.125, 0.7123, 1 / 3, 3.1, 8])
def test_any_factor_gives_a_class_for_every_pixel(side: int, factor: float) -> None:
    image = ImageArray(smooth(side + 8, side), "yx")
    mask, confidence = make().adjusted(magnify=factor).predict(image)
    assert mask.shape == confidence.shape == (side + 8, side)
    assert mask.min() >= 1
    assert confidence.min() > 0


def test_an_image_of_half_the_size_is_seen_as_it_was() -> None:
    segmenter, image = make(), smooth(128, 128)
    whole = segmenter.predict(ImageArray(image, "yx"))[0]
    assert len(np.unique(whole)) > 1
    small = ImageArray(image.reshape(64, 2, 64, 2).mean((1, 3)).astype(np.uint8), "yx")
    expected = whole[::2, ::2]
    lost = (segmenter.predict(small)[0] != expected).mean()
    found = (segmenter.adjusted(magnify=2).predict(small)[0] != expected).mean()
    assert found < lost / 2


@pytest.mark.parametrize(
    ("magnify", "tile", "expected"),
    [
        (1, 1024, (1024, 32, 64)),
        (2, 1024, (512, 16, 32)),
        (8, 128, (64, 4, 8)),
        (0.5, 1024, (1024, 64, 128)),  # what is read has to fit into memory at its own size
        (0.125, 64, (512, 256, 512)),
    ],
)
def test_tiles_are_as_large_for_the_network(
    magnify: float, tile: int, expected: tuple[int, int, int]
) -> None:
    found = seen_tiles(InferenceConfig(tile=tile), magnify)
    assert (found.tile, found.blend, found.halo) == expected


@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize("align_corners", [True, False])
def test_tiles_give_what_one_piece_gives(factor: float, align_corners: bool) -> None:
    segmenter = make(align_corners=align_corners).adjusted(magnify=factor)
    tiled, image = segmenter.adjusted(tile=128, halo=128), ImageArray(smooth(300, 200), "yx")
    assert len(tiled.predictor().rows_of(300)) > 1
    whole, tiles = segmenter.predict(image), tiled.predict(image)
    # Corners of a tile are not those of the image, which its maps are aligned to.
    assert (tiles[0] != whole[0]).mean() < (0.04 if align_corners else 0.01)


@pytest.mark.parametrize(
    "factor", [0, -1, 0.1, 8.1, float("nan"), float("inf"), "auto", "2", [2], True]
)
def test_absurd_factors_are_refused(factor: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Images cannot be magnified .* from 0\.125 to 8"):
        make().adjusted(magnify=factor)
    text = replace(make().info, magnify=factor).to_json()
    with pytest.raises(ImageFileError, match="how large its network is to see images"):
        read_info(text, tmp_path / "model.safetensors")


def test_the_file_of_a_magnified_segmenter_predicts_the_same(tmp_path: Path) -> None:
    image = ImageArray(smooth(72, 80), "yx")
    segmenter = make().adjusted(magnify=1.6)
    segmenter.save(tmp_path / "model.safetensors")
    again = load_segmenter(tmp_path / "model.safetensors", CPU)
    assert again.info == segmenter.info
    np.testing.assert_array_equal(again.predict(image)[0], segmenter.predict(image)[0])
    assert again.adjusted(tile=64).info.magnify == 1.6
    assert again.adjusted(magnify=1).info.magnify == 1
    older = json.loads(make().info.to_json()) | {"format": 3}
    del older["magnify"]
    assert read_info(json.dumps(older), tmp_path).magnify == 1


@pytest.mark.parametrize("factor", [0.5, 2])
def test_statistics_are_those_of_images_made_so_large(factor: float) -> None:
    segmenter, image = make(), smooth(512, 512)
    size = int(512 * factor)
    resized = F.interpolate(
        torch.from_numpy(image)[None, None].float(), size, mode="bilinear", antialias=True
    )
    found, expected, other = (
        statistics(one, pixels)
        for one, pixels in (
            (segmenter.adjusted(magnify=factor), image),
            (segmenter, resized[0, 0].byte().numpy()),
            (segmenter, image),
        )
    )
    assert (found - expected).abs().mean() < (other - expected).abs().mean() / 3


def statistics(segmenter: Segmenter, image: np.ndarray) -> torch.Tensor:
    windows = draw_windows(segmenter, ImageArray(image, "yx"), 2, np.random.default_rng(0))
    assert windows.shape[-1] == round(SIDE / segmenter.info.magnify)
    fitted = adapted(segmenter, [windows], share=1)
    assert fitted.info.magnify == segmenter.info.magnify
    state = fitted.network.state_dict()
    return torch.cat([value for name, value in state.items() if name.endswith("running_mean")])


def test_windows_made_smaller_fit_into_memory() -> None:
    segmenter = make().adjusted(magnify=0.125)
    image = ImageArray(np.zeros((1024, 2000), np.uint8), "yx")
    found = draw_windows(segmenter, image, 1, np.random.default_rng(0))
    assert found.shape == (256, 1, 1024, 1024)


def test_of_very_many_channels_there_is_a_window_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_threestage.inference.adapting.MOST_BYTES", 1)
    image = ImageArray(smooth(64, 64), "yx")
    assert len(draw_windows(make(), image, 1, np.random.default_rng(0))) == 1


def sized(y: float | None, x: float | None = None) -> ImageArray:
    scale = {} if y is None else {"y": y, "x": x or y}
    return ImageArray(smooth(64, 64), "yx", scale, dict.fromkeys(scale, "micrometer"))


HALF = PixelSize(0.5e-6, 0.5e-6)


def test_pixels_are_made_as_large_as_in_the_training() -> None:
    path = Path("cells.tif")
    for size, factor in ((1.0, 2), (0.25, 0.5), (0.505, 1), (0.611111, 1.222)):
        assert wanted_magnification(path, sized(size), HALF) == factor
    assert wanted_magnification(path, sized(0.2, 0.8), PixelSize(1e-7, 4e-7)) == 2


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (
            sized(None),
            r"cells\.tif does not say how large its pixels are\. Give --magnify a num",
        ),
        (sized(500.0), r"pixels are 1e\+03 times as large as in the training"),
        (sized(0.25, 1.0), r"cells\.tif have another shape .* Resample the image, or give --mag"),
    ],
)
def test_images_that_cannot_be_magnified_by_their_pixels(image: ImageArray, sentence: str) -> None:
    with pytest.raises(ImageFileError, match=sentence):
        wanted_magnification(Path("cells.tif"), image, HALF)


def test_what_magnifying_does_not_make_up_for_is_told() -> None:
    images = [sized(size) for size in (0.5, 0.42, 0.6, 0.3, 1.0, None)]
    found = [other_pixels(image, HALF, 1) for image in images]
    assert found == [None, None, None, pytest.approx(0.6), pytest.approx(2), None]
    assert other_pixels(sized(1.0), HALF, 2) is None
    assert other_pixels(sized(1.0), HALF, 0.5) == pytest.approx(2)
    assert other_pixels(sized(9.0), None, 1) is None


def test_the_size_of_pixels_comes_from_the_run_or_the_card() -> None:
    info = make().info
    assert trained_at(info) is None
    sizes = {"pixel_size": {"y": 2.0, "x": 2.0}, "pixel_unit": dict.fromkeys("yx", "micrometer")}
    card = replace(info, card=Card(name="cells", **sizes))
    assert trained_at(card) == pytest.approx((2e-6, 2e-6))
    assert trained_at(replace(card, pixel=[1e-6, 1e-6])) == (1e-6, 1e-6)


@pytest.mark.parametrize("pixel", [[1e-6], [1e-6, 0.0], [1e-6, "1"], [1e-6, float("inf")], 3])
def test_pixels_of_no_size_are_refused(pixel: Any, tmp_path: Path) -> None:
    content = json.loads(make().info.to_json()) | {"pixel": pixel}
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        read_info(json.dumps(content), tmp_path)


def test_one_folded_network_is_shared_by_all_factors() -> None:
    segmenter = make()
    places = {
        next(adjusted.applied.parameters()).data_ptr()
        for adjusted in (segmenter, *(segmenter.adjusted(magnify=one) for one in (2, 0.7, 1.1)))
    }
    assert len(places) == 1


def test_a_batch_is_as_large_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(predict.BATCH_PIXELS, "cpu", 4 * 128**2)
    seen: list[int] = []
    segmenter = make()
    planes = ImageArray(np.stack([smooth(64, 64)] * 20), "zyx")
    for factor in (1, 2):
        adjusted = segmenter.adjusted(magnify=factor)
        hook = adjusted.applied.register_forward_pre_hook(
            lambda _, given: seen.append(len(given[0]))
        )
        adjusted.predict(planes)
        hook.remove()
    assert seen == [16, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("factor", [0.5, 2])
@pytest.mark.parametrize("align_corners", [True, False])
def test_masks_are_not_stretched(factor: float, align_corners: bool) -> None:
    """What is symmetric stays so, up to the side where the network fills images up."""
    network = make(align_corners=align_corners).network.magnified(factor)
    edge = torch.zeros(1, 3, 64, 64)
    edge[..., :32] = 1
    seen = F.interpolate(edge, network._seen((64, 64)), mode="area")
    found = network.upsample(F.avg_pool2d(seen, 8), (64, 64))
    position = found[0, 0, 32].sum()  # of the edge
    assert position == pytest.approx(32, abs=0.1)


def test_mirrors_and_empty_places_go_with_it() -> None:
    segmenter = make(align_corners=False).adjusted(magnify=2)
    image = smooth(128, 128)
    image[:, 64:] = 0
    mirrored = segmenter.adjusted(magnify=2, flips=True, flips_vertical=True, transpose=True)
    upright, swapped = (mirrored.predict(ImageArray(one, "yx"))[0] for one in (image, image.T))
    assert (upright != swapped.T).mean() < 0.01
    tiles = segmenter.adjusted(tile=128)
    found = tiles.predict_all(ImageArray(image, "yx"), Wanted(empty=0)).mask
    assert not found[:, 64:].any()
    assert found[:, :64].all()
