"""``sample``: a ready project to try the program with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, out, plain_table, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError
from napari_threestage.sample_sets import SAMPLES, find_sample, make_project

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.sample_sets import Sample


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "sample",
        sample,
        "make a project of sample images, some with labels",
        "threestage sample tissue my_first_project",
    )
    parser.add_argument("name", nargs="?", help="which: " + ", ".join(SAMPLES))
    parser.add_argument("folder", nargs="?", type=Path, help="a new or empty folder")
    parser.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument("--archive", type=Path, help="use this file instead of downloading it")
    add_progress(parser)


def sample(options: argparse.Namespace) -> None:
    """Make a project, or list what there is."""
    if options.list:
        _print_list(options)
        return
    if options.name is None or options.folder is None:
        raise ConfigError(
            "Say which sample and where to.",
            f"For example: threestage sample tissue my_first_project. There are: "
            f"{', '.join(SAMPLES)}.",
        )
    chosen = find_sample(options.name)
    with ExitStack() as stack:
        project = make_project(
            chosen,
            options.folder,
            archive=options.archive,
            on_progress=_shown(options, stack),
        )
    if options.json:
        print_json(_summary(project, chosen))
        return
    found = _summary(project, chosen)
    say(f"Made project {project.path}: {found['images']} images, {found['labelled']} with labels.")
    if chosen.citation:
        say(f"{chosen.citation}. {chosen.home}. Licence: {chosen.licence}.")
    say(f"Next: threestage run {project.path}")


def _summary(project: Project, chosen: Sample) -> dict[str, Any]:
    labelled = [one for one in project.images if project.label_attributes(one) is not None]
    return chosen.to_dict() | {
        "project": str(project.path),
        "images": len(project.images),
        "labelled": len(labelled),
    }


def _shown(options: argparse.Namespace, stack: ExitStack) -> Callable[[str, int, int | None], None]:
    """Return what shows each step on its own."""
    steps: dict[str, Callable[[int, int | None], None]] = {}

    def show(step: str, done: int, total: int | None) -> None:
        if step not in steps:
            stack.pop_all().close()  # the bar of the step before
            steps[step] = stack.enter_context(showing(step, options, step=step))
        steps[step](done, total)

    return show


def _print_list(options: argparse.Namespace) -> None:
    if options.json:
        print_json([one.to_dict() for one in SAMPLES.values()])
        return
    rows = [
        (
            one.name,
            f"{one.title}. {one.images} images, {one.labelled} with labels.",
            one.size or "nothing",
            one.licence,
        )
        for one in SAMPLES.values()
    ]
    out.print(plain_table(("sample", "", "to download", "licence"), rows))
