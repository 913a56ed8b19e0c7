"""Does "label next" pay?  The loop of a person who labels what is picked, with known masks.

    python benchmarks/labelling.py nuclei leaves --seeds 0 1 2 --output results/labelling

For each data set and seed the same few images have labels at first.  Three stages are trained and
scored, a way to pick (`threestage rank --by …`) names the next images, their true masks are
imported, and so on; every round trains anew, or, with `--refresh`, from the run before.  All ways
share the first round.  Rows that are there already are kept, so that the command goes on where it
was ended.  Printed and drawn is the mIoU on the test images over the number of labelled images;
with `--held-out` on a part of the training images, to choose between ways without the test images.
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from napari_threestage.benchmark.children import Children
from napari_threestage.benchmark.datasets import open_data_set
from napari_threestage.benchmark.splits import hold_out
from napari_threestage.benchmark.statistics import difference, spread
from napari_threestage.files import write_json
from napari_threestage.label_queue import WAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from napari_threestage.benchmark.items import DataSet, Item

COLOURS = {"default": "#0072B2", "random": "#6A6A6A", "uncertainty": "#D55E00"}
REFRESHED = " refreshed"  # behind how images are picked: runs go on from those before
OTHERS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True)
class Loop:
    """What one data set and seed have in common."""

    data_set: DataSet
    pool: list[Item]  # all that may be labelled
    scored: Sequence[Item]
    seed: int
    options: argparse.Namespace
    children: Children

    @property
    def folder(self) -> Path:
        return self.options.output / "work" / f"{self.data_set.name}-{self.seed}"

    def way(self, by: str) -> str:
        """Return how images are picked, and whether runs go on from those before."""
        return f"{by}{REFRESHED}" if self.options.refresh else by

    def row(self, by: str, turn: int) -> Path:
        name = f"{self.data_set.name}-{self.seed}-{by.replace(' ', '-')}-{turn}.json"
        return self.options.output / "rows" / name

    # --- one after the other ----------------------------------------------------------------------

    def begin(self) -> None:
        """Train with the labels of the first round, which all ways share."""
        project = self.folder / "first"
        if not (self.folder / "first.done").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_json(self.folder / "classes.json", list(self.data_set.classes))
            self._command("init", project, "--classes-file", self.folder / "classes.json")
            self._import(project, "pool", self.pool, masks=False)
            first = np.random.default_rng(self.seed).choice(
                len(self.pool), self.options.labelled[0], replace=False
            )
            self._label(project, [self.pool[at] for at in sorted(first)], 0)
            self._train(project)
            (self.folder / "first.done").touch()
        if not self.row("first", 0).exists():
            self._score(project, "first", 0, [])

    def go(self, by: str) -> None:
        """Label what is picked, train, score, for all rounds."""
        way = self.way(by)
        project = self.folder / way.replace(" ", "-")
        turns = range(1, len(self.options.labelled))
        if all(self.row(way, turn).exists() for turn in turns):
            return
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self.folder / "first", project, symlinks=True)
        for turn in turns:
            more = self.options.labelled[turn] - self.options.labelled[turn - 1]
            found = self._command(
                *("rank", project, "--by", by, "--top", more, "--seed", self.seed * 100 + turn)
            )
            names = [one["name"] for one in found["images"]]
            items = {item.name: item for item in self.pool}
            self._label(project, [items[name] for name in names], turn)
            self._train(project, refresh=self.options.refresh)
            self._score(project, way, turn, names)
        if not self.options.keep:
            shutil.rmtree(project)

    def _label(self, project: Path, items: Sequence[Item], turn: int) -> None:
        self._import(project, f"labels-{turn}", items, masks=True)

    def _import(self, project: Path, name: str, items: Sequence[Item], masks: bool) -> None:
        folder = project.parent / f"{project.name}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        for kind in ("images", "masks") if masks else ("images",):
            (folder / kind).mkdir(parents=True)
        for item in items:
            (folder / "images" / (item.name + item.image.suffix)).symlink_to(item.image)
            if masks:
                (folder / "masks" / (item.name + item.mask.suffix)).symlink_to(item.mask)
        given = ("--masks", folder / "masks", "--mask-values", self.data_set.mask_values)
        self._command("import", project, "--images", folder / "images", *(given if masks else ()))

    def _train(self, project: Path, refresh: bool = False) -> None:
        if refresh:
            self._command("run", project, "--refresh", "--quiet", document=False)
            return
        for path in (project / "runs").glob("*"):
            shutil.rmtree(path)
        changes = [part for one in self.options.set for part in ("--set", one)]
        arguments = ("--seed", self.seed, "--stages", self.options.stages, *changes, "--quiet")
        self._command("run", project, *arguments, document=False)

    def _score(self, project: Path, by: str, turn: int, picked: Sequence[str]) -> None:
        folder = self.folder / "scored"
        if not folder.exists():
            self._link_scored(folder)
        found = self._command(
            *("evaluate", project, "--images", folder / "images", "--masks", folder / "masks"),
            *("--mask-values", self.data_set.mask_values, "--stage", "last"),
        )
        (scores,) = found["stages"].values()
        head = {"data": self.data_set.name, "seed": self.seed, "by": by}
        row = {"labelled": self.options.labelled[turn], "miou": scores["miou"]}
        self.row(by, turn).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.row(by, turn), head | row | {"iou": scores["iou"], "picked": picked})

    def _link_scored(self, folder: Path) -> None:
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        for item in self.scored:
            (folder / "images" / (item.name + item.image.suffix)).symlink_to(item.image)
            (folder / "masks" / (item.name + item.mask.suffix)).symlink_to(item.mask)

    def _command(self, name: str, *arguments: object, document: bool = True) -> Any:
        if not document:
            return self.children.threestage(name, *arguments)
        return json.loads(self.children.threestage(name, *arguments, "--json"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, nargs="+", help="folders of data sets")
    add("--by", nargs="+", default=["default", "random", "uncertainty"], choices=WAYS)
    add("--labelled", type=int, nargs="+", default=[4, 8, 16], help="images, round by round")
    add("--pool", type=int, default=300, help="images to choose from, at most")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--stages", default="1-3")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    add(
        "--refresh",
        action="store_true",
        help="later rounds refresh the run before, in half the steps",
    )
    add("--held-out", type=float, default=0.0)
    add("--jobs", type=int, default=1, help="trainings at the same time")
    add("--threads", type=int, default=1, help="of each of them")
    add("--keep", action="store_true", help="keep the projects")
    add("--table-only", action="store_true")
    add("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output = options.output.resolve()
    if not options.table_only:
        simulate(options)
    rows = [json.loads(path.read_text()) for path in sorted(options.output.glob("rows/*.json"))]
    found = summarise(rows)
    show(found)
    write_json(options.output / "labelling.json", found)
    anew = [one for one in found if not one["by"].endswith(REFRESHED)]  # the plot is about picking
    draw(anew, options.output / "labelling.png")


def simulate(options: argparse.Namespace) -> None:
    children = Children(options.threads)
    loops = []
    for path in options.data:
        data_set = open_data_set(path)
        for seed in options.seeds:
            pool, scored = list(data_set.train), data_set.test
            if options.held_out:
                pool, scored = map(list, hold_out(pool, options.held_out))
            chosen = np.random.default_rng(seed).permutation(len(pool))[: options.pool]
            some = [pool[at] for at in sorted(chosen)]
            loops.append(Loop(data_set, some, scored, seed, options, children))
    try:
        with ThreadPoolExecutor(options.jobs) as jobs:
            list(jobs.map(Loop.begin, loops))
            todo = [(loop, by) for loop in loops for by in options.by]
            list(jobs.map(lambda one: one[0].go(one[1]), todo))
    finally:
        children.end()


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each data set, way and number of labelled images the mIoU over seeds."""
    found = []
    for data in sorted({row["data"] for row in rows}):
        mine = [row for row in rows if row["data"] == data]
        firsts = [row for row in mine if row["by"] == "first"]
        known = [by + more for by in WAYS for more in ("", REFRESHED)]
        ways = [by for by in known if any(row["by"] == by for row in mine)]
        by_way = {by: [row for row in mine if row["by"] == by] + firsts for by in ways}
        for by in ways:
            for labelled in sorted({row["labelled"] for row in by_way[by]}):
                values = _values(by_way[by], labelled)
                over = difference(values, _values(by_way.get("random", []), labelled))
                entry = {"data": data, "by": by, "labelled": labelled, "miou": vars(spread(values))}
                entry["over_random"] = None if over is None or by == "random" else vars(over)
                found.append(entry)
    return found


