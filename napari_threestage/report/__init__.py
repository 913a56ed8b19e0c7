"""A run as one HTML file that needs nothing else: for people, for papers, for the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError
from napari_threestage.files import write_bytes
from napari_threestage.report.material import gather_material
from napari_threestage.report.page import GENERATOR, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

IMAGES = 6
BEGINNING = 500  # bytes of a page, in which it says what made it


def build_report(
    project: Project,
    run: Run,
    path: Path,
    images: int = IMAGES,
    show: Callable[[str, int, int | None], None] = lambda step, done, total: None,
) -> dict[str, Any]:
    """Write the report of a run; the file is complete or absent.

    Parameters
    ----------
    path
        Ends in ``.html``; a report that is there is replaced.
    images
        How many examples are shown at most.
    show
        Called with what goes on, and how much of how much of it is done.

    Returns
    -------
    What was written, for ``threestage report --json``.

    Raises
    ------
    ConfigError
        The file is there and is no report, or the name does not end in ``.html``.
    ProjectError
        It cannot be written.
    """
    check_target(path)
    material = gather_material(project, run, images, show)
    content = page(material).encode()
    write_bytes(path, content, parents=True)
    return {
        "project": str(project.path),
        "run": run.id,
        "file": str(path),
        "bytes": len(content),
        "images": [chosen.entry["id"] for chosen, _ in material.pictures],
        "left_out": [
            {"part": part, "reason": reason} for part, reason in material.left_out.items()
        ],
    }


def check_target(path: Path) -> None:
    """Raise `ConfigError` where a report cannot go."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{path} is no HTML file.", "Name it *.html.")
    if path.is_dir() or (path.exists() and not _is_report(path)):
        raise ConfigError(f"{path} is there already and is no report.", "Choose another name.")


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(BEGINNING)
