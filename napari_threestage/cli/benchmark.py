"""``benchmark``: methods on data sets over seeds."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from napari_threestage.benchmark.methods import CONTROL, DEFAULT, FOREST, METHODS, choose_methods
from napari_threestage.benchmark.rows import EVENTS
from napari_threestage.cli.output import add_command, err, print_json, say
from napari_threestage.cli.results import add_kinds
from napari_threestage.config import parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.files import name_pattern, write_json
from napari_threestage.presets import PRESETS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from napari_threestage.benchmark.items import DataSet
    from napari_threestage.benchmark.tasks import Plan, Task
    from napari_threestage.benchmark.work import Outcome

WIDTH = 200  # of a table that is not shown on a terminal


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    parser = add_command(
        commands,
        "benchmark",
        benchmark,
        "train methods on data sets over seeds, score and compare them",
        "threestage benchmark nuclei leaves --labelled 0.03 --methods all --output results",
    )
    add = parser.add_argument
    add("data", type=Path, nargs="+", help="folders of data sets")
    add("--layout", choices=["auto", "folder", "voc", "cityscapes"], default="auto")
    add("--half-resolution", action="store_true", help="as the paper does with Cityscapes")
    add(
        "--methods",
        nargs="+",
        default=list(DEFAULT),
        metavar="NAME",
        help="names, or bounds, own, rivals, ablations, all; default: " + " ".join(DEFAULT),
    )
    add("--lambdas", type=float, nargs="+", default=[], help="three stages with λ1 = λ2 = these")
    add("--preset", default="quick", choices=list(PRESETS))
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    add(
        "--labelled",
        type=float,
        nargs="+",
        default=[0.03],
        help="share of the training images that keep their masks, or their number",
    )
    add("--labels", choices=["dense", "scribbles"], default="dense")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--split", type=Path, help="a published order of the images, whose first keep their masks")
    add(
        "--held-out",
        type=_share_or_names,
        default=0.0,
        metavar="SHARE|NAMES",
        help="score on this share of the training images, or on those with this regular "
        "expression in their names, such as '^day1_|^day2_'",
    )
    add(
        "--curve-images",
        type=int,
        default=0,
        help="look at so many of the images held out while training",
    )
    add("--jobs", type=int, default=1, help="trainings at the same time")
    add("--device", default="auto")
    add("--output", type=Path, default=Path("benchmark"), help="folder for rows and tables")
    add_kinds(parser)
    add("--table-only", action="store_true", help="train nothing, show all rows there are")
    add(
        "--against",
        default=CONTROL,
        choices=[name for name in METHODS if name != FOREST],
        metavar="METHOD",
        help="with which the tables compare all others seed by seed; default: %(default)s",
    )
    add("--figures", action="store_true", help="draw them as PNG and SVG too")
    add(
        "--panels",
        type=int,
        default=0,
        metavar="N",
        help="keep the masks of so many scored images, for pictures of all stages side by side",
    )
    add("--keep-projects", action="store_true", help="leave the projects in the folder 'work'")
    add(
        "--keep-models",
        action="store_true",
        help="leave the segmenters of all stages beside the rows that are trained now",
    )


def _share_or_names(text: str) -> float | str:
    """Return a share, or a pattern: names such as 2007_000032 are numbers to Python, too."""
    if not text:
        raise ArgumentTypeError("give a share such as 0.2, or a part of the names of images")
    try:
        share = float(text)
    except ValueError:
        return text
    return share if 0 <= share < 1 else text


def benchmark(options: argparse.Namespace) -> int:
    """Train what is missing and show all; exit code 1 when a method failed."""
    from napari_threestage.benchmark.rows import read_rows
    from napari_threestage.benchmark.tasks import make_tasks

    _check(options)
    data_sets = _open(options)
    plan = _plan(options, data_sets)
    methods = choose_methods(options.methods, options.lambdas)
    tasks = make_tasks(plan, data_sets, methods, options.labelled, options.seeds)
    failed = [] if options.table_only else _train(options, plan, tasks)
    rows, damaged = read_rows(plan.rows)
    for sentence in damaged:
        err.print(sentence, markup=False, soft_wrap=True)
    _show(options, plan, rows)
    if options.figures:
        _draw(plan, tasks, rows)
    return 1 if failed else 0


def _check(options: argparse.Namespace) -> None:
    if options.curve_images and not options.held_out:
        raise ConfigError(
            "The test images decide nothing, so no curve is made with them.",
            "Give --held-out 0.2 with --curve-images.",
        )
    if min(options.curve_images, options.panels) < 0 or options.jobs < 1:
        raise ConfigError("--curve-images and --panels go from 0 on, --jobs from 1 on.")
    if options.kinds is not None:
        name_pattern(options.kinds)
    if options.split and len(options.data) > 1:
        raise ConfigError("A split is one of a single data set.", "Name one data set.")


def _open(options: argparse.Namespace) -> list[DataSet]:
    from napari_threestage.benchmark.datasets import half_resolution, open_data_set

    data_sets = [open_data_set(path, options.layout) for path in options.data]
    names = [data_set.name for data_set in data_sets]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"Two data sets are named {min(twice)}.", "Rename a folder: rows are named by it."
        )
    if not options.half_resolution:
        return data_sets
    return [half_resolution(one, options.output / "half" / one.name) for one in data_sets]


def _plan(options: argparse.Namespace, data_sets: Sequence[DataSet]) -> Plan:
    from napari_threestage.benchmark.splits import read_order
    from napari_threestage.benchmark.tasks import Plan

    settings = dict(map(parse_setting, options.set))
    if options.jobs > 1:
        settings.setdefault("threads", _threads(options.jobs))
    orders = {one.name: read_order(options.split, one.train) for one in data_sets if options.split}
    return Plan(
        output=options.output,
        preset=options.preset,
        settings=settings,
        labels=options.labels,
        device=options.device,
        held_out=options.held_out,
        curve_images=options.curve_images,
        orders=orders,
        keep_projects=options.keep_projects,
        kinds=options.kinds,
        keep_models=options.keep_models,
        panels=options.panels,
    )


def _threads(jobs: int) -> int:
    return max(1, (os.cpu_count() or 1) // jobs)


def _train(options: argparse.Namespace, plan: Plan, tasks: Sequence[Task]) -> list[Outcome]:
    """Do the tasks without a result, tell what became of each, and return those that failed."""
    from napari_threestage.benchmark.children import Children
    from napari_threestage.benchmark.tasks import finished, part_twins
    from napari_threestage.benchmark.work import do_tasks

    kept, twins = part_twins(tasks)
    for name, other in twins.items():
        err.print(f"{name} is left out: here it is the same as {other}.", markup=False)
    found = {task.row.name: finished(plan, task) for task in kept}
    todo = [task for task in kept if found[task.row.name] is None]
    _tell_other_kinds(plan, found)
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        place = f"[{len(outcomes)}/{len(todo)}] {outcome.task.row.name}"
        err.print(f"{place}: {_sentence(outcome)}", markup=False, soft_wrap=True)

    threads = plan.settings.get("threads", 0)
    do_tasks(plan, todo, Children(threads), options.jobs, report)
    return [outcome for outcome in outcomes if outcome.error is not None]


def _tell_other_kinds(plan: Plan, found: Mapping[str, dict[str, Any] | None]) -> None:
    """Say which finished rows are not scored by the kinds that are wanted."""
    if plan.kinds is None:
        return
    rows = {name: row for name, row in found.items() if row is not None}
    names = [name for name, row in rows.items() if row.get("kinds_pattern") != plan.kinds]
    if names:
        err.print(
            f"{len(names)} finished rows, such as {names[0]}, were not scored by --kinds "
            f"'{plan.kinds}'. To score them, remove their files and train again.",
            markup=False,
            soft_wrap=True,
        )


def _sentence(outcome: Outcome) -> str:
    from napari_threestage.cli.output import duration, percent

    if outcome.found is None:
        return f"failed. {outcome.error}"
    scores = " ".join(percent(one["miou"]) for one in outcome.found["stages"].values())
    return f"mIoU {scores} % in {duration(outcome.found['training_seconds'])}"


def _show(options: argparse.Namespace, plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``results.json`` and ``table.md`` if there are rows; print the tables."""
    from napari_threestage.benchmark.statistics import summarise, together
    from napari_threestage.benchmark.tables import markdown, recipes, rich_tables

    summary = summarise(rows, options.against)
    scored = "images held out from training" if plan.held_out else "test images"
    if isinstance(plan.held_out, str):
        scored += f" ({plan.held_out})"
    content = {
        "scored_on": scored,
        "recipes": recipes(rows),
        "rows": [{k: v for k, v in row.items() if k != "recipe"} for row in rows],
        "summary": summary,
        "together": together(summary),
    }
    head = [f"Scored on the {scored}.", *(f"Rows with {recipe}." for recipe in recipes(rows))]
    if rows:
        write_json(plan.folder / "results.json", content)
        text = markdown(summary, "\n".join(head))
        (plan.folder / "table.md").write_text(text, encoding="utf-8")
    if options.json:
        print_json(content)
        return
    if not rows:
        say(f"There are no rows in {plan.rows} yet.")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print("\n".join(head), markup=False)
    for table in rich_tables(summary):
        console.print(table)
    say(f"Rows, table.md and results.json are in {plan.folder}.")


def _draw(plan: Plan, tasks: Sequence[Task], rows: Sequence[dict[str, Any]]) -> None:
    from napari_threestage.benchmark.examples import choose_examples, read_panels
    from napari_threestage.benchmark.figures import panels, save, save_figures

    folder = plan.folder / "figures"
    events = {path.name.removesuffix(EVENTS): path for path in plan.rows.glob(f"*{EVENTS}")}
    save_figures(rows, folder, events)
    for task in tasks:
        data_set, kept = task.material.data_set, task.row.panels_path(plan.rows)
        items = choose_examples(task.material.scored, plan.panels)
        examples = read_panels(data_set, items, kept)
        if examples:
            save(panels(examples, data_set.classes), folder / f"panels-{task.row.name}")
