"""What the images of a project are, in some lines; no Qt."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_threestage.project import ImageRecord


def say_images(records: Iterable[ImageRecord]) -> list[str]:
    """Return number, sizes, types and channels of images."""
    records = list(records)
    shapes = Counter(one.label_shape for one in records)
    types = Counter(one.dtype for one in records)
    channels = Counter(one.channels for one in records)
    lines = [f"{len(records):,} image{'s' * (len(records) != 1)}, {_sizes(records, shapes)}"]
    kinds = " and ".join(kind for kind, _ in types.most_common(3))
    numbers = " or ".join(str(count) for count in sorted(channels))
    plural = "s" * (set(channels) != {1})
    lines.append(f"{kinds}, {numbers} channel{plural}")
    return lines


def _sizes(records: Sequence[ImageRecord], shapes: Counter[tuple[int, ...]]) -> str:
    if len(shapes) == 1:
        return f"{' x '.join(map(str, reversed(next(iter(shapes)))))} pixels"
    sides = [one.label_shape[-2:] for one in records]
    low, high = min(sides, key=_area), max(sides, key=_area)
    stacks = sum(one.n_planes > 1 for one in records)
    said = f"{low[1]} x {low[0]} to {high[1]} x {high[0]} pixels"
    return said + (f", {stacks:,} of them stacks" if stacks else "")


def _area(sides: tuple[int, ...]) -> int:
    return sides[0] * sides[1]


def say_labels(labelled: int, part: int, total: int, validation: int, known: int) -> str:
    """Return how many images have labels and how many only judge."""
    if known < total:
        return f"Looking at the labels … {known:,} of {total:,}"
    said = [f"{labelled:,} labelled"]
    said += [f"{part:,} partly labelled"] if part else []
    said += [f"{total - labelled - part:,} not labelled"]
    said += [f"{validation:,} for validation only"] if validation else []
    return ", ".join(said)
