"""The exported segmenter: what comes back from its file, which images it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ImageFileError, Stopped
from napari_threestage.inference.features import FeatureMean
from napari_threestage.inference.segmenter import Segmenter, load_segmenter
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.store import ImageArray
from napari_threestage.training.networks import build_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.training.networks import BlockNetwork

CPU = torch.device("cpu")
NETWORK = NetworkConfig(
    backbone="mobilenet_v2",
    decoder="pyramid",
    weights="none",
    output_stride=16,
    decoder_channels=8,
)


def make(
    n_channels: int = 1, channels: list[int] | None = None, normalisation: str = "range"
) -> Segmenter:
    torch.manual_seed(5)
    info = SegmenterInfo(
        classes=[{"name": name, "color": [n, 0, 0]} for n, name in enumerate("abc")],
        channels=channels,
        n_channels=n_channels,
        normalisation=normalisation,
        network=NETWORK.model_dump(mode="json"),
        inference=InferenceConfig(flips=True, tile=64, halo=32).model_dump(mode="json"),
        stage=3,
        run="some-run",
    )
    network = build_network(NETWORK, n_channels, 3)
    with torch.no_grad():
        network.train()(torch.rand(4, n_channels, 64, 64))  # statistics that are not the default
        classifier(network).weight.mul_(30)  # so that pixels differ, and no class wins them all
        logits = network.eval()(torch.rand(4, n_channels, 64, 64))
        classifier(network).bias.sub_(logits.mean((0, 2, 3)))
    return Segmenter(network, info, CPU)


def classifier(network: BlockNetwork) -> Any:
    return cast("Any", network.blocks[-1]).classify


def pixels(*shape: int) -> npt.NDArray[np.uint8]:
    values = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    values[..., :2] = (0, 255)
    return values


def same(first: tuple[Any, Any], second: tuple[Any, Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_segmenter_from_its_file_predicts_the_same(n_channels: int, tmp_path: Path) -> None:
    segmenter = make(n_channels)
    segmenter.save(tmp_path / "model.safetensors")
    again = load_segmenter(tmp_path / "model.safetensors", CPU)
    image = ImageArray(pixels(n_channels, 80, 70), "cyx")
    expected = segmenter.predict(image)
    assert same(again.predict(image), expected)
    assert len(np.unique(expected[0])) > 1
    assert len(np.unique(expected[1])) > 3
    assert again.info == segmenter.info
    assert again.inference == segmenter.inference
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


SCRIPT = """
import sys, numpy, torch
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.store import ImageArray
segmenter = load_segmenter(__import__("pathlib").Path(sys.argv[1]), torch.device("cpu"))
image = ImageArray(numpy.load(sys.argv[2]), "yx")
numpy.save(sys.argv[3], numpy.stack(segmenter.predict(image)))
"""


@pytest.mark.slow
def test_a_fresh_process_predicts_the_same(tmp_path: Path) -> None:
    segmenter, image = make(), pixels(40, 50)
    model, before, after = (tmp_path / name for name in ("m.safetensors", "i.npy", "o.npy"))
    segmenter.save(model)
    np.save(before, image)
    command = [sys.executable, "-c", SCRIPT, *map(str, (model, before, after))]
    subprocess.run(command, check=True, timeout=300)
    mask, confidence = segmenter.predict(ImageArray(image, "yx"))
    found_mask, found_confidence = np.load(after)
    assert np.array_equal(found_mask, mask)
    assert np.abs(found_confidence.astype(int) - confidence).max() <= 1


def test_masks_count_classes_from_1() -> None:
    mask, confidence = make().predict(ImageArray(pixels(64, 64), "yx"))
    assert mask.dtype == confidence.dtype == np.uint8
    assert 1 <= mask.min() <= mask.max() <= 3
    segmenter = make()
    with torch.no_grad():
        classifier(segmenter.network).weight.zero_()
        classifier(segmenter.network).bias.copy_(torch.tensor([0.0, 0.0, 9.0]))
    assert (segmenter.predict(ImageArray(pixels(64, 64), "yx"))[0] == 3).all()


@pytest.mark.parametrize("normalisation", ["range", "auto", "percentile"])
def test_16_bit_images_are_seen_as_their_8_bit_twins(normalisation: str) -> None:
    segmenter, image = make(normalisation=normalisation), pixels(64, 64)
    twin = ImageArray(image.astype(np.uint16) * 257, "yx")
    method = "range" if normalisation == "range" else "percentile"
    reference = make(normalisation=method).predict(ImageArray(image, "yx"))
    assert same(segmenter.predict(twin), reference)


def test_float_images_are_seen_as_their_8_bit_twins() -> None:
    image = pixels(64, 64)
    found = make().predict(ImageArray((image / 255).astype(np.float32), "yx"))
    assert same(found, make().predict(ImageArray(image, "yx")))


def test_a_stack_is_predicted_plane_by_plane() -> None:
    segmenter, stack = make(), pixels(2, 3, 40, 36)
    mask, confidence = segmenter.predict(ImageArray(stack, "tzyx"))
    assert mask.shape == confidence.shape == (2, 3, 40, 36)
    for place in np.ndindex(2, 3):
        single = segmenter.predict(ImageArray(stack[place], "yx"))
        assert same((mask[place], confidence[place]), single)


def test_channels_of_a_stack_are_chosen_in_every_plane() -> None:
    segmenter, stack = make(2, channels=[2, 0]), pixels(3, 4, 40, 36)
    mask, _ = segmenter.predict(ImageArray(stack[:, np.newaxis].swapaxes(0, 1), "tzcyx"))
    assert mask.shape == (1, 3, 40, 36)
    plain = make(2)
    for number in range(3):
        chosen = ImageArray(np.ascontiguousarray(stack[number, [2, 0]]), "cyx")
        assert np.array_equal(mask[0, number], plain.predict(chosen)[0])


def test_a_grey_image_fills_all_channels() -> None:
    segmenter, image = make(3), pixels(40, 36)
    colour = ImageArray(np.stack([image] * 3), "cyx")
    assert same(segmenter.predict(ImageArray(image, "yx")), segmenter.predict(colour))


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ImageFileError, match="2 channels, 3 are needed"):
        make(3).predict(ImageArray(pixels(2, 40, 36), "cyx"))


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ImageFileError, match="Channel 4 was asked for"):
        make(2, channels=[0, 4]).predict(ImageArray(pixels(3, 40, 36), "cyx"))


def test_a_prediction_can_be_stopped_before_every_plane() -> None:
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Stopped

    with pytest.raises(Stopped):
        make().predict(ImageArray(pixels(5, 32, 32), "zyx"), stop)
    assert asked == 3


def saved(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A segmenter's file whose description has been changed."""
    path = folder / "model.safetensors"
    make().save(path)
    with safe_open(path, framework="pt") as file:
        info = json.loads(file.metadata()["threestage"])
    change(info)
    save_file(load_file(path), path, metadata={"threestage": json.dumps(info)})
    return path


