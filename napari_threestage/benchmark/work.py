"""Do the tasks: a project per group, a run per row, one file per result."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from napari_threestage import jobs
from napari_threestage.benchmark.children import CommandFailed
from napari_threestage.benchmark.datasets import with_index_masks
from napari_threestage.benchmark.examples import choose_examples, keep_masks
from napari_threestage.benchmark.methods import FOREST
from napari_threestage.benchmark.projects import GroupProject
from napari_threestage.benchmark.recipes import to_arguments
from napari_threestage.benchmark.rows import write_row
from napari_threestage.benchmark.tasks import finished
from napari_threestage.errors import BusyError, ThreeStageError
from napari_threestage.events import (
    Progress,
    StageFinished,
    StageStarted,
    Started,
    StoppedEvent,
    read_events,
)
from napari_threestage.files import write_json
from napari_threestage.locks import hold_lock
from napari_threestage.project import Project
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_threestage.benchmark.children import Children
    from napari_threestage.benchmark.items import Item
    from napari_threestage.benchmark.rows import Group
    from napari_threestage.benchmark.tasks import Plan, Task
    from napari_threestage.runs import Run


SCORES = "stages", "kinds"  # what a row takes from `evaluate --json`


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a result, or an error."""

    task: Task
    found: dict[str, Any] | None = None
    error: ThreeStageError | None = None


