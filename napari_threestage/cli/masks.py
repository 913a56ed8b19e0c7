"""``export-masks``: what a person labelled or a stage thinks, as files for other programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import (
    add_command,
    is_mask_file,
    print_json,
    say,
    write_mask_file,
)
from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.ingest import encode_mask
from napari_threestage.project import GROUND_TRUTH, Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    import numpy as np

    from napari_threestage.runs import Run


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
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
