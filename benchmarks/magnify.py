"""What `threestage predict --magnify` is worth for images of another magnification.

    python benchmarks/magnify.py MODEL.safetensors … --data superalloy_sem/test

The images and their masks are made smaller or larger, and scored as they are and magnified to the
size that the segmenter was trained at.  Masks hold class indices from 0, and 255 where there is no
label; they are called like their images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench_common import keep
from PIL import Image
from rich.console import Console
from rich.table import Table
from scoring import read_pairs, score, scoring_parser

import napari_threestage

if TYPE_CHECKING:
    from scoring import Pair


def main() -> None:
    parser = scoring_parser(__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.5, 0.7, 1.0, 1.5, 2.0])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = read_pairs(options)
    rows = [measure(path, pairs, options.sizes) for path in options.models]
    for row in rows:
        table = Table("images at", "as they are", "magnified", title=row["model"])
        for size, found in row["miou"].items():
            table.add_row(size, *(f"{100 * one:.1f}" for one in found.values()))
        Console(width=140).print(table)
    keep({"images": len(pairs), "only": options.only, "rows": rows}, options.output)


def measure(model: str, pairs: list[Pair], sizes: list[float]) -> dict[str, Any]:
    segmenter = napari_threestage.load_segmenter(model, "cpu")
    found = {}
    for size in sizes:
        resized = [at_size(pair, size) for pair in pairs]
        found[str(size)] = {
            "as they are": score(segmenter, resized),
            "magnified": score(segmenter, resized, magnify=1 / size),
        }
    return {"model": model, "miou": found}


def at_size(pair: Pair, size: float) -> Pair:
    """An image and its truth, so many times as large; pixels are areas."""
    image, truth = (Image.fromarray(one) for one in pair)
    target = (round(image.width * size), round(image.height * size))
    found = image.resize(target, Image.Resampling.BICUBIC)
    return np.asarray(found), np.asarray(truth.resize(target, Image.Resampling.NEAREST))


if __name__ == "__main__":
    main()
