"""What people see of a package first: its picture and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from napari_threestage.segmenter_info import SegmenterInfo

HEIGHT = 512  # of the picture


def cover_picture(
    pixels: np.ndarray, probabilities: np.ndarray, info: SegmenterInfo
) -> Image.Image:
    """Return an image (C, H, W) uint8 beside itself under the colours of its classes."""
    colours = np.array([entry["color"] for entry in info.classes], np.float32)
    image = _rgb(pixels)
    blended = image * 0.45 + colours[probabilities.argmax(0)] * 0.55
    picture = np.concatenate([image, np.full_like(image[:, :4], 255), blended], 1)
    made = Image.fromarray(picture.round().astype(np.uint8))
    return made.resize((HEIGHT * made.width // made.height, HEIGHT), Image.Resampling.LANCZOS)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) float32: the first three channels, a single one as grey."""
    shown = np.repeat(pixels, 3, 0) if len(pixels) == 1 else pixels[:3]
    empty = np.zeros_like(pixels[:1])
    padded = np.concatenate([shown, *[empty] * (3 - len(shown))])
    return np.moveaxis(padded, 0, -1).astype(np.float32)


def read_me(info: SegmenterInfo) -> str:
    """Return the documentation of a package, in Markdown."""
    card = info.card
    assert card is not None
    parts = [
        f"# {card.name}",
        card.description,
        _use(info),
        "## Classes\n\n" + _table("class", "colour (red, green, blue)", _classes(info)),
        _training(info),
        _validation(info),
        "## Cite\n\n" + _list([_citation(one) for one in card.citation]),
        "## People and licence\n\n"
        f"Authors: {', '.join(card.authors) or 'not named'}. "
        f"Licence of the weights: {card.licence or 'none chosen yet'}.",
        "## Made with\n\n"
        + _list([f"{name} {number}" for name, number in card.versions.items()])
        + f"\n\nCreated {card.created}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(info: SegmenterInfo) -> str:
    card = info.card
    assert card is not None
    channels = ", ".join(card.channel_names)
    chosen = f" (number {', '.join(map(str, info.channels))}, from 0)" if info.channels else ""
    size = ", ".join(
        f"{axis}: {card.pixel_size[axis]:g} {card.pixel_unit.get(axis, '')}".rstrip()
        for axis in card.pixel_size
    )
    lines = [
        f"Takes images with {info.n_channels} channels: {channels}{chosen}.",
        f"Sides: multiples of {card.multiple}, at least {card.smallest}.",
        f"Trained on {card.image_dtype} images; normalisation: {info.normalisation}. "
        "The preprocessing is in rdf.yaml.",
        f"Size of a pixel: {size}." if size else "Size of a pixel: not the same or not known.",
        f"Large images: tiles of {info.inference['tile']} pixels with a halo of "
        f"{info.inference['halo']}.",
        "Gives a probability for each class and pixel.",
        "`model.safetensors` is the same segmenter for napari-threestage: "
        "`threestage predict THIS.zip --images … --output …`.",
    ]
    return "## Use\n\n" + _list(lines)


def _training(info: SegmenterInfo) -> str:
    training = info.card.training if info.card else {}
    if not training:
        return ""
    steps = ", ".join(f"stage {stage}: {count}" for stage, count in training["steps"].items())
    lines = [
        f"Preset {training['preset']}, seed {training['seed']}, steps – {steps}.",
        f"{training['labelled_images']} labelled and {training['unlabelled_images']} unlabelled "
        "images.",
        *(f"Warning: {warning}" for warning in training["warnings"]),
    ]
    pixels = [(name, f"{count:,}") for name, count in training["labelled_pixels"].items()]
    return f"## Training\n\n{_list(lines)}\n\n" + _table("class", "labelled pixels", pixels)


def _validation(info: SegmenterInfo) -> str:
    scores = (info.card.training if info.card else {}).get("scores", {})
    seen = {"labelled": "images that it learned from", "validation": "images kept for validation"}
    rows = [
        (f"mIoU on {seen.get(on, on)}", _percent(found.get("miou"))) for on, found in scores.items()
    ]
    text = (
        "Each pixel's most probable class was compared with what people labelled. Before you rely "
        "on it, compare its masks with some of your own labels: other microscopes, stains or "
        "magnifications than those of the training images can make it worse."
    )
    return f"## Validation\n\n{_table('measured', '%', rows)}\n\n{text}"


def _classes(info: SegmenterInfo) -> list[tuple[str, str]]:
    return [(entry["name"], ", ".join(map(str, entry["color"]))) for entry in info.classes]


def _citation(entry: dict[str, str]) -> str:
    url = entry.get("url", "")
    return entry["text"] if not url or url in entry["text"] else f"{entry['text']} {url}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(first: str, second: str, rows: list[tuple[str, str]]) -> str:
    cells = [(first, second), ("---", "---"), *rows]
    return "\n".join(f"| {_cell(one)} | {_cell(other)} |" for one, other in cells)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
