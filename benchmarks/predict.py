"""Prediction of images of any size: time against the bare network and MONAI, memory by size.

    python benchmarks/predict.py                       # minutes for the ratios, more for 20,000 px
    python benchmarks/predict.py --sides 2048 10240    # memory for these images only
    python benchmarks/predict.py --sides               # the ratios alone

Time: blocks of each are made in turn on the same pixels and threads, with the same network; a
ratio is the median over neighbouring blocks.  "Bare" is the network alone on fixed tensors of the
windows that we use, with batch norm folded into convolutions as ours is; "unfolded" not so.
MONAI's sliding window (``pip install monai``; left out where it is missing) has windows and overlap
of the same size, and gives classes and their probability, as we do.

Memory: `threestage predict --as ome-zarr` as a process of its own, from OME-Zarr to OME-Zarr; the
most that it held in memory at once (resident), with what Python and torch take.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench_common import Side, keep, ratio, run_in_turn
from rich.console import Console
from rich.table import Table

from napari_threestage import ome_metadata, store, zarr_arrays
from napari_threestage.config import InferenceConfig, load_config
from napari_threestage.inference.device import choose_device, describe_device
from napari_threestage.inference.folding import folded
from napari_threestage.inference.predict import BandPredictor, BytesPlane
from napari_threestage.inference.segmenter import Segmenter
from napari_threestage.segmenter_info import SegmenterInfo
from napari_threestage.training.networks import build_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

CLASSES = 4
SIDES = [1024, 2048, 5120, 10240, 20480]
TIMED = 2048  # side of the image for the ratios


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    config = InferenceConfig(tile=options.tile)
    results: dict[str, Any] = {
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "backbone": options.backbone,
        "inference": config.model_dump(mode="json"),
    }
    network = make_network(options.backbone).to(device)
    results["time"] = measure_time(network, config, device, options)
    show_time(results)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        model = Path(folder) / "model.safetensors"
        save(network, options.backbone, config, model)
        results["memory"] = [measure_size(Path(folder), model, s, options) for s in options.sides]
    show_memory(results["memory"])
    results["summary"] = summary(results)
    keep(results, options.output)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="*", help="of the images for the memory")
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--blocks", type=int, help="of each, in turn")
    parser.add_argument("--folder", type=Path, help="for images; default: the temporary one")
    parser.add_argument("--quick", action="store_true", help="small images: does it work at all?")
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    options = parser.parse_args()
    if options.sides is None:
        options.sides = [512, 1024] if options.quick else SIDES
    options.blocks = options.blocks or (1 if options.quick else 7)
    return options


def make_network(backbone: str) -> nn.Module:
    torch.manual_seed(0)
    changes = {"network.backbone": backbone, "network.weights": "none"}
    return build_network(load_config("quick", changes).network, 3, CLASSES).eval()


def save(network: nn.Module, backbone: str, config: InferenceConfig, path: Path) -> None:
    changes = {"network.backbone": backbone, "network.weights": "none"}
    info = SegmenterInfo(
        classes=[{"name": str(n), "color": [n, n, n]} for n in range(CLASSES)],
        channels=None,
        n_channels=3,
        normalisation="range",
        network=load_config("quick", changes).network.model_dump(mode="json"),
        inference=config.model_dump(mode="json"),
        stage=3,
        run="benchmark",
    )
    Segmenter(network, info, torch.device("cpu")).save(path)


# --- time -----------------------------------------------------------------------------------------


def measure_time(
    network: nn.Module, config: InferenceConfig, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    side = TIMED // 4 if options.quick else TIMED
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8)
    if options.quick:
        config = config.model_copy(update={"tile": 128})
    applied = folded(network)
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        "ours": lambda: tiled(applied, pixels, config, device),
        "bare": lambda: bare(applied, pixels, config, device),
        "unfolded": lambda: bare(network, pixels, config, device),
    }
    try:
        from monai.inferers import sliding_window_inference
    except ImportError:
        pass
    else:
        makers["monai"] = lambda: monai(sliding_window_inference, network, pixels, config, device)
    sides = {name: Side.build(make, device) for name, make in makers.items()}
    run_in_turn([*sides.values()], options.blocks, 1)
    found: dict[str, Any] = {
        "side": side,
        "megapixels_a_second": side**2 / 1e6 / sides["ours"].median,
    }
    found["ours / bare"] = ratio(sides["ours"], sides["bare"])
    found["unfolded / bare"] = ratio(sides["unfolded"], sides["bare"])
    if "monai" in sides:
        found["monai / ours"] = ratio(sides["monai"], sides["ours"])
    windows = sum(shape[-1] * shape[-2] for shape in window_shapes(config, device, side))
    found["pixels of windows / of the image"] = windows / side**2
    return found


def tiled(
    network: nn.Module, pixels: np.ndarray, config: InferenceConfig, device: torch.device
) -> Callable[[], Any]:
    predictor = BandPredictor(network, config, device)
    return lambda: [*predictor.bands(BytesPlane(pixels))]


def window_shapes(
    config: InferenceConfig, device: torch.device, side: int
) -> list[tuple[int, int]]:
    """The sides of all windows, filled up as we do."""
    spans = BandPredictor(torch.nn.Identity(), config, device).rows_of(side)
    lengths = [-(-(span.window.stop - span.window.start) // 32) * 32 for span in spans]
    return [(rows, columns) for rows in lengths for columns in lengths]


def bare(
    network: nn.Module, pixels: np.ndarray, config: InferenceConfig, device: torch.device
) -> Callable[[], Any]:
    """The network alone on as many pixels, in windows of the same size."""
    shapes = window_shapes(config, device, pixels.shape[1])
    windows = {
        shape: torch.rand(1, 3, *shape, device=device).to(memory_format=torch.channels_last)
        for shape in set(shapes)
    }

    @torch.inference_mode()
    def step() -> None:
        for shape in shapes:
            network(windows[shape])

    return step


def monai(
    slide: Any,
    network: nn.Module,
    pixels: np.ndarray,
    config: InferenceConfig,
    device: torch.device,
) -> Callable[[], Any]:
    window = config.tile + config.blend + 2 * config.halo
    overlap = 1 - config.tile / window

    @torch.inference_mode()
    def step() -> Any:
        images = torch.from_numpy(pixels)[None].to(device).float().div_(255)
        logits = slide(images, (window, window), 1, network, overlap, mode="gaussian")
        best, label = logits.softmax(1).max(1)
        return label.to(torch.uint8).cpu(), (best * 255).round().to(torch.uint8).cpu()

    return step


# --- memory ---------------------------------------------------------------------------------------


def measure_size(
    folder: Path, model: Path, side: int, options: argparse.Namespace
) -> dict[str, Any]:
    source, output = folder / f"{side}.ome.zarr", folder / f"out-{side}"
    write_image(source, side)
    command = [sys.executable, "-m", "napari_threestage", "predict", model, "--images", source]
    command += ["--output", output, "--as", "ome-zarr", "--device", options.device]
    begun = time.perf_counter()
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if child.returncode:
        raise SystemExit(f"predict ended with code {child.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"side": side, "peak_bytes": peak, "image_bytes": 3 * side**2, "seconds": seconds}


def write_image(path: Path, side: int) -> None:
    """An image of patches and noise, written a few rows at a time."""
    array = zarr_arrays.create_array(path / "0", (3, side, side), np.uint8, "cyx", (3, 512, 512))
    rng = np.random.default_rng(side)
    noise = rng.integers(0, 60, (3, 512, side), np.uint8)
    for top in range(0, side, 512):
        height = min(512, side - top)
        patches = np.kron(
            rng.integers(0, 180, (3, 8, side // 64 + 1), np.uint8), np.ones((1, 64, 64))
        )
        rows = patches[:, :height, :side].astype(np.uint8) + noise[:, :height]
        array[:, top : top + height] = rows
    store.write_group_attributes(path, {}, ome_metadata.image("cyx", [array], {}, {}, ()))


# --- tables ---------------------------------------------------------------------------------------


def show_time(results: dict[str, Any]) -> None:
    table = Table("", "", title="Time", title_justify="left")
    for name, value in results["time"].items():
        table.add_row(name, value if isinstance(value, str) else readable(value))
    Console(width=110).print(f"{results['device']}, {results['threads']} threads", table)


def readable(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_memory(rows: list[dict[str, Any]]) -> None:
    table = Table("side", "image, MB", "peak, MB", "seconds", title="Memory", title_justify="left")
    for row in rows:
        sizes = (row["image_bytes"] / 1e6, row["peak_bytes"] / 1e6, row["seconds"])
        table.add_row(str(row["side"]), *(f"{size:.0f}" for size in sizes))
    Console(width=110).print(table)


def summary(results: dict[str, Any]) -> list[list[str]]:
    found = [[name, readable(value)] for name, value in results["time"].items() if "/" in name]
    found += [
        [f"peak for {row['side']} px", f"{row['peak_bytes'] / 1e6:.0f} MB"]
        for row in results["memory"]
    ]
    return found


if __name__ == "__main__":
    main()
