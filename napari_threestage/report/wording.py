"""Numbers and texts as a report writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NONE = "–"
# A path from the root of a disk, in quotes with all that is in it, else up to a blank: of it the
# last part stays.  What follows a letter, a dot or a slash is the middle of something else, such as
# the address of a page.
_QUOTED = re.compile(r"(?<=['\"])(?:[A-Za-z]:)?[/\\][^'\"]+(?=['\"])")
_PATH = re.compile(r"(?<![\w./:'\"])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"()<>|]+)+[/\\]?")


def percent(value: float | None) -> str:
    """Return 0.7136 as ``71.4 %``; a dash for nothing."""
    return NONE if value is None else f"{100 * value:.1f} %"


def small_percent(value: float) -> str:
    """Return a share that may be tiny: ``0.03 %``."""
    return percent(value) if value == 0 or value >= 0.01 else f"{100 * value:.2g} %"


def points(value: float) -> str:
    """Return a difference of shares, e.g. ``+4.2``."""
    return f"{100 * value:+.1f}"


def bounds(interval: Mapping[str, Any]) -> str:
    """Return the bounds of an interval in percent, e.g. ``78.0 to 82.3``; empty without any."""
    if interval["low"] is None or interval["high"] is None:
        return ""
    return f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f}"


def count(number: int) -> str:
    """Return 12345 as ``12,345``."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return e.g. ``1 image``, ``3 images``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def size(n_bytes: int) -> str:
    """Return e.g. ``8.6 MB``."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"


def file_name(path: str) -> str:
    """Return the last part of a path of any machine."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def without_folders(text: str) -> str:
    """Return a text in which each path of this machine is only its last part."""
    for path in (_QUOTED, _PATH):
        text = path.sub(lambda found: file_name(found.group()), text)
    return text
