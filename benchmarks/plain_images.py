"""Crops and perturbations with PIL, one image and one operation at a time, for `plain_step`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from napari_threestage.labels import DENSE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from torch import Tensor

    from napari_threestage.config import AugmentConfig, DataConfig
    from napari_threestage.training.batches import Sample

IGNORE = 255
GREY = 128
# What a label map holds where it comes from outside the frame.
FILL = {"truth": IGNORE, "pseudo": IGNORE, "target": IGNORE, "inside": 0, "confident": 0}

ENHANCERS = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}


@dataclass
class Item:
    """An image with its label maps by name."""

    image: Image.Image
    maps: dict[str, Image.Image]


class Plane:
    """A sample as PIL images, and where its classes are."""

    def __init__(self, sample: Sample, names: Sequence[str]) -> None:
        pixels = sample.image.numpy()
        shape = pixels.shape[1:]
        blank = np.full(shape, IGNORE, np.uint8)
        known = {"inside": np.ones(shape, np.uint8)}
        for name in ("truth", "pseudo"):
            labels = getattr(sample, name)
            known[name] = blank if labels is None else labels.numpy()
        self.image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
        self.maps = {name: Image.fromarray(known[name]) for name in names}
        truth = known["truth"]
        self.dense = bool((truth != IGNORE).mean() > DENSE)
        self.places = [np.argwhere(truth == value) for value in np.unique(truth) if value != IGNORE]


def weak_crop(plane: Plane, config: DataConfig, focus: bool, random: Random) -> Item:
    """A random window, flipped and zoomed to the size of the crop."""
    zoom = random.uniform(*config.scale)
    height, width = (max(1, round(side / zoom)) for side in config.crop)
    pixel = (None, None)
    if focus and plane.places and (random.random() < config.class_focus or not plane.dense):
        pixel = random.choice(random.choice(plane.places))
    left = offset(random.random(), plane.image.width, width, pixel[1])
    top = offset(random.random(), plane.image.height, height, pixel[0])
    mirror = config.flip and random.random() < 0.5
    flip = config.flip_vertical and random.random() < 0.5

    def cut(picture: Image.Image, fill: int, resample: Image.Resampling) -> Image.Image:
        window = Image.new(picture.mode, (width, height), (fill,) * len(picture.getbands()))
        window.paste(picture, (-left, -top))
        window = ImageOps.mirror(window) if mirror else window
        window = ImageOps.flip(window) if flip else window
        return window.resize(config.crop[::-1], resample)

    maps = {
        name: cut(labels, FILL[name], Image.Resampling.NEAREST)
        for name, labels in plane.maps.items()
    }
    return Item(cut(plane.image, 0, Image.Resampling.BILINEAR), maps)


def offset(share: float, extent: int, side: int, pixel: int | None) -> int:
    """Top or left of a window, which holds `pixel` if one is given."""
    if extent <= side:
        return (extent - side) // 2
    low, high = 0, extent - side
    if pixel is not None:
        low, high = max(0, int(pixel) - side + 1), min(int(pixel), high)
    return low + round(share * (high - low))


def rand_augment(item: Item, config: AugmentConfig, random: Random) -> Item:
    """Operations one after the other, geometric ones on the label maps too."""
    for _ in range(config.count if config.operations else 0):
        name = random.choice(config.operations)
        level = random.randint(1, config.max_level) / 10 * random.choice((-1, 1))
        if random.random() >= config.probability:
            continue
        if name == "rotate" or name.startswith(("shear", "translate")):
            item = move(item, name, level)
        else:
            item = Item(recolour(item.image, name, level), item.maps)
    return item


def move(item: Item, name: str, level: float) -> Item:
    image = moved(item.image, name, level, GREY, Image.Resampling.BILINEAR)
    maps = {
        key: moved(labels, name, level, FILL[key], Image.Resampling.NEAREST)
        for key, labels in item.maps.items()
    }
    return Item(image, maps)


def moved(
    picture: Image.Image, name: str, level: float, fill: int, resample: Image.Resampling
) -> Image.Image:
    colour = (fill,) * len(picture.getbands())
    if name == "rotate":
        return picture.rotate(30 * level, resample, fillcolor=colour)
    shift = 10 / 321 * level
    matrix = {
        "shear_x": (1, 0.3 * level, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * level, 1, 0),
        "translate_x": (1, 0, round(shift * picture.width), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, round(shift * picture.height)),
    }[name]
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, resample, fillcolor=colour
    )


def recolour(image: Image.Image, name: str, level: float) -> Image.Image:
    if name in ENHANCERS:
        return ENHANCERS[name](image).enhance(1 + 0.8 * level)
    if name == "autocontrast":
        return ImageOps.autocontrast(image)
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "solarize":
        return ImageOps.solarize(image, round(255 * (1 - abs(level))))
    if name == "posterize":
        return ImageOps.posterize(image, 4 - math.floor(4 * abs(level)))
    return image


def cut_mix(item: Item, other: Item, random: Random) -> Item:
    """Paste a box of a quarter to half of the area of another item."""
    width, height = item.image.size
    area, aspect = random.uniform(0.25, 0.5), math.exp(random.uniform(-0.5, 0.5) * math.log(4))
    box_height = round(min(1.0, math.sqrt(area * aspect)) * height)
    box_width = round(min(1.0, math.sqrt(area / aspect)) * width)
    left, top = random.randint(0, width - box_width), random.randint(0, height - box_height)
    box = (left, top, left + box_width, top + box_height)

    def mixed(picture: Image.Image, source: Image.Image) -> Image.Image:
        picture = picture.copy()
        picture.paste(source.crop(box), box)
        return picture

    maps = {name: mixed(labels, other.maps[name]) for name, labels in item.maps.items()}
    return Item(mixed(item.image, other.image), maps)


def cut_out(item: Item, config: AugmentConfig, random: Random) -> Item:
    """Make squares of the image grey."""
    image = item.image.copy()
    side = round(config.cutout_size * min(image.size))
    for _ in range(config.cutouts):
        left = round(random.random() * image.width - side / 2)
        top = round(random.random() * image.height - side / 2)
        image.paste((GREY,) * len(image.getbands()), (left, top, left + side, top + side))
    return Item(image, item.maps)


def image_batch(items: Sequence[Item], device: torch.device) -> Tensor:
    """Images (B, C, H, W) in [0, 1]."""
    arrays = [np.array(item.image) for item in items]
    arrays = [array[..., np.newaxis] if array.ndim == 2 else array for array in arrays]
    tensors = [torch.from_numpy(array).permute(2, 0, 1).float() / 255 for array in arrays]
    return torch.stack(tensors).contiguous().to(device)


def map_batch(items: Sequence[Item], name: str, device: torch.device) -> Tensor:
    """One of the label maps, (B, H, W) uint8."""
    return torch.stack([torch.from_numpy(np.array(item.maps[name])) for item in items]).to(device)
