"""``export-masks``: what a person labelled or a stage thinks, as files for other programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError, ImageFileError, ProjectError
from napari_threestage.mask_files import FORMATS, MaskFolder
from napari_threestage.project import GROUND_TRUTH, Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import numpy as np

    from napari_threestage.project_file import ImageRecord
    from napari_threestage.runs import Run


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "export-masks",
        export_masks,
        "write masks as files for other programs, and what they hold in numbers",
        "threestage export-masks my_project --output masks --as geojson --stage 3",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--as",
        dest="format",
        choices=FORMATS,
        default="tiff",
        help="tiff and png hold class indices 0..C-1 and 255 for not labelled, see docs/masks.md",
    )
    parser.add_argument("--stage", default="last", help="a number, last, or ground_truth")
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="write classes.csv and objects.csv too: areas, places and shapes",
    )
    add_progress(parser)


def refuse_data_folders(project: Project, output: Path) -> None:
    """Raise `ConfigError` for a folder in which a project keeps its data."""
    place, home = output.resolve(), project.path.resolve()
    if place == home or any(place.is_relative_to(home / name) for name in ("images", "runs")):
        raise ConfigError(
            f"{output} is where the project keeps its own data.",
            "Choose another folder with --output, such as exports in the project.",
        )


def export_masks(options: argparse.Namespace) -> None:
    """Write the masks of all images that have such a mask."""
    project = Project(options.project)
    refuse_data_folders(project, options.output)
    run = None if options.stage == GROUND_TRUTH else find_run(project, options.run)
    stage = None if run is None else _stage_to_export(run, options.stage)
    folder = MaskFolder(options.output, options.format, _classes(project, run), options.statistics)
    with folder, showing("exporting", options) as show:
        count = _write(project, run, stage, folder, show)
    if not count:
        raise ProjectError(f"Project {project.path} has no masks of {options.stage}.")
    without = len(project.images) - count
    if options.json:
        files = {"files": folder.files, "statistics": folder.statistics}
        listed = {name: [str(path) for path in paths] for name, paths in files.items()}
        print_json({"stage": stage, **listed, "without_mask": without})
        return
    say(f"Wrote {count} masks to {options.output}.")
    for path in folder.statistics:
        say(f"Statistics: {path}")
    if without:
        say(f"Images that have no such mask: {without}.")


def _write(
    project: Project,
    run: Run | None,
    stage: int | None,
    folder: MaskFolder,
    show: Callable[[int, int | None], None],
) -> int:
    """Write a mask for each image that has one, and return for how many."""
    names = _file_names(project)
    for image_id, name in names.items():
        record = project.images[image_id]
        folder.check(name, record.label_shape, record.axes.replace("c", ""))
    count = 0
    for done, (image_id, name) in enumerate(sorted(names.items()), start=1):
        labels = _labels(project, image_id, run, stage)
        if labels is not None:
            record = project.images[image_id]
            sizes = _pixel_size(project, record)
            source = Path(record.linked).name if record.linked else ""
            folder.add(name, labels, record.axes.replace("c", ""), *sizes, source)
            count += 1
        show(done, len(names))
    return count


def _classes(project: Project, run: Run | None) -> list[tuple[str, tuple[int, int, int]]]:
    """Return names and colours: those of a run are what its masks were made with."""
    if run is None:
        return [(entry.name, entry.color) for entry in project.classes]
    return [(str(entry["name"]), _color(entry)) for entry in run.inputs.classes]


def _color(entry: dict[str, Any]) -> tuple[int, int, int]:
    red, green, blue = entry["color"]
    return int(red), int(green), int(blue)


def _pixel_size(project: Project, record: ImageRecord) -> tuple[dict[str, float], dict[str, str]]:
    """Return scale and unit of an image; a mask can be exported without them."""
    try:
        image = project.read_image(record.id)
    except ImageFileError:  # the pixels are damaged or, of a link, elsewhere: masks are still ours
        return {}, {}
    return image.scale, image.unit


def _file_names(project: Project) -> dict[str, str]:
    """Return, by id, the name of each image's file; the id itself where names are not unique."""
    names = {image_id: record.name for image_id, record in project.images.items()}
    # Some file systems take upper and lower case for the same.
    used = Counter(name.casefold() for name in [*names.values(), *names])
    return {
        image_id: name if used[name.casefold()] == 1 and _is_plain(name) else image_id
        for image_id, name in names.items()
    }


def _is_plain(name: str) -> bool:
    return Path(name).name == name and "\\" not in name and not name.startswith(".")


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
