"""What `threestage adapt` is worth: scores of segmenters as trained, and adapted to the images.

    python benchmarks/adapt.py MODEL.safetensors … --data superalloy_sem/test --only '45kx*' 'me3*'

Masks hold class indices from 0, and 255 where there is no label; they are called like their images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from bench_common import keep
from rich.console import Console
from rich.table import Table
from scoring import read_pairs, score, scoring_parser

import napari_threestage

if TYPE_CHECKING:
    from scoring import Pair


def main() -> None:
    parser = scoring_parser(__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 1.0])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = read_pairs(options)
    rows = [measure(path, pairs, options.shares) for path in options.models]
    table = Table("model", "as trained", *(f"share {one:g}" for one in options.shares))
    for row in rows:
        scores = row["miou"].values()
        table.add_row(row["model"], *(f"{100 * one:.1f}" for one in scores))
    Console(width=140).print(f"mIoU of {len(pairs)} images, in %", table)
    keep({"images": len(pairs), "only": options.only, "rows": rows}, options.output)


def measure(model: str, pairs: list[Pair], shares: list[float]) -> dict[str, Any]:
    segmenter = napari_threestage.load_segmenter(model, "cpu")
    found = {"as trained": score(segmenter, pairs)}
    for share in shares:
        fitted = napari_threestage.adapt(segmenter, [image for image, _ in pairs], share=share)
        found[str(share)] = score(fitted, pairs)
    return {"model": model, "miou": found}


if __name__ == "__main__":
    main()
