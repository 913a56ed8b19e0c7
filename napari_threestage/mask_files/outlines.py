"""Outlines of the objects of a plane along the edges of their pixels, exact and valid anywhere.

Rings follow the edges of the pixels, so that a polygon covers its object exactly and those of
neighbours share their border.  A ring never touches itself: pixels that meet only at a corner
are, in an object that holds together elsewhere, taken for touching, which makes a hole of what
they enclose, and otherwise belong to two polygons.  So all are valid to the rules of OGC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_threestage.mask_files.runs import Objects

Ring = list[tuple[int, int]]

_BLOCK = 2**22  # pixels looked at together
_CORNERS = 2**17  # corners, if one object has not more


def polygons(parts: Objects) -> Iterator[tuple[int, list[Ring]]]:
    """Give the number and the rings of each object: the outer one, then those of its holes.

    Parameters
    ----------
    parts
        Objects of a plane that are connected along edges, see `runs.connect`.

    Notes
    -----
    Points are (x, y), (0, 0) is the corner of the first pixel; the last point repeats the first.
    Outer rings have a positive area by the formula of Gauss, holes a negative one.
    """
    number, x, y, partner = _link(parts)
    begins = np.append(np.flatnonzero(np.diff(number, prepend=0)), len(number))
    while len(begins) > 1:
        # Some objects at a time, as plain numbers need much memory.
        many = max(2, int(np.searchsorted(begins, begins[0] + _CORNERS)))
        chosen = slice(int(begins[0]), int(begins[many - 1]))
        yield from _rings(number[chosen], x[chosen], y[chosen], partner[chosen] - chosen.start)
        begins = begins[many - 1 :]


def _rings(
    number: np.ndarray, x: np.ndarray, y: np.ndarray, partner: np.ndarray
) -> Iterator[tuple[int, list[Ring]]]:
    """Give number and rings of some objects, whose corners are given as by `_link`."""
    xs, ys, down, owners = x.tolist(), y.tolist(), partner.tolist(), number.tolist()
    seen = bytearray(len(owners))
    rings: list[Ring] = []
    for first, owner in enumerate(owners):
        if first and owner != owners[first - 1]:
            yield owners[first - 1], rings
            rings = []
        if not seen[first]:
            ring = _follow(first, xs, ys, down, seen)
            rings.append(ring[::-1] if rings else ring)
    yield owners[-1], rings


def _follow(first: int, xs: list[int], ys: list[int], down: list[int], seen: bytearray) -> Ring:
    """Walk from corner to corner, along x and y in turn, until the first is reached again."""
    ring, at = [], first
    while not seen[at]:
        beside = at ^ 1
        seen[at] = seen[beside] = 1
        ring += [(xs[at], ys[at]), (xs[beside], ys[beside])]
        at = down[beside]
    ring.append(ring[0])
    return ring


def _link(parts: Objects) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return object, x and y of each corner, sorted, and which one an edge along y leads to.

    Along a line, edges of an object lie between its first and second corner, its third and
    fourth and so on; so along x the corners 2 k and 2 k + 1 of the sorted ones belong together.
    """
    blocks = list(_corners(parts))
    number, y, x, side, end = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.lexsort((side, x, y, number))
    number, y, x, end = number[order], y[order], x[order], end[order]
    along_y = np.lexsort((end, y, x, number))
    partner = np.empty_like(along_y)
    partner[along_y[0::2]] = along_y[1::2]
    partner[along_y[1::2]] = along_y[0::2]
    return number, x, y, partner


def _corners(parts: Objects) -> Iterator[tuple[np.ndarray, ...]]:
    """Give, by blocks of rows, object, y and x of corners and the order of two at one place."""
    height, width = parts.runs.shape
    step = max(1, _BLOCK // width)
    for top in range(0, height + 1, step):
        last = min(top + step, height + 1)  # lines between rows, not rows
        painted = parts.runs.paint(parts.number, max(top - 1, 0), min(last, height))
        before, behind = int(top == 0), int(last == height + 1)
        yield _corners_of(np.pad(painted, ((before, behind), (1, 1))), top)


def _corners_of(pixels: np.ndarray, top: int) -> tuple[np.ndarray, ...]:
    """Return the corners between the rows of a block; `top` is the y of the first ones."""
    four = pixels[:-1, :-1], pixels[:-1, 1:], pixels[1:, :-1], pixels[1:, 1:]
    nw, ne, sw, se = four
    straight = ((nw == ne) & (sw == se)) | ((nw == sw) & (ne == se))
    y, x = np.nonzero(~straight)
    around = np.stack([corner[y, x] for corner in four])
    found = []
    for slot in range(4):
        own = around[slot]
        count = (around == own).sum(0)
        new = (own != 0) & ~(around[:slot] == own).any(0)
        across = (count == 2) & (around[3 - slot] == own)
        once = np.flatnonzero(new & ((count == 1) | (count == 3)))
        twice = np.flatnonzero(new & across)
        # Of two corners at one place, 0 ends the edge from the left (side) or from above (end).
        # Those that make up one are left and below where the pixels lie in the nw and se.
        for at, side, end in (
            (once, 0, 0),
            (twice, 0, 1 if slot == 0 else 0),
            (twice, 1, 0 if slot == 0 else 1),
        ):
            places = (one[at].astype(np.int32) for one in (y + top, x))
            found.append((own[at], *places, *(np.full(len(at), k, bool) for k in (side, end))))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))
