"""``budget``: what more labels brought, and may bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import (
    add_command,
    out,
    percent,
    plain_table,
    print_json,
    progress_bar,
    say,
)
from napari_threestage.label_budget import budget_document
from napari_threestage.project import Project

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "budget",
        budget,
        "tell what more labels brought from run to run, and what twice as many may bring",
        "threestage budget my_project",
    )
    parser.add_argument("project", type=Path)


def budget(options: argparse.Namespace) -> None:
    """Print the runs by their labels, and what follows."""
    project = Project(options.project)
    with progress_bar("scoring the runs", options.json) as bar:
        task = bar.add_task("scoring", total=None)
        document = budget_document(
            project, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if options.json:
        print_json(document)
        return
    if document["points"]:
        title = f"mIoU in % [95 %] on {document['on']['text']}"
        columns = ("run", "labelled images", "labelled pixels", "mIoU")
        out.print(plain_table(columns, [_row(one) for one in document["points"]], title))
    say(document["sentence"])


def _row(point: Mapping[str, Any]) -> tuple[str, ...]:
    miou = point["miou"]
    score = percent(miou["value"])
    if miou["low"] is not None:
        score += f" [{percent(miou['low'])}…{percent(miou['high'])}]"
    labelled = (f"{point[key]:,}" for key in ("labelled_images", "labelled_pixels"))
    return point["name"] or point["run"], *labelled, score
