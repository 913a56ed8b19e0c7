"""What all figures share: colours for a theme, sizes, legends, names as plain text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_threestage.palette import LINE_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGE, SMALL = 8.0, 7.0  # points
MARKERS = "osD^vP"
LETTER, LINE, SWATCH = 0.064, 0.15, 0.36  # inches: of a letter, of a line of text, of a legend
NAME_LENGTH, NAME_LINES = 18, 2  # letters in a line, lines
MISSING = "□"
# The font that comes with the drawing library has no Chinese, Japanese or Korean letters.
FONT = "DejaVu Sans"
OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS"),
)


@dataclass(frozen=True)
class Look:
    """The colours of a theme, as ``#rrggbb``.

    Attributes
    ----------
    ink, paper
        Of text, and of what is behind it.
    grid
        Of lines that step back.
    """

    ink: str = "#222222"
    paper: str = "#ffffff"
    grid: str = "#e0e0e0"

    @classmethod
    def of(cls, ink: str, paper: str) -> Look:
        """Return the look of a theme that tells no more than these."""
        return cls(ink, paper, mixed(paper, ink, 0.16))

    @property
    def faint(self) -> str:
        """Colour of what is said aside."""
        return mixed(self.paper, self.ink, 0.6)

    @property
    def colours(self) -> tuple[str, ...]:
        """Colours that colour-blind people can tell apart, lighter on dark paper."""
        dark = sum(parts(self.paper)) < sum(parts(self.ink))
        return tuple(mixed(one, "#ffffff", 0.3 if dark else 0.0) for one in LINE_COLOURS)

    def line(self, place: int) -> dict[str, Any]:
        """Return colour and marker of the column at a place."""
        colours = self.colours
        return {"color": colours[place % len(colours)], "marker": MARKERS[place % len(MARKERS)]}


def parts(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue of ``#rrggbb``, 0..1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def mixed(one: str, other: str, share: float) -> str:
    """Return a colour between two, with a share of the other one."""
    pairs = zip(parts(one), parts(other), strict=True)
    levels = [round(255 * ((1 - share) * a + share * b)) for a, b in pairs]
    return "#{:02x}{:02x}{:02x}".format(*levels)


def new_figure(width: float, dpi: float = 100.0) -> Figure:
    """Return an empty figure of a width in inches; what is drawn on it sets its height."""
    from matplotlib.figure import Figure

    figure = Figure((width, width), dpi=dpi, layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.04, h_pad=0.04)  # type: ignore[call-arg]
    return figure


def resize(figure: Figure, height: float, width: float = 0.0) -> None:
    """Give a figure its height, and more width where it needs that, in inches."""
    figure.set_size_inches(max(width, figure.get_figwidth()), height)


def new_axes(figure: Figure, look: Look, place: Any = 111, **options: Any) -> Axes:
    """Return axes in the colours of a theme."""
    axes: Axes = figure.add_subplot(place, facecolor="none", **options)
    axes.tick_params(colors=look.ink, labelsize=SMALL, length=2.5, color=look.faint)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(look.faint)
    axes.set_axisbelow(True)
    return axes


def name_axes(axes: Axes, look: Look, x: str = "", y: str = "") -> None:
    """Write what the axes mean."""
    for write, text in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
        if text:
            write(readable(text), fontsize=LARGE, color=look.ink)


def percent(axis: Any) -> None:
    """Write the numbers of an axis, 0..1, in percent."""
    axis.set_major_formatter(lambda value, place: f"{round(100 * value, 3):g} %")


def add_legend(figure: Figure, entries: Sequence[tuple[str, Any]], look: Look) -> float:
    """Put a legend above the plots; return how many inches it takes.

    Parameters
    ----------
    entries
        Texts, each with what stands beside it.
    """
    most = figure.get_figwidth() - SWATCH
    texts = [readable(fitted(text, most)) for text, _ in entries]
    widest = SWATCH + LETTER * max(map(len, texts), default=1)
    columns = max(1, min(len(texts), int(figure.get_figwidth() / widest)))
    where: dict[str, Any] = {"loc": "outside upper left", "ncols": columns, "frameon": False}
    where |= {"handlelength": 1.4, "columnspacing": 1.2, "borderpad": 0.2, "handletextpad": 0.5}
    figure.legend(
        [sign for _, sign in entries], texts, fontsize=SMALL, labelcolor=look.ink, **where
    )
    return LINE * -(-len(texts) // columns) + 0.08


def finish(figure: Figure, look: Look) -> None:
    """Take all text for what it is, whatever signs are in it, and paint the paper."""
    from matplotlib.text import Text

    families, _ = _fonts()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_fontfamily(families)
    figure.set_facecolor(look.paper)


# --- names ----------------------------------------------------------------------------------------


def short_name(name: str) -> str:
    """Return a name in lines that fit beside a plot; the middle of a long one is left out."""
    clean = readable(" ".join(name.split()))
    lines = textwrap.wrap(clean, NAME_LENGTH)
    if len(lines) > NAME_LINES:
        lines = [clean[:NAME_LENGTH].rstrip(), f"…{clean[1 - NAME_LENGTH :].lstrip()}"]
    return "\n".join(lines) or MISSING


def fitted(text: str, room: float) -> str:
    """Return as much of a text as has room, in inches."""
    most = max(8, int(room / LETTER))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def name_width(names: Sequence[str]) -> float:
    """Return the room that shortened names take, in inches."""
    return LETTER * max((len(line) for name in names for line in name.split("\n")), default=0)


def readable(text: str) -> str:
    """Return a text with a box for each sign that no font here can show."""
    _, known = _fonts()
    return "".join(sign if sign == "\n" or ord(sign) in known else MISSING for sign in text)


@cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Return the fonts to write with, and the signs that they have."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    installed = set(fontManager.get_font_names())
    families = [FONT, *(name for name in OTHER_FONTS if name in installed)]
    paths = [fontManager.findfont(FontProperties(family=[name])) for name in families]
    return families, frozenset().union(*(get_font(path).get_charmap() for path in paths))
