"""What the terminal shows: tables on stdout, progress on stderr, JSON alone when asked for."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def add_command(
    commands: Any, name: str, action: Any, summary: str, example: str, json_output: bool = True
) -> argparse.ArgumentParser:
    """Add a command with a help text, an example and ``--json``."""
    import argparse as arguments

    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=arguments.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(action=action)
    if json_output:
        parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def say(text: str) -> None:
    """Print a sentence; brackets in it are no markup."""
    out.print(text, markup=False)


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(content, sys.stdout, indent=1, allow_nan=False)
    print()


def forget_reader() -> None:
    """Point stdout at nothing after its reader has gone, so that Python's last flush succeeds."""
    with contextlib.suppress(OSError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def progress_bar(text: str, quiet: bool = False) -> Progress:
    """Return a bar on stderr that disappears when it is done."""
    return Progress(
        TextColumn(text),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )


def score_table(title: str, stages: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return mIoU, IoU by class and accuracy, one column a stage."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for stage in stages:
        table.add_column(f"stage {stage}", justify="right")
    scores = list(stages.values())
    table.add_row("[bold]mIoU", *(f"[bold]{percent(score['miou'])}" for score in scores))
    for name in scores[0]["iou"] if scores else []:
        table.add_row(f"  {escape(name)}", *(percent(score["iou"].get(name)) for score in scores))
    table.add_row("accuracy", *(percent(score["accuracy"]) for score in scores))
    return table


def percent(value: float | None) -> str:
    """Return 0.7136 as ``71.4``; a dash for a class that is not there."""
    return "–" if value is None else f"{100 * value:.1f}"


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Table:
    """Return a table of texts."""
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def where(place: Mapping[str, Any] | None) -> str:
    """Return the middle of a place, as JSON holds it: ``y, x``, after the plane of a stack."""
    if place is None:
        return ""
    middle = [sum(place[side]) // 2 for side in ("rows", "columns")]
    return ", ".join(map(str, [*place["plane"], *middle]))
