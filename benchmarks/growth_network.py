"""What a prediction costs beyond the bare network, and what classes cost."""

from __future__ import annotations

import resource
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench_common import Side, make_network, make_samples, ratio, run_in_turn
from predict import bare

from napari_threestage.config import InferenceConfig, load_config
from napari_threestage.inference.device import choose_device
from napari_threestage.inference.predict import predict_plane
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.stages import stage_table
from napari_threestage.store import ImageArray, read_ome_zarr, write_image
from napari_threestage.training.loop import StageTrainer
from napari_threestage.training.networks import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

NETWORK = {"network.backbone": "compact", "network.weights": "none"}
INFERENCE = InferenceConfig()
PLANE = 512  # side of the plane that is predicted with many classes


def set_up(device: str, threads: int) -> torch.device:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return choose_device(device)


def make_segmenter(device: torch.device, n_classes: int = 3) -> nn.Module:
    network = build_network(load_config("quick", NETWORK).network, 3, n_classes)
    return network.to(device).eval()


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8)


def measure_size(side: int, device_name: str, threads: int, blocks: int) -> dict[str, Any]:
    """Seconds per megapixel, and how many times those of the bare network on the same tiles."""
    device = set_up(device_name, threads)
    network, plane = make_segmenter(device), noise(side)
    tiled = Side.build(lambda: lambda: predict_plane(network, plane, INFERENCE, device), device)
    alone = Side.build(lambda: bare(network, plane, INFERENCE, device), device)
    steps = max(1, 2048**2 // side**2 // 4)
    run_in_turn([tiled, alone], blocks, steps)
    megapixels = side**2 / 1e6
    return {
        "side": side,
        "seconds per megapixel": tiled.median / megapixels,
        "bare": alone.median / megapixels,
        "to bare": ratio(tiled, alone),
    }


def measure_memory(folder: Path, side: int, device_name: str, threads: int) -> dict[str, Any]:
    """Most memory of a process that predicts an image on disk, in bytes."""
    device = set_up(device_name, threads)
    place = folder / f"{side}.ome.zarr"
    write_image(place, ImageArray(noise(64), "cyx"), {})  # loads what writing and reading need
    network = make_segmenter(device)
    info = SegmenterInfo([], None, 3, "auto", {}, INFERENCE.model_dump(), 1, "")
    segmenter = Segmenter(network, info, device)  # type: ignore[arg-type]
    segmenter.predict(read_ome_zarr(place))
    shutil.rmtree(place)
    before = peak_bytes()
    write_image(place, ImageArray(noise(side), "cyx"), {})
    written = peak_bytes()
    segmenter.predict(read_ome_zarr(place))
    shutil.rmtree(place)
    return {"memory before": before, "memory writing": written, "memory": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process had; what its parent had does not count."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_classes(
    counts: list[int], device_name: str, threads: int, blocks: int
) -> list[dict[str, Any]]:
    """Seconds of a prediction, per megapixel, and of a step of training; all counts in turn."""
    device = set_up(device_name, threads)
    predictions = [Side.build(partial(prediction, count, device), device) for count in counts]
    run_in_turn(predictions, blocks, 1)
    steps = [Side.build(partial(training_step, count, device), device) for count in counts]
    run_in_turn(steps, blocks, 1)
    return [
        {
            "classes": count,
            "prediction": one.median / (PLANE**2 / 1e6),
            "step": step.median,
            "prediction to fewest": ratio(one, predictions[0]),
            "step to fewest": ratio(step, steps[0]),
        }
        for count, one, step in zip(counts, predictions, steps, strict=True)
    ]


def prediction(count: int, device: torch.device) -> Callable[[], Any]:
    network, plane = make_segmenter(device, count), noise(PLANE)
    return lambda: predict_plane(network, plane, INFERENCE, device)


def training_step(count: int, device: torch.device) -> Callable[[], Any]:
    config = load_config("quick", NETWORK)
    spec = stage_table(config, 2)[1]
    samples = make_samples(8, (256, 256), count)
    return StageTrainer(
        spec, config, samples, make_network(config, spec, count), device, 0
    ).train_step
