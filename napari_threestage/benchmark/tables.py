"""Summaries as tables: on the terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from napari_threestage.benchmark.methods import FULL, METHODS
from napari_threestage.benchmark.statistics import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NOTHING = "–"


def rich_tables(summary: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a table for each data set, labelled amount and kind of labels."""
    tables = []
    for title, columns, lines, notes in _tables(summary):
        table = Table(title=escape(title), title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(escape(column), justify="right" if number else "left")
        for line in lines:
            table.add_row(*map(escape, line))
        table.caption, table.caption_justify = escape("\n".join(notes)), "left"
        tables.append(table)
    return tables


def markdown(summary: Sequence[Mapping[str, Any]], head: str = "") -> str:
    """Return the same as Markdown, below a line, and with the source of each method at the end."""
    parts = [head]
    for title, columns, lines, notes in _tables(summary):
        top = [_markdown_line(columns), "|".join(["---", *["---:"] * (len(columns) - 1)])]
        body = list(map(_markdown_line, lines))
        parts.append(f"## {title}\n\n" + "\n".join(f"|{line}|" for line in top + body))
        parts += notes
    parts.append(_sources(summary))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    return "|".join(cell.replace("|", "\\|") for cell in cells)


def recipes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the presets and changed settings that rows were asked for with, each once."""
    found = dict.fromkeys(
        ", ".join(
            [
                f"preset {row['benchmark']['preset']}",
                *(f"{name}={value}" for name, value in row["benchmark"]["changes"].items()),
            ]
        )
        for row in rows
        if "benchmark" in row
    )
    return list(found)


def _tables(
    summary: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
    """Yield title, columns, lines, and notes to stand below."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in summary:
        groups.setdefault((entry["data"], entry["labelled"], entry["labels"]), []).append(entry)
    for (data, labelled, labels), entries in groups.items():
        stages = sorted({stage for entry in entries for stage in entry["stages"]})
        columns = ["method", *(f"stage {stage}" for stage in stages)]
        columns += ["gap closed, %", f"over {entries[0]['against']}", "seconds", "images/s"]
        lines = [_line(one, stages) for one in entries]
        yield _title(data, labelled, labels), columns, lines, list(_notes(entries))
        for pattern in dict.fromkeys(pattern for one in entries for pattern in one["kinds"]):
            title = f"{_title(data, labelled, labels)}, last stage, by kind of image ({pattern})"
            yield title, *_by_kind(entries, pattern), []
    yield from _together(summary)


def _together(
    summary: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
    """Yield a table of differences over all data sets for each amount and kind of labels."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for entry in together(summary):
        groups.setdefault((entry["labelled"], entry["labels"]), []).append(entry)
    for (labelled, labels), entries in groups.items():
        gains = sorted({stage for entry in entries for stage in entry["gains"]})
        columns = ["method", *(f"stage {stage} over {int(stage) - 1}" for stage in gains)]
        columns.append(f"over {entries[0]['against']}")
        lines = [_differences(one, gains) for one in entries]
        title = f"All data sets, {_labels(labelled, labels)}: points of mIoU, pairs ahead"
        yield title, columns, lines, list(_together_notes(entries))


def _together_notes(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "Each data set weighs the same. Intervals are for other seeds on these data sets."
    sets = {entry["method"]: _data_sets(entry) for entry in entries}
    everything = list(dict.fromkeys(data for some in sets.values() for data in some))
    for method, some in sets.items():
        if len(some) < len(everything):
            yield f"{method}: {' and '.join(some)} alone."


def _data_sets(entry: Mapping[str, Any]) -> list[str]:
    """Return the data sets on which a method is compared."""
    compared = [one for one in (entry["over"], *entry["gains"].values()) if one is not None]
    pairs = [pair for one in compared for pair in one["each"]]
    return list(dict.fromkeys(pair.rpartition(" ")[0] for pair in pairs))


def _differences(entry: Mapping[str, Any], gains: Sequence[str]) -> list[str]:
    found = [*(entry["gains"].get(stage) for stage in gains), entry["over"]]
    return [entry["method"], *map(_ahead, found)]


def _ahead(found: Mapping[str, Any] | None) -> str:
    """Return ``+1.6 [-0.3, +3.5], 7 of 9``."""
    if found is None:
        return NOTHING
    pairs = found["each"].values()
    return f"{_interval(found)}, {sum(value > 0 for value in pairs)} of {len(pairs)}"


def _by_kind(
    entries: Sequence[Mapping[str, Any]], pattern: str
) -> tuple[list[str], list[list[str]]]:
    """Return columns and lines of the methods whose rows know the kinds of a pattern."""
    scored = [(one["method"], one["kinds"][pattern]) for one in entries if pattern in one["kinds"]]
    kinds = sorted({kind for _, found in scored for kind in found})
    lines = [[name, *(_spread(found.get(kind)) for kind in kinds)] for name, found in scored]
    return ["method", *kinds], lines


def _notes(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    against = entries[0]["against"]
    apart = [one["method"] for one in entries if not one["on_terms"]]
    if apart:
        yield (
            f"No share or difference is given for {', '.join(apart)} where {against} or {FULL} "
            "have another network, crop or number of steps."
        )
    if all(one["method"] != against for one in entries):
        yield f"There are no rows of {against} to compare with."
    for one in entries:
        if one["mixed"]:
            yield f"The rows of {one['method']} are of different recipes: {one['mixed']}."


def _title(data: str, labelled: float | None, labels: str) -> str:
    return f"{data}, {_labels(labelled, labels)}: mIoU in %, mean ± sd (each seed)"


def _labels(labelled: float | None, labels: str) -> str:
    amount = "all images" if labelled is None else f"{labelled:g} images"
    if labelled is not None and labelled < 1:
        amount = f"{100 * labelled:g} % of the images"
    return f"{amount} with {'masks' if labels == 'dense' else 'scribbles'}"


def _line(entry: Mapping[str, Any], stages: Sequence[str]) -> list[str]:
    return [
        entry["method"],
        *(_spread(entry["stages"].get(stage)) for stage in stages),
        _spread(entry["gap_closed"], digits=0),
        _interval(entry["over"]),
        _mean(entry["training_seconds"], ".0f"),
        _mean(entry["images_per_second"], ".1f"),
    ]


def _spread(found: Mapping[str, Any] | None, digits: int = 1) -> str:
    """Return ``79.0 ± 0.9 (79.8 79.1 78.0)``."""
    if found is None:
        return NOTHING
    text = f"{100 * found['mean']:.{digits}f}"
    if found["sd"] is None:
        return text
    each = " ".join(f"{100 * value:.{digits}f}" for value in found["each"].values())
    return f"{text} ± {100 * found['sd']:.{digits}f} ({each})"


def _interval(found: Mapping[str, Any] | None) -> str:
    """Return ``+1.6 [-0.3, +3.5]``."""
    if found is None:
        return NOTHING
    text = f"{100 * found['mean']:+.1f}"
    if found["low"] is None:
        return text
    return f"{text} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"


def _mean(found: Mapping[str, Any] | None, form: str) -> str:
    return NOTHING if found is None else format(found["mean"], form)


def _sources(summary: Sequence[Mapping[str, Any]]) -> str:
    known = [METHODS[one] for one in dict.fromkeys(e["method"] for e in summary) if one in METHODS]
    lines = [
        f"- {one.name}: {one.title}" + (f" ({one.source})" * bool(one.source)) for one in known
    ]
    return "\n".join(lines)
