"""How time and memory grow: with the number of images, of classes, and with the size of an image.

    python benchmarks/growth.py [--quick] [--output FILE.json] [--plots DIR]

All images are made up and the networks have random weights: only the time counts.  Each row is
measured in a process of its own.  The time of a prediction is a ratio to that of the bare network
on the same tiles, which is measured in turn with it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth_images import STEPS, measure_images, measure_list
from growth_network import measure_classes, measure_memory, measure_size
from growth_show import draw, show, summary
from rich.console import Console

from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]


def main() -> None:
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "conditions": {"device": options.device, "threads": options.threads},
            "images": images(options, Path(folder)),
            "list": [in_child(measure_list, Path(folder), n) for n in told("list", options.list)],
            "classes": classes(options),
            "size": sizes(options, Path(folder)),
        }
    results["summary"] = summary(results)
    show(results)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, results)
    if options.plots is not None:
        draw(results, options.plots)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work at all?")
    parser.add_argument("--images", type=int, nargs="+", help="numbers of images")
    parser.add_argument("--list", type=int, nargs="+", help="numbers of images to open and list")
    parser.add_argument("--classes", type=int, nargs="+", help="numbers of classes")
    parser.add_argument("--size", type=int, nargs="+", help="sides of an image")
    parser.add_argument("--repeats", type=int, help="of what the median is taken")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    parser.add_argument("--plots", type=Path, help="draw the curves into this folder")
    options = parser.parse_args()
    usual: dict[str, Any] = {
        "images": [30, 100, 300],
        "list": [100, 1000, 10_000],
        "classes": [2, 5, 10, 20, 50],
        "size": [256, 512, 1024, 2048, 4096],
        "repeats": 3,
    }
    quick = {"images": [10, 30], "list": [100, 1000], "classes": [2, 20], "size": [256, 1536]}
    for name, value in (usual | (quick if options.quick else {})).items():
        setattr(options, name, getattr(options, name) or value)
    return options


def images(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Measure all numbers in turn, some times, and take the medians."""
    rounds = [
        [in_child(measure_images, folder, count) for count in options.images]
        for _ in told("images, round", range(1, options.repeats + 1))
    ]
    return [median_row(column) for column in zip(*rounds, strict=True)]


def median_row(rows: tuple[Row, ...]) -> Row:
    return rows[0] | {name: sorted(row[name] for row in rows)[len(rows) // 2] for name in STEPS}


def classes(options: argparse.Namespace) -> list[Row]:
    """All in one process, so that what else the machine does meets all numbers."""
    say("classes", options.classes)
    blocks = 2 * options.repeats + 1
    return in_child(measure_classes, options.classes, options.device, options.threads, blocks)


def sizes(options: argparse.Namespace, folder: Path) -> list[Row]:
    rows = []
    for side in told("size", options.size):
        where = options.device, options.threads
        row = in_child(measure_size, side, *where, options.repeats)
        rows.append(row | in_child(measure_memory, folder, side, *where))
    return rows


def told(what: str, values: Any) -> Any:
    """Yield the values, and say which one is being measured."""
    for value in values:
        say(what, value)
        yield value


def say(what: str, value: Any) -> None:
    Console(stderr=True).print(f"{what}: {value}", highlight=False)


def in_child(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


if __name__ == "__main__":
    main()
