"""The pages of the view of results: what can be chosen, and a picture with its table for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_threestage import result_figures, results_rows, results_tables
from napari_threestage.result_figures import rows as numbers
from napari_threestage.results_rows import Column, Table
from napari_threestage.results_tables import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from napari_threestage.compare.sheets import Row
    from napari_threestage.result_figures.look import Look

    Document = Mapping[str, Any]  # of ``threestage compare``

PAGES = {
    "scores": ("Scores", "IoU of each class and stage"),
    "confusion": ("Confusion", "Which class is taken for which"),
    "calibration": ("Calibration", "Whether a stage is right as often as it is sure"),
    "changes": ("Changes", "What the later stages changed"),
    "images": ("Images", "The images, the worst first"),
}
JUDGED = ("scores", "confusion", "calibration")  # pages that need labels
FRACTIONS = "fractions"  # among the pairs of the page of changes
NO_LABELS = (
    "No image has labels and masks to compare, so nobody can say how good a stage is; "
    "Changes tells how far the stages agree. Paint some images, and Refresh."
)
NO_PAIR = "There is one stage alone, so nothing has changed."


@dataclass(frozen=True)
class Page:
    """One picture with its table.

    Attributes
    ----------
    name
        Begins the name of a file.
    note
        What the numbers are about, or why there are none.
    draw
        Draws the picture; None for a page without one.
    numbers
        What a file of them holds.
    """

    name: str
    note: str
    table: Table | None = None
    draw: Callable[[Figure, Look], None] | None = None
    numbers: Callable[[], Iterator[Row]] | None = None


@dataclass(frozen=True)
class Choice:
    """What a person chose on the pages; what the document lacks is replaced by what it has."""

    group: str = ""
    key: str = ""
    pair: str = ""


def make_page(document: Document, name: str, choice: Choice) -> Page:
    """Return a page by its name, one of `PAGES`."""
    if name in JUDGED and not document["groups"]:
        return Page(name, NO_LABELS)
    group, key = _known(groups(document), choice.group), _known(columns(document), choice.key)
    if name == "changes":
        return _changes(document, _known(pairs(document), choice.pair))
    makers = {
        "scores": lambda: _scores(document, group),
        "confusion": lambda: _confusion(document, group, key),
        "calibration": lambda: _calibration(document, group),
        "images": lambda: _images(document),
    }
    return makers[name]()


def _known(offered: Sequence[tuple[str, str]], wanted: str) -> str:
    """Return what is wanted if it is offered, else what is offered first."""
    keys = [key for key, _ in offered]
    return wanted if wanted in keys else next(iter(keys), "")


# --- what can be chosen: keys and texts, the best to begin with first ----------------------------


def groups(document: Document) -> list[tuple[str, str]]:
    """Return the groups of images that can be judged."""
    return [
        (one["name"], f"{GROUPS.get(one['name'], one['name'])} ({one['images']})")
        for one in document["groups"]
    ]


def columns(document: Document) -> list[tuple[str, str]]:
    """Return the columns, the last first."""
    return [(one["key"], one["title"]) for one in reversed(document["columns"])]


def pairs(document: Document) -> list[tuple[str, str]]:
    """Return what is compared with what, first and last first, and the shares of the classes."""
    titles = {one["key"]: one["title"] for one in document["columns"]}
    found = [
        (f"{one['from']}>{one['to']}", f"{titles[one['from']]} → {titles[one['to']]}")
        for one in document["agreement"]
    ]
    ends = f"{document['columns'][0]['key']}>{document['columns'][-1]['key']}"
    found.sort(key=lambda one: one[0] != ends)
    return [*found, (FRACTIONS, "How much of each class")]


# --- pages ----------------------------------------------------------------------------------------


def _scores(document: Document, group: str) -> Page:
    return Page(
        f"iou-{group}",
        _about(document, group, _intervals(document, group)),
        results_tables.scores_table(document, group),
        lambda figure, look: result_figures.draw_iou(figure, document, group, look),
        lambda: numbers.iou_rows(document, group),
    )


def _confusion(document: Document, group: str, key: str) -> Page:
    return Page(
        f"confusion-{group}-{key.replace('/', '-stage-')}",
        _about(document, group, "Each row in percent of its labelled pixels."),
        results_tables.confusion_table(document, group, key),
        lambda figure, look: result_figures.draw_confusion(figure, document, group, key, look),
        lambda: numbers.confusion_rows(document, group, key),
    )


def _calibration(document: Document, group: str) -> Page:
    return Page(
        f"calibration-{group}",
        _about(document, group, "The error is how far sureness and truth are apart."),
        results_tables.calibration_table(document, group),
        lambda figure, look: result_figures.draw_reliability(figure, document, group, look),
        lambda: numbers.reliability_rows(document, group),
    )


def _changes(document: Document, pair: str) -> Page:
    if pair == FRACTIONS:
        return Page(
            "classes",
            "Share of all pixels that each stage gives to each class, in percent.",
            results_tables.fractions_table(document),
            lambda figure, look: result_figures.draw_fractions(figure, document, look),
            lambda: numbers.fraction_rows(document),
        )
    first, _, last = pair.partition(">")
    ends = first, last
    found = results_tables.agreement_of(document, ends)
    changed = results_rows.small_percent(found["changed"])
    return Page(
        f"changes-{pair.replace('/', '-stage-').replace('>', '-to-')}",
        f"{changed} % of the pixels of {_images_text(found['images'])} changed their class. "
        "Each row in percent of its class before.",
        results_tables.changes_table(document, ends),
        lambda figure, look: result_figures.draw_transitions(figure, document, ends, look),
        lambda: numbers.transition_rows(document, ends),
    )


def _images(document: Document) -> Page:
    left_out = document.get("left_out", [])
    note = "Click an image to see its worst place." if document["images"] else "No image."
    if left_out:
        note += f" Left out: {_images_text(len(left_out))}. {left_out[0]['reason']}"
    table = results_tables.images_table(document)
    return Page("images", note, table, None, lambda: numbers.image_rows(document))


def _about(document: Document, group: str, more: str) -> str:
    text = str(results_tables.group_of(document, group)["text"]).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}. {more}"


def _intervals(document: Document, group: str) -> str:
    found = results_tables.group_of(document, group)["scores"].values()
    known = any(one["miou"] is not None and one["miou"]["low"] is not None for one in found)
    few = "In percent; too few images for intervals."
    return "In percent, with 95\u00a0% intervals." if known else few


def _images_text(count: int) -> str:
    return f"{count:,} image" + ("" if count == 1 else "s")


# --- the label budget -----------------------------------------------------------------------------


def budget_page(document: Mapping[str, Any]) -> Page:
    """Return the page on what more labels bring, of a document of ``threestage budget``."""
    on = document["on"]
    where = f" On {on['text'].rstrip('.')}." if on is not None else ""
    note = f"{document['sentence']}{where}"
    if not document["points"]:
        return Page("labels", note)
    made = [
        Column("Run", str, left=True),
        Column("Images", lambda count: f"{count:,}", tip="Labelled images"),
        Column("Pixels", lambda count: f"{count:,}", tip="Labelled pixels"),
        Column(
            "mIoU",
            results_rows.interval_text,
            results_rows.interval_ends,
            results_rows.middle_of,
            "%",
        ),
    ]
    rows = [
        (one["name"] or one["run"], one["labelled_images"], one["labelled_pixels"], one["miou"])
        for one in document["points"]
    ]

    def draw(figure: Figure, look: Look) -> None:
        result_figures.draw_budget(figure, document, look)

    several = len(rows) > 1  # of one run there is nothing to see
    table = Table(made, rows)
    return Page(
        "labels", note, table, draw if several else None, lambda: numbers.budget_rows(document)
    )
