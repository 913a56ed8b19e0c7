"""``init``, ``import``, ``check`` and ``export-masks``: what goes in and what comes out."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from napari_threestage.check import plan_run
from napari_threestage.cli.output import (
    add_command,
    is_mask_file,
    out,
    plain_table,
    print_json,
    progress_bar,
    say,
    write_mask_file,
)
from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError, ProjectError, ThreeStageError
from napari_threestage.ingest import ImportOptions, encode_mask, import_images, load_mask_values
from napari_threestage.project import GROUND_TRUTH, LabelClass, Project, default_classes
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from napari_threestage.ingest import ImportReport, Skipped
    from napari_threestage.runs import Run

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
    _add_export_masks(commands)


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
        "--mask-values", default="index", help="index (0..C-1), one-based, rgb, or a JSON file"
    )
    parser.add_argument(
        "--unlabelled-value", default="255", help="value that means not labelled, or none"
    )
    parser.add_argument("--channels", help="channels to use, e.g. 0,1,2")
    parser.add_argument("--axes", help="axes of files that do not say, e.g. zyx or yxc")
    parser.add_argument("--split", choices=["train", "validation"], default="train")
    parser.add_argument("--link", action="store_true", help="refer to OME-Zarr images in place")
    parser.add_argument("--replace-masks", action="store_true", help="replace existing labels")


def _add_export_masks(commands: Any) -> None:
    parser = add_command(
        commands,
        "export-masks",
        export_masks,
        "write masks as TIFF files (class index 0..C-1, 255 = not labelled)",
        "threestage export-masks my_project --output masks --stage 3",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--stage", default="last", help="a number, last, or ground_truth")
    parser.add_argument("--run", help="name of a run; the latest if not given")


def init_project(options: argparse.Namespace) -> None:
    """Make a project."""
    if options.classes_file:
        classes = read_classes(options.classes_file)
    else:
        names = [name.strip() for name in options.classes.split(",") if name.strip()]
        classes = default_classes(names)
    project = Project.create(options.project, classes, _channels(options.channels))
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
    channels = _channels(options.channels)
    with (
        project.editing(),
        _channels_chosen(project, channels),
        progress_bar("importing", options.json) as bar,
    ):
        task = bar.add_task("importing", total=None)
        report = import_images(
            project,
            options.images,
            options.masks,
            settings,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if options.json:
        print_json(report.to_dict())
    else:
        _print_report(project, report)
    return 1 if report.failed else 0


def check_project(options: argparse.Namespace) -> int:
    """Print the plan of a run; exit code 1 when it could not start."""
    project = Project(options.project)
    plan = plan_run(project, load_config(options.preset))
    if options.json:
        print_json(plan.to_dict())
    else:
        say(
            f"{len(plan.labelled)} labelled, {len(plan.unlabelled)} unlabelled, "
            f"{len(plan.validation)} validation images."
        )
        rows = [(name, f"{count:,}") for name, count in plan.pixels.items()]
        out.print(plain_table(("class", "labelled pixels"), rows))
        for problem in plan.problems:
            colour = "red" if problem.level == "error" else "yellow"
            text = escape(f"{problem.message} {problem.fix}")
            out.print(f"[{colour}]{problem.level}:[/] {text}")
        if not plan.problems:
            say(f"Nothing is wrong. Next: threestage run {project.path}")
    return 1 if any(problem.level == "error" for problem in plan.problems) else 0


def export_masks(options: argparse.Namespace) -> None:
    """Write one TIFF file for each image that has such a mask."""
    project = Project(options.project)
    run = None if options.stage == GROUND_TRUTH else find_run(project, options.run)
    stage = None if run is None else _stage_to_export(run, options.stage)
    names = _file_names(project)
    _refuse_foreign(options.output, names.values())
    options.output.mkdir(parents=True, exist_ok=True)
    written = []
    for image_id, name in sorted(names.items()):
        labels = _labels(project, image_id, run, stage)
        if labels is not None:
            path = options.output / f"{name}.tif"
            write_mask_file(path, encode_mask(labels))
            written.append(str(path))
    without = len(project.images) - len(written)
    if not written:
        raise ProjectError(f"Project {project.path} has no masks of {options.stage}.")
    if options.json:
        print_json({"stage": stage, "files": written, "without_mask": without})
        return
    say(f"Wrote {len(written)} masks to {options.output}.")
    if without:
        say(f"Images that have no such mask: {without}.")


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


def _channels(text: str | None) -> list[int] | None:
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


def _file_names(project: Project) -> dict[str, str]:
    """Return, by id, the name of each image's file; the id itself where names are not unique."""
    names = {image_id: record.name for image_id, record in project.images.items()}
    # Some file systems take upper and lower case for the same.
    used = Counter(name.casefold() for name in [*names.values(), *names])
    return {
        image_id: name if used[name.casefold()] == 1 and Path(name).name == name else image_id
        for image_id, name in names.items()
    }


def _refuse_foreign(folder: Path, names: Iterable[str]) -> None:
    """Raise `ConfigError` where a mask would replace a file that is none, such as its image."""
    for path in (folder / f"{name}.tif" for name in names):
        if path.exists() and not is_mask_file(path):
            raise ConfigError(
                f"{path} is there already and is no mask of this program.",
                "Choose another folder with --output.",
            )


def _stage_to_export(run: Run, text: str) -> int:
    """Return the stage that ``last`` or a number names."""
    finished = run.finished_stages()
    if text == "last" and finished:
        return finished[-1]
    if text.isdigit() and int(text) in finished:
        return int(text)
    known = ", ".join(map(str, finished)) or "none"
    raise ConfigError(f"There is no stage '{text}' to export.", f"Finished: {known}.")


def _labels(
    project: Project, image_id: str, run: Run | None, stage: int | None
) -> np.ndarray | None:
    """Return a stage's mask of an image, or its ground truth; None if there is none."""
    if run is None or stage is None:
        return project.read_labels(image_id)
    return run.read_mask(stage, image_id) if run.has_mask(stage, image_id) else None
