"""The segmenter f with all that is needed to apply it, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ImageFileError
from napari_threestage.inference.predict import predict_plane
from napari_threestage.planes import planes_of
from napari_threestage.training.networks import BlockNetwork, build_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from napari_threestage.store import ImageArray

FORMAT = 1
KEY = "threestage"


@dataclass(frozen=True)
class SegmenterInfo:
    """What goes with the weights.

    Attributes
    ----------
    classes
        Names and colours (``{"name": …, "color": [r, g, b]}``), in the order of the logits.
    channels
        The channels to take from an image, None for all.
    n_channels
        What the network expects.
    normalisation
        See `planes.to_bytes`.
    network, inference
        Sections of the configuration.
    stage, run
        Where it comes from.
    """

    classes: list[dict[str, Any]]
    channels: list[int] | None
    n_channels: int
    normalisation: str
    network: dict[str, Any]
    inference: dict[str, Any]
    stage: int
    run: str
    format: int = FORMAT


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
        temporary = path.with_name(f".{path.name}.tmp")
        save_file(tensors, temporary, metadata={KEY: json.dumps(asdict(self.info))})
        temporary.replace(path)


def load_segmenter(path: Path, device: torch.device) -> Segmenter:
    """Read a file of `Segmenter.save`; nothing in it is run as code.

    Raises
    ------
    ImageFileError
        The file is no segmenter or is damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            info = SegmenterInfo(**json.loads((file.metadata() or {})[KEY]))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = NetworkConfig.model_validate(info.network | {"weights": "none"})
        network = build_network(config, info.n_channels, len(info.classes))
        network.load_state_dict(state)
        InferenceConfig.model_validate(info.inference)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ImageFileError(
            f"{path} cannot be read as a segmenter ({reason}).",
            "Give the model.safetensors of a stage.",
        ) from error
    return Segmenter(network, info, device)
