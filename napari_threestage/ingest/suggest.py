"""What the values in mask files mean under some options, and the options that would fit better."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.mask_options import ColourValues, MaskValues
from napari_threestage.ingest.masks import class_table, count_values, holds_colours

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from napari_threestage.project_file import LabelClass

MOST_VALUES = 50  # listed; more come from objects that are numbered, or from smoothing
MOST_CLASSES = 20  # for which a mapping is worth proposing
MOST_SAID = 8  # values in a sentence
UNLABELLED = (255, 254, 65535)  # what others write for not labelled


@dataclass
class Census:
    """How many pixels have which value, and which colour (0xRRGGBB), in some masks."""

    values: Counter[int] = field(default_factory=Counter)
    colours: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, raw: np.ndarray, by_colour: bool) -> Census:
        """Count one mask; empty if it holds neither whole numbers nor colours."""
        if not holds_colours(raw):
            try:
                return cls(colours=Counter(count_values(raw, True))) if by_colour else _values(raw)
            except ImageFileError:
                pass  # one value per pixel where colours are wanted
            return _values(raw)
        return cls(colours=Counter(count_values(raw, True)))

    def add(self, other: Census) -> None:
        """Count the pixels of other masks as well."""
        self.values += other.values
        self.colours += other.colours


def _values(raw: np.ndarray) -> Census:
    try:
        return Census(values=Counter(count_values(raw, False)))
    except ImageFileError:
        return Census()


@dataclass(frozen=True)
class ValueMeaning:
    """A value in the masks.

    Attributes
    ----------
    value
        A number, or a colour as ``#rrggbb``.
    share
        Of the pixels of all masks.
    label
        Index of the class from 1, 0 for not labelled, None for no class.
    meaning
        Name of the class, ``not labelled``, or ``no class: …`` with the reason.
    """

    value: int | str
    share: float
    label: int | None
    meaning: str


@dataclass(frozen=True)
class Suggestion:
    """Options that fit the masks better, and a sentence that says what would change."""

    mask_values: MaskValues
    unlabelled_value: int | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the suggestion as JSON holds it."""
        return {
            "mask_values": mapping_to_json(self.mask_values),
            "unlabelled_value": self.unlabelled_value,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class MaskReading:
    """How masks are read: the options, and the classes of the project."""

    values: MaskValues
    unlabelled_value: int | None
    classes: Sequence[LabelClass]

    @property
    def by_colour(self) -> bool:
        """Whether masks hold colours and not values."""
        return self.values == "rgb" or isinstance(self.values, ColourValues)

    def table(self) -> dict[int, int]:
        """Return the class of each value or colour."""
        colours = [entry.color for entry in self.classes]
        return class_table(len(self.classes), self.values, self.unlabelled_value, colours)

    def fits(self, present: Iterable[int]) -> bool:
        """Whether all values have a meaning."""
        return self.table().keys() >= set(present)

    def changed(self, values: MaskValues, unlabelled_value: int | None) -> MaskReading:
        """Return the reading with other options."""
        return MaskReading(values, unlabelled_value, self.classes)


def explain(census: Census, reading: MaskReading) -> list[ValueMeaning]:
    """Say what the values mean; of very many only the most frequent."""
    total = census.values.total() + census.colours.total()
    table = reading.table()
    found = []
    for counts, colours in ((census.values, False), (census.colours, True)):
        for value, count in counts.most_common(MOST_VALUES):
            label = table.get(value) if colours == reading.by_colour else None
            shown = f"#{value:06x}" if colours else value
            meaning = _name(label, reading) or f"no class: {_reason(reading, colours)}"
            found.append(ValueMeaning(shown, count / total, label, meaning))
    return sorted(found, key=lambda one: (isinstance(one.value, str), one.value))


def suggest(census: Census, reading: MaskReading) -> Suggestion | None:
    """Return options that fit the masks, if the present ones do not or may well be meant otherwise.

    Masks that hold only 0 and 255 are such a case: 255 is as often a class as not labelled.
    """
    if bool(census.values) == bool(census.colours):
        return None  # none, or both kinds
    colours = bool(census.colours)
    present = sorted(census.colours if colours else census.values)
    fits = colours == reading.by_colour and reading.fits(present)
    binary = present == [0, 255] and not colours and isinstance(reading.values, str)
    if fits and not binary:
        return None
    better = _better_colours(present, reading) if colours else _better(present, reading)
    if better is None:
        return None
    return Suggestion(
        better.values, better.unlabelled_value, _compare(present, colours, reading, better)
    )


def mapping_to_json(values: MaskValues) -> str | dict[str, int]:
    """Return mask values as JSON holds them and ``--mask-values`` takes them."""
    if not isinstance(values, Mapping):
        return values
    colours = isinstance(values, ColourValues)
    return {f"#{key:06x}" if colours else str(key): label for key, label in values.items()}


def _better(present: list[int], reading: MaskReading) -> MaskReading | None:
    if present == [0, 255]:
        return reading.changed({0: 1, 255: 2}, None)
    for unlabelled in (reading.unlabelled_value, *UNLABELLED):
        for word in ("index", "one-based"):
            other = reading.changed(word, unlabelled)
            if other.fits(present):
                return other
    return _listed(present, reading)


def _listed(present: list[int], reading: MaskReading) -> MaskReading | None:
    """Return a mapping from the values to the classes where there are as many of both."""
    n_classes = len(reading.classes)
    unlabelled = reading.unlabelled_value
    others = [value for value in present if value != unlabelled]
    if n_classes > MOST_CLASSES:
        return None
    for values, first in ((others, 1), (present, 1), (others, 0)):
        if len(values) == n_classes + 1 - first and (first or values[0] == 0):
            labels = {value: label for label, value in enumerate(values, start=first)}
            return reading.changed(labels, unlabelled if values is others else None)
    return None


def _better_colours(present: list[int], reading: MaskReading) -> MaskReading | None:
    by_class = reading.changed("rgb", reading.unlabelled_value)
    try:
        if by_class.fits(present):
            return by_class
    except ImageFileError:
        pass  # two classes have the same colour
    listed = _listed(present, reading.changed("index", None))
    if listed is None or not isinstance(listed.values, Mapping):
        return None
    return reading.changed(ColourValues(listed.values), reading.unlabelled_value)


def _name(label: int | None, reading: MaskReading) -> str:
    if label is None:
        return ""
    return reading.classes[label - 1].name if label else "not labelled"


def _reason(reading: MaskReading, colours: bool) -> str:
    if colours != reading.by_colour:
        return "a colour, not a value" if colours else "a value, not a colour"
    if isinstance(reading.values, Mapping):
        return "the mask values do not list it"
    if colours:
        return "no class has this colour"
    count = len(reading.classes)
    return f"the {count} classes have {'1' if reading.values == 'one-based' else '0'} to " + str(
        count if reading.values == "one-based" else count - 1
    )


def _compare(present: list[int], colours: bool, reading: MaskReading, better: MaskReading) -> str:
    values = better.values
    option = values if isinstance(values, str) else json.dumps(mapping_to_json(values))
    unlabelled = "none" if better.unlabelled_value is None else better.unlabelled_value
    changed = f"--mask-values '{option}'"
    if better.unlabelled_value != reading.unlabelled_value:
        changed += f" --unlabelled-value {unlabelled}"
    now = reading if colours == reading.by_colour else None
    return f"Now {_say(present, colours, now)}. With {changed}, {_say(present, colours, better)}."


def _say(present: list[int], colours: bool, reading: MaskReading | None) -> str:
    """Say what values mean: ``0 is background, 255 is not labelled``."""
    table = reading.table() if reading else {}
    parts = []
    for value in present[:MOST_SAID]:
        name = _name(table.get(value), reading) if reading else ""
        shown = f"#{value:06x}" if colours else str(value)
        parts.append(f"{shown} is {name or 'no class'}")
    return ", ".join(parts) + (", …" if len(present) > MOST_SAID else "")
