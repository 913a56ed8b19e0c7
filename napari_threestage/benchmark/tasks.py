"""What is to be done: every method on every data set, amount of labels and seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.benchmark.examples import choose_examples
from napari_threestage.benchmark.fingerprint import fingerprint
from napari_threestage.benchmark.methods import FOREST, Method
from napari_threestage.benchmark.projects import Material
from napari_threestage.benchmark.recipes import resolve
from napari_threestage.benchmark.rows import (
    FREE_SETTINGS,
    SETTINGS,
    Group,
    Row,
    difference,
    read_row,
)
from napari_threestage.benchmark.splits import choose_labelled, hold_out
from napari_threestage.files import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_threestage.benchmark.items import DataSet, Item
    from napari_threestage.benchmark.rows import Labels
    from napari_threestage.config import Config


@dataclass(frozen=True)
class Plan:
    """What all rows have in common.

    Attributes
    ----------
    output
        Holds a folder ``test`` or ``held-out-<which>`` with rows and the work in hand.
    preset, settings
        The recipe that the methods change.
    labels
        Whether labelled images keep whole masks or scribbles.
    held_out
        Which training images are scored instead of the test images, see `splits.hold_out`; 0:
        none.
    curve_images
        So many of them are looked at while a method trains.
    orders
        Names in the order of a published split, by data set.
    keep_projects
        Whether projects stay when their rows are done; their runs do not.
    kinds
        Images of each kind are scored as well: what this pattern finds in their names.
    keep_models
        Whether the segmenter of each stage stays beside its row.
    panels
        So many scored images keep the masks of each stage, for figures.
    """

    output: Path
    preset: str
    settings: dict[str, Any]
    labels: Labels
    device: str
    held_out: float | str
    curve_images: int
    orders: Mapping[str, Sequence[str]]
    keep_projects: bool
    kinds: str | None = None
    keep_models: bool = False
    panels: int = 0

    @property
    def folder(self) -> Path:
        """Results on test images are never beside others."""
        return self.output / (
            f"held-out-{_folder_name(self.held_out)}" if self.held_out else "test"
        )

    @property
    def head(self) -> dict[str, Any]:
        """Preset and changed settings, which rows keep for people to read."""
        told = {name: value for name, value in self.settings.items() if name not in FREE_SETTINGS}
        if "network.weights" in told:
            told["network.weights"] = Path(str(told["network.weights"])).name
        return {"preset": self.preset, "changes": told}

    @property
    def rows(self) -> Path:
        """Folder of the rows."""
        return self.folder / "rows"


def _folder_name(held_out: float | str) -> str:
    """Return what a folder may be named by; a pattern gets a digest as others look alike then."""
    if not isinstance(held_out, str):
        return f"{held_out:g}"
    digest = hashlib.sha256(held_out.encode()).hexdigest()[:6]
    return f"{safe_name(held_out)[:40].strip('-')}-{digest}"


@dataclass(frozen=True)
class Task:
    """A row with all that it takes to make it."""

    row: Row
    method: Method
    material: Material
    recipe: dict[str, Any]
    preset: str
    settings: dict[str, Any]


def make_tasks(
    plan: Plan,
    data_sets: Iterable[DataSet],
    methods: Iterable[Method],
    amounts: Sequence[float],
    seeds: Sequence[int],
) -> list[Task]:
    """Return the tasks of all combinations, those of a group one after another.

    Raises
    ------
    ConfigError
        A setting, a share or a count does not fit.
    """
    methods = list(methods)
    tasks = {}
    for data_set in data_sets:
        images, scored = data_set.train, data_set.test
        if plan.held_out:
            images, scored = map(tuple, hold_out(images, plan.held_out))
        number = fingerprint(data_set)
        for seed in seeds:
            for labelled in (*amounts, None):
                group, chosen = _group(plan, data_set.name, labelled, seed, images)
                watched = tuple(choose_examples(scored, plan.curve_images))
                material = Material(data_set, images, chosen, scored, number, watched)
                for method in methods:
                    if (method.labels == "all") == (labelled is None):
                        task = _task(plan, group, material, method)
                        tasks[task.row.name] = task
    return list(tasks.values())


def _group(
    plan: Plan, data: str, labelled: float | None, seed: int, images: Sequence[Item]
) -> tuple[Group, list[Item]]:
    """Return a group and the images that keep their masks."""
    if labelled is None:
        return Group(data, None, "dense", seed), list(images)
    chosen = choose_labelled(images, labelled, seed, plan.orders.get(data))
    return Group(data, labelled, plan.labels, seed), chosen


def _task(plan: Plan, group: Group, material: Material, method: Method) -> Task:
    looks = {"live.images": 2 * plan.curve_images, "live.every_seconds": 1.0}
    changes = plan.settings | (looks if plan.curve_images else {})
    preset, settings, config = resolve(method, plan.preset, changes, material.labelled_share)
    trains = method.name != FOREST
    recipe = {
        "preset": preset if trains else "",
        "stages": method.stages if trains else "1",
        SETTINGS: _portable(config) if trains else {},
        "data_fingerprint": material.data_fingerprint,
        "held_out": plan.held_out,
        "images": len(material.images),
        "labelled_images": [item.name for item in material.labelled] if group.labelled else "all",
    }
    return Task(Row(group, method.name), method, material, recipe, preset, settings)


def part_twins(tasks: Iterable[Task]) -> tuple[list[Task], dict[str, str]]:
    """Part off the tasks whose training is that of an earlier one of their group.

    Returns
    -------
    tuple of list of Task and dict
        Those that stay, and by the method of the others the one that they repeat.
    """
    kept: list[Task] = []
    twins: dict[str, str] = {}
    for task in tasks:
        group, recipe = task.row.group, task.recipe
        others = [one for one in kept if one.row.group == group]
        same = [one for one in others if not difference(one.recipe, recipe, group.labels)]
        if same:
            twins[task.method.name] = same[0].method.name
        else:
            kept.append(task)
    return kept, twins


def _portable(config: Config) -> dict[str, Any]:
    """Return a recipe that is the same wherever the file with the weights lies."""
    weights = Path(config.network.weights).name
    network = config.network.model_copy(update={"weights": weights})
    return config.model_copy(update={"network": network}).model_dump(mode="json")


def finished(plan: Plan, task: Task) -> dict[str, Any] | None:
    """Return the result of a task if it is there; see `rows.read_row` for what is raised."""
    return read_row(plan.rows, task.row, task.recipe)
