"""``suspects``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, print_json, say, where
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError
from napari_threestage.label_checks import dismiss, undismiss
from napari_threestage.label_suspects import find_suspects
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "suspects",
        suspects,
        "tell which labels may be wrong: all stages find the same other class there",
        "threestage suspects my_project --top 10",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--top", type=int, default=50, help="how many regions")
    decided = parser.add_mutually_exclusive_group()
    decided.add_argument(
        "--dismiss", nargs="+", metavar="KEY", help="note that these labels are right, and end"
    )
    decided.add_argument("--undismiss", nargs="+", metavar="KEY", help="take that back, and end")
    add_progress(parser)


def suspects(options: argparse.Namespace) -> None:
    """Print the suspected labels, or note what a person says of them."""
    if options.top < 1:
        raise ConfigError(f"A list of {options.top} regions helps nobody.", "Give --top 50.")
    project = Project(options.project)
    if options.dismiss or options.undismiss:
        _decide(project, options)
        return
    run = find_run(project, options.run)
    with showing("checking labels", options, step="checking labels") as show:
        found = find_suspects(project, run, show)
    document = {"project": str(project.path)} | found.to_dict(project, options.top)
    if options.json:
        print_json(document)
    else:
        _print(document)


def _decide(project: Project, options: argparse.Namespace) -> None:
    keys = options.dismiss or options.undismiss
    with project.editing():
        count = (dismiss if options.dismiss else undismiss)(project, keys)
    if options.json:
        print_json({"project": str(project.path), "changed": keys, "dismissed": count})
    else:
        say(f"Labels that are said to be right: {count}.")


def _print(document: dict[str, Any]) -> None:
    regions = document["regions"]
    if not regions:
        say("The stages contradict no label for sure.")
    else:
        count = f"{len(regions):,} of {document['suspected']:,}"
        say(f"Labels to check, {count} (run {document['run']}):")
        for one in regions:  # no table, which would break the keys that are to be copied
            say(f"{one['name']}, at {where(one['place'])}: {one['sentence']}\n    {one['key']}")
        say("If a label is right: threestage suspects PROJECT --dismiss KEY")
    if len(document["stages"]) == 1:
        say(f"Only stage {document['stages'][0]} is finished: it alone says so.")
    if document["dismissed"]:
        say(f"Not listed, as they are said to be right: {document['dismissed']:,}.")
    if document["left_out_count"]:
        say(f"Not checked: {document['left_out_count']:,} images without a mask of every stage.")
