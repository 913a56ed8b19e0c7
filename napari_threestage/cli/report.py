"""``report``: a run as one HTML file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError
from napari_threestage.project import Project
from napari_threestage.report import IMAGES, build_report, check_target
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "report",
        report,
        "write a run as one HTML file: verdict, scores, examples, methods, hashes",
        "threestage report my_project --output report.html",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.html")
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--images", type=int, default=IMAGES, help="how many examples to show")
    add_progress(parser)


def report(options: argparse.Namespace) -> None:
    """Write the report."""
    if options.images < 0:
        raise ConfigError(f"{options.images} images cannot be shown.", "Give --images 6.")
    check_target(options.output)
    project = Project(options.project.resolve())  # such paths are told from other words
    run = find_run(project, options.run)
    with ExitStack() as stack:
        found = build_report(project, run, options.output, options.images, _Steps(options, stack))
    if options.json:
        print_json(found)
        return
    say(f"Wrote {found['file']} ({found['bytes'] / 2**20:.1f} MiB).")
    for one in found["left_out"]:
        say(f"Left out: {one['part']}. {one['reason']}")


class _Steps:
    """Shows one step after the other, each with how far it is."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options, self._stack, self._step = options, stack, ""
        self._show: Callable[[int, int | None], None]

    def __call__(self, step: str, done: int, total: int | None) -> None:
        if step != self._step:
            self._stack.close()
            self._show = self._stack.enter_context(showing(step, self._options, step=step))
            self._step = step
        self._show(done, total)
