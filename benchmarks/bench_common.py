"""What the benchmarks of speed share: options, made-up samples, time measured in turn."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from napari_threestage.config import load_config, parse_setting
from napari_threestage.inference.device import choose_device, describe_device
from napari_threestage.stages import stage_table
from napari_threestage.training.batches import Sample
from napari_threestage.training.multitask import TwoBranchNetwork
from napari_threestage.training.networks import build_network, build_own_blocks
from napari_threestage.training.precision import choose_precision, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec

    MeasureStage = Callable[[StageSpec, Config, torch.device, argparse.Namespace], dict[str, Any]]

CHANNELS = 3
PAPER_STEPS = 60_000
PROFILED = 5  # steps with the profiler
WARM_UP = 2  # steps until caches are filled and fast kernels are chosen
RANGE = "threestage::"  # the training loop names its parts so for the profiler
PARTS = (
    "crops",
    "draw",
    "teacher",
    "perturb",
    "student",
    "losses",
    "backward",
    "optimiser",
    "average",
)
INPUT_PARTS = ("crops", "draw")


# --- options --------------------------------------------------------------------------------------


def speed_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of a recipe and of a measurement."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--backbone", help="default: the preset's, mobilenet_v2 for 'auto'")
    parser.add_argument("--weights", type=Path, help="a file; default: random weights")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--images", type=int, default=24, help="a quarter of them has labels")
    parser.add_argument("--size", type=int, help="of the images; default: 1.5 times the crop's")
    parser.add_argument("--steps", type=int, help="steps of a block, measured as a whole")
    parser.add_argument("--blocks", type=int, help="blocks of each kind, in turn")
    parser.add_argument("--quick", action="store_true", help="few steps: does it work at all?")
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    return parser


def prepare(options: argparse.Namespace) -> tuple[Config, torch.device]:
    """Set the threads, fill in what the options leave open; return the recipe and the device."""
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    usual = (2, 3) if options.quick else (10, 7)
    options.steps, options.blocks = options.steps or usual[0], options.blocks or usual[1]
    backbone = options.backbone or load_config(options.preset).network.backbone
    changes = {
        "network.backbone": "mobilenet_v2" if backbone == "auto" else backbone,
        "network.weights": str(options.weights or "none"),
        "stages.steps": [PAPER_STEPS],
    }
    config = load_config(options.preset, changes | dict(map(parse_setting, options.set)))
    options.size = options.size or 3 * max(config.data.crop) // 2
    return config, device


def by_stage(measure: MeasureStage, options: argparse.Namespace) -> dict[str, Any]:
    """What figures depend on, and those of each stage of ``--stages``."""
    config, device = prepare(options)
    results = conditions(options, config, device)
    results["stages"] = [
        measure(spec, config, device, options)
        for spec in stage_table(config, max(options.stages))
        if spec.number in options.stages
    ]
    return results


def conditions(options: argparse.Namespace, config: Config, device: torch.device) -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "preset": config.preset,
        "backbone": config.network.backbone,
        "settings": options.set,
        "crop": config.data.crop,
        "image_size": options.size,
        "device": describe_device(device),
        "precision": str(choose_precision(config, device)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def keep(results: dict[str, Any], output: Path | None) -> None:
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=1))


# --- samples and networks -------------------------------------------------------------------------


def make_samples(
    count: int, size: Sequence[int], n_classes: int, seed: int = 0, labelled: int | None = None
) -> list[Sample]:
    """Colour images of noisy patches, all with pseudo-masks, the first of them with labels."""
    rng = np.random.default_rng(seed)
    labelled = max(1, count // 4) if labelled is None else labelled
    samples = []
    for number in range(count):
        patches = rng.integers(0, n_classes, [side // 16 + 1 for side in size], np.uint8)
        truth = np.kron(patches, np.ones((16, 16), np.uint8))[: size[0], : size[1]].copy()
        noise = rng.integers(0, 64, (CHANNELS, *truth.shape))
        image = (truth * (180 // n_classes) + noise).astype(np.uint8)
        pseudo = np.roll(truth, 3, axis=1)
        samples.append(
            Sample(
                torch.from_numpy(image),
                torch.from_numpy(truth) if number < labelled else None,
                torch.from_numpy(pseudo),
            )
        )
    return samples


def make_network(config: Config, spec: StageSpec, n_classes: int) -> TwoBranchNetwork:
    """f with the stage's second branch, the same for the same recipe."""
    torch.manual_seed(spec.number)
    segmenter = build_network(config.network, CHANNELS, n_classes)
    own_blocks = build_own_blocks(config.network, CHANNELS, n_classes, spec.own_blocks)
    return TwoBranchNetwork(segmenter, own_blocks)


