"""What goes with the weights of a segmenter: all that is needed to apply it, and its card.

Read without torch, so that a window can show what is in a file.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ImageFileError

if TYPE_CHECKING:
    from pathlib import Path

# 1: without a card; 2: without a zoom of the network, and never adapted; 3: never magnified
FORMAT = 4
KEY = "threestage"  # under which the description lies in a file of any format
LARGEST_HEADER = 16 * 2**20
MOST_CHANNELS = 4096
MOST_CLASSES = 255
LONGEST_NAME = 1000
MOST_MAGNIFIED = 8
SHARE = 0.25  # of the statistics of other images that a segmenter is adapted to
NO_SEGMENTER = (
    "Give a project, or the .safetensors file or BioImage package (.zip) of threestage export; "
    ".pt2 and .onnx are for other programs."
)


@dataclass(frozen=True)
class Card:
    """What people want to know about a segmenter before they use it.

    Attributes
    ----------
    name, description
        For people.
    authors
        Their names.
    licence
        SPDX identifier of the licence of the weights, empty where nobody chose one.
    citation
        What to cite: ``{"text": …, "url": …}``, the method first.
    axes
        Of what the network takes, and of what it gives.
    channel_names
        Of what the network takes, in order.
    image_dtype
        Of the images that it was trained on.
    pixel_size, pixel_unit
        Of those images, by axis, where they are known and all the same.
    multiple, smallest
        What the sides of the network's images are multiples of, and their least length.
    training
        Summary: project, preset, seed, steps, numbers of images, labelled pixels by class, scores.
    versions
        Of this program and of torch.
    created
        Date and time, UTC.
    """

    name: str
    description: str = ""
    authors: tuple[str, ...] = ()
    licence: str = ""
    citation: tuple[dict[str, str], ...] = ()
    axes: str = "bcyx"
    channel_names: tuple[str, ...] = ()
    image_dtype: str = "uint8"
    pixel_size: dict[str, float] = field(default_factory=dict)
    pixel_unit: dict[str, str] = field(default_factory=dict)
    multiple: int = 32
    smallest: int = 64
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""


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
        Sections of the configuration; tile and halo are in the second.
    stage, run
        Where it comes from.
    adapted
        The share of each adaptation to other images after training, see `inference.adapting`.
    magnify
        The network sees images so many times as large as in training.
    pixel
        The sides of a pixel of the training images in metres, y and x; None where they do not say
        it, or not all the same.
    format
        Version of this description.
    card
        Only an exported segmenter has one.
    """

    classes: list[dict[str, Any]]
    channels: list[int] | None
    n_channels: int
    normalisation: str
    network: dict[str, Any]
    inference: dict[str, Any]
    stage: int
    run: str
    adapted: list[float] = field(default_factory=list)
    magnify: float = 1.0
    pixel: list[float] | None = None
    format: int = FORMAT
    card: Card | None = None

    def to_json(self) -> str:
        """Return the description as it lies in files."""
        return json.dumps(asdict(self))


def read_info(text: str, path: Path) -> SegmenterInfo:
    """Read what `SegmenterInfo.to_json` gave, of this version or an older one.

    Raises
    ------
    ImageFileError
        It is damaged, absurd or newer than this program; `path` is named.
    """
    try:
        content = json.loads(text)
        if content["format"] > FORMAT:
            raise ImageFileError(
                f"{path} was written by a newer version of this program.",
                "Update it: pip install --upgrade napari-threestage.",
            )
        card = content.pop("card", None)
        info = SegmenterInfo(**content, card=None if card is None else _read_card(card))
        _check(info)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise not_a_segmenter(path, error) from error
    return info


def is_magnification(factor: Any) -> bool:
    """Whether a network can be shown images so many times as large."""
    number = isinstance(factor, float | int) and not isinstance(factor, bool)
    return number and 1 / MOST_MAGNIFIED <= factor <= MOST_MAGNIFIED  # not of NaN


def not_a_segmenter(path: Path, reason: object) -> ImageFileError:
    """Return the error of a file that is no segmenter or a damaged one."""
    text = (str(reason).splitlines() or [""])[0].rstrip(".") or type(reason).__name__
    return ImageFileError(f"{path} cannot be read as a segmenter ({text}).", NO_SEGMENTER)


def _read_card(content: dict[str, Any]) -> Card:
    known = {one.name for one in fields(Card)}
    values = {name: value for name, value in content.items() if name in known}
    lists = ("authors", "citation", "channel_names")
    card = Card(**values | {name: tuple(values.get(name, ())) for name in lists})
    _check_card(card)
    return card


def _check(info: SegmenterInfo) -> None:
    """Refuse what would take absurd amounts of memory before anything is built from it."""
    if not 1 <= len(info.classes) <= MOST_CLASSES:
        raise ValueError(f"it has {len(info.classes)} classes")
    if any(not isinstance(entry["name"], str) for entry in info.classes):
        raise ValueError("a class has no name")
    if any(len(entry["name"]) > LONGEST_NAME for entry in info.classes):
        raise ValueError("the name of a class is absurdly long")
    if any(not _is_colour(entry["color"]) for entry in info.classes):
        raise ValueError("a class has no colour")
    if not isinstance(info.n_channels, int) or not 1 <= info.n_channels <= MOST_CHANNELS:
        raise ValueError(f"it takes {info.n_channels} channels")
    if info.channels is not None and not _are_channels(info.channels, info.n_channels):
        raise ValueError("its channels cannot be taken from an image")
    if not isinstance(info.stage, int) or not isinstance(info.run, str):
        raise ValueError("it does not say where it comes from")
    if not all(isinstance(share, float | int) for share in info.adapted):
        raise ValueError("it does not say how it was adapted")
    if not is_magnification(info.magnify):
        raise ValueError("it does not say how large its network is to see images")
    if info.pixel is not None and not _are_sides(info.pixel):
        raise ValueError("the pixels of its training images have no size")
    if info.normalisation not in ("auto", "range", "percentile"):
        raise ValueError(f"nothing is known of the normalisation {info.normalisation}")


def _is_colour(value: Any) -> bool:
    values = list(value)
    return len(values) == 3 and all(isinstance(one, int) and 0 <= one <= 255 for one in values)


def _are_channels(channels: Any, count: int) -> bool:
    numbers = isinstance(channels, list) and all(isinstance(one, int) for one in channels)
    return numbers and len(channels) == count and 0 <= min(channels) <= max(channels) < 2**16


def _are_sides(value: Any) -> bool:
    sides = list(value)
    return len(sides) == 2 and all(isinstance(one, float) and 0 < one < math.inf for one in sides)


def _check_card(card: Card) -> None:
    """Refuse entries of another kind than those that read the card expect."""
    for one in fields(Card):
        value, default = getattr(card, one.name), getattr(_EMPTY_CARD, one.name)
        if not isinstance(value, type(default)):
            raise ValueError(f"'{one.name}' of its card is a {type(value).__name__}")
    if not all(isinstance(one, str) for one in (*card.authors, *card.channel_names)):
        raise ValueError("a name on its card is no text")
    for entry in card.citation:
        if not all(isinstance(text, str) for pair in entry.items() for text in pair):
            raise ValueError("a citation on its card is no text")


_EMPTY_CARD = Card(name="")
