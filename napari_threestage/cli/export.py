"""``export``: a stage's segmenter as a file for others, proved by using it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.cli.results import wanted_stages
from napari_threestage.errors import ConfigError
from napari_threestage.export.card import CardText, checked_licence
from napari_threestage.export.formats import SUFFIXES, with_suffix
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse

STEPS = ("exporting", "checking")


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "export",
        export,
        "write a segmenter as one file, and prove it by using the file in another process",
        "threestage export my_project --format onnx --output nuclei.onnx --author 'A. Person'",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--format", required=True, choices=list(SUFFIXES))
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--stage", default="last", help="a number, or last")
    parser.add_argument("--name", default="", help="of the segmenter, for people")
    parser.add_argument("--description", default="", help="what it is for, for people")
    parser.add_argument("--author", action="append", default=[], help="may be given several times")
    parser.add_argument("--licence", default="", metavar="SPDX", help="e.g. CC-BY-4.0")
    parser.add_argument(
        "--cite", action="append", default=[], help="besides the method; may be given several times"
    )
    parser.add_argument("--device", default="auto", help="where the original is computed")
    add_progress(parser)


def export(options: argparse.Namespace) -> None:
    """Export a segmenter."""
    text = CardText(
        name=options.name,
        description=options.description,
        licence=options.licence,
        authors=tuple(options.author),
        cite=tuple(options.cite),
    )
    # What is wrong with the arguments is said before torch is loaded.
    checked_licence(options.licence)
    with_suffix(options.output, options.format)
    project = Project(options.project)
    run = find_run(project, options.run)
    if options.stage == "all":
        raise ConfigError("A file holds one stage.", "Give --stage last, or a number.")
    [stage] = wanted_stages(run, options.stage)
    from napari_threestage.export.exporter import Wanted, export_segmenter
    from napari_threestage.inference.device import choose_device

    wanted = Wanted(stage, options.format, options.output, text, choose_device(options.device))
    found = export_segmenter(project, run, wanted, _Steps(options))
    if options.json:
        print_json(found)
    else:
        _say_found(found)


class _Steps:
    """Shows which step it is."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    def __call__(self, step: str) -> None:
        with showing(step, self._options, step=step) as show:
            show(STEPS.index(step), len(STEPS))


def _say_found(found: dict[str, Any]) -> None:
    packages = ", ".join(f"{name} {number}" for name, number in found["checked_with"].items())
    size = found["bytes"] / 2**20
    say(f"Wrote stage {found['stage']} of run {found['run']} to {found['file']} ({size:.1f} MiB).")
    say(
        f"Another process used it ({packages}) on crops of {found['image']}: probabilities differ "
        f"by {found['largest_difference']:.1e} at most, {found['tolerance']:g} is allowed."
    )
    say(f"The record: {found['record']}.")
    if found["warning"]:
        say(found["warning"])
