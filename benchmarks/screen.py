"""Which ingredients pay?  Many switches at once, each judged by all trainings.

    python benchmarks/screen.py benchmarks/switches/second.json nuclei leaves --output screening

A file of switches holds {switch: {setting: value}}, at most ten; a column of the design without one
shows what chance does.

Changing one switch at a time spends all trainings but two on other questions, and a training on few
labels differs by a point from its own repetition.  A Plackett-Burman design (Biometrika 33, 1946)
changes half of the switches in every one of 12 trainings so that each effect is the difference of
the means of two halves of them, six against six, in which every other switch is as often on as off.
One of the eleven columns is the seed.  Effects of two switches together are spread over the others,
so what is found here is to be confirmed: on other seeds, and alone.

Scored are training images that are held out, never the test images.  Rows that are there are kept,
so that the command goes on where it was ended.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats

from napari_threestage.benchmark.children import Children, CommandFailed
from napari_threestage.benchmark.recipes import to_arguments
from napari_threestage.config import load_config, parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Switches = dict[str, dict[str, Any]]  # {switch: {setting: value}}
MOST = 10  # the eleventh column is the seed
FIRST_ROW = (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0)


@dataclass(frozen=True)
class Cell:
    """One training of the design."""

    data: Path
    number: int
    on: tuple[str, ...]
    seed: int

    def folder(self, output: Path) -> Path:
        return output / f"{self.data.name}-{self.number:02}"


def plackett_burman() -> NDArray[np.bool_]:
    """Return the design: 12 trainings x 11 columns; the last training changes nothing."""
    rows = [np.roll(FIRST_ROW, shift) for shift in range(len(FIRST_ROW))]
    return np.array([*rows, np.zeros(len(FIRST_ROW))], bool)


def cells(data: Sequence[Path], seeds: Sequence[int], switches: Switches) -> list[Cell]:
    """Return all trainings, the sets in turn so that an early end leaves some of each."""
    design, names = plackett_burman(), list(switches)
    return [
        Cell(one, number, tuple(n for n, on in zip(names, row[1:], strict=False) if on), seed)
        for number, row in enumerate(design)
        for seed in (seeds[int(row[0])],)
        for one in data
    ]


def read_switches(path: str) -> Switches:
    try:
        switches: Switches = {**json.loads(Path(path).read_text())}
    except (OSError, ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path} holds no switches: {error}") from error
    if not 0 < len(switches) <= MOST:
        raise argparse.ArgumentTypeError(f"{path} holds {len(switches)} switches, not 1 to {MOST}")
    return switches


def check(options: argparse.Namespace) -> None:
    """Refuse switches that change nothing, and a folder with trainings of others.

    Raises
    ------
    ConfigError
        What is wrong.
    """
    shared = dict(map(parse_setting, options.set))
    base = load_config(options.preset, shared)
    for name, changes in options.switches.items():
        if load_config(options.preset, shared | changes) == base:
            raise ConfigError(f"The switch '{name}' changes nothing in {options.preset}.")
    path, asked = options.output / "switches.json", [options.preset, shared, options.switches]
    if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(asked)):
        raise ConfigError(f"{options.output} holds trainings of other switches or settings.")
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(path, asked)


def train(cell: Cell, options: argparse.Namespace, children: Children) -> bool:
    """Make the row of a training, if there is none yet; False where that failed."""
    changes = {name: value for on in cell.on for name, value in options.switches[on].items()}
    arguments = [
        *(cell.data, "--methods", "three-stage", "--labelled", options.labelled),
        *("--seeds", cell.seed, "--held-out", options.held_out, "--preset", options.preset),
        *(part for one in options.set for part in ("--set", one)),
        *to_arguments(changes),
        *("--jobs", 1, "--output", cell.folder(options.output)),
    ]
    print(cell.folder(options.output).name, ", ".join(cell.on) or "the preset", flush=True)
    try:
        children.threestage("benchmark", *arguments)
    except CommandFailed as error:
        print(error.output, file=sys.stderr, flush=True)
        return False
    return True


def scores(cell: Cell, output: Path) -> dict[str, float]:
    """Return the mIoU of each stage in %; empty where there is no row."""
    for path in cell.folder(output).glob("held-out-*/rows/*.json"):
        return {k: 100 * v["miou"] for k, v in json.loads(path.read_text())["stages"].items()}
    return {}


def effects(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the effect of each column and the margin of error of each.

    Hardly a column is left to tell chance from, so the margin is taken from the effects themselves,
    most of which are taken for chance (Lenth, Technometrics 31, 1989).
    """
    signs = np.where(plackett_burman(), 1, -1)
    found = signs.T @ values / (len(values) / 2)
    sizes = np.abs(found)
    error = 1.5 * np.median(sizes[sizes <= 2.5 * 1.5 * np.median(sizes)])
    return found, float(stats.t.ppf(0.975, len(sizes) / 3) * error)


