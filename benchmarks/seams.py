"""What tiles change: probabilities of one large image, tiled in several ways, against one piece.

    python benchmarks/seams.py my_project --output seams.png

The image is a mosaic of images of the project.  Printed are the mean and the largest difference of
a probability and the share of pixels of another class, all away from the border; and the mean step
of a probability from one pixel to the next across the borders of tiles, where a seam would show.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from napari_threestage.config import InferenceConfig
from napari_threestage.inference.blending import Wanted
from napari_threestage.inference.predict import BandPredictor, BytesPlane
from napari_threestage.inference.segmenter import load_segmenter
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from napari_threestage.inference.segmenter import Segmenter

TILE = 256
WAYS = [(0, 0), (32, 0), (32, 32), (64, 0), (64, 32)]  # halo, blend
SHOWN = [(0, 0), (64, 0), (64, 32)]
BORDER = 64  # which is filled up to other sizes, and not looked at


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--side", type=int, default=4 * TILE - 64)
    parser.add_argument("--output", type=Path, help="a picture")
    parser.add_argument("--json", type=Path, help="keep the figures")
    options = parser.parse_args()
    project = Project(options.project)
    run = find_run(project)
    segmenter = load_segmenter(run.model_path(run.finished_stages()[-1]), torch.device("cpu"))
    pixels = mosaic(project, segmenter, options.side)
    whole = probabilities(segmenter, pixels, tile=2**14)
    found = {way: probabilities(segmenter, pixels, TILE, *way) for way in WAYS}
    rows = [figures(way, found[way], whole) for way in WAYS]
    rows.append({"halo": "one piece", "blend": "", "step": step(whole)})
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.output:
        draw(pixels, whole, {way: found[way] for way in SHOWN}, options.output)


def mosaic(project: Project, segmenter: Segmenter, side: int) -> np.ndarray:
    """As many images of the project side by side as it takes, (C, side, side) uint8."""
    rows: list[np.ndarray] = []
    ids = iter([*project.images] * 100)
    while sum(row.shape[1] for row in rows) < side:
        row: list[np.ndarray] = []
        while sum(part.shape[2] for part in row) < side:
            plane = next(segmenter.planes(project.read_image(next(ids))))
            row.append(plane.window(slice(None), slice(None)))
        height = min(part.shape[1] for part in row)
        rows.append(np.concatenate([part[:, :height] for part in row], axis=2)[:, :, :side])
    return np.concatenate(rows, axis=1)[:, :side]


def probabilities(
    segmenter: Segmenter, pixels: np.ndarray, tile: int, halo: int = 64, blend: int = 32
) -> np.ndarray:
    config = InferenceConfig(tile=tile, halo=halo, blend=blend)
    predictor = BandPredictor(
        segmenter.network, config, torch.device("cpu"), Wanted(probabilities=True)
    )
    bands = [*predictor.bands(BytesPlane(pixels))]
    return np.concatenate([band.probabilities for band in bands], axis=1).astype(int)


def difference(found: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.abs(found - whole).max(0)[:-BORDER, :-BORDER] / 255


def figures(way: tuple[int, int], found: np.ndarray, whole: np.ndarray) -> dict[str, Any]:
    differs = difference(found, whole)
    classes = (found.argmax(0) != whole.argmax(0))[:-BORDER, :-BORDER]
    return {
        "halo": way[0],
        "blend": way[1],
        "mean": differs.mean(),
        "largest": differs.max(),
        "other class": classes.mean(),
        "step": step(found),
    }


def step(found: np.ndarray) -> float:
    """Mean change across the borders of the tiles."""
    borders = np.arange(TILE, found.shape[2] - BORDER, TILE)
    change = np.abs(found[:, :-BORDER, borders] - found[:, :-BORDER, borders - 1])
    return float(change.max(0).mean() / 255)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title=f"Tiles of {TILE} pixels against one piece", title_justify="left")
    for row in rows:
        values = [row.get(name, "") for name in rows[0]]
        table.add_row(*(f"{one:.4f}" if isinstance(one, float) else str(one) for one in values))
    Console(width=100).print(table)


def draw(
    pixels: np.ndarray,
    whole: np.ndarray,
    found: dict[tuple[int, int], np.ndarray],
    path: Path,
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * (len(found) + 1), 4.3), layout="constrained")
    axes = figure.subplots(1, len(found) + 1)
    colours = pixels[:3] if len(pixels) >= 3 else pixels[[0, 0, 0]]
    axes[0].imshow(colours.transpose(1, 2, 0))
    axes[0].set_title("image")
    for axis, ((halo, blend), values) in zip(axes[1:], found.items(), strict=True):
        shown = axis.imshow(difference(values, whole), vmin=0, vmax=0.1, cmap="magma")
        axis.set_title(f"halo {halo}, blended over {blend}")
    figure.colorbar(shown, ax=axes[1:], shrink=0.8, label="difference from one piece")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
