"""Which run of a project trains, which is the latest, and how one ended; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.errors import ProjectError
from napari_threestage.events import Failed, last_event
from napari_threestage.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_threestage.project import Project


def same_run(one: Run | None, other: Run | None) -> bool:
    """Whether both are the same run."""
    return one is not None and other is not None and one.path == other.path


def running_run(project: Project) -> Run | None:
    """Return the run that trains; only runs that no process has left yet are looked into."""
    return next((run for run in _runs(project, "process.json") if run.is_running()), None)


def latest_run(project: Project) -> Run | None:
    """Return the latest run that can be read and is no baseline."""
    return next((run for run in _runs(project, "config.json") if not run.is_baseline), None)


def _runs(project: Project, name: str) -> Iterator[Run]:
    """Yield the runs that have a file of this name, the latest first."""
    for path in sorted((project.path / "runs").glob(f"*/{name}"), reverse=True):
        try:
            yield Run(path.parent)
        except ProjectError:  # one damaged run must not hide the others
            continue


def how_it_ended(run: Run, state: str) -> tuple[str, str, str]:
    """Return a sentence about a run that has ended, a hint, and how bad it is."""
    last = last_event(run.events_path)
    if state == "failed" and isinstance(last, Failed):
        return f"Run {run.id} failed: {last.message}", last.hint, "error"
    if state in ("failed", "interrupted"):
        what = "failed" if state == "failed" else "was interrupted"
        return f"Run {run.id} {what}.", "Choose it in Train to see its log.", "error"
    what = "has finished" if state == "finished" else "was stopped"
    return f"Run {run.id} {what}.", "Choose it to see its masks.", "info"
