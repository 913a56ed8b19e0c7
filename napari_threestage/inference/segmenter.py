"""The segmenter f with all that is needed to apply it, in one safetensors file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ConfigError
from napari_threestage.files import beside
from napari_threestage.inference.package import unpacked
from napari_threestage.inference.predict import predict_plane
from napari_threestage.planes import planes_of
from napari_threestage.segmenter_info import KEY, SegmenterInfo, not_a_segmenter, read_info
from napari_threestage.training.networks import BlockNetwork, build_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.store import ImageArray

# What a file can make the libraries raise: it is damaged, or describes a network that is not there.
_BROKEN = (
    SafetensorError,
    ConfigError,
    OSError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    MemoryError,
)


class Segmenter:
    """A network ready to predict images.

    Parameters
    ----------
    network
        f; it is put into evaluation mode.
    info
        What goes with its weights.
    device
        Where to predict.
    """

    def __init__(self, network: BlockNetwork, info: SegmenterInfo, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.info = info
        self.device = device
        self.inference = InferenceConfig.model_validate(info.inference)

    def predict(
        self, image: ImageArray, should_stop: Callable[[], None] = lambda: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict an image plane by plane.

        Parameters
        ----------
        image
            Any dtype, axes a subset of ``tczyx``.
        should_stop
            Called before every plane; raises to end.

        Returns
        -------
        The mask, uint8 1..C, and the confidence, uint8 0..255; both have the image's shape without
        its channels.
        """
        shape = [
            size for axis, size in zip(image.axes, image.data.shape, strict=True) if axis != "c"
        ]
        mask, confidence = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        planes = planes_of(image, self.info.channels, self.info.n_channels, self.info.normalisation)
        for place, plane in zip(np.ndindex(*shape[:-2]), planes, strict=True):
            should_stop()
            out = mask[place], confidence[place]
            predict_plane(self.network, plane, self.inference, self.device, out)
        mask += np.uint8(1)
        return mask, confidence

    def save(self, path: Path) -> None:
        """Write weights and description as one safetensors file, complete or absent."""
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        temporary = beside(path)
        try:
            save_file(tensors, temporary, metadata={KEY: self.info.to_json()})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_segmenter(path: Path, device: torch.device) -> Segmenter:
    """Read a file of `Segmenter.save`, or the one in a BioImage package; no code in it is run.

    Raises
    ------
    ImageFileError
        The file is no segmenter, or it is damaged, malicious or newer than this program.
    """
    if zipfile.is_zipfile(path):
        with unpacked(path) as inner:
            return _load(inner, path, device)
    return _load(path, path, device)


def _load(path: Path, shown: Path, device: torch.device) -> Segmenter:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            info = read_info((file.metadata() or {})[KEY], shown)
            names = list(file.keys())
            sizes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            network = _build(info, sizes)
            network.load_state_dict({name: file.get_tensor(name) for name in names})
    except _BROKEN as error:
        raise not_a_segmenter(shown, error) from error
    return Segmenter(network, info, device)


def _build(info: SegmenterInfo, sizes: dict[str, tuple[int, ...]]) -> BlockNetwork:
    """Build the network that a file describes, if its tensors are in the file.

    That is looked at without memory for them, so that a short file cannot ask for a huge network.
    """
    InferenceConfig.model_validate(info.inference)
    config = NetworkConfig.model_validate(info.network | {"weights": "none"})
    with torch.device("meta"):
        planned = build_network(config, info.n_channels, len(info.classes)).state_dict()
    wrong = {name for name, value in planned.items() if sizes.get(name) != tuple(value.shape)}
    wrong |= sizes.keys() - planned.keys()
    if wrong:
        raise ValueError(f"{min(wrong)} does not fit the network that it describes")
    return build_network(config, info.n_channels, len(info.classes))
