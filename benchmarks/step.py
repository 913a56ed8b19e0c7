"""How fast is a step of training against a straightforward implementation of the same step?

    python benchmarks/step.py --quick
    python benchmarks/step.py --backbone compact --stages 2 --threads 1
    python benchmarks/step.py --preset paper-voc --classes 21 --peak-tflops 989

`plain_step` says what the other implementation does.  Both, and the bare step (the network and the
optimiser on fixed tensors), are measured in one process, block after block in turn; a ratio is the
median over neighbouring blocks, with its least and most.  Random weights and made-up images: only
the time counts.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from bare_step import BareStep, images_per_step
from bench_common import (
    PAPER_STEPS,
    PARTS,
    Side,
    by_stage,
    input_share,
    keep,
    make_network,
    make_samples,
    milliseconds_by_part,
    ratio,
    ratio_of_blocks,
    run_in_turn,
    speed_parser,
)
from plain_step import PlainTrainer
from rich.console import Console
from rich.table import Table

from napari_threestage.config import for_stage, load_config, parse_setting
from napari_threestage.training.loop import StageTrainer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import torch

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec

WHOLE = [1, 2, 3]


def main() -> None:
    options = parse_arguments()
    results = by_stage(measure, options)
    if options.stages == WHOLE:
        results["run"] = of_a_run(results["stages"], options)
    results["summary"] = summary(results)
    keep(results, options.output)
    show(results)


def parse_arguments() -> argparse.Namespace:
    parser = speed_parser(__doc__)
    parser.add_argument("--stages", type=int, nargs="+", default=WHOLE)
    parser.add_argument("--workers", type=int, default=0, help="threads of the plain step's PIL")
    parser.add_argument("--peak-tflops", type=float, help="of the device, to tell the share of it")
    return parser.parse_args()


def measure(
    spec: StageSpec, config: Config, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """Measure the three kinds of step of a stage in turn."""
    samples = make_samples(options.images, (options.size, options.size), options.classes)
    network = make_network(config, spec, options.classes)

    def rest() -> tuple[Any, ...]:
        return spec, config, samples, copy.deepcopy(network), device, 0

    ours = Side.build(lambda: StageTrainer(*rest()).train_step, device)
    plain = Side.build(
        lambda: PlainTrainer(*rest(), options.workers).train_step, device, tuned=False
    )
    bare_step = BareStep(spec, config, copy.deepcopy(network), device, options.classes)
    bare = Side.build(lambda: bare_step, device)
    run_in_turn([plain, ours, bare], options.blocks, options.steps)
    parts = milliseconds_by_part(ours.step, device)
    count, flops = images_per_step(config, spec), bare_step.flops()
    result = {
        "stage": spec.number,
        "images_per_step": count,
        "ms": {"plain": 1e3 * plain.median, "ours": 1e3 * ours.median, "bare": 1e3 * bare.median},
        "images_per_second": {"plain": count / plain.median, "ours": count / ours.median},
        "block_seconds": {"plain": plain.seconds, "ours": ours.seconds},
        "speed_up": ratio(plain, ours),
        "times_bare": ratio(ours, bare),
        "parts_ms": parts,
        "input_share": input_share(parts),
        "gflop_per_step": flops / 1e9,
        "tflop_per_second": flops / ours.median / 1e12,
        "paper_stage_hours": PAPER_STEPS * ours.median / 3600,
    }
    if options.peak_tflops:
        result["share_of_peak"] = result["tflop_per_second"] / options.peak_tflops
    if device.type == "cuda":
        result["input_share_device"] = input_share(parts, "device ")
        result["device_bytes"] = {"plain": plain.taken, "ours": ours.taken}
    return result


def of_a_run(stages: Sequence[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """The same for all steps of a run of the preset, each stage with as many as it has.

    Stages are measured one after another; the range is that of all first blocks, all second ones.
    """
    config = load_config(options.preset, dict(map(parse_setting, options.set)))
    steps = [for_stage(config.stages.steps, number) for number in WHOLE]
    seconds = {
        side: [
            sum(count * one for count, one in zip(steps, block, strict=True))
            for block in zip(*(stage["block_seconds"][side] for stage in stages), strict=True)
        ]
        for side in ("plain", "ours")
    }
    return {"steps": steps, "speed_up": ratio_of_blocks(seconds["plain"], seconds["ours"])}


def summary(results: dict[str, Any]) -> list[list[str]]:
    """Name and value of the figures that count."""
    rows = []
    for stage in results["stages"]:
        name = f"{results['backbone']}, stage {stage['stage']}"
        rows.append([f"{name}: times the plain step's speed", spread(stage["speed_up"])])
        rows.append([f"{name}: input, share of the step", percent(stage["input_share"])])
    if run := results.get("run"):
        name = f"{results['backbone']}, {' + '.join(map(str, run['steps']))} steps"
        rows.append([f"{name}: times the plain step's speed", spread(run["speed_up"])])
    return rows


# --- printing -------------------------------------------------------------------------------------


def show(results: dict[str, Any]) -> None:
    console = Console(width=120)
    stages = results["stages"]
    title = (
        f"{results['preset']}, {results['backbone']}, crops of {results['crop']}, "
        f"{results['device']}, threads: {results['threads']}, ours in {results['precision']}"
    )
    table = Table("", title=title, title_justify="left")
    for stage in stages:
        table.add_column(f"stage {stage['stage']}", justify="right")
    rows = {
        "crops in a step": lambda stage: f"{stage['images_per_step']}",
        "plain step, ms": lambda stage: f"{stage['ms']['plain']:.1f}",
        "our step, ms": lambda stage: f"{stage['ms']['ours']:.1f}",
        "bare step, ms": lambda stage: f"{stage['ms']['bare']:.1f}",
        "plain, images/s": lambda stage: f"{stage['images_per_second']['plain']:.1f}",
        "ours, images/s": lambda stage: f"{stage['images_per_second']['ours']:.1f}",
        "plain / ours": lambda stage: spread(stage["speed_up"]),
        "ours / bare": lambda stage: spread(stage["times_bare"]),
        "ours, TFLOP/s": lambda stage: f"{stage['tflop_per_second']:.3f}",
        "of the peak": lambda stage: percent(stage.get("share_of_peak")),
        "60,000 steps, hours": lambda stage: f"{stage['paper_stage_hours']:.1f}",
        "plain, memory of the device, MB": lambda stage: megabytes(stage, "plain"),
        "ours, memory of the device, MB": lambda stage: megabytes(stage, "ours"),
        "input, share of the step": lambda stage: percent(stage["input_share"]),
        "input, share on the device": lambda stage: percent(stage.get("input_share_device")),
    }
    for name, cell in rows.items():
        cells = [cell(stage) for stage in stages]
        if any(cells):
            table.add_row(name, *cells)
    table.add_section()
    for prefix in ("", "device "):
        for part in (prefix + part for part in PARTS):
            cells = [milliseconds(stage["parts_ms"].get(part)) for stage in stages]
            if any(cells):
                table.add_row(f"{part}, ms", *cells)
    console.print(table)
    if run := results.get("run"):
        steps = " + ".join(map(str, run["steps"]))
        console.print(f"A run of {steps} steps, plain / ours: {spread(run['speed_up'])}")


def spread(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def megabytes(stage: dict[str, Any], side: str) -> str:
    return f"{stage['device_bytes'][side] / 1e6:.0f}" if "device_bytes" in stage else ""


if __name__ == "__main__":
    main()
