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

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.inference.adapting import adapted, draw_windows
from napari_threestage.inference.magnifying import Magnifier
from napari_threestage.inference.segmenter import Segmenter, load_segmenter, seen_tiles
from napari_threestage.segmenter_info import SegmenterInfo, read_info
from napari_threestage.store import ImageArray
from napari_threestage.training.networks import BlockNetwork, build_network

CPU = torch.device("cpu")
BASE = {"backbone": "compact", "weights": "none", "decoder": "pyramid", "decoder_channels": 8}


def make(**network: Any) -> Segmenter:
    torch.manual_seed(1)
    config = NetworkConfig.model_validate(BASE | network)
    info = SegmenterInfo(
        classes=[{"name": name, "color": [9, 9, 9]} for name in "abc"],
        channels=None,
        n_channels=1,
        normalisation="range",
        network=config.model_dump(mode="json"),
        inference=InferenceConfig().model_dump(mode="json"),
        stage=3,
        run="a-run",
    )
    built = build_network(config, 1, 3)
    with torch.no_grad():
        built.train()(torch.rand(4, 1, 64, 64))  # statistics that are not the default
        classify = cast("Any", built.blocks[-1]).classify
        classify.weight.mul_(30)  # so that pixels differ, and no class wins them all
        logits = built.eval()(torch.from_numpy(smooth(64, 64))[None, None] / 255)
        classify.bias.sub_(logits.mean((0, 2, 3)))
    return Segmenter(built, info, CPU)


def smooth(*shape: int) -> np.ndarray:
    """An image of 0 to 255 whose structures survive being made smaller."""
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 1, *(n // 8 for n in shape))))
    values = F.interpolate(noise, shape, mode="bicubic")[0, 0].numpy()
    found: np.ndarray = np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)
    return found


@pytest.mark.parametrize("zoom", [1.0, 1.5])
@pytest.mark.parametrize("factor", [0.5, 1.25, 2.0])
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
    height, width = (int(side * network.zoom * factor) for side in images.shape[-2:])
    multiple = network.magnified(factor).multiple
    shrinks = network.zoom * factor < 1
    seen = F.interpolate(images, (height, width), mode="bilinear", antialias=shrinks)
    padding = (0, -width % multiple, 0, -height % multiple)
    filled = F.pad(seen, padding, value=bare.mean.item())
    logits = bare.run(bare.blocks[-1], bare.features(filled, len(bare.blocks) - 1))
    if any(padding):
        whole = F.interpolate(logits, filled.shape[-2:], mode="bilinear", align_corners=True)
        logits = whole[..., :height, :width]
    return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)


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
        (0.125, 64, (64, 64, 64)),
    ],
)
def test_tiles_are_as_large_for_the_network(
    magnify: float, tile: int, expected: tuple[int, int, int]
) -> None:
    found = seen_tiles(InferenceConfig(tile=tile), magnify)
    assert (found.tile, found.blend, found.halo) == expected


@pytest.mark.parametrize("factor", [0.5, 2])
def test_tiles_give_what_one_piece_gives(factor: float) -> None:
    segmenter = make(align_corners=False).adjusted(magnify=factor)
    tiled, image = segmenter.adjusted(tile=128, halo=128), ImageArray(smooth(300, 200), "yx")
    assert len(tiled.predictor().rows_of(300)) == 300 // round(128 / max(factor, 1)) + 1
    whole, tiles = segmenter.predict(image), tiled.predict(image)
    assert (tiles[0] != whole[0]).mean() < 0.01
    assert np.abs(tiles[1].astype(int) - whole[1]).mean() < 1


@pytest.mark.parametrize("factor", [0, -1, 0.1, 8.1, float("nan"), float("inf")])
def test_absurd_factors_are_refused(factor: float, tmp_path: Path) -> None:
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


def test_statistics_are_those_of_magnified_images() -> None:
    segmenter, image = make(), ImageArray(smooth(128, 128), "yx")
    windows = [draw_windows(segmenter, image, 40, np.random.default_rng(0))]
    magnified = segmenter.adjusted(magnify=3)
    found = adapted(magnified, windows, share=1)
    assert found.info.magnify == 3
    plain = adapted(segmenter, windows, share=1)
    values = [one.network.state_dict() for one in (found, plain)]
    name = next(name for name in values[0] if name.endswith("running_var"))
    assert not torch.allclose(values[0][name], values[1][name], rtol=0.05)


def sized(microns: float | None) -> ImageArray:
    scale = {} if microns is None else dict.fromkeys("yx", microns)
    return ImageArray(smooth(64, 64), "yx", scale, dict.fromkeys(scale, "micrometer"))


def test_pixels_are_as_large_as_in_the_training() -> None:
    magnifier = Magnifier(make(), 0.5e-6, match_pixels=True)
    path = Path("cells.tif")
    assert magnifier.fit(path, sized(1.0)).info.magnify == pytest.approx(2)
    assert magnifier.fit(path, sized(0.25)).info.magnify == pytest.approx(0.5)
    assert magnifier.fit(path, sized(0.505)).info.magnify == 1  # to blur them would be worse
    assert magnifier.fit(path, sized(1.0)) is magnifier.fit(path, sized(1.0))
    with pytest.raises(ImageFileError, match=r"cells\.tif does not say how large its pixels are"):
        magnifier.fit(path, sized(None))
    with pytest.raises(ImageFileError, match=r"pixels are 1e\+03 times as large"):
        magnifier.fit(path, sized(500.0))


def test_what_differs_is_told_without_being_changed() -> None:
    segmenter = make()
    magnifier = Magnifier(segmenter, 0.5e-6, match_pixels=False)
    images = [sized(size) for size in (0.5, 0.42, 0.6, 0.3, 1.0, None)]
    assert all(magnifier.fit(Path("a.tif"), image) is segmenter for image in images)
    assert [magnifier.differs(image) for image in images] == [False] * 3 + [True, True, False]
    assert not Magnifier(segmenter, None, match_pixels=False).differs(sized(9.0))
