"""All benchmarks of speed and memory one after the other, and one table of what they found.

    make bench
    python benchmarks/bench.py --quick
    python benchmarks/bench.py --only step-compact memory

Every part is a process of its own.  Its figures (JSON), what it printed and its plots lie below
`--folder`.  A part that fails is reported and the others go on; then the exit code is 1.
`latency` runs where a virtual display can be had, and not with --quick unless it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
NAMES = (
    "step-mobilenet",
    "step-compact",
    "input",
    "growth",
    "predict",
    "memory",
    "busy",
    "latency",
)
QUICK_LATENCY = "--seconds 2 --size 1024 --list 1000"


@dataclass(frozen=True)
class Part:
    """One benchmark: its command, and the file that it leaves its figures in."""

    name: str
    command: list[str]
    output: Path

    @property
    def log(self) -> Path:
        return self.output.with_suffix(".txt")


@dataclass(frozen=True)
class Outcome:
    """What became of a part: exit code, seconds, most memory in bytes, names and values."""

    part: Part
    code: int
    seconds: float
    memory: int
    figures: list[list[str]]

    @property
    def failed(self) -> bool:
        return self.code != 0


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    outcomes = []
    for part in choose_parts(options):
        print(f"==> {part.name}: {' '.join(part.command)}", flush=True)
        outcomes.append(run_part(part))
        print(f"    {how_it_ended(outcomes[-1])}", flush=True)
    return show(outcomes)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes, rough figures")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], help="these parts")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="for steps, input and growth"
    )
    parser.add_argument("--device", default="auto", help="for steps, input and growth")
    parser.add_argument("--folder", type=Path, default=HERE / "results" / "bench")
    return parser.parse_args(arguments)


def choose_parts(options: argparse.Namespace) -> list[Part]:
    display = bool(shutil.which("xvfb-run") and shutil.which("make"))
    usual = [name for name in NAMES if name != "latency" or (display and not options.quick)]
    return [make_part(name, options) for name in options.only or usual]


def make_part(name: str, options: argparse.Namespace) -> Part:
    folder = options.folder.resolve()
    output = folder / f"{name}.json"
    if name == "latency":
        arguments = f"--output {output} {QUICK_LATENCY if options.quick else ''}".strip()
        return Part(name, ["make", "-C", str(HERE.parent), "latency", f"ARGS={arguments}"], output)
    measured = ["--threads", str(options.threads), "--device", options.device]
    script, more = {
        "step-mobilenet": ("step.py", ["--backbone", "mobilenet_v2", *measured]),
        "step-compact": ("step.py", ["--backbone", "compact", *measured]),
        "input": ("input_pipeline.py", measured),
        "growth": ("growth.py", ["--plots", str(folder), *measured]),
        "predict": ("predict.py", measured),
        "memory": ("memory.py", []),
        "busy": ("busy.py", []),
    }[name]
    command = [sys.executable, str(HERE / script), "--output", str(output), *more]
    return Part(name, [*command, *(["--quick"] if options.quick else [])], output)


def run_part(part: Part) -> Outcome:
    """Run the command; what it prints goes to the screen and into the part's log."""
    part.output.parent.mkdir(parents=True, exist_ok=True)
    part.output.unlink(missing_ok=True)  # figures of an earlier call are not those of this one
    begun = time.monotonic()
    with (
        part.log.open("w") as log,
        subprocess.Popen(part.command, stdout=subprocess.PIPE, stderr=log, text=True) as child,
    ):
        for line in child.stdout or ():
            print(line, end="", flush=True)
            log.write(line)
            log.flush()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    code = child.returncode
    if code == 0 and not part.output.exists():
        code = 1  # it left no figures
    return Outcome(part, code, seconds, memory, read_figures(part) if code == 0 else [])


def read_figures(part: Part) -> list[list[str]]:
    """The part's own summary where it has one."""
    content: Any = json.loads(part.output.read_text())
    if isinstance(content, dict) and "summary" in content:
        return content["summary"]
    readers = {"memory": memory_figures, "latency": latency_figures}
    return readers[part.name](content) if part.name in readers else []


def memory_figures(rows: list[dict[str, Any]]) -> list[list[str]]:
    ratios = [row["ratio"] for row in rows]
    return [["estimate of memory / measured peak", f"{min(ratios):.2f} to {max(ratios):.2f}"]]


def latency_figures(results: dict[str, Any]) -> list[list[str]]:
    longest = [
        [f"longest stall, {name}", f"{row['longest_ms']:.0f} ms"]
        for name, row in results["stalls"].items()
        if not name.startswith("napari: ")
    ]
    following = results.get("next_image_ms", {}).get("dock")
    return [*longest, *([["next image", f"{following['median']:.0f} ms"]] if following else [])]


def how_it_ended(outcome: Outcome) -> str:
    if not outcome.failed:
        return f"done in {outcome.seconds:.0f} s"
    return f"FAILED with exit code {outcome.code}; see {outcome.part.log}"


def show(outcomes: Sequence[Outcome]) -> int:
    """Print the table; return the exit code."""
    table = Table("part", "", "", title="What the benchmarks found", title_justify="left")
    for outcome in outcomes:
        used = f"{outcome.seconds:.0f} s, at most {outcome.memory / 1e6:.0f} MB"
        table.add_row(outcome.part.name, how_it_ended(outcome), "" if outcome.failed else used)
        for name, value in outcome.figures:
            table.add_row("", str(name), str(value))
        table.add_section()
    Console(width=130).print(table)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
