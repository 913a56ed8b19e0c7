"""The runs of a project in a line each."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.errors import ProjectError
from napari_threestage.run_notes import NO_NOTE, read_notes
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.run_notes import RunNote
    from napari_threestage.runs import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """A run, its state, and the mIoU of its last finished stage where there is one."""

    run: Run
    state: str
    stages: int
    miou: float | None = None
    on: str = ""
    note: RunNote = NO_NOTE

    @property
    def sentence(self) -> str:
        """The run in a line."""
        done = f"{self.stages} stage{'' if self.stages == 1 else 's'}"
        parts = [self.note.name or self.run.id]
        parts += ["pinned"] if self.note.pinned else []
        parts += [self.state, "labels only" if self.run.is_baseline else done]
        parts += [] if self.miou is None else [f"mIoU {100 * self.miou:.1f} %"]
        return " · ".join(parts)


def run_summaries(project: Project) -> list[RunSummary]:
    """Return the runs, the latest first."""
    try:
        notes = read_notes(project)
    except ProjectError as error:  # they have no names then, and are there all the same
        log.warning("%s", error)
        notes = {}
    runs = reversed(list_runs(project))
    return [summary_of(run, notes.get(run.id, NO_NOTE)) for run in runs]


def summary_of(run: Run, note: RunNote) -> RunSummary:
    """Return what there is to say of a run in a line."""
    stages = run.finished_stages()
    miou, on = _score(run, stages[-1]) if stages else (None, "")
    return RunSummary(run, run.state(), len(stages), miou, on, note)


def _score(run: Run, stage: int) -> tuple[float | None, str]:
    try:
        metrics = json.loads((run.stage_path(stage) / "metrics.json").read_text())
        on = "validation" if "validation" in metrics else "labelled"
        return metrics[on]["miou"], on
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""