# --- time -----------------------------------------------------------------------------------------


@dataclass
class Side:
    """One of those that are compared: its step, and what its blocks of steps took.

    On a GPU, `taken` is the memory that torch took from it for this side, with what graphs hold;
    one that is not `tuned` runs with torch's defaults.
    """

    step: Callable[[], Any]
    device: torch.device
    tuned: bool
    taken: int = 0
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def build(
        cls, make: Callable[[], Callable[[], Any]], device: torch.device, tuned: bool = True
    ) -> Side:
        before = reserved(device)
        use_tuning(device, tuned)
        step = make()
        for _ in range(WARM_UP):
            step()
        reserved(device)
        step()
        synchronise(device)
        most = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0
        return cls(step, device, tuned, most - before)

    def run_block(self, steps: int) -> None:
        """Make some steps; the device is waited for at the ends only."""
        use_tuning(self.device, self.tuned)
        synchronise(self.device)
        begun = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronise(self.device)
        self.seconds.append((time.perf_counter() - begun) / steps)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def run_in_turn(sides: Sequence[Side], blocks: int, steps: int) -> None:
    """Blocks of each side, A B C A B C: what else the machine does meets all of them."""
    for _ in range(blocks):
        for side in sides:
            side.run_block(steps)


def ratio(slow: Side, fast: Side) -> dict[str, float]:
    """How many times the time of `fast` the other takes: median, least and most of the blocks."""
    return ratio_of_blocks(slow.seconds, fast.seconds)


def ratio_of_blocks(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """The same of seconds."""
    values = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def use_tuning(device: torch.device, wanted: bool) -> None:
    """Set CUDA up as a training does, or as torch is when it starts."""
    if wanted:
        tune(device)
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.set_float32_matmul_precision("highest")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reserved(device: torch.device) -> int:
    """What torch holds of a GPU's memory but for free tensors; from here on, its most is noted."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_reserved(device)


# --- parts of a step ------------------------------------------------------------------------------


def milliseconds_by_part(step: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """What the named parts of a step take: the host's time and, on a GPU, also the device's.

    Absent are the parts that the step does not name.  Medians over some steps.  The kernels of the
    backward pass start from a thread of their own, and those of graphs belong to no part, so that
    "device backward" is what no other part accounts for.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as found:
        for _ in range(PROFILED):
            step()
        synchronise(device)
    events = found.events()
    ranges = [one for one in events if one.device_type == DeviceType.CPU]
    named = {name: [one for one in ranges if one.name == RANGE + name] for name in PARTS}
    named = {name: found for name, found in named.items() if found}
    parts = {name: _a_step([one.cpu_time_total for one in found]) for name, found in named.items()}
    if cuda:
        times = {
            f"device {name}": _a_step([one.device_time_total for one in found])
            for name, found in named.items()
        }
        kernels = (one for one in events if one.device_type == DeviceType.CUDA)
        total = sum(one.self_device_time_total for one in kernels if not one.is_user_annotation)
        others = sum(time for name, time in times.items() if name != "device backward")
        parts |= times | {"device backward": total / PROFILED / 1000 - others}
    return parts


def _a_step(microseconds: Sequence[float]) -> float:
    """Milliseconds in a step, which may come to a part several times."""
    return statistics.median(microseconds) * len(microseconds) / PROFILED / 1000


def input_share(parts: dict[str, float], prefix: str = "") -> float | None:
    """The input's share of the named parts; None where the step names none."""
    times = {name: parts[prefix + name] for name in PARTS if prefix + name in parts}
    if not set(INPUT_PARTS) & set(times):
        return None
    return sum(times.get(name, 0.0) for name in INPUT_PARTS) / sum(times.values())
