"""How good the stages are, how they differ, and whether they know when they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage import result_figures
from napari_threestage.report.markup import (
    Html,
    class_name,
    element,
    folded,
    joined,
    number,
    paragraph,
    table,
)
from napari_threestage.report.overview import judging_group
from napari_threestage.report.plots import LOOK, NARROW, inline
from napari_threestage.report.wording import (
    NONE,
    bounds,
    count,
    counted,
    percent,
    points,
    small_percent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

MOST_CLASSES = 30  # of a figure, and of a table of classes by classes
STAYS, LEAVES = "0,114,178", "213,94,0"  # colours of the diagonal and of the rest
LEAST = 0.001  # that is written as a number
STRONGEST = 0.5  # of these colours: the figures on them have to be read


def scores(document: Document) -> Html:
    """Return the scores on each group of images, the most honest one first."""
    best = judging_group(dict(document))
    if best is None:
        return paragraph("No labels judge the masks.", class_="aside")
    others = [one for one in document["groups"] if one is not best]
    return joined(
        [
            _group(document, best),
            *(folded(f"On {one['text']}", _group(document, one)) for one in others),
        ]
    )


def _group(document: Document, group: Mapping[str, Any]) -> Html:
    name, last = group["name"], document["columns"][-1]
    plots = element("div", *_plots(document, name), class_="plots")
    return joined(
        [
            paragraph(f"On {group['text']}; {counted(group['pixels'], 'labelled pixel')}."),
            iou_table(document, group),
            plots,
            element("h3", f"What {last['title'].lower()} takes for what"),
            _matrix(document, group["scores"][last["key"]]["confusion"], "Label", "found as"),
            _kept(document, group),
        ]
    )


def _plots(document: Document, name: str) -> Iterator[Html]:
    if len(document["classes"]) <= MOST_CLASSES:
        figure = result_figures.new_figure(NARROW)
        result_figures.draw_iou(figure, document, name, LOOK)
        yield inline(figure, f"iou-{name}", "IoU of each class after each stage")
    figure = result_figures.new_figure(NARROW)
    result_figures.draw_reliability(figure, document, name, LOOK)
    yield inline(figure, f"calibration-{name}", "How often each stage is right by how sure it is")


def iou_table(document: Document, group: Mapping[str, Any]) -> Html:
    """Return mean IoU, IoU of each class and accuracy of each stage, and what the last gained."""
    columns, found = document["columns"], group["scores"]
    keys = [column["key"] for column in columns]
    whole = [one for one in group["differences"] if (one["from"], one["to"]) == (keys[0], keys[-1])]
    gain = whole[0] if whole else None
    rows = [
        (element("b", "Mean IoU"), *(found[key]["miou"] for key in keys), gain and gain["miou"]),
        *(
            (
                class_name(entry),
                *(found[key]["iou"].get(entry["name"]) for key in keys),
                gain and gain["iou"].get(entry["name"]),
            )
            for entry in document["classes"]
        ),
        ("Accuracy", *(found[key]["accuracy"] for key in keys), None),
    ]
    head = ["", *(column["title"] for column in columns)]
    head += [f"{columns[0]['title']} to {columns[-1]['title'].lower()}"] if gain else []
    cells = [
        (name, *map(_score, values), *([_gain(last)] if gain else []))
        for name, *values, last in rows
    ]
    note = "Brackets: 95 % intervals by a bootstrap over images; none with fewer than five images."
    return joined([table(head, cells), paragraph(note, class_="aside")])


def _score(interval: Mapping[str, Any] | None) -> Html:
    if interval is None:
        return number(NONE)
    return number(joined([percent(interval["value"]), _bounds(bounds(interval))]))


def _gain(interval: Mapping[str, Any] | None) -> Html:
    if interval is None:
        return number("")
    low, high = interval["low"], interval["high"]
    inner = "" if low is None or high is None else f"{points(low)} to {points(high)}"
    return number(joined([points(interval["value"]), _bounds(inner)]))


def _bounds(text: str) -> Html | None:
    return element("small", f"[{text}]") if text else None


def _matrix(document: Document, matrix: Sequence[Sequence[int]], rows: str, columns: str) -> Html:
    """Return counts of classes by classes as shares of their row."""
    classes = document["classes"]
    if len(classes) > MOST_CLASSES:
        return paragraph(
            f"A table of {len(classes)} by {len(classes)} classes is left out; "
            "threestage compare --json has it.",
            class_="aside",
        )
    names = [class_name(entry) for entry in classes]
    cells = [
        (name, *(_share(line, place, at) for at in range(len(line))), number(count(sum(line))))
        for place, (name, line) in enumerate(zip(names, matrix, strict=True))
    ]
    return table((f"{rows} ↓ {columns} →", *names, "pixels"), cells)


def _share(line: Sequence[int], row: int, column: int) -> Html:
    share = line[column] / sum(line) if sum(line) else 0.0
    colour = STAYS if row == column else LEAVES
    style = f"background:rgba({colour},{STRONGEST * share**0.5:.2f})"
    text = "" if not line[column] else percent(share) if share >= LEAST else f"<{percent(LEAST)}"
    return element("td", text, class_="n cell", style=style, title=counted(line[column], "pixel"))


def _kept(document: Document, group: Mapping[str, Any]) -> Html:
    """Return how many pixels are left and right when the unsure ones are dropped."""
    columns = document["columns"]
    thresholds = [one["threshold"] for one in group["scores"][columns[0]["key"]]["kept"]]
    rows = []
    for place, threshold in enumerate(thresholds):
        row: list[object] = [f"at least {threshold:g}"]
        for column in columns:
            one = group["scores"][column["key"]]["kept"][place]
            row += [number(percent(one["share"])), number(percent(one["accuracy"]))]
        rows.append(row)
    titles = [column["title"].lower() for column in columns]
    head = [text for title in titles for text in (f"kept, {title}", f"right, {title}")]
    errors = ", ".join(
        f"{percent(group['scores'][column['key']]['calibration']['ece'])} ({title})"
        for column, title in zip(columns, titles, strict=True)
    )
    return folded(
        "Pixels by confidence",
        paragraph(f"Expected calibration error: {errors}."),
        table(("Confidence", *head), rows),
    )


# --- between the stages ---------------------------------------------------------------------------


def agreement(document: Document) -> Html:
    """Return how much of all images changed from stage to stage, and which classes gained."""
    names = {column["key"]: column["title"] for column in document["columns"]}
    parts = [_fractions(document)]
    for one in document["agreement"]:
        title = f"{names[one['from']]} to {names[one['to']].lower()}"
        images = counted(one["images"], "image")
        summary = f"{title}: {percent(one['changed'])} of the pixels of {images} changed class"
        parts.append(
            folded(
                summary,
                _matrix(document, one["transitions"], names[one["from"]], names[one["to"]].lower()),
            )
        )
    return joined(parts)


def _fractions(document: Document) -> Html:
    columns, shares = document["columns"], document["fractions"]
    rows = [
        (
            class_name(entry),
            *(
                number(small_percent(shares[column["key"]].get(entry["name"], 0.0)))
                for column in columns
            ),
        )
        for entry in document["classes"]
    ]
    return table(("Share of all pixels", *(column["title"] for column in columns)), rows)