def _values(rows: Sequence[dict[str, Any]], labelled: int) -> dict[int, float]:
    return {row["seed"]: row["miou"] for row in rows if row["labelled"] == labelled}


def show(found: Sequence[dict[str, Any]]) -> None:
    table = Table("data", "picked by", "labelled images", "mIoU, %", "over random, points")
    for one in found:
        miou, over = one["miou"], one["over_random"]
        spread_text = "" if miou["sd"] is None else f" ± {100 * miou['sd']:.1f}"
        over_text = ""
        if over is not None:
            each = " ".join(f"{100 * value:+.1f}" for value in over["each"].values())
            over_text = f"{100 * over['mean']:+.1f} ({each})"
        value = f"{100 * miou['mean']:.1f}{spread_text}"
        table.add_row(one["data"], one["by"], str(one["labelled"]), value, over_text)
    Console(width=110).print(table)


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    sets = sorted({one["data"] for one in found})
    if not sets:
        return
    figure = Figure((4.6 * len(sets), 3.6), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        _panel(axes, data, [one for one in found if one["data"] == data])
    figure.savefig(path, dpi=150)


def _panel(axes: Axes, data: str, found: Sequence[dict[str, Any]]) -> None:
    others = iter(OTHERS)
    for by in dict.fromkeys(one["by"] for one in found):
        mine = [one for one in found if one["by"] == by]
        colour = COLOURS.get(by) or next(others)
        x = [one["labelled"] for one in mine]
        y = [100 * one["miou"]["mean"] for one in mine]
        axes.plot(x, y, color=colour, marker="o", label=by, zorder=3)
        for one in mine:
            each = [100 * value for value in one["miou"]["each"].values()]
            axes.scatter([one["labelled"]] * len(each), each, s=12, color=colour, alpha=0.4)
    axes.set_title(data)
    axes.set_xlabel("labelled images")
    axes.set_ylabel("mIoU, %")
    axes.set_xticks(sorted({one["labelled"] for one in found}))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
