"""What is compared: stages of one run, or stages of several."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.classes import renumbered
from napari_threestage.errors import ConfigError, NotReadyError
from napari_threestage.run_notes import known_notes
from napari_threestage.run_notes import title as run_title
from napari_threestage.runs import find_run, indices_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.project import Project
    from napari_threestage.runs import Run


@dataclass(frozen=True, eq=False)
class Column:
    """A stage of a run, a column of every table.

    Attributes
    ----------
    key
        The stage where one run is compared, else ``<run>/<stage>``.
    run_name, title
        What people call them.
    indices
        Index of the project's present class for each of the run's: ``indices[mask]``.
    """

    key: str
    run: Run
    run_name: str
    stage: int
    title: str
    indices: np.ndarray

    @property
    def same_classes(self) -> bool:
        """Whether the masks of the run mean the project's present classes as they are."""
        return bool(np.array_equal(self.indices, np.arange(len(self.indices))))

    def has_mask(self, image_id: str) -> bool:
        """Whether there is a mask of an image."""
        return self.run.has_mask(self.stage, image_id)

    def read_mask(self, image_id: str) -> np.ndarray:
        """Return the mask of an image in the project's present classes."""
        return renumbered(self.run.read_mask(self.stage, image_id), self.indices)

    def to_dict(self) -> dict[str, Any]:
        """Return the column as JSON holds it."""
        return {
            "key": self.key,
            "run": self.run.id,
            "run_name": self.run_name,
            "stage": self.stage,
            "title": self.title,
        }


def both(one: Column, other: Column) -> str:
    """Return two columns as the subject of a sentence, e.g. ``Stages 1 and 3``."""
    if one.run.id == other.run.id:
        return f"Stages {one.stage} and {other.stage}"
    return f"{one.title} and {in_sentence(other)}"


def in_sentence(column: Column) -> str:
    """Return a column's title as it stands within a sentence."""
    return column.title[0].lower() + column.title[1:]


def make_column(project: Project, run: Run, stage: int, alone: bool = True) -> Column:
    """Return a stage of a run as a column.

    Parameters
    ----------
    alone
        Whether all columns are of one run, so that its name says nothing.
    """
    name, key = run_title(run, known_notes(project)), str(stage) if alone else f"{run.id}/{stage}"
    called = name if name == run.id else f"“{name}”"
    title = "Labels alone" if run.is_baseline else f"Stage {stage}"
    if not alone:
        title += f" ({called})" if run.is_baseline else f" of {called}"
    indices = indices_between(run.class_ids, project.class_table)
    return Column(key, run, name, stage, title, indices)


def columns_of_run(
    project: Project, run_id: str | None = None, stages: Sequence[int] | None = None
) -> list[Column]:
    """Return stages of a run, all that are finished if none is named.

    Parameters
    ----------
    run_id
        The latest run if not given.

    Raises
    ------
    ThreeStageError
        There is no such run, or it has no such stage.
    """
    run = find_run(project, run_id)
    return [make_column(project, run, stage) for stage in _wanted(run, stages)]


def columns_of_runs(
    project: Project, run_ids: Sequence[str], stages: Sequence[int] | None = None
) -> list[Column]:
    """Return stages of several runs, the last finished one of each if none is named."""
    runs = {run.id: run for run in (find_run(project, name) for name in run_ids)}
    if len(runs) < 2:
        raise ConfigError(
            "To compare runs takes two or more of them.", "Write for example --runs A,B."
        )
    return [
        make_column(project, run, stage, alone=False)
        for run in runs.values()
        for stage in (_wanted(run, stages) if stages else _wanted(run, None)[-1:])
    ]


def pairs(columns: Sequence[Column]) -> list[tuple[Column, Column]]:
    """Return what is compared with what: neighbours, and the first with the last."""
    found = list(pairwise(columns))
    return [*found, (columns[0], columns[-1])] if len(columns) > 2 else found


def _wanted(run: Run, stages: Sequence[int] | None) -> list[int]:
    """Return the stages of a run that are named, in order."""
    finished = run.finished_stages()
    wanted = sorted(set(finished if stages is None else stages))
    missing = [stage for stage in wanted if stage not in finished]
    if missing or not wanted:
        what = f"no finished stage {missing[0]}" if missing else "no finished stage"
        known = ", ".join(map(str, finished))
        hint = f"Finished: {known}." if known else "Wait for its first stage, or resume it."
        raise NotReadyError(f"Run {run.id} has {what}.", hint)
    return wanted
