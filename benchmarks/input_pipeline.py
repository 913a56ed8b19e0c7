"""Does the network ever wait for its input? Crops a second, and their share of a step.

    python benchmarks/input_pipeline.py --quick

A project of small images is made; crops come from its samples in memory, from the files that
replace memory where the images do not fit (`data.cache_gigabytes`), and, for comparison, from
memory after a read of the project's zarr arrays for each, as if a training kept nothing.  The first
two are the loop's own, timed in whole steps of training (profiler ranges); the bare step is the
network and the optimiser on fixed tensors.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bare_step import BareStep, images_per_step
from bench_common import (
    INPUT_PARTS,
    Side,
    conditions,
    input_share,
    keep,
    make_network,
    make_samples,
    milliseconds_by_part,
    prepare,
    ratio,
    run_in_turn,
    speed_parser,
)
from gui_projects import inputs_of
from rich.console import Console
from rich.table import Table

from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.runs import Run
from napari_threestage.stages import StageSpec, stage_table
from napari_threestage.store import ImageArray
from napari_threestage.training.data import SampleSet
from napari_threestage.training.loop import StageTrainer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import torch

    from napari_threestage.config import Config

TINY_GIGABYTES = 1e-6
SOURCES = {"memory": 8.0, "disk cache": TINY_GIGABYTES}


def main() -> None:
    options = parse_arguments()
    config, device = prepare(options)
    results = conditions(options, config, device)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", options)
        results |= measure(project, config, device, options)
    results["summary"] = summary(results)
    keep(results, options.output)
    show(results)


def parse_arguments() -> argparse.Namespace:
    parser = speed_parser(__doc__)
    parser.add_argument("--stage", type=int, default=2)
    return parser.parse_args()


def make_project(path: Path, options: argparse.Namespace) -> Project:
    names = [f"class {number}" for number in range(options.classes)]
    project = Project.create(path, default_classes(names))
    samples = make_samples(options.images, (options.size, options.size), options.classes)
    for number, sample in enumerate(samples):
        image = ImageArray(sample.image.numpy(), "cyx")
        record, _ = project.add_image(f"image {number}", image)
        if sample.truth is not None:
            project.write_ground_truth(record.id, sample.truth.numpy() + np.uint8(1), "painted")
    project.save()
    return project


def measure(
    project: Project, config: Config, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """Whole steps from both sources and the bare step in turn; then the parts of the steps."""
    spec = stage_table(config, options.stage)[-1]
    sets = {
        name: sample_set(project, config, spec, gigabytes) for name, gigabytes in SOURCES.items()
    }
    sides = {
        name: Side.build(trainer(spec, config, one, device, options.classes), device)
        for name, one in sets.items()
    }
    network = make_network(config, spec, options.classes)
    bare_step = BareStep(spec, config, network, device, options.classes)
    bare = Side.build(lambda: bare_step, device)
    run_in_turn([*sides.values(), bare], options.blocks, options.steps)
    count = images_per_step(config, spec)
    sources = {name: measure_source(side, bare, count) for name, side in sides.items()}
    for one in sets.values():
        one.close()
    reads = reads_per_second(project, config, 20 * count)
    results = {"stage": spec.number, "images_per_step": count, "bare_ms": 1e3 * bare.median}
    results |= {"sources": sources, "zarr_reads_per_second": reads}
    rate = sources["memory"].get("crops_per_second")
    if rate:  # every crop would wait for its read first
        results["zarr_crops_per_second"] = 1 / (1 / rate + 1 / reads)
    return results


def sample_set(project: Project, config: Config, spec: StageSpec, gigabytes: float) -> SampleSet:
    """The samples as a run has them, with pseudo-masks where the stage needs some."""
    data = config.data.model_copy(update={"cache_gigabytes": gigabytes})
    labelled = {
        image_id: ""
        for image_id in project.images
        if project.label_attributes(image_id) is not None
    }
    inputs = dataclasses.replace(inputs_of(project), labels=labelled)
    run = Run.create(project, config.model_copy(update={"data": data}), inputs)
    if spec.pseudo_masks_from is not None:
        for image_id in project.images:
            mask = np.ones(project.images[image_id].label_shape, np.uint8)
            run.write_mask(spec.pseudo_masks_from, image_id, mask, mask, "yx")
    samples = SampleSet(project, run)
    if spec.pseudo_masks_from is not None:
        samples.load_pseudo_masks(spec.pseudo_masks_from)
    return samples


def trainer(
    spec: StageSpec, config: Config, samples: SampleSet, device: torch.device, n_classes: int
) -> Callable[[], Callable[[], Any]]:
    network = make_network(config, spec, n_classes)
    return lambda: StageTrainer(spec, config, samples.samples, network, device, 0).train_step


def measure_source(side: Side, bare: Side, count: int) -> dict[str, Any]:
    parts = milliseconds_by_part(side.step, side.device)
    result = {
        "step_ms": 1e3 * side.median,
        "times_bare": ratio(side, bare),
        "parts_ms": parts,
        "input_share": input_share(parts),
    }
    if set(INPUT_PARTS) <= set(parts):
        result["crops_per_second"] = 1e3 * count / sum(parts[name] for name in INPUT_PARTS)
    if side.device.type == "cuda":
        result["input_share_device"] = input_share(parts, "device ")
    return result


def reads_per_second(project: Project, config: Config, count: int) -> float:
    """Read windows of images, and of the ground truth where there is some, straight from disk."""
    height, width = config.data.crop
    draw = random.Random(0)
    begun = time.perf_counter()
    for image_id in itertools.islice(itertools.cycle(project.images), count):
        image = project.read_image(image_id).data
        top = draw.randint(0, image.shape[1] - height)
        left = draw.randint(0, image.shape[2] - width)
        window = (slice(top, top + height), slice(left, left + width))
        np.asarray(image[(slice(None), *window)])
        truth = project.read_labels(image_id)
        if truth is not None:
            truth[window].copy()
    return count / (time.perf_counter() - begun)


def summary(results: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, source in results["sources"].items():
        share = source["input_share"]
        shown = "not known" if share is None else f"{100 * share:.1f} % of the step"
        rows.append([f"{results['backbone']}, input from {name}", shown])
    return rows


def show(results: dict[str, Any]) -> None:
    columns = ("crops/s", "step, ms", "times the bare step", "input, of the step")
    table = Table("crops from", *columns, title=title(results), title_justify="left")
    for name, source in results["sources"].items():
        rate, share = source.get("crops_per_second"), source["input_share"]
        times = source["times_bare"]
        table.add_row(
            name,
            "" if rate is None else f"{rate:.0f}",
            f"{source['step_ms']:.1f}",
            f"{times['median']:.2f} ({times['low']:.2f} to {times['high']:.2f})",
            "" if share is None else f"{100 * share:.1f} %",
        )
    zarr = results.get("zarr_crops_per_second")
    table.add_row("zarr, a read for each", f"{zarr:.0f}" if zarr else "")
    table.add_row("nowhere: the bare step", "", f"{results['bare_ms']:.1f}", "1")
    Console(width=110).print(table)


def title(results: dict[str, Any]) -> str:
    return (
        f"{results['preset']}, {results['backbone']}, stage {results['stage']}, "
        f"{results['images_per_step']} crops of {results['crop']} in a step"
    )


if __name__ == "__main__":
    main()
