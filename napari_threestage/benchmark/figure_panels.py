"""Figure of masks side by side: figures 4 and 5 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_threestage.benchmark.figure_style import NEUTRAL, add_legend_of, make_figure
from napari_threestage.errors import NotReadyError
from napari_threestage.palette import PALETTE, new_color

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.palette import Color

WIDTH = 2.3  # of a picture, in inches
MOST_FRAMES = 3
FRAME_SCALE = 24  # the longer side of an image over the width of what counts as one place
CHANGED = 0.35  # share of a place that has to change


@dataclass(frozen=True)
class Panel:
    """One image with what is to be compared.

    Attributes
    ----------
    image
        Shape (H, W) or (H, W, 3), uint8.
    masks
        By title, such as ``stage 1``, in the order shown: shape (H, W), class indices 0..C-1.
    truth
        Such a mask, 255 = not labelled; None without.
    """

    image: np.ndarray
    masks: Mapping[str, np.ndarray]
    truth: np.ndarray | None = None


def panels(examples: Sequence[Panel], classes: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw images, masks and ground truth side by side, one row an image.

    The places where the last mask differs most from the first are framed in all pictures of a row.

    Parameters
    ----------
    examples
        All with masks of the same titles.
    classes
        ``name`` and, where there is one, ``color`` (red, green, blue; 0..255) of each class.

    Raises
    ------
    NotReadyError
        There is no example.

    References
    ----------
    Ke et al., *A three-stage self-training framework for semi-supervised semantic segmentation*.
    """
    if not examples:
        raise NotReadyError("There is no image to draw.", "Give one at least.")
    colors = class_colors(classes)
    titles = ["image", *examples[0].masks]
    if any(example.truth is not None for example in examples):
        titles.append("ground truth")
    heights = [WIDTH * one.image.shape[0] / one.image.shape[1] for one in examples]
    size = (WIDTH * len(titles), sum(heights) + 0.25)
    figure = make_figure(*size)
    grid = figure.subplots(
        len(examples), len(titles), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axis in grid.flat:
        axis.set_axis_off()
    for axes, example in zip(grid, examples, strict=True):
        _draw_row(axes, example, colors)
    for axis, title in zip(grid[0], titles, strict=True):
        axis.set_title(title)
    _add_colour_table(figure, classes, colors)
    return figure


def class_colors(classes: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return a colour (C, 3), uint8, for each class.

    Few classes get colours that colour-blind people can tell apart.  For many there are no such
    colours, so that they keep their own, which readers know from other papers.
    """
    known = len(classes) > len(PALETTE) and all("color" in entry for entry in classes)
    colors: list[Color] = [tuple(entry["color"]) for entry in classes] if known else []
    while len(colors) < len(classes):
        colors.append(new_color(colors))
    return np.array(colors, np.uint8)


def changed_places(first: np.ndarray, last: np.ndarray) -> list[tuple[slice, slice]]:
    """Return boxes around the places where two masks differ most, the largest first.

    They are three at most and do not overlap; single pixels and thin seams do not count.
    """
    side = max(3, max(first.shape) // FRAME_SCALE)
    dense = ndimage.uniform_filter((first != last).astype(np.float32), side) > CHANGED
    places, count = ndimage.label(dense)
    sizes = ndimage.sum_labels(dense, places, range(1, count + 1))
    objects = ndimage.find_objects(places)
    chosen: list[tuple[slice, slice]] = []
    for place in np.argsort(-sizes, kind="stable"):
        y, x = (
            slice(max(0, part.start - side // 2), min(length, part.stop + side // 2))
            for part, length in zip(objects[place], first.shape, strict=True)
        )
        if len(chosen) < MOST_FRAMES and not any(
            _overlap(y, b) and _overlap(x, a) for b, a in chosen
        ):
            chosen.append((y, x))
    return chosen


def _overlap(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _draw_row(axes: Sequence[Axes], example: Panel, colors: np.ndarray) -> None:
    masks = list(example.masks.values())
    frames = changed_places(masks[0], masks[-1]) if len(masks) > 1 else []
    pictures = [example.image, *(_coloured(mask, colors) for mask in [*masks, example.truth])]
    for axis, picture in zip(axes, pictures, strict=False):
        if picture is None:
            continue
        axis.imshow(picture, cmap="gray", interpolation="nearest")
        for box in frames:
            _frame(axis, box)


def _coloured(mask: np.ndarray | None, colors: np.ndarray) -> np.ndarray | None:
    """Return a mask in the colours of its classes; white where it is not labelled."""
    if mask is None:
        return None
    table = np.full((256, 3), 255, np.uint8)
    table[: len(colors)] = colors
    picture: np.ndarray = table[mask]
    return picture


def _frame(axis: Axes, box: tuple[slice, slice]) -> None:
    """Draw a frame that is seen on dark and on bright."""
    from matplotlib.patches import Rectangle

    y, x = box
    for color, thickness in (("black", 2.6), ("white", 1.2)):
        look: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": thickness}
        corner, width, height = (x.start, y.start), x.stop - 1 - x.start, y.stop - 1 - y.start
        axis.add_patch(Rectangle(corner, width, height, **look))


def _add_colour_table(
    figure: Figure, classes: Sequence[Mapping[str, Any]], colors: np.ndarray
) -> None:
    from matplotlib.patches import Patch

    swatches = {
        entry["name"]: Patch(facecolor=color / 255, edgecolor=NEUTRAL)
        for entry, color in zip(classes, colors, strict=True)
    }
    add_legend_of(swatches, figure)
