"""Does training collapse when other programs want the processor?

    python benchmarks/busy.py --others 0 1 --seconds 10

A step of stage 2 is measured on one thread and on all cores, at the low priority of a run, beside
so many programs that never rest.  Threads that wait for one that is not running burn the time it
would need; "as a run" lets them go to sleep soon (GOMP_SPINCOUNT as the command sets it), "torch's
own" is without.  A row that did not get through its first steps in time says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from napari_threestage.cli import SPINS
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60  # until the child has loaded torch and made two steps


def main() -> None:
    options = parse_arguments()
    if options.measure:
        print(milliseconds_a_step(options))
        return
    threads = sorted({1, os.cpu_count() or 1})
    settings = [(count, spins) for count in threads for spins in (None, SPINS)]
    results = []
    for others in options.others:
        with busy_programs(others):
            for count, spins in settings[1:]:  # one thread waits for nobody
                took = measured(options, count, spins)
                results.append(
                    {"others": others, "threads": count, "spins": spins, "milliseconds": took}
                )
                print(results[-1], flush=True)
    show(results)
    if options.output:
        write_json(options.output, {"results": results, "summary": summary(results)})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--others", type=int, nargs="+", default=[0, 1], help="busy programs")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--quick", action="store_true", help="two seconds")
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    parser.add_argument("--measure", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.seconds = 2.0 if options.quick else options.seconds
    return options


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    programs = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def measured(options: argparse.Namespace, threads: int, spins: str | None) -> float | None:
    """Milliseconds a step in a process of its own; None if it got nowhere in time."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": spins} if spins else {}
    command = [sys.executable, __file__, "--measure", str(threads)]
    command += ["--backbone", options.backbone, "--seconds", str(options.seconds)]
    try:
        child = subprocess.run(
            command,
            env=environment,
            timeout=START_SECONDS + 3 * options.seconds,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return None
    return float(child.stdout)


def milliseconds_a_step(options: argparse.Namespace) -> float:
    """Make steps for some seconds, as a run does."""
    import torch
    from bench_common import make_network, make_samples

    from napari_threestage.config import load_config
    from napari_threestage.stages import stage_table
    from napari_threestage.training.loop import StageTrainer

    os.nice(10)
    torch.set_num_threads(options.measure)
    changes = {"network.backbone": options.backbone, "network.weights": "none"}
    config = load_config("quick", changes)
    spec = stage_table(config)[1]
    samples = make_samples(12, (144, 144), 4)
    network = make_network(config, spec, 4)
    trainer = StageTrainer(spec, config, samples, network, torch.device("cpu"), 0)
    for _ in range(2):
        trainer.train_step()
    begun, steps = time.monotonic(), 0
    while steps < 2 or time.monotonic() - begun < options.seconds:
        trainer.train_step()
        steps += 1
    return 1000 * (time.monotonic() - begun) / steps


def name(row: dict[str, Any]) -> str:
    if row["threads"] == 1:
        return "1 thread"
    return f"{row['threads']} threads, {'as a run' if row['spins'] else 'torch’s own'}"


def value(row: dict[str, Any]) -> str:
    took = row["milliseconds"]
    return "got nowhere in time" if took is None else f"{took:.0f} ms"


def summary(results: list[dict[str, Any]]) -> list[list[str]]:
    return [[f"step beside {row['others']} programs, {name(row)}", value(row)] for row in results]


def show(results: list[dict[str, Any]]) -> None:
    others = sorted({row["others"] for row in results})
    table = Table("", *(f"{count} busy programs" for count in others), title="A step of stage 2")
    for label in dict.fromkeys(name(row) for row in results):
        cells = {row["others"]: value(row) for row in results if name(row) == label}
        table.add_row(label, *(cells.get(count, "") for count in others))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