def summarise(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return, by data set and stage, the mean and the effects of all whose 12 rows are there."""
    found = []
    left = range(1, MOST - len(options.switches) + 1)
    columns = ["seed", *options.switches, *(f"nothing ({number})" for number in left)]
    for data in options.data:
        trainings = cells([data], options.seeds, options.switches)
        mine = [scores(cell, options.output) for cell in trainings]
        print(f"{data.name}: {sum(map(bool, mine))} of {len(mine)} rows")
        if not all(mine):
            continue
        for stage in mine[0]:
            values = np.array([one[stage] for one in mine])
            each, margin = effects(values)
            named = dict(zip(columns, each.tolist(), strict=True))
            found.append(
                {"data": data.name, "stage": stage, "mean": values.mean(), "margin": margin}
                | {"effects": named, "values": values.tolist()}
            )
    return found


def show(found: Sequence[dict[str, Any]]) -> None:
    """Print the effects in points of mIoU; those above the margin of error in bold."""
    for stage in sorted({one["stage"] for one in found}):
        mine = [one for one in found if one["stage"] == stage]
        table = Table("switch", *(one["data"] for one in mine), "mean", title=f"stage {stage}")
        for name in mine[0]["effects"]:
            each = [one["effects"][name] for one in mine]
            bold = ["bold" * (abs(one["effects"][name]) > one["margin"]) for one in mine]
            texts = [Text(f"{v:+.1f}", style) for v, style in zip(each, bold, strict=True)]
            table.add_row(name, *texts, f"{np.mean(each):+.1f}")
        table.add_section()
        table.add_row("margin of error", *(f"{one['margin']:.1f}" for one in mine), "")
        table.add_row("mean of all", *(f"{one['mean']:.1f}" for one in mine), "")
        Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("switches", type=read_switches, help="JSON file of what each switch changes in the preset")
    add("data", type=lambda text: Path(text).resolve(), nargs="+", help="folders of data sets")
    add("--preset", default="quick")
    add("--labelled", type=float, default=0.03)
    add("--held-out", type=float, default=0.2)
    add("--seeds", type=int, nargs=2, default=[0, 1])
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    add("--jobs", type=int, default=1, help="trainings at the same time")
    add("--table-only", action="store_true")
    add("--output", type=Path, required=True)
    options = parser.parse_args()
    if not 0 < options.held_out < 1:
        parser.error("--held-out is a share of the training images: the test images decide nothing")
    options.output = options.output.resolve()
    try:
        check(options)
    except ConfigError as error:
        parser.error(str(error))
    worked = [True]
    if not options.table_only:
        children = Children()
        todo = cells(options.data, options.seeds, options.switches)
        try:
            with ThreadPoolExecutor(options.jobs) as pool:
                worked = list(pool.map(lambda cell: train(cell, options, children), todo))
        finally:
            children.end()
    found = summarise(options)
    show(found)
    write_json(options.output / "screening.json", found)
    sys.exit(not all(worked))


if __name__ == "__main__":
    main()
