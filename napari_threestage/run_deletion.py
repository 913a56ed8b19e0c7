"""Deleting runs: nothing that is left looks like half a run, and images show no masks of it."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING

from napari_threestage import labels
from napari_threestage.errors import BusyError, ProjectError, ThreeStageError
from napari_threestage.run_notes import NO_NOTE, forget_notes, has_folder, id_of, read_notes
from napari_threestage.run_upkeep import disk_space
from napari_threestage.runs import Run, list_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from napari_threestage.project import Project

# In ``runs``, for that may lie on a disk of its own; what is in there is no run to anybody.
GONE = ".deleted"


def runs_to_delete(project: Project, names: Sequence[str]) -> list[str]:
    """Return the ids of runs that may be deleted, damaged ones among them.

    Parameters
    ----------
    names
        Ids, or names that a person gave.

    Raises
    ------
    ProjectError
        There is no such run, or it is pinned.
    BusyError
        It is going on.
    """
    ids = list(dict.fromkeys(id_of(project, name) for name in names))
    notes = read_notes(project)
    for run_id in ids:
        if not has_folder(project, run_id):
            known = ", ".join(run.id for run in list_runs(project)) or "none"
            raise ProjectError(
                f"Project {project.path} has no run {run_id}; there are: {known}.",
                "Nothing was deleted.",
            )
        note = notes.get(run_id, NO_NOTE)
        if note.pinned:
            name = f" ('{note.name}')" if note.name else ""
            raise ProjectError(
                f"Run {run_id}{name} is pinned.",
                f"If it may go: threestage runs {project.path} --unpin {run_id}",
            )
        if _is_running(project, run_id):
            raise BusyError(
                f"Run {run_id} is going on.", f"Stop it first: threestage stop {project.path}"
            )
    return ids


def delete_runs(
    project: Project,
    names: Sequence[str],
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Delete runs, and the masks in the images that come from them; return the space freed by id.

    An image gets the mask of the latest of the other runs that has one. A process that is killed
    in between leaves runs that are whole, to be deleted again, and the rest of one that no longer
    is a run, which the next deletion removes.

    Parameters
    ----------
    names
        See `runs_to_delete`, which says what is raised, too.
    tell
        Called with the number of images that were looked at, and of all.
    """
    ids = runs_to_delete(project, names)
    with project.running():  # a trainer writes masks into the images, and builds on other runs
        aside = project.path / "runs" / GONE
        shutil.rmtree(aside, ignore_errors=True)
        _replace_masks(project, ids, tell)
        freed = {run_id: _delete(project.path / "runs" / run_id, aside) for run_id in ids}
        with contextlib.suppress(OSError):  # something in it could not be removed
            aside.rmdir()
    forget_notes(project, ids)
    return freed


def _is_running(project: Project, run_id: str) -> bool:
    try:
        return Run(project.path / "runs" / run_id).is_running()
    except ProjectError:  # damaged: no trainer could go on with it
        return False


def _delete(folder: Path, aside: Path) -> int:
    """Remove a run's folder; return the space that is free then."""
    aside.mkdir(exist_ok=True)
    gone = aside / f"{folder.name}.{uuid.uuid4().hex[:8]}"
    before = disk_space([folder])
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return before - disk_space([gone])


def _replace_masks(
    project: Project, doomed: Collection[str], tell: Callable[[int, int], None]
) -> None:
    others = [run for run in list_runs(project) if run.id not in doomed and not run.is_baseline]
    for done, image_id in enumerate(project.images, start=1):
        for name in labels.mask_names(project, image_id):
            with contextlib.suppress(ProjectError):  # damaged: it says of no run that it is its
                origin = project.label_attributes(image_id, name) or {}
                if origin.get("run") in doomed:
                    _replace_mask(project, image_id, name, int(origin["stage"]), others)
        tell(done, len(project.images))


def _replace_mask(
    project: Project, image_id: str, name: str, stage: int, others: Sequence[Run]
) -> None:
    """Show the mask of the latest run that has one, or none."""
    for run in reversed(others):
        if run.has_mask(stage, image_id):
            with contextlib.suppress(ThreeStageError):  # damaged: an earlier run may have one
                mask = run.read_mask(stage, image_id)
                labels.publish_mask(project, run, stage, image_id, mask)
                return
    labels.remove_labels(project, image_id, name)
