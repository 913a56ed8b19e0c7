"""Figure that compares the stages image by image: prediction, ground truth and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RgbImage = npt.NDArray[np.uint8]
LabelImage = npt.NDArray[np.integer[Any]]
Color = tuple[int, int, int]
Entry = tuple[str, Color]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SMALLEST, LARGEST = 200, 320
MARGIN, GAP, NARROWEST = 28, 16, 180
TINT, DIM, HAZE = 0.55, 0.5, 130
INK, QUIET, EMPTY = (25, 28, 33), (95, 100, 108), (240, 241, 243)
CORRECTED, WORSENED, UNDECIDED = (40, 190, 90), (215, 25, 45), (255, 186, 40)
CHANGE_LEGEND: tuple[tuple[str, Color], ...] = (
    ("corrected", CORRECTED),
    ("became wrong", WORSENED),
    ("changed, still wrong or no ground truth", UNDECIDED),
    ("unchanged", (150, 150, 150)),
)


@dataclass(frozen=True)
class PanelRow:
    """One image of the figure.

    Attributes
    ----------
    name
        Caption of the row.
    image
        ``(H, W, 3)`` uint8, RGB.
    truth
        ``(H, W)`` integer, 0 = not labelled, 1..C = class; None without ground truth.
    stages
        Stage number to its prediction, ``(H, W)`` integer, 1..C.
    """

    name: str
    image: RgbImage
    truth: LabelImage | None
    stages: Mapping[int, LabelImage]


@dataclass(frozen=True)
class _Layout:
    """Pixel positions: columns of one width, rows as high as their image, text to match."""

    column_width: int
    sizes: list[tuple[int, int]]  # shown (width, height) of each row
    columns: int

    @property
    def title_size(self) -> int:
        return self.column_width // 12

    @property
    def text_size(self) -> int:
        return max(13, self.column_width // 15)

    @property
    def line(self) -> int:
        return self.text_size * 8 // 5

    @property
    def width(self) -> int:
        return 2 * MARGIN + self.columns * self.column_width + (self.columns - 1) * GAP

    def left(self, column: int) -> int:
        return MARGIN + column * (self.column_width + GAP)

    def top(self, row: int) -> int:
        above = sum(height + self.line + GAP for _, height in self.sizes[:row])
        return MARGIN + 2 * self.title_size + above

    @property
    def legend_top(self) -> int:
        return self.top(len(self.sizes)) + GAP // 2


def draw_panels(
    rows: Sequence[PanelRow],
    classes: Sequence[tuple[str, Color]],
    scores: Mapping[int, float] | None = None,
) -> Image.Image:
    """Draw one row per image: image, ground truth, each stage and the changes between them.

    Parameters
    ----------
    rows
        At least one; images may differ in size, stages may be missing in some rows.
    classes
        Name and RGB colour of the classes 1..C, in this order.
    scores
        Stage number to its mIoU as a fraction, 0..1.

    Returns
    -------
    PIL.Image.Image
        RGB figure on white.
    """
    if not rows:
        raise ValueError("no row to draw")
    numbers = sorted({number for row in rows for number in row.stages})
    titles = _titles(numbers, scores or {})
    sizes = [_shown_size(*row.image.shape[:2]) for row in rows]
    column_width = max(NARROWEST, *(width for width, _ in sizes))
    layout = _Layout(column_width, sizes, len(titles))
    groups = [classes, CHANGE_LEGEND] if len(numbers) > 1 else [classes]
    legend = [line for group in groups for line in _wrap(group, layout)]
    height = layout.legend_top + len(legend) * layout.line + MARGIN
    figure = Image.new("RGB", (layout.width, height), "white")
    _draw_titles(figure, layout, titles)
    colors = np.array([(0, 0, 0), *(color for _, color in classes)], dtype=np.uint8)
    for index, row in enumerate(rows):
        _draw_row(figure, layout, index, row.name, _tiles(row, numbers, colors, sizes[index]))
    _draw_legend(figure, legend, layout)
    return figure


def _titles(numbers: Sequence[int], scores: Mapping[int, float]) -> list[str]:
    titles = ["Image", "Ground truth"]
    for number in numbers:
        score = f" · {scores[number]:.1%}".replace("%", " %") if number in scores else ""
        titles.append(f"Stage {number}{score}")
    return [*titles, "Changes"] if len(numbers) > 1 else titles


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """Width and height on the figure: a whole multiple for small images, shrunk for large ones."""
    longest = max(height, width)
    if longest > LARGEST:
        return max(1, width * LARGEST // longest), max(1, height * LARGEST // longest)
    factor = max(1, min(-(-SMALLEST // longest), LARGEST // longest))
    return width * factor, height * factor


def _tiles(
    row: PanelRow, numbers: Sequence[int], colors: RgbImage, size: tuple[int, int]
) -> list[RgbImage | None]:
    """Pictures of a row from left to right; None where there is nothing to show."""
    image = np.asarray(Image.fromarray(row.image).resize(size, Image.Resampling.BILINEAR))
    truth = None if row.truth is None else _resize(row.truth, size)
    stages = [_resize(row.stages[n], size) if n in row.stages else None for n in numbers]
    masks = [None if mask is None else _overlay(image, mask, colors) for mask in (truth, *stages)]
    tiles = [image, *masks]
    if len(numbers) > 1:
        tiles.append(_changes(image, truth, stages[0], stages[-1]))
    return tiles


def _resize(labels: LabelImage, size: tuple[int, int]) -> LabelImage:
    """Nearest label of each shown pixel's centre."""
    width, height = size
    down = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    across = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(down, across)]