def do_tasks(
    plan: Plan,
    tasks: Sequence[Task],
    children: Children,
    at_once: int,
    report: Callable[[Outcome], None],
) -> None:
    """Do tasks and report what became of each; groups at the same time, their rows in turn.

    Whatever ends this early, the trainings are asked to save and end.

    Parameters
    ----------
    children
        Run the commands.
    at_once
        Groups at the same time.
    report
        Called from several threads.

    Raises
    ------
    Stopped
        A training was asked to end.
    """
    groups: dict[Group, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.row.group, []).append(task)
    for folder in (plan.rows, plan.folder / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(at_once)
    try:
        todo = [pool.submit(_do_group, plan, some, children, report) for some in groups.values()]
        for done in as_completed(todo):
            done.result()
    finally:
        children.end()
        pool.shutdown(cancel_futures=True)


def _do_group(
    plan: Plan, tasks: list[Task], children: Children, report: Callable[[Outcome], None]
) -> None:
    group, material = tasks[0].row.group, tasks[0].material
    folder = plan.folder / "work" / group.name
    project = GroupProject(folder, group, material, children)
    busy = f"Another benchmark makes the rows {group.name}"
    left = list(tasks)
    try:
        with hold_lock(folder.with_name(f"{group.name}.lock"), busy, children=False):
            if any(task.method.name != FOREST for task in tasks):
                project.make()
            worker = _Worker(plan, project, children)
            left.sort(key=lambda task: not worker.has_begun(task))
            outcomes = []
            while left:
                outcomes.append(worker.do(left[0]))
                report(outcomes[-1])
                left.pop(0)
            if not plan.keep_projects and all(one.error is None for one in outcomes):
                shutil.rmtree(folder, ignore_errors=True)
    except ThreeStageError as error:
        for task in left:
            report(Outcome(task, error=error))


class _Worker:
    """Makes the rows of a group, one at a time.

    ``training.json`` in the folder of the group says which row the one run of its project is of.
    A run whose row could not be made lies with its note in ``set-aside/<method>`` until the next
    time, for a training is worth hours and the cause may be a full disk.
    """

    def __init__(self, plan: Plan, project: GroupProject, children: Children) -> None:
        self._plan, self._project, self._children = plan, project, children
        self._note = project.folder / "training.json"

    def do(self, task: Task) -> Outcome:
        """Make a row; one that another process has made meanwhile is taken."""
        errors = self._plan.rows / f"{task.row.name}.error.txt"
        try:
            found = finished(self._plan, task) or self._make(task)
        except ThreeStageError as error:
            errors.write_text(error.output if isinstance(error, CommandFailed) else str(error))
            self._set_aside(task)
            return Outcome(task, error=error)
        errors.unlink(missing_ok=True)
        return Outcome(task, found)

    def has_begun(self, task: Task) -> bool:
        """Whether the run of the project is of this row and recipe."""
        return self._is_of(self._note, task)

    def _is_of(self, note: Path, task: Task) -> bool:
        try:
            return bool(json.loads(note.read_text()) == self._content(task))
        except (OSError, ValueError):
            return False

    def _aside(self, task: Task) -> Path:
        return self._project.folder / "set-aside" / task.method.name

    def _set_aside(self, task: Task) -> None:
        """Keep what was trained, unless the training itself failed."""
        run = self._run() if self.has_begun(task) else None
        if run is not None:
            folder = self._aside(task)
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "run").mkdir(parents=True)
            shutil.move(run.path, folder / "run" / run.id)
            shutil.move(self._note, folder / self._note.name)

    def _take_back(self, task: Task) -> Run | None:
        """Return the run that was set aside, if there is one of this row and recipe."""
        folder = self._aside(task)
        if not self._is_of(folder / self._note.name, task):
            return None
        self._forget()
        for run in (folder / "run").iterdir():
            shutil.move(run, self._project.path / "runs" / run.name)
        shutil.move(folder / self._note.name, self._note)
        return self._run()

    def _content(self, task: Task) -> Any:
        return json.loads(json.dumps({"row": task.row.name, "recipe": task.recipe}))

    def _make(self, task: Task) -> dict[str, Any]:
        if task.method.name == FOREST:
            found = self._forest(task) | {"benchmark": self._plan.head}
            return write_row(self._plan.rows, task.row, task.recipe, found)
        run = self._trained(task)
        scores = self._project.score(run.id, self._plan.device, self._plan.kinds)
        found = {one: scores[one] for one in SCORES if one in scores}
        found |= {"scored_images": scores["images"], "kinds_pattern": self._plan.kinds}
        found |= {**_speed(run), "benchmark": self._plan.head}
        self._keep(task, run)
        document = write_row(self._plan.rows, task.row, task.recipe, found)
        self._forget()
        return document

    def _keep(self, task: Task, run: Run) -> None:
        """Put beside the row what is wanted of its run; what lies there is of an earlier one."""
        rows = self._plan.rows
        masks, models = task.row.panels_path(rows), task.row.models_path(rows)
        for folder in (masks, models):
            shutil.rmtree(folder, ignore_errors=True)
        if self._plan.panels:
            items = choose_examples(task.material.scored, self._plan.panels)
            keep_masks(self._project, run, items, masks)
        if self._plan.keep_models:
            models.mkdir()
            for stage in run.finished_stages():
                shutil.copy(run.model_path(stage), models / f"stage-{stage}.safetensors")
        shutil.copy(run.events_path, task.row.events_path(rows))

    def _trained(self, task: Task) -> Run:
        """Train a row, or go on where its training was interrupted."""
        begun = self._run() if self.has_begun(task) else self._take_back(task)
        if begun is None:
            self._forget()
            write_json(self._note, self._content(task))
            self._train(
                *("--preset", task.preset, "--stages", task.method.stages),
                *("--seed", task.row.group.seed, "--device", self._plan.device),
                *to_arguments(task.settings),
            )
        elif begun.state() != "finished":
            self._train("--resume")
        run = self._run()
        assert run is not None
        return run

    def _train(self, *arguments: object) -> None:
        self._children.threestage("run", self._project.path, *arguments, "--quiet")

    def _run(self) -> Run | None:
        """Return the run to go on with; one that outlived its benchmark is ended first."""
        runs = list_runs(Project(self._project.path))
        if not runs or runs[-1].state() == "failed":
            return None
        if runs[-1].is_running() and not jobs.stop(runs[-1]):
            raise BusyError(f"Run {runs[-1].path} is going on.", "Wait for it or stop it.")
        return runs[-1]

    def _forget(self) -> None:
        """Remove all runs; their masks take much more space than the images."""
        self._note.unlink(missing_ok=True)
        for folder in (self._project.path / "runs").glob("*/"):
            shutil.rmtree(folder, ignore_errors=True)

    def _forest(self, task: Task) -> dict[str, Any]:
        material, folder = task.material, self._plan.folder / "index-masks"
        data_set = with_index_masks(material.data_set, folder / material.data_set.name)
        # By their files: an image to train on and one of the test may have the same name.
        items = {item.image: item for item in (*data_set.train, *data_set.test)}
        labelled = [items[item.image] for item in material.labelled]
        masks = [item.mask for item in labelled]
        if task.row.group.labels == "scribbles":
            masks = list(self._project.training_masks().values())
        told = {
            "labelled": [_strings(item) for item in labelled],
            "masks": list(map(str, masks)),
            "test": [_strings(items[item.image]) for item in material.scored],
            "classes": data_set.class_names,
            "seed": task.row.group.seed,
            "kinds": self._plan.kinds,
        }
        begun = time.monotonic()
        scores = self._children.run(
            FOREST, ["napari_threestage.benchmark.forest_child"], json.dumps(told)
        )
        seconds = time.monotonic() - begun
        return {
            **json.loads(scores),
            "kinds_pattern": self._plan.kinds,
            "scored_images": len(material.scored),
            "training_seconds": seconds,
            "images_per_second": None,
        }


def _strings(item: Item) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(item).items()}


def _speed(run: Run) -> dict[str, Any]:
    """Return seconds of each stage, pseudo-masks included, and crops a second."""
    seconds: dict[str, float] = {}
    speeds: list[float] = []
    begun = stage = None
    for event in read_events(run.events_path):
        if isinstance(event, Started):
            begun = None  # what was before it ended unseen
        elif isinstance(event, StageStarted):
            begun, stage = event.time, str(event.stage)
        elif isinstance(event, Progress):
            speeds.append(event.images_per_second)
        if stage is not None and begun is not None:
            seconds[stage] = seconds.get(stage, 0.0) + event.time - begun
            begun = None if isinstance(event, StageFinished | StoppedEvent) else event.time
    return {
        "training_seconds": sum(seconds.values()),
        "stage_seconds": seconds,
        "images_per_second": median(speeds) if speeds else None,
    }
