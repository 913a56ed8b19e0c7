"""What does it cost a step of training that labels are strokes, which a CRF carries to borders?

    python benchmarks/strokes.py --quick
    python benchmarks/strokes.py --stages 1 2 --threads 1

The same step on the same made-up images, labelled in a few lines, with `loss.crf` and without it,
block after block in turn; the ratio is the median over neighbouring blocks, with its least and
most.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from bench_common import (
    Side,
    by_stage,
    keep,
    make_network,
    make_samples,
    ratio,
    run_in_turn,
    speed_parser,
)

from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    import argparse

    from napari_threestage.config import Config
    from napari_threestage.stages import StageSpec
    from napari_threestage.training.batches import Sample

APART = 32  # rows from line to line


def main() -> None:
    parser = speed_parser(__doc__)
    parser.add_argument("--stages", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    results = by_stage(measure, options)
    keep(results, options.output)
    for stage in results["stages"]:
        times = stage["times"]
        print(
            f"Stage {stage['stage']}: {stage['ms']:.0f} ms a step, {times['median']:.2f} times "
            f"({times['low']:.2f} to {times['high']:.2f}) that without the CRF"
        )


def measure(
    spec: StageSpec, config: Config, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """Measure the step of a stage with the CRF and without it in turn."""
    samples = make_samples(options.images, (options.size, options.size), options.classes)
    samples = [with_lines(sample) for sample in samples]
    network = make_network(config, spec, options.classes)

    def build(weight: float) -> Side:
        loss = config.loss.model_copy(update={"crf": weight})
        recipe = config.model_copy(update={"loss": loss})
        trainer = StageTrainer(spec, recipe, samples, copy.deepcopy(network), device, 0)
        return Side.build(lambda: trainer.train_step, device)

    crf, plain = build(config.loss.crf), build(0.0)
    run_in_turn([crf, plain], options.blocks, options.steps)
    return {"stage": spec.number, "ms": 1e3 * crf.median, "times": ratio(crf, plain)}


def with_lines(sample: Sample) -> Sample:
    """Keep the labels of lines 3 pixels wide."""
    if sample.truth is None:
        return sample
    between = (torch.arange(len(sample.truth)) % APART >= 3).unsqueeze(1)
    return replace(sample, truth=sample.truth.masked_fill(between, IGNORE))


if __name__ == "__main__":
    main()
