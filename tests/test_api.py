"""One call on an array, as scripts and notebooks make it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import napari_threestage
from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ConfigError, ImageFileError, ProjectError
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.project import Project, default_classes
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.training.networks import build_network

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = NetworkConfig(backbone="compact", decoder="pyramid", weights="none", decoder_channels=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter of two channels and three classes."""
    torch.manual_seed(0)
    info = SegmenterInfo(
        classes=[{"name": name, "color": [n, 0, 0]} for n, name in enumerate("abc")],
        channels=[2, 0],
        n_channels=2,
        normalisation="auto",
        network=NETWORK.model_dump(mode="json"),
        inference=InferenceConfig(tile=64, blend=16, halo=16).model_dump(mode="json"),
        stage=3,
        run="run",
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    Segmenter(build_network(NETWORK, 2, 3), info, torch.device("cpu")).save(path)
    return path


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_a_file_and_an_array_are_enough(model: Path) -> None:
    mask, confidence, probabilities = napari_threestage.predict(str(model), image(70, 90, 3))
    assert mask.shape == confidence.shape == (70, 90)
    assert 1 <= mask.min() <= mask.max() <= 3
    assert probabilities is None


def test_axes_order_the_array(model: Path) -> None:
    segmenter = napari_threestage.load_segmenter(model, "cpu")
    pixels = image(3, 40, 50)
    expected = napari_threestage.predict(segmenter, pixels, "cyx").mask
    moved = napari_threestage.predict(segmenter, pixels.transpose(2, 0, 1), "xcy").mask
    np.testing.assert_array_equal(moved, expected)
    stack = napari_threestage.predict(segmenter, np.stack([pixels] * 2), "zcyx").mask
    np.testing.assert_array_equal(stack, np.stack([expected] * 2))


def test_settings_change_how_it_predicts_but_not_the_segmenter(model: Path) -> None:
    segmenter, pixels = napari_threestage.load_segmenter(model, "cpu"), image(3, 130, 100)
    plain = napari_threestage.predict(segmenter, pixels, "cyx")
    mirrored = napari_threestage.predict(segmenter, pixels, "cyx", flips=True, flips_vertical=True)
    assert (plain.confidence != mirrored.confidence).any()
    swapped = napari_threestage.predict(segmenter, pixels[[1, 0, 2]], "cyx", channels=[2, 1])
    np.testing.assert_array_equal(swapped.mask, plain.mask)
    magnified = napari_threestage.predict(segmenter, pixels, "cyx", magnify=2)
    assert magnified.mask.shape == (130, 100)
    assert (magnified.confidence != plain.confidence).mean() > 0.5
    again = napari_threestage.predict(segmenter, pixels, "cyx")
    np.testing.assert_array_equal(again.confidence, plain.confidence)


def test_probabilities_and_empty_places(model: Path) -> None:
    pixels = image(3, 200, 200)
    pixels[:, :, 64:] = 0
    found = napari_threestage.predict(model, pixels, "cyx", probabilities=True, empty=0)
    assert found.probabilities is not None
    assert found.probabilities.shape == (3, 200, 200)
    assert not found.mask[:, 64:].any()
    assert found.mask[:, :64].all()


def test_wrong_input_is_told_in_a_sentence(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'tile' cannot be 3"):
        napari_threestage.predict(model, image(3, 20, 20), "cyx", tile=3)
    with pytest.raises(ConfigError, match="'colour'"):
        napari_threestage.predict(model, image(3, 20, 20), "cyx", colour=1)
    with pytest.raises(ImageFileError, match="the image has 2 channels"):
        napari_threestage.predict(model, image(2, 20, 20), "cyx")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ImageFileError, match="cannot be read as a segmenter"):
        napari_threestage.predict(tmp_path / "model.safetensors", image(3, 20, 20))


def test_importing_the_package_does_not_import_torch() -> None:
    script = "import sys, napari_threestage; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_project_without_a_run_is_told(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", default_classes(["a", "b"]))
    with pytest.raises(ProjectError, match="no run"):
        napari_threestage.load_segmenter(project.path)