def test_the_mean_of_the_last_map_is_caught_on_the_way() -> None:
    segmenter = make()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    with FeatureMean(segmenter) as mean:
        assert mean.take() is None
        segmenter.adjusted(flips=False).predict(ImageArray(pixels, "yx"))
        assert mean.take() is None  # another one's
        segmenter.predict(ImageArray(pixels, "yx"))
        found = mean.take()
    assert found is not None and found.shape == (128,) and found.dtype == np.float16
    segmenter.predict(ImageArray(pixels, "yx"))
    assert mean.take() is None


@pytest.mark.filterwarnings("error")
def test_features_beyond_float16_become_its_largest() -> None:
    segmenter = make()
    with torch.no_grad():
        for parameter in segmenter.network.blocks[-2].parameters():
            parameter.mul_(1e4)
    with FeatureMean(segmenter) as mean:
        segmenter.predict(ImageArray(np.full((64, 64), 9, np.uint8), "yx"))
        found = mean.take()
    assert found is not None and float(abs(found).max()) == np.finfo(np.float16).max


def test_an_unchanged_description_is_read(tmp_path: Path) -> None:
    load_segmenter(saved(tmp_path, lambda info: None), CPU)


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info["classes"].pop(),
        lambda info: info.update(n_channels=3),
        lambda info: info.update(surprise=1),
        lambda info: info.pop("normalisation"),
        lambda info: info["network"].update(backbone="resnet7"),
        lambda info: info["network"].update(decoder="aspp"),
        lambda info: info["network"].update(surprise=1),
        lambda info: info["inference"].update(tile=-1),
        lambda info: info["inference"].update(surprise=1),
        lambda info: info.update(network="mobilenet_v2"),
        lambda info: info.update(classes=None),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    path = saved(tmp_path, change)
    with pytest.raises(ImageFileError, match=r"model\.safetensors cannot be read as a segmenter"):
        load_segmenter(path, CPU)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    make().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        load_segmenter(path, CPU)


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    (tmp_path / "text").write_text("a text that is longer than the header of a file")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pth")
    for name in ("other.safetensors", "text", "model.pth", "gone"):
        with pytest.raises(ImageFileError, match=f"{name} cannot be read as a segmenter"):
            load_segmenter(tmp_path / name, CPU)


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    segmenter = make()
    segmenter.save(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("napari_threestage.inference.segmenter.save_file", fail)
    changed = Segmenter(segmenter.network, replace(segmenter.info, stage=1), CPU)
    with pytest.raises(OSError, match="disk full"):
        changed.save(path)
    assert load_segmenter(path, CPU).info.stage == 3
