"""What `threestage adapt` is worth: scores of segmenters as trained, and adapted to the images.

    python benchmarks/adapt.py MODEL.safetensors … --data superalloy_sem/test --only '45kx*' 'me3*'

Masks hold class indices from 0, and 255 where there is no label; they are called like their images.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench_common import keep
from PIL import Image
from rich.console import Console
from rich.table import Table

import napari_threestage
from napari_threestage.compare import Confusion

if TYPE_CHECKING:
    from napari_threestage.inference.segmenter import Segmenter

UNLABELLED = 255


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    pairs = read_pairs(options.data, options.only)
    rows = [measure(path, pairs, options.shares) for path in options.models]
    table = Table("model", "as trained", *(f"share {one:g}" for one in options.shares))
    for row in rows:
        scores = row["miou"].values()
        table.add_row(row["model"], *(f"{100 * one:.1f}" for one in scores))
    Console(width=140).print(f"mIoU of {len(pairs)} images, in %", table)
    keep({"images": len(pairs), "only": options.only, "rows": rows}, options.output)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="a folder with images and masks")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of names")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="keep the figures as JSON")
    return parser.parse_args()


def read_pairs(folder: Path, only: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and their truths, in which classes count from 1 and 0 is no label."""
    pairs = []
    for path in sorted((folder / "images").iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in only):
            mask = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png"))
            truth = np.where(mask == UNLABELLED, 0, mask + 1).astype(np.uint8)
            pairs.append((np.asarray(Image.open(path)), truth))
    return pairs


def measure(
    model: str, pairs: list[tuple[np.ndarray, np.ndarray]], shares: list[float]
) -> dict[str, Any]:
    segmenter = napari_threestage.load_segmenter(model, "cpu")
    found = {"as trained": score(segmenter, pairs)}
    for share in shares:
        fitted = napari_threestage.adapt(segmenter, [image for image, _ in pairs], share=share)
        found[str(share)] = score(fitted, pairs)
    return {"model": model, "miou": found}


def score(segmenter: Segmenter, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    confusion = Confusion([entry["name"] for entry in segmenter.info.classes])
    for image, truth in pairs:
        confusion.add(truth, napari_threestage.predict(segmenter, image).mask)
    return confusion.scores().miou


if __name__ == "__main__":
    main()
