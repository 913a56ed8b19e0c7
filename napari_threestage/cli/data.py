"""``init``, ``import`` and ``check``: what goes in."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from napari_threestage.check import plan_run
from napari_threestage.cli.memory import look_at_memory
from napari_threestage.cli.output import add_command, out, plain_table, print_json, say
from napari_threestage.cli.preview import print_preview
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError, ThreeStageError
from napari_threestage.ingest import (
    ImportOptions,
    import_images,
    load_mask_values,
    preview_import,
)
from napari_threestage.presets import settings_for_share
from napari_threestage.project import LabelClass, Project, default_classes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from napari_threestage.ingest import ImportReport, Skipped

MOST_ROWS = 20


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    _add_init(commands)
    _add_import(commands)
    check = add_command(
        commands,
        "check",
        check_project,
        "say what would go wrong in a run, and the fix for each",
        "threestage check my_project",
    )
    check.add_argument("project", type=Path)
    check.add_argument("--preset", default="quick")
    check.add_argument("--device", default="auto", help="whose memory to look at: as for run")


def _add_init(commands: Any) -> None:
    parser = add_command(
        commands,
        "init",
        init_project,
        "make a new project",
        'threestage init my_project --classes "background,nucleus"',
    )
    parser.add_argument("project", type=Path, help="a new or empty folder")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--classes", help="names, separated by commas")
    group.add_argument(
        "--classes-file", type=Path, help='JSON: [{"name": "nucleus", "color": "#ff4040"}, …]'
    )
    parser.add_argument("--channels", help="channels to use, e.g. 0,1,2; all if not given")


def _add_import(commands: Any) -> None:
    parser = add_command(
        commands,
        "import",
        import_files,
        "bring images and masks into a project; again, to add more",
        "threestage import my_project --images images --masks masks",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="files and folders")
    parser.add_argument("--masks", type=Path, help="folder with masks of the same names")
    parser.add_argument(
        "--mask-values",
        default="index",
        help='index (0..C-1), one-based, rgb, or JSON such as \'{"0": 1, "255": 2}\' or its file',
    )
    parser.add_argument(
        "--unlabelled-value", default="255", help="value that means not labelled, or none"
    )
    parser.add_argument("--channels", help="channels to use, e.g. 0,1,2")
    parser.add_argument("--axes", help="axes of files that do not say, e.g. zyx or yxc")
    parser.add_argument("--split", choices=["train", "validation"], default="train")
    parser.add_argument("--link", action="store_true", help="refer to OME-Zarr images in place")
    parser.add_argument("--replace-masks", action="store_true", help="replace existing labels")
    parser.add_argument(
        "--preview", action="store_true", help="say what would be imported, and change nothing"
    )
    add_progress(parser)


def init_project(options: argparse.Namespace) -> None:
    """Make a project."""
    if options.classes_file:
        classes = read_classes(options.classes_file)
    else:
        names = [name.strip() for name in options.classes.split(",") if name.strip()]
        classes = default_classes(names)
    project = Project.create(options.project, classes, chosen_channels(options.channels))
    if options.json:
        print_json({"project": str(project.path), "classes": [c.name for c in classes]})
        return
    say(f"Made project {project.path} with {len(classes)} classes.")
    say(f"Next: threestage import {project.path} --images FOLDER --masks FOLDER")


def import_files(options: argparse.Namespace) -> int:
    """Import images and masks; exit code 1 when a file that should be there could not be read."""
    project = Project(options.project)
    settings = ImportOptions(
        mask_values=load_mask_values(options.mask_values),
        unlabelled_value=unlabelled_value(options.unlabelled_value),
        axes=options.axes,
        split=options.split,
        link=options.link,
        replace_masks=options.replace_masks,
    )
    channels = chosen_channels(options.channels)
    if options.preview:
        _preview(options, project, settings, channels)
        return 0
    with (
        project.editing(),
        _channels_chosen(project, channels),
        showing("importing", options) as show,
    ):
        report = import_images(project, options.images, options.masks, settings, show)
    if options.json:
        print_json(report.to_dict())
    else:
        _print_report(project, report)
    return 1 if report.failed else 0


def _preview(
    options: argparse.Namespace,
    project: Project,
    settings: ImportOptions,
    channels: Sequence[int] | None,
) -> None:
    with showing("looking", options) as show:
        preview = preview_import(
            project,
            options.images,
            options.masks,
            settings,
            channels=channels,
            on_progress=show,
        )
    if options.json:
        print_json(preview.to_dict())
    else:
        print_preview(preview)
        print_skipped("Would be ignored", preview.skipped)


def check_project(options: argparse.Namespace) -> int:
    """Print the plan of a run; exit code 1 when it could not start."""
    project = Project(options.project)
    plan = plan_run(project, load_config(options.preset))
    if plan.ready:
        config = load_config(
            options.preset, settings_for_share(options.preset, plan.labelled_share)
        )
        plan = look_at_memory(project, plan, config, (1, 3), options.device)
    if options.json:
        print_json(plan.to_dict())
    else:
        say(
            f"{len(plan.labelled)} labelled, {len(plan.unlabelled)} unlabelled, "
            f"{len(plan.validation)} validation images."
        )
        rows = [(name, f"{count:,}") for name, count in plan.pixels.items()]
        out.print(plain_table(("class", "labelled pixels"), rows))
        if plan.memory_sentence:
            say(plan.memory_sentence)
        for problem in plan.problems:
            colour = "red" if problem.level == "error" else "yellow"
            text = escape(f"{problem.message} {problem.fix}")
            out.print(f"[{colour}]{problem.level}:[/] {text}")
        if not plan.problems:
            say(f"Nothing is wrong. Next: threestage run {project.path}")
    return 0 if plan.ready else 1


def read_classes(path: Path) -> list[LabelClass]:
    """Read classes from a JSON list of names or of names with colours (hex or red, green, blue).

    Raises
    ------
    ConfigError
        The file cannot be read as such.
    """
    try:
        content = json.loads(path.read_text())
        entries = content["classes"] if isinstance(content, dict) else content
        plain = default_classes([one if isinstance(one, str) else one["name"] for one in entries])
        return [
            default.model_copy(update={"color": _colour(one["color"])})
            if isinstance(one, dict) and "color" in one
            else default
            for one, default in zip(entries, plain, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read as classes ({error}).",
            'It has to hold [{"name": "nucleus", "color": "#ff4040"}, …].',
        ) from error


def _colour(value: str | Sequence[int]) -> tuple[int, int, int]:
    if isinstance(value, str):
        value = bytes.fromhex(value.removeprefix("#"))
    red, green, blue = (int(part) for part in value)
    return red, green, blue


@contextmanager
def _channels_chosen(project: Project, channels: Sequence[int] | None) -> Iterator[None]:
    """Set the channels of a project, or leave them as they were if nothing can be imported."""
    before = project.channels
    if channels is not None:
        project.set_channels(channels)
    try:
        yield
    except ThreeStageError:
        if project.channels != before:
            project.set_channels(before)
            project.save()
        raise


def chosen_channels(text: str | None) -> list[int] | None:
    """Read numbers of channels; None where none are given."""
    if text is None:
        return None
    try:
        channels = [int(part) for part in text.split(",")]
    except ValueError:
        channels = []
    if not channels or min(channels) < 0:
        raise ConfigError(f"'{text}' names no channels.", "Write for example --channels 0,1,2.")
    return channels


def unlabelled_value(text: str) -> int | None:
    """Read the value that means not labelled, or ``none``.

    Raises
    ------
    ConfigError
        The text is neither.
    """
    try:
        return None if text.lower() == "none" else int(text)
    except ValueError:
        raise ConfigError(
            f"'{text}' is no value of a pixel.", "Write --unlabelled-value 255 or none."
        ) from None


def _print_report(project: Project, report: ImportReport) -> None:
    say(
        f"Imported {len(report.imported)} images, {report.labelled} with a mask"
        + (f"; {len(report.unchanged)} were there already." if report.unchanged else ".")
    )
    for warning in report.warnings[:MOST_ROWS]:
        out.print(f"[yellow]note:[/] {escape(warning)}")
    print_skipped("[red]Not imported", report.failed)
    print_skipped("Ignored", report.ignored)
    say(f"Next: threestage check {project.path}")


def print_skipped(title: str, skipped: Sequence[Skipped]) -> None:
    """Print a table of files with the reason why each was not used."""
    if skipped:
        rows = [(one.path.name, one.reason) for one in skipped[:MOST_ROWS]]
        if len(skipped) > MOST_ROWS:
            rows.append(("…", f"and {len(skipped) - MOST_ROWS} more; --json lists all"))
        out.print(plain_table(("file", "reason"), rows, title))
