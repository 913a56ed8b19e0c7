"""Do the stages help? mIoU of every stage against training on the labels alone for as many steps.

    python benchmarks/three_stages.py DATA/nuclei DATA/leaves --labelled 0.03 --seeds 0 1 2

A data set is a folder with ``train/images``, ``train/masks``, ``test/images``, ``test/masks`` and
``classes.json``.  A seed decides which training images keep their masks, and the training.  Every
(data set, seed) is one project that is made, trained and scored with the command line; a row of
results is kept as JSON, so that an interrupted benchmark goes on where it was.

``control`` is stage 1 alone with as many steps as all stages together: what later stages gain
beyond longer training shows only against it.  ``full`` is the same with all masks.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import random
import shutil
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from napari_threestage.files import write_json

METHODS = ("stages", "control", "full")


@dataclass(frozen=True)
class Row:
    """One training to do: a method on a data set with a seed."""

    data: Path
    seed: int
    method: str

    @property
    def name(self) -> str:
        return f"{self.data.name}-{self.seed}-{self.method}"


def main() -> None:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [
        Row(data.resolve(), seed, method)
        for seed in options.seeds
        for data in options.data
        for method in options.methods
    ]
    todo = [row for row in rows if not is_done(options, row)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        for row, seconds in zip(todo, pool.map(measure, [options] * len(todo), todo), strict=True):
            print(f"{row.name}: {seconds:.0f} s", flush=True)
    results = [json.loads(result_path(options, row).read_text()) for row in rows]
    print_table(results, options.methods)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--labelled", type=float, default=0.03, help="share of images with masks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["stages", "control"])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/three_stages"))
    return parser.parse_args()


def result_path(options: argparse.Namespace, row: Row) -> Path:
    return Path(options.output) / f"{row.name}.json"


def recipe(options: argparse.Namespace) -> dict[str, Any]:
    return {"preset": options.preset, "settings": options.set, "share": options.labelled}


def is_done(options: argparse.Namespace, row: Row) -> bool:
    """Whether there is a result of this row; one of another recipe is refused."""
    path = result_path(options, row)
    if not path.exists():
        return False
    known = json.loads(path.read_text())
    if any(known.get(name) != value for name, value in recipe(options).items()):
        raise SystemExit(f"{path} is of another recipe; choose another --output.")
    return True


def measure(options: argparse.Namespace, row: Row) -> float:
    """Make the project, train, score on the test images, keep the row; return the seconds."""
    begun = time.monotonic()
    folder = options.output / row.name
    shutil.rmtree(folder, ignore_errors=True)
    images = sorted((row.data / "train" / "images").iterdir())
    labelled = choose(images, 1.0 if row.method == "full" else options.labelled, row.seed)
    masks = folder / "masks"
    masks.mkdir(parents=True)
    for image in labelled:
        shutil.copy(next((row.data / "train" / "masks").glob(f"{image.stem}.*")), masks)
    project = folder / "project"
    threestage("init", project, "--classes-file", row.data / "classes.json")
    threestage("import", project, "--images", row.data / "train" / "images", "--masks", masks)
    settings = [part for setting in options.set for part in ("--set", setting)]
    stages = ["--stages", "1", "--steps", total_steps(options)] if row.method != "stages" else []
    arguments = ["--preset", options.preset, "--seed", row.seed, "--device", options.device]
    trained = time.monotonic()
    threestage("run", project, *arguments, *settings, *stages, "--quiet")
    seconds = time.monotonic() - trained
    test = ["--images", row.data / "test" / "images", "--masks", row.data / "test" / "masks"]
    scores = json.loads(threestage("evaluate", project, *test, "--json"))
    result = {
        "data": row.data.name,
        "seed": row.seed,
        "method": row.method,
        "labelled": [image.stem for image in labelled],
        "training_seconds": seconds,
        **recipe(options),
        **scores,
    }
    write_json(result_path(options, row), result)
    shutil.rmtree(folder)
    return time.monotonic() - begun


def choose(images: list[Path], share: float, seed: int) -> list[Path]:
    count = max(2, round(share * len(images)))
    return sorted(random.Random(seed).sample(images, min(count, len(images))))


def total_steps(options: argparse.Namespace) -> int:
    from napari_threestage.config import load_config, parse_setting
    from napari_threestage.stages import stage_table

    config = load_config(options.preset, dict(map(parse_setting, options.set)))
    return sum(spec.steps for spec in stage_table(config))


def threestage(*arguments: Any) -> str:
    """Run a command in this process and return what it printed."""
    from napari_threestage.cli import main as command_line

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = command_line([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"threestage {arguments[0]} ended with {code}: {shown.getvalue()}")
    return shown.getvalue()


def print_table(results: list[dict[str, Any]], methods: list[str]) -> None:
    """Print mean and standard deviation over the seeds, and each seed, in % mIoU on the test."""
    table = Table(title="mIoU on the test images, %: mean ± sd (each seed)", title_justify="left")
    table.add_column("data")
    columns = [("stages", "1"), ("stages", "2"), ("stages", "3"), ("control", "1"), ("full", "1")]
    columns = [column for column in columns if column[0] in methods]
    for method, stage in columns:
        table.add_column(f"stage {stage}" if method == "stages" else method, justify="right")
    for data in dict.fromkeys(result["data"] for result in results):
        cells = []
        for method, stage in columns:
            values = [
                100 * result["stages"][stage]["miou"]
                for result in results
                if result["data"] == data and result["method"] == method
            ]
            cells.append(summary(values))
        table.add_row(data, *cells)
    Console(width=140).print(table)


def summary(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    each = " ".join(f"{value:.1f}" for value in values)
    return f"{statistics.mean(values):.1f} ± {spread:.1f} ({each})"


if __name__ == "__main__":
    main()
