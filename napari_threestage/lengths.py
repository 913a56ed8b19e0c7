"""Units of length and time as files name them, lengths and sides of pixels in metres."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORTEST, LONGEST = 1e-15, 1e9  # metres: what is beyond is no image's
SQUARE = 1.25  # how much longer one side of a pixel may be where the other one fits
UNITS = {
    "nanometer": ("nm", "nanometre"),
    "micrometer": ("um", "\u00b5m", "\u03bcm", "\\u00b5m", "micron", "microns", "micrometre"),
    "millimeter": ("mm", "millimetre"),
    "centimeter": ("cm", "centimetre"),
    "meter": ("m", "metre"),
    "picometer": ("pm",),
    "angstrom": ("\u00e5", "a\u030a"),
    "inch": ("in", "inches", '"'),
    "nanosecond": ("ns",),
    "microsecond": ("us", "\u00b5s", "\u03bcs"),
    "millisecond": ("ms", "msec"),
    "second": ("s", "sec", "seconds"),
    "minute": ("min", "minutes"),
    "hour": ("h", "hours"),
}
"""By their names in OME-NGFF, what files call them."""

METRES = {
    "picometer": 1e-12,
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "inch": 0.0254,
    "foot": 0.3048,
    "yard": 0.9144,
    "meter": 1.0,
    "kilometer": 1e3,
}
SHORT = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "m": 1.0, "km": 1e3}
_NAMES = {text: name for name, texts in UNITS.items() for text in (name, *texts)}


def unit_name(text: Any) -> str | None:
    """Return the OME-NGFF name of a unit as files call it; None for one that is not known."""
    return _NAMES.get(str(text).strip().lower())


def in_metres(size: Any, unit: Any) -> float | None:
    """Return a length in metres; None for what no image has, and without a known unit."""
    text = str(unit).strip().lower()
    metres = METRES.get(_NAMES.get(text, text))
    if metres is None or isinstance(size, bool) or not isinstance(size, int | float):
        return None
    length = size * metres
    return length if SHORTEST < length < LONGEST else None


def length_text(metres: float) -> str:
    """Return a length for people: ``0.25 µm`` is ``250 nm``."""
    fitting = [name for name, size in SHORT.items() if metres >= 0.9995 * size]
    unit = fitting[-1] if fitting else "nm"
    return f"{metres / SHORT[unit]:.3g} {unit}"


class PixelSize(NamedTuple):
    """The sides of a pixel in metres."""

    y: float
    x: float

    @property
    def side(self) -> float:
        """That of a square of the same area."""
        return math.sqrt(self.y * self.x)

    def relative(self, other: PixelSize) -> float | None:
        """Return how many times as large it is as another; None where their shapes differ."""
        y, x = self.y / other.y, self.x / other.x
        return math.sqrt(y * x) if max(y, x) <= SQUARE * min(y, x) else None


def pixel_size(size: Mapping[str, Any], unit: Mapping[str, Any]) -> PixelSize | None:
    """Return the size of a pixel; None where it is not known."""
    sides = [in_metres(size.get(axis), unit.get(axis)) for axis in "yx"]
    return PixelSize(*sides) if None not in sides else None  # type: ignore[arg-type]
