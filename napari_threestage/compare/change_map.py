"""What became of an image from mask to mask, as a map to look at with its legend (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_threestage.compare.changes import (
    changed_to,
    disagreement,
    gained_lost,
    judged,
    transitions,
)
from napari_threestage.panels import CORRECTED, UNDECIDED, WORSENED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.compare.changes import Codes, Mask

BECAME, JUDGED = "became", "judged"  # what is shown of a change; or the index of a class
Color = tuple[int, int, int]
# In the order of `Judged` and of `Change`; gained and lost are told apart by the colour-blind.
JUDGED_LEGEND = [("corrected", CORRECTED), ("became wrong", WORSENED), ("undecided", UNDECIDED)]
CLASS_LEGEND = [("gained", (86, 180, 233)), ("lost", (230, 120, 0))]
DISAGREE_LEGEND = [
    ("2 different classes", (255, 186, 40)),
    ("3 different classes", (235, 100, 20)),
    ("more classes", (170, 0, 60)),
]


class Named(Protocol):
    """A class of the project."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def color(self) -> Color:
        """Red, green and blue, 0..255."""


@dataclass(frozen=True)
class Entry:
    """What a value of the map means, and its share of the compared pixels."""

    name: str
    color: Color
    share: float = 0.0


@dataclass(frozen=True)
class ClassChange:
    """Shares of the compared pixels that became, and ceased to be, of a class."""

    name: str
    color: Color
    gained: float
    lost: float


@dataclass(frozen=True)
class ChangeMap:
    """A map with its legend.

    Attributes
    ----------
    values
        0 where nothing changed; else the place in `legend`, from 1.
    changed
        Share of the compared pixels that changed.
    classes
        The classes of which pixels changed, most of them first.
    """

    values: Codes
    legend: tuple[Entry, ...]
    changed: float
    classes: tuple[ClassChange, ...] = ()


def change_map(
    before: Mask, after: Mask, truth: Mask, classes: Sequence[Named], what: str | int = BECAME
) -> ChangeMap:
    """Return what became of each pixel from one mask to another.

    Parameters
    ----------
    what
        ``became``: the class it has now; ``judged``: right or wrong by the ground truth; the index
        of a class: whether it was gained or lost.
    """
    planes = list(np.ndindex(before.shape[:-2]))  # one by one: stacks are large
    table = sum(transitions(before[at], after[at], len(classes)) for at in planes)
    assert isinstance(table, np.ndarray)
    values = np.empty(before.shape, np.uint8)
    for at in planes:
        values[at] = _codes(before[at], after[at], truth[at], what)
    compared = max(1, int(table.sum()))
    names = {BECAME: [(entry.name, entry.color) for entry in classes], JUDGED: JUDGED_LEGEND}
    return ChangeMap(
        values,
        _legend(values, names.get(str(what), CLASS_LEGEND), compared),
        float(table.sum() - np.trace(table)) / compared,
        _by_class(table, classes, compared),
    )


def _codes(before: Mask, after: Mask, truth: Mask, what: str | int) -> Codes:
    if what == BECAME:
        return changed_to(before, after)
    if what == JUDGED:
        return judged(before, after, truth)
    return gained_lost(before, after, int(what))


def disagreement_map(masks: Sequence[Mask]) -> ChangeMap:
    """Return where masks do not all name the same class."""
    values = np.empty(masks[0].shape, np.uint8)
    compared = 0
    for at in np.ndindex(masks[0].shape[:-2]):
        plane = [mask[at] for mask in masks]
        values[at] = np.minimum(disagreement(plane), len(DISAGREE_LEGEND))
        compared += int(np.count_nonzero(np.max(plane, axis=0)))
    legend = _legend(values, DISAGREE_LEGEND[: len(masks) - 1], compared)
    return ChangeMap(values, legend, float(np.count_nonzero(values)) / max(1, compared))


def _legend(values: Codes, names: Sequence[tuple[str, Color]], compared: int) -> tuple[Entry, ...]:
    counts = np.zeros(256, np.int64)
    for at in np.ndindex(values.shape[:-2]):
        counts += np.bincount(values[at].ravel(), minlength=256)
    return tuple(
        Entry(*name, float(count) / max(1, compared))
        for name, count in zip(names, counts[1:], strict=False)
    )


def _by_class(
    table: np.ndarray, classes: Sequence[Named], compared: int
) -> tuple[ClassChange, ...]:
    same = np.diag(table)
    gained, lost = (table.sum(0) - same) / compared, (table.sum(1) - same) / compared
    entries = [
        ClassChange(entry.name, entry.color, float(more), float(less))
        for entry, more, less in zip(classes, gained, lost, strict=True)
        if more or less
    ]
    return tuple(sorted(entries, key=lambda entry: entry.gained + entry.lost, reverse=True))
