"""The tables of a comparison: scores, confusion, calibration, changes, images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.compare.places import Place
from napari_threestage.results_rows import (
    NONE,
    Column,
    Table,
    gain_ends,
    gain_text,
    interval_ends,
    interval_text,
    middle_of,
    percent,
    small_percent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.results_rows import Color

    Document = Mapping[str, Any]  # of ``threestage compare``

MEAN, RIGHT = "Mean IoU", "Right pixels"
MOST_LETTERS = 12  # of a run's name above a column of numbers
GROUPS = {
    "validation": "Validation",
    "new": "Labelled since",
    "labelled": "Learned from",
    "unlabelled": "No labels",
}


def group_of(document: Document, name: str) -> Mapping[str, Any]:
    """Return a group of images by its name."""
    found: Mapping[str, Any] = next(one for one in document["groups"] if one["name"] == name)
    return found


def short_title(document: Document, column: Mapping[str, Any]) -> str:
    """Return a column's title in two narrow lines, of which the second may name the run."""
    if len({one["run"] for one in document["columns"]}) == 1:
        return f"Stage\n{column['stage']}"
    return f"Stage {column['stage']}\n{_shortened(column['run_name'])}"


def _shortened(name: str) -> str:
    half = (MOST_LETTERS - 1) // 2
    return name if len(name) <= MOST_LETTERS else f"{name[:half]}…{name[-half:]}"


def scores_table(document: Document, group: str) -> Table:
    """Return mean IoU, right pixels and IoU of each class, and what the last column gained."""
    found, columns = group_of(document, group), document["columns"]
    names = [entry["name"] for entry in document["classes"]]
    made = [
        Column(
            short_title(document, one),
            interval_text,
            interval_ends,
            middle_of,
            f"{one['title']}, %",
        )
        for one in columns
    ]
    ends = columns[0]["key"], columns[-1]["key"]
    gain = next((one for one in found["differences"] if (one["from"], one["to"]) == ends), None)
    lists = [
        [scores["miou"], scores["accuracy"], *(scores["iou"].get(name) for name in names)]
        for scores in (found["scores"][one["key"]] for one in columns)
    ]
    if gain is not None:
        tip = f"From {columns[0]['title']} to {columns[-1]['title']}, in points"
        made.append(Column("Gain", gain_text, gain_ends, middle_of, tip))
        lists.append([gain["miou"], None, *(gain["iou"].get(name) for name in names)])
    labels = [MEAN, RIGHT, *names]
    colours = [None, None, *_colours(document)]
    rows = [_row(at, label, values) for at, (label, *values) in _side_by_side(labels, lists)]
    return Table([_class_column(), *made], rows, colours, pinned=2)


def confusion_table(document: Document, group: str, key: str) -> Table:
    """Return how much of each class is found, how much of it is right, and what it is taken for."""
    matrix = group_of(document, group)["scores"][key]["confusion"]
    names = [entry["name"] for entry in document["classes"]]
    rows = []
    for at, name in enumerate(names):
        truth, found = sum(matrix[at]), sum(line[at] for line in matrix)
        shares = [matrix[at][at] / total if total else None for total in (truth, found)]
        rows.append(_row(at, name, [*shares, _mistaken(matrix[at], at, names)]))
    columns = [
        _class_column(),
        Column("Found", percent, tip="% of its labelled pixels that are found (recall)"),
        Column("Right", percent, tip="% of the pixels called so that are so (precision)"),
        Column("Mostly taken for", str, tip="What most of the others are called", left=True),
    ]
    return Table(columns, rows, _colours(document))


def _mistaken(counts: Sequence[int], own: int, names: Sequence[str]) -> str:
    others = [
        (count, name)
        for at, (count, name) in enumerate(zip(counts, names, strict=True))
        if at != own
    ]
    count, name = max(others, default=(0, ""), key=lambda one: one[0])
    return f"{name}, {small_percent(count / sum(counts))} %" if count else NONE


