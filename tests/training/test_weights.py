"""Pre-trained weights: files that fit, files that do not, no connection."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from napari_threestage.config import NetworkConfig
from napari_threestage.errors import ConfigError
from napari_threestage.training.networks import build_network, build_own_blocks
from napari_threestage.training.weights import find_weights

SHARED = Path(__file__).parents[3] / "shared" / "weights"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """The state of a network whose weights and statistics are all its own."""
    torch.manual_seed(3)
    model = mobilenet_v2(weights=None).train()
    with torch.no_grad():
        model(torch.rand(2, 3, 64, 64))
    return model.state_dict()


def network_config(weights: object, backbone: str = "mobilenet_v2") -> NetworkConfig:
    settings = {"backbone": backbone, "weights": str(weights), "output_stride": 32}
    return NetworkConfig.model_validate(settings)


def write(state: State, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_gives_the_backbone_its_features(suffix: str, state: State, tmp_path: Path) -> None:
    path = write(state, tmp_path / f"weights{suffix}")
    net = build_network(network_config(path), 3, 4).eval()
    model = mobilenet_v2(weights=None).eval()
    model.load_state_dict(state)
    images = torch.rand(1, 3, 64, 64)
    expected = model.features[:18]((images - net.mean) / net.std)
    torch.testing.assert_close(net.features(images, 5)[-1], expected)


def test_the_first_convolution_is_adapted_after_loading(state: State, tmp_path: Path) -> None:
    path = write(state, tmp_path / "weights.pth")
    net = build_network(network_config(path), 1, 4)
    first = net.state_dict()["blocks.0.0.0.weight"]
    torch.testing.assert_close(first, state["features.0.0.weight"].sum(1, keepdim=True))


def test_own_blocks_do_not_take_the_weights(state: State, tmp_path: Path) -> None:
    path = write(state, tmp_path / "weights.pth")
    conv6, _ = build_own_blocks(network_config(path), 3, 4, 2)
    norms = [value for name, value in conv6.state_dict().items() if "running_mean" in name]
    assert norms
    assert all(not value.any() for value in norms)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_another_network_are_refused(suffix: str, state: State, tmp_path: Path) -> None:
    path = write(state, tmp_path / f"weights{suffix}")
    with pytest.raises(ConfigError, match=r"do not belong to resnet18.*conv1\.weight"):
        build_network(network_config(path, "resnet18"), 3, 4)


def test_a_classifier_of_other_classes_is_no_obstacle(state: State, tmp_path: Path) -> None:
    headless = {name: value for name, value in state.items() if "classifier" not in name}
    net = build_network(network_config(write(headless, tmp_path / "weights.pth")), 3, 4)
    expected = state["features.17.conv.2.weight"]
    assert any(torch.equal(value, expected) for value in net.state_dict().values())


def test_a_missing_tensor_is_named(state: State, tmp_path: Path) -> None:
    broken = {name: value for name, value in state.items() if name != "features.5.conv.2.weight"}
    with pytest.raises(ConfigError, match=r"1 of \d+ tensors.*features\.5\.conv\.2\.weight"):
        build_network(network_config(write(broken, tmp_path / "weights.pth")), 3, 4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*gone\.pth"):
        build_network(network_config(tmp_path / "gone.pth"), 3, 4)


class Harmful:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"features": Harmful(trace)}, path)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        build_network(network_config(path), 3, 4)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02", b"PK\x03\x04", b"not weights", pickle.dumps([1, 2])]
)
def test_files_that_are_no_weights_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weights\.(pth|safetensors) (cannot be|holds no)"):
        build_network(network_config(path), 3, 4)


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.zeros(1)}}, [torch.zeros(1)]])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="holds no state dict"):
        build_network(network_config(tmp_path / "weights.pth"), 3, 4)


def no_download(monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


FAILURES = [URLError("no route"), OSError("disk full"), RuntimeError("invalid hash value")]
every_failure = pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)


@every_failure
def test_auto_without_a_download_starts_from_random_weights_and_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_download(monkeypatch, tmp_path, error)
    config, warning = find_weights(network_config("auto"))
    assert config.weights == "none"
    assert warning is not None
    assert "mobilenet_v2" in warning
    assert "random weights" in warning
    build_network(config, 3, 4)


@every_failure
def test_imagenet_without_a_download_is_an_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_download(monkeypatch, tmp_path, error)
    with pytest.raises(ConfigError, match=r"cannot be downloaded.*network\.weights=FILE"):
        find_weights(network_config("imagenet"))


@pytest.mark.parametrize("name", ["auto", "imagenet"])
def test_weights_downloaded_before_need_no_connection(
    name: str, state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_download(monkeypatch, tmp_path, URLError("no route"))
    path = tmp_path / "checkpoints" / MobileNet_V2_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    path.parent.mkdir()
    write(state, path)
    config, warning = find_weights(network_config(name))
    assert config.weights == str(path)
    assert warning is None
    build_network(config, 3, 4)


def test_no_weights_and_a_file_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_download(monkeypatch, Path("nowhere"), AssertionError("a download was tried"))
    for weights in ("none", str(weights_file(tmp_path))):
        assert find_weights(network_config(weights)) == (network_config(weights), None)


def test_a_missing_file_is_noticed_before_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        find_weights(network_config(str(tmp_path / "mine.pth")))


def weights_file(folder: Path) -> Path:
    torch.save({"weight": torch.zeros(1)}, folder / "mine.pth")
    return folder / "mine.pth"


def test_the_backbone_auto_goes_with_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_download(monkeypatch, Path("nowhere"), AssertionError("a download was tried"))
    file = str(weights_file(tmp_path))
    for weights, backbone in (("none", "compact"), (file, "mobilenet_v2")):
        config, warning = find_weights(network_config(weights, "auto"))
        assert (config.backbone, config.weights, warning) == (backbone, weights, None)


def test_the_backbone_auto_is_compact_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_download(monkeypatch, tmp_path, URLError("no route"))
    config, warning = find_weights(network_config("auto", "auto"))
    assert (config.backbone, config.weights) == ("compact", "none")
    assert warning is not None


@pytest.mark.parametrize("weights", ["auto", "imagenet"])
def test_the_compact_backbone_has_no_weights_to_download(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_download(monkeypatch, Path("nowhere"), AssertionError("a download was tried"))
    config, warning = find_weights(network_config(weights, "compact"))
    assert (config.weights, warning) == ("none", None)


@torch.no_grad()
def test_real_imagenet_weights_load_whole() -> None:
    path = next(iter(sorted(SHARED.glob("mobilenet_v2*.pth"))), None)
    if path is None:
        pytest.skip("there are no ImageNet weights beside the repository")
    net = build_network(network_config(path), 3, 4).eval()
    state = torch.load(path, weights_only=True)
    assert torch.equal(net.state_dict()["blocks.0.0.0.weight"], state["features.0.0.weight"])
    maps = net.features(torch.rand(1, 3, 64, 64), 5)
    assert all(0.01 < float(map_.std()) < 100 for map_ in maps)
