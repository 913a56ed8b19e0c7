"""``compare``: stages and runs beside each other, and whether the later ones help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from napari_threestage.cli.masks import refuse_data_folders
from napari_threestage.cli.output import (
    add_command,
    out,
    percent,
    plain_table,
    print_json,
    say,
    where,
)
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.compare.document import (
    Column,
    build_document,
    columns_of_run,
    columns_of_runs,
)
from napari_threestage.compare.sheets import write_sheets
from napari_threestage.errors import ConfigError
from napari_threestage.project import Project

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    Found = Mapping[str, Any]

MOST_IMAGES = 10
NAME_WIDTH = 20  # longer names of classes are broken


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "compare",
        compare,
        "compare stages or runs, and say whether the later ones help",
        "threestage compare my_project --stages 1,3",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--runs", help="compare these runs, e.g. A,B: the last stage of each")
    parser.add_argument("--stages", help="e.g. 1,3; all that are finished if not given")
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help="write the numbers as CSV files")
    add_progress(parser)


def compare(options: argparse.Namespace) -> None:
    """Compare, and print what was found."""
    project = Project(options.project)
    columns = _columns(project, options)
    if options.csv is not None:
        refuse_data_folders(project, options.csv)
    with showing("comparing", options) as show:
        document = build_document(project, columns, show)
    files = write_sheets(document, options.csv) if options.csv is not None else []
    if options.json:
        print_json(document)
        return
    print_comparison(document)
    if files:
        say(f"\nAll numbers: {', '.join(map(str, files))}")


def _columns(project: Project, options: argparse.Namespace) -> list[Column]:
    stages = None if options.stages is None else parse_stage_list(options.stages)
    if options.runs is None:
        return columns_of_run(project, options.run, stages)
    if options.run is not None:
        raise ConfigError("--run and --runs exclude each other.", "Name all runs with --runs.")
    names = [name.strip() for name in options.runs.split(",") if name.strip()]
    return columns_of_runs(project, names, stages)


def parse_stage_list(text: str) -> list[int]:
    """Read stages as people list them, e.g. ``1,3``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"'{text}' names no stages.", "Write for example --stages 1,3.") from None


def print_comparison(document: Found) -> None:
    """Print a comparison: what it comes to, then the numbers."""
    verdict = document["verdict"]
    say(verdict["sentence"])
    for alarm in document["alarms"]:
        say(f"\nWarning: {alarm['sentence']}\n{alarm['hint']}")
    for group in document["groups"]:
        say("")
        out.print(_score_table(document, group))
    if document["agreement"]:
        say("")
        out.print(_agreement_table(document))
    say("")
    out.print(_image_table(document))
    for one in document["left_out"]:
        say(f"Left out: {one['image']}: {one['reason']}")
    for hint in verdict["hints"]:
        say(f"\n{hint}")


def _score_table(document: Found, group: Found) -> Table:
    """Return the scores of a group of images, with intervals, and what the last one gained."""
    columns = document["columns"]
    ends = columns[0]["key"], columns[-1]["key"]
    gain = next((g for g in group["differences"] if (g["from"], g["to"]) == ends), None)
    titles = [*_titles(document), *([_pair(document, gain)] if gain else [])]
    table = _table(f"Scores in % [95 %] on {group['text']}", titles, document)
    scores = [group["scores"][column["key"]] for column in columns]
    gained = [_interval(gain["miou"], "{:+.1f}")] if gain else []
    table.add_row("[bold]mIoU", *(_interval(one["miou"]) for one in scores), *gained)
    for name in scores[0]["iou"]:
        gained = [_interval(gain["iou"][name], "{:+.1f}")] if gain else []
        cells = (_interval(one["iou"][name]) for one in scores)
        table.add_row(f"  {escape(name)}", *cells, *gained)
    table.add_row("accuracy", *(_interval(one["accuracy"]) for one in scores))
    table.add_row("calibration error", *(percent(one["calibration"]["ece"]) for one in scores))
    return table


def _agreement_table(document: Found) -> Table:
    """Return the share of each class in each column, and what changed between them."""
    pairs, titles = document["agreement"], _titles(document)
    table = _table(
        f"Share of all pixels of {pairs[0]['images']} images in %, and what was gained and lost",
        [*titles, *(_pair(document, one) for one in pairs)],
        document,
    )
    for entry in document["classes"]:
        name = entry["name"]
        shares = (_share(fractions[name]) for fractions in document["fractions"].values())
        moves = (one["classes"][name] for one in pairs)
        cells = (f"+{_share(one['gained'])} -{_share(one['lost'])}" for one in moves)
        table.add_row(escape(name), *shares, *cells)
    changed = (_share(one["changed"]) for one in pairs)
    table.add_row("[bold]changed", *("" for _ in titles), *changed)
    return table


def _image_table(document: Found) -> Table:
    """Return the images to look at first."""
    last = document["columns"][-1]["key"]
    rows = [
        [one["name"], one["group"], percent(one["miou"][last]), where(one["place"]), one["why"]]
        for one in document["images"][:MOST_IMAGES]
    ]
    return plain_table(["image", "group", "mIoU", "at y, x", "why"], rows, "Images to look at")


def _titles(document: Found) -> list[str]:
    """Return the titles of the columns, with a number where they are long."""
    columns = document["columns"]
    if len({column["run"] for column in columns}) == 1:
        return [column["title"] for column in columns]
    return [f"({place}) {column['title']}" for place, column in enumerate(columns, 1)]


def _pair(document: Found, pair: Found) -> str:
    """Return what is compared with what, as short as the titles allow."""
    columns = document["columns"]
    if len({column["run"] for column in columns}) == 1:
        return f"{pair['from']} to {pair['to']}"
    places = {column["key"]: place for place, column in enumerate(columns, 1)}
    return f"({places[pair['from']]}) to ({places[pair['to']]})"


def _table(title: str, columns: Sequence[str], document: Found) -> Table:
    """Return a table of numbers, with a row for each class among others."""
    longest = 2 + max(len(entry["name"]) for entry in document["classes"])
    table = Table(title=escape(title), title_justify="left")
    table.add_column("", min_width=min(NAME_WIDTH, longest), overflow="fold")
    for column in columns:
        table.add_column(escape(column), justify="right", overflow="fold")
    return table


def _interval(found: Found | None, form: str = "{:.1f}") -> str:
    """Return e.g. ``80.1 [76.2…84.0]``."""
    if found is None:
        return "–"
    value = form.format(100 * found["value"])
    if found["low"] is None:
        return value
    low, high = (form.format(100 * found[end]) for end in ("low", "high"))
    return escape(f"{value} [{low}…{high}]")


def _share(value: float) -> str:
    """Return a share that may be small in percent."""
    return f"{100 * value:.1f}" if value >= 0.001 or value == 0 else f"{100 * value:.1g}"
