"""Tables as a person reads them: columns that make values readable, and rows of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_threestage.compare.places import Place

    Color = tuple[int, int, int]

NONE = "–"
WIDE = 1.0  # points, of an interval whose ends need no digit after the point


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    text, small
        What a value is shown as, and what stands below that.
    order
        What it is sorted by; None comes last.
    left
        Whether it is words.
    """

    title: str
    text: Callable[[Any], str]
    small: Callable[[Any], str] = lambda value: ""
    order: Callable[[Any], Any] = lambda value: value
    tip: str = ""
    left: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values, which its columns make readable.

    Attributes
    ----------
    colours
        Of the class of each row; None for rows that are about no class.
    pinned
        So many first rows stay first.
    target
        Where a row leads: an image and a place in it; None where rows lead nowhere.
    tip
        What else is said of a row.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    colours: Sequence[Color | None] = ()
    pinned: int = 0
    target: Callable[[int], tuple[str, Place | None]] | None = None
    tip: Callable[[int], str] | None = None


# --- numbers as text ------------------------------------------------------------------------------


def percent(share: float | None) -> str:
    """Return a share in percent, without the sign."""
    return NONE if share is None else f"{100 * share:.1f}"


def small_percent(share: float | None) -> str:
    """Return a share that may be tiny: none is told from hardly any."""
    if not share:
        return NONE if share is None else "0"
    return "<0.1" if share < 0.001 else percent(share)


def interval_text(value: Mapping[str, Any] | None) -> str:
    """Return the middle of an interval in percent."""
    return NONE if value is None else percent(value["value"])


def interval_ends(value: Mapping[str, Any] | None) -> str:
    """Return the ends of an interval in percent; empty where there are none."""
    if value is None or value["low"] is None or value["high"] is None:
        return ""
    low, high, digits = _ends(value)
    return f"{low:.{digits}f}–{high:.{digits}f}"


def gain_text(value: Mapping[str, Any] | None) -> str:
    """Return a difference in points."""
    return NONE if value is None else f"{100 * value['value']:+.1f}"


def gain_ends(value: Mapping[str, Any] | None) -> str:
    """Return the ends of a difference in points; empty where there are none."""
    if value is None or value["low"] is None or value["high"] is None:
        return ""
    low, high, digits = _ends(value)
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def _ends(value: Mapping[str, Any]) -> tuple[float, float, int]:
    """Return the ends of an interval in percent, and how many digits after the point they need."""
    low, high = 100 * value["low"], 100 * value["high"]
    return low, high, 0 if high - low >= WIDE else 1


def middle_of(value: Mapping[str, Any] | None) -> float | None:
    """Return what an interval is sorted by."""
    return None if value is None else float(value["value"])
