"""The runs of a project in a line each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.runs import Run


@dataclass(frozen=True)
class RunSummary:
    """A run, its state, and the mIoU of its last finished stage where there is one."""

    run: Run
    state: str
    stages: int
    miou: float | None = None
    on: str = ""

    @property
    def sentence(self) -> str:
        """The run in a line."""
        score = "" if self.miou is None else f" · mIoU {100 * self.miou:.1f} %"
        done = f" · {self.stages} stage{'' if self.stages == 1 else 's'}"
        return f"{self.run.id} · {self.state}{done}{score}"


def run_summaries(project: Project) -> list[RunSummary]:
    """Return the runs, the latest first."""
    return [_summary(run) for run in reversed(list_runs(project))]


def _summary(run: Run) -> RunSummary:
    stages = run.finished_stages()
    miou, on = _score(run, stages[-1]) if stages else (None, "")
    return RunSummary(run, run.state(), len(stages), miou, on)


def _score(run: Run, stage: int) -> tuple[float | None, str]:
    try:
        metrics = json.loads((run.stage_path(stage) / "metrics.json").read_text())
        on = "validation" if "validation" in metrics else "labelled"
        return metrics[on]["miou"], on
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""