def _overlay(image: RgbImage, labels: LabelImage, colors: RgbImage) -> RgbImage:
    """Tint the labelled pixels; the border runs on the side of the class with the higher number."""
    color = colors[labels]
    tinted = np.where(labels[..., None] > 0, (1 - TINT) * image + TINT * color, image)
    padded = np.pad(labels, 1, mode="edge")
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    border = labels > np.min(around, axis=0)
    return np.where(border[..., None], color, np.rint(tinted)).astype(np.uint8)


def _changes(
    image: RgbImage, truth: LabelImage | None, first: LabelImage | None, last: LabelImage | None
) -> RgbImage | None:
    """Colour what switched between two stages on the dimmed grey image."""
    if first is None or last is None:
        return None
    truth = np.zeros_like(first) if truth is None else truth
    grey = DIM * image.mean(axis=2, keepdims=True) + (1 - DIM) * HAZE
    shown = np.repeat(np.rint(grey), 3, axis=2).astype(np.uint8)
    changed, known = first != last, truth > 0
    shown[changed] = UNDECIDED
    shown[changed & known & (last == truth)] = CORRECTED
    shown[changed & known & (first == truth)] = WORSENED
    return shown


def _draw_titles(figure: Image.Image, layout: _Layout, titles: Sequence[str]) -> None:
    draw, font = ImageDraw.Draw(figure), _font(layout.title_size)
    for column, title in enumerate(titles):
        middle = layout.left(column) + layout.column_width // 2
        text = _fit(title, font, layout.column_width)
        draw.text((middle, MARGIN + layout.title_size // 2), text, INK, font, "mm")


def _draw_row(
    figure: Image.Image, layout: _Layout, index: int, name: str, tiles: Sequence[RgbImage | None]
) -> None:
    draw, font = ImageDraw.Draw(figure), _font(layout.text_size)
    width, height = layout.sizes[index]
    indent, top = (layout.column_width - width) // 2, layout.top(index)
    for column, tile in enumerate(tiles):
        left = layout.left(column) + indent
        if tile is not None:
            figure.paste(Image.fromarray(tile), (left, top))
            continue
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=EMPTY)
        text = _fit(
            "no ground truth" if column == 1 else "no prediction", font, layout.column_width
        )
        draw.text((left + width // 2, top + height // 2), text, QUIET, font, "mm")
    left, middle = layout.left(0) + indent, top + height + layout.line // 2 + 2
    draw.text((left, middle), _fit(name, font, layout.column_width - indent), QUIET, font, "lm")


def _draw_legend(figure: Image.Image, lines: Sequence[Sequence[Entry]], layout: _Layout) -> None:
    draw, font, side = ImageDraw.Draw(figure), _font(layout.text_size), layout.text_size
    for index, line in enumerate(lines):
        left = MARGIN
        middle = layout.legend_top + index * layout.line + layout.line // 2
        for name, color in line:
            box = (left, middle - side // 2, left + side, middle - side // 2 + side)
            draw.rectangle(box, fill=color, outline=QUIET)
            draw.text((left + side * 3 // 2, middle), name, INK, font, "lm")
            left += _entry_width(name, layout.text_size)


def _wrap(entries: Sequence[Entry], layout: _Layout) -> list[list[Entry]]:
    """Break legend entries into lines as wide as the figure."""
    size, room = layout.text_size, layout.width - 2 * MARGIN
    lines: list[list[Entry]] = [[]]
    used = 0
    for name, color in entries:
        name = _fit(name, _font(size), room - 2 * size)
        if lines[-1] and used + _entry_width(name, size) - 2 * size > room:
            lines.append([])
            used = 0
        lines[-1].append((name, color))
        used += _entry_width(name, size)
    return lines


def _entry_width(name: str, size: int) -> int:
    """Swatch, text and the gap of two letters to the next entry."""
    return size * 7 // 2 + round(_font(size).getlength(name))


def _fit(text: str, font: Font, room: int) -> str:
    """Shorten `text` with an ellipsis until it is at most `room` pixels wide."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)
