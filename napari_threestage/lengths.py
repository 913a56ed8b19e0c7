"""Units of length and time as files name them, and lengths in metres."""

from __future__ import annotations

import math
from typing import Any

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
_NAMES = {text: name for name, texts in UNITS.items() for text in (name, *texts)}


def unit_name(text: Any) -> str | None:
    """Return the OME-NGFF name of a unit as files call it; None for one that is not known."""
    return _NAMES.get(str(text).strip().lower())


def in_metres(size: Any, unit: Any) -> float | None:
    """Return a length in metres; None for what is no length above 0 with a known unit."""
    text = str(unit).strip().lower()
    metres = METRES.get(_NAMES.get(text, text))
    if metres is None or isinstance(size, bool) or not isinstance(size, int | float):
        return None
    return size * metres if 0 < size < math.inf else None
