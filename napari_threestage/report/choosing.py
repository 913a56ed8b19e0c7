"""Which images a report shows: worst, best and most changed, the same ones each time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JUDGES = ("validation", "new", "labelled")
WORST, BEST, CHANGED = "Worst", "Best", "Changed most"


@dataclass(frozen=True)
class Chosen:
    """An image of a comparison, and what it is an example of."""

    entry: Mapping[str, Any]
    why: str


def choose_images(document: Mapping[str, Any], most: int) -> list[Chosen]:
    """Return examples in turn: worst, best, most changed, next worst and so on.

    Scores count on images that the run never learned from, where there are any.

    Parameters
    ----------
    document
        Of ``threestage compare``, about one run.
    """
    images, keys = document["images"], [one["key"] for one in document["columns"]]
    last, pair = keys[-1], f"{keys[0]}>{keys[-1]}"
    judged = _judged(images, last)
    worst = sorted(judged, key=lambda one: (one["miou"][last], one["id"]))
    best = sorted(judged, key=lambda one: (-one["miou"][last], one["id"]))
    moved = [one for one in images if one["changed"].get(pair)]
    changed = sorted(moved, key=lambda one: (-one["changed"][pair], one["id"]))
    rows = zip_longest(_named(WORST, worst), _named(BEST, best), _named(CHANGED, changed))
    turns = [one for one in chain.from_iterable(rows) if one is not None]
    chosen = {one.entry["id"]: one for one in reversed(turns)}  # of each image the first turn
    ordered = sorted(chosen.values(), key=turns.index)
    return ordered[:most] or [Chosen(one, "") for one in images[:most]]


def _judged(images: Sequence[Mapping[str, Any]], last: str) -> list[Mapping[str, Any]]:
    """Return the images with a score, of the group that can be believed most."""
    for group in JUDGES:
        found = [one for one in images if one["group"] == group and one["miou"][last] is not None]
        if found:
            return found
    return []


def _named(why: str, entries: Sequence[Mapping[str, Any]]) -> list[Chosen]:
    return [Chosen(one, why) for one in entries]