def calibration_table(document: Document, group: str) -> Table:
    """Return how much is right of the pixels that a stage is at least so sure of."""
    scores, columns = group_of(document, group)["scores"], document["columns"]
    lists = [scores[one["key"]]["kept"] for one in columns]
    thresholds = [one["threshold"] for one in lists[0]]
    made = [
        Column(
            short_title(document, one),
            lambda kept: percent(kept["accuracy"]),
            lambda kept: f"of {small_percent(kept['share'])}",
            lambda kept: kept["accuracy"],
            f"{one['title']}: % right, of so many % of the pixels",
        )
        for one in columns
    ]
    first = Column(
        "Sure of", lambda value: f"≥ {100 * value:g} %", tip="At least so sure", left=True
    )
    return Table([first, *made], list(zip(thresholds, *lists, strict=True)))


def changes_table(document: Document, pair: tuple[str, str]) -> Table:
    """Return the share of each class before and after, and what it gained and lost."""
    classes = agreement_of(document, pair)["classes"]
    words = {
        "before": "% of the pixels of all images, before",
        "after": "% of the pixels of all images, after",
        "gained": "% of the pixels: became this class",
        "lost": "% of the pixels: were this class",
    }
    columns = [Column(word.capitalize(), small_percent, tip=tip) for word, tip in words.items()]
    names = [entry["name"] for entry in document["classes"]]
    rows = [
        _row(at, name, [classes[name][word] for word in words]) for at, name in enumerate(names)
    ]
    return Table([_class_column(), *columns], rows, _colours(document))


def agreement_of(document: Document, pair: tuple[str, str]) -> Mapping[str, Any]:
    """Return what became of the pixels between two columns."""
    found: Mapping[str, Any] = next(
        one for one in document["agreement"] if (one["from"], one["to"]) == pair
    )
    return found


def fractions_table(document: Document) -> Table:
    """Return the share of all pixels that each stage gives to each class."""
    columns = document["columns"]
    made = [
        Column(short_title(document, one), small_percent, tip=f"{one['title']}, % of all pixels")
        for one in columns
    ]
    rows = [
        _row(
            at,
            entry["name"],
            [document["fractions"][one["key"]].get(entry["name"]) for one in columns],
        )
        for at, entry in enumerate(document["classes"])
    ]
    return Table([_class_column(), *made], rows, _colours(document))


def images_table(document: Document) -> Table:
    """Return the images as the document has them, the worst first."""
    first, last = document["columns"][0], document["columns"][-1]
    pair, images = f"{first['key']}>{last['key']}", document["images"]
    columns = [
        Column("Image", str, left=True, order=str.casefold),
        Column("mIoU", percent, tip=f"{last['title']}, %"),
        Column("Changed", percent, tip=f"% of the pixels, {first['title']} to {last['title']}"),
        Column("Why", str, tip="Why it is looked at first", left=True),
    ]
    rows = [
        (
            one["name"],
            one["miou"].get(last["key"]),
            one["changed"].get(pair),
            one["why"],
        )
        for one in images
    ]

    def target(at: int) -> tuple[str, Place | None]:
        place = images[at]["place"]
        return images[at]["id"], None if place is None else Place.from_dict(place)

    return Table(columns, rows, target=target, tip=lambda at: _tip(images[at], last["key"]))


def _tip(image: Mapping[str, Any], key: str) -> str:
    sure = image["confidence"].get(key)
    group = GROUPS.get(image["group"], image["group"])
    confidence = "" if sure is None else f" · {percent(sure)} % sure"
    return f"{image['name']}\n{group}{confidence}\n{image['why']}"


def _class_column() -> Column:
    return Column("Class", lambda pair: str(pair[1]), order=lambda pair: pair[0], left=True)


def _row(at: int, name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row whose first value knows its place, so that classes sort in their order."""
    return ((at, name), *values)


def _side_by_side(labels: Sequence[str], lists: Sequence[Sequence[Any]]) -> Any:
    return enumerate(zip(labels, *lists, strict=True))


def _colours(document: Document) -> list[Color]:
    return [(one["color"][0], one["color"][1], one["color"][2]) for one in document["classes"]]
