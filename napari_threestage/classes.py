"""The classes of a project through all their changes, without touching a label.

Label sets hold ids of classes.  A `ClassTable` says what each id means now, so that adding,
renaming, reordering, merging and deleting classes changes the table alone, and the table of before
undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.errors import ProjectError
from napari_threestage.palette import new_color
from napari_threestage.project_file import HIGHEST_ID, MOST_CLASSES, LabelClass, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_threestage.palette import Color

_DELETED_COLOR = (0, 0, 0)


def renumbered(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return ``table[labels]``, or `labels` where the table changes nothing: the rest is slow."""
    return labels if np.array_equal(table, np.arange(len(table))) else table[labels]


@dataclass(frozen=True)
class ClassTable:
    """The classes in order, and what became of the former ones.

    Every change returns a new table and leaves this one as it is; all raise `ProjectError` for a
    change that makes no sense.

    Attributes
    ----------
    classes
        The classes; the first has index 1.
    merged
        Id of each former class to that of the class it was merged into, 0 if it was deleted.
    next_id
        Id of the next new class.
    """

    classes: tuple[LabelClass, ...]
    merged: Mapping[int, int]
    next_id: int

    @property
    def ids(self) -> np.ndarray:
        """Ids by index (C + 1,): 0 for not labelled, then those of the classes."""
        ids = [0, *(entry.id for entry in self.classes)]
        return np.array(ids, np.min_scalar_type(max(ids)))

    def add(self, name: str, color: Color | None = None) -> ClassTable:
        """Add a class at the end, in a colour that no other has where none is given."""
        name = self._checked_name(name)
        if len(self.classes) >= MOST_CLASSES:
            raise ProjectError(f"A project can have {MOST_CLASSES} classes at most.")
        if self.next_id > HIGHEST_ID:
            raise ProjectError(f"This project has used up its {HIGHEST_ID} ids of classes.")
        color = color or new_color(entry.color for entry in self.classes)
        added = LabelClass(id=self.next_id, name=name, color=color)
        return replace(self, classes=(*self.classes, added), next_id=self.next_id + 1)

    def rename(self, class_id: int, name: str) -> ClassTable:
        """Give a class another name."""
        return self._changed(class_id, name=self._checked_name(name, class_id))

    def recolour(self, class_id: int, color: Color) -> ClassTable:
        """Give a class another colour: red, green, blue, each 0..255."""
        if len(color) != 3 or not all(0 <= part <= 255 for part in color):
            raise ProjectError(
                f"{color} is no colour.", "Give red, green and blue from 0 to 255 each."
            )
        return self._changed(class_id, color=tuple(int(part) for part in color))

    def move(self, class_id: int, place: int) -> ClassTable:
        """Put a class at another place of the order, from 0; beyond an end means that end."""
        moved = self.get(class_id)
        others = [entry for entry in self.classes if entry.id != class_id]
        others.insert(max(0, place), moved)
        return replace(self, classes=tuple(others))

    def merge(self, class_id: int, into: int) -> ClassTable:
        """Let one class become part of another; its pixels then mean the other."""
        if class_id == into:
            raise ProjectError(
                f"Class '{self.get(into).name}' cannot be merged into itself.",
                "Choose another class.",
            )
        self.get(into)
        return self._without(class_id, into)

    def remove(self, class_id: int) -> ClassTable:
        """Delete a class; its pixels then count as not labelled."""
        return self._without(class_id, 0)

    def get(self, class_id: int) -> LabelClass:
        """Return the class of an id."""
        for entry in self.classes:
            if entry.id == class_id:
                return entry
        raise ProjectError(
            f"There is no class with the id {class_id}.", "It was merged or deleted meanwhile."
        )

    def resolve(self, class_id: int) -> int:
        """Return the id of the class that an id means now; 0 if it means not labelled."""
        present = {entry.id for entry in self.classes}
        seen: set[int] = set()
        while class_id not in present and class_id not in seen:
            seen.add(class_id)
            class_id = self.merged.get(class_id, 0)
        return class_id if class_id in present else 0

    def indices(self, ids: np.ndarray) -> np.ndarray:
        """Return the indices (uint8) of ids as label sets hold them; unknown ones become 0."""
        top = int(ids.max(initial=0))
        lookup = self._lookup(top + 1)
        if top < 256 and np.array_equal(lookup, np.arange(top + 1)):
            return ids.astype(np.uint8, copy=False)
        indices: np.ndarray = lookup[ids]
        return indices

    def named(self, ids: Iterable[int]) -> list[LabelClass]:
        """Return the classes, and behind them a name and colour for each further id.

        A merged id has those of what it means now.
        """
        further = sorted({int(one) for one in ids} - {0} - {entry.id for entry in self.classes})
        entries = list(self.classes)
        for one in further:
            meaning = self.resolve(one)
            name = self.get(meaning).name if meaning else f"deleted class {one}"
            color = self.get(meaning).color if meaning else _DELETED_COLOR
            entries.append(LabelClass(id=one, name=name, color=color))
        return entries

    def _lookup(self, size: int) -> np.ndarray:
        """Return the index of each id below `size`."""
        places = {entry.id: index for index, entry in enumerate(self.classes, start=1)}
        lookup = np.zeros(size, np.uint8)
        for one in {*places, *self.merged}:
            if one < size:
                lookup[one] = places.get(self.resolve(one), 0)
        return lookup

    def _checked_name(self, name: str, class_id: int = 0) -> str:
        name = name.strip()
        if not name:
            raise ProjectError("A class needs a name.", "Type one.")
        for entry in self.classes:
            if entry.id != class_id and plain_name(entry.name) == plain_name(name):
                raise ProjectError(
                    f"There is a class '{entry.name}' already.",
                    "Give each class a name of its own.",
                )
        return name

    def _changed(self, class_id: int, **update: object) -> ClassTable:
        changed = self.get(class_id).model_copy(update=update)
        return replace(
            self,
            classes=tuple(changed if entry.id == class_id else entry for entry in self.classes),
        )

    def _without(self, class_id: int, meaning: int) -> ClassTable:
        gone = self.get(class_id)
        if len(self.classes) <= 2:
            raise ProjectError(
                f"Class '{gone.name}' has to stay: a project needs at least two classes.",
                "Add another class first.",
            )
        return replace(
            self,
            classes=tuple(entry for entry in self.classes if entry.id != class_id),
            merged={**self.merged, class_id: meaning},
        )
