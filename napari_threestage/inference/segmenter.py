"""The segmenter f with all that is needed to apply it, in one safetensors file."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_threestage.config import InferenceConfig, NetworkConfig
from napari_threestage.errors import ConfigError
from napari_threestage.files import beside, share_as_usual
from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.folding import folded
from napari_threestage.inference.package import unpacked
from napari_threestage.inference.predict import BandPredictor
from napari_threestage.planes import open_planes
from napari_threestage.segmenter_info import (
    FORMAT,
    KEY,
    LARGEST_HEADER,
    MOST_MAGNIFIED,
    SegmenterInfo,
    is_magnification,
    not_a_segmenter,
    read_info,
)
from napari_threestage.training.networks import BlockNetwork, build_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_threestage.planes import Plane
    from napari_threestage.store import ImageArray

SMALLEST_TILE = 64
FARTHEST = 1024  # rate of a dilated convolution, in steps of its map; published ones end at 36
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


class Prediction(NamedTuple):
    """What was found for an image.

    Attributes
    ----------
    mask
        The image's shape without its channels, uint8: classes from 1; 0 where an empty place was
        left out.
    confidence
        The same shape, uint8: the probability of the class, 0..255.
    probabilities
        (C, …) uint8: those of all classes, 0..255, where they are wanted.
    """

    mask: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None


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
    fold
        Gives the network folded, made once for all segmenters that share it.
    """

    def __init__(
        self,
        network: BlockNetwork,
        info: SegmenterInfo,
        device: torch.device,
        fold: Callable[[], BlockNetwork] | None = None,
    ) -> None:
        self.network = network.to(device).eval()
        self._fold = fold or cache(partial(folded, self.network))
        self.info = info
        self.device = device
        self.inference = InferenceConfig.model_validate(info.inference)

    @cached_property
    def applied(self) -> BlockNetwork:
        """The network that images go through, in a form that is for nothing else."""
        return self._fold().magnified(self.info.magnify)

    def adjusted(
        self,
        channels: Sequence[int] | None = None,
        magnify: float | None = None,
        **changes: Any,
    ) -> Segmenter:
        """Return a segmenter with the same network that predicts in another way.

        Parameters
        ----------
        channels
            The channels of images to take, instead of those that were chosen for training.
        magnify
            The network sees images so many times as large as in training, for images of another
            magnification: 2 where structures are half as large as in the images of the training.
        changes
            Of `InferenceConfig`: tiles and mirror images.

        Raises
        ------
        ConfigError
            A value makes no sense.
        """
        try:
            inference = InferenceConfig.model_validate({**self.info.inference, **changes})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigError(f"'{name}' cannot be {first['input']}: {first['msg']}.") from error
        taken = self.info.channels if channels is None else [*channels]
        if channels is not None and not _are_channels(channels, self.info.n_channels):
            raise ConfigError(
                f"The channels {[*channels]} cannot be taken.",
                f"Name {self.info.n_channels}, numbered from 0.",
            )
        if magnify is not None and not is_magnification(magnify):
            raise ConfigError(
                f"Images cannot be magnified {magnify} times.",
                f"Give a number from {1 / MOST_MAGNIFIED:g} to {MOST_MAGNIFIED}.",
            )
        info = replace(
            self.info,
            channels=taken,
            inference=inference.model_dump(mode="json"),
            magnify=self.info.magnify if magnify is None else float(magnify),
            format=FORMAT,
        )
        # Images of many magnifications go through one folded network; what else is changed is
        # another segmenter, whose passes are none of this one's.
        fold = self._fold if magnify is not None else None
        return Segmenter(self.network, info, self.device, fold)

    def predict(
        self, image: ImageArray, should_stop: Callable[[], None] = lambda: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict an image plane by plane.

        Parameters
        ----------
        image
            Any dtype, axes a subset of ``tczyx``.
        should_stop
            Called before every tile; raises to end.

        Returns
        -------
        The mask, uint8 1..C, and the confidence, uint8 0..255; both have the image's shape without
        its channels.
        """
        found = self.predict_all(image, Wanted(), should_stop)
        return found.mask, found.confidence

    def predict_all(
        self,
        image: ImageArray,
        wanted: Wanted,
        obey: Callable[[], None] = lambda: None,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> Prediction:
        """Predict an image plane by plane, with all that is wanted.

        Parameters
        ----------
        image
            Any dtype, axes a subset of ``tczyx``.
        wanted
            What is to be found out.
        obey
            Called before every tile; raises to end.
        tell
            Called after every band of a plane with how many are done, and all of them.
        """
        shape = label_shape(image)
        mask, confidence = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        counts = (len(self.info.classes), *shape)
        probabilities = np.zeros(counts, np.uint8) if wanted.probabilities else None
        predictor, planes = self.predictor(wanted, obey), [*self.planes(image)]
        places = [*np.ndindex(*shape[:-2])]
        total = len(planes) * len(predictor.rows_of(shape[-2]))
        for done, (number, band) in enumerate(predictor.stack(planes), start=1):
            place = places[number]
            mask[place][band.rows], confidence[place][band.rows] = band.mask, band.confidence
            if probabilities is not None and band.probabilities is not None:
                probabilities[(slice(None), *place)][:, band.rows] = band.probabilities
            tell(done, total)
        return Prediction(mask, confidence, probabilities)

    def planes(self, image: ImageArray) -> Iterator[Plane]:
        """Yield the planes of an image as this network takes them; nothing of them is read yet."""
        info = self.info
        return open_planes(image, info.channels, info.n_channels, info.normalisation)

    def predictor(
        self, wanted: Wanted | None = None, obey: Callable[[], None] = lambda: None
    ) -> BandPredictor:
        """Return what predicts planes in bands, with this network."""
        magnify = self.info.magnify
        config = seen_tiles(self.inference, magnify)
        return BandPredictor(self.applied, config, self.device, wanted, obey, magnify)

    def save(self, path: Path) -> None:
        """Write weights and description as one safetensors file, complete or absent."""
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        temporary = beside(path)
        try:
            save_file(tensors, temporary, metadata={KEY: self.info.to_json()})
            share_as_usual(temporary)  # safetensors writes what only its owner may read
            temporary.replace(path)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written ({error})") from error
        finally:
            temporary.unlink(missing_ok=True)


def seen_tiles(config: InferenceConfig, magnify: float) -> InferenceConfig:
    """Return how a plane is divided if its tiles are to be as large for the network as in training.

    Where images are made smaller only what lies around a tile grows, as what is read has to fit
    into memory at its own size.
    """
    halo, blend = round(config.halo / magnify), round(config.blend / magnify)
    tile = max(SMALLEST_TILE, round(config.tile / max(magnify, 1)), halo)
    return config.model_copy(update={"tile": tile, "blend": min(blend, tile), "halo": halo})


def _are_channels(channels: Sequence[int], count: int) -> bool:
    whole = all(isinstance(one, int) and one >= 0 for one in channels)
    return whole and len(channels) == count


def label_shape(image: ImageArray) -> tuple[int, ...]:
    """Return the shape of an image's masks: its own without the channels."""
    sizes = zip(image.axes, image.data.shape, strict=True)
    return tuple(size for axis, size in sizes if axis != "c")


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
        _check_header(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            info = read_info((file.metadata() or {})[KEY], shown)
            names = list(file.keys())
            sizes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            network = _build(info, sizes)
            network.load_state_dict({name: file.get_tensor(name) for name in names})
    except _BROKEN as error:
        raise not_a_segmenter(shown, error) from error
    return Segmenter(network, info, device)


def _check_header(path: Path) -> None:
    """Refuse a description that no segmenter has, before it is read whole."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"its description claims {length:,} bytes")


def _build(info: SegmenterInfo, sizes: dict[str, tuple[int, ...]]) -> BlockNetwork:
    """Build the network that a file describes, if its tensors are in the file.

    That is looked at without memory for them, so that a short file cannot ask for a huge network.
    """
    InferenceConfig.model_validate(info.inference)
    config = NetworkConfig.model_validate(info.network | {"weights": "none"})
    if len(config.aspp_rates) > len(sizes) or max(config.aspp_rates) > FARTHEST:
        raise ValueError("it describes a decoder that is not there")
    with torch.device("meta"):
        planned = build_network(config, info.n_channels, len(info.classes)).state_dict()
    wrong = {name for name, value in planned.items() if sizes.get(name) != tuple(value.shape)}
    wrong |= sizes.keys() - planned.keys()
    if wrong:
        raise ValueError(f"{min(wrong)} does not fit the network that it describes")
    return build_network(config, info.n_channels, len(info.classes))
