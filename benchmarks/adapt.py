"""What `threestage adapt` is worth: scores of segmenters as trained, and adapted to the images.

    python benchmarks/adapt.py MODEL.safetensors … --data superalloy_sem/test --only '45kx*' 'me3*'

They are adapted to the images that they are scored by, or to those of another folder, such as the
training images: `--to superalloy_sem/train --shares 1` gives a segmenter batch norm statistics of
unperturbed training images, as a stage of `quick` ends with.  Masks hold class indices from 0, and
255 where there is no label; they are called like their images.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bench_common import keep
from rich.console import Console
from rich.table import Table
from scoring import read_images, read_pairs, score, scoring_parser

import napari_threestage
from napari_threestage.cli.predict import MIRRORS

if TYPE_CHECKING:
    import numpy as np
    from scoring import Pair


def main() -> None:
    parser = scoring_parser(__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--to", type=Path, help="a folder of images to adapt to")
    parser.add_argument("--flips", type=int, choices=MIRRORS, help="mean over mirror images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = read_pairs(options)
    images = read_images(options.to) if options.to else [image for image, _ in pairs]
    settings = dict.fromkeys(MIRRORS.get(options.flips, ()), True)
    rows = [measure(path, pairs, images, options.shares, settings) for path in options.models]
    table = Table("model", "as trained", *(f"share {one:g}" for one in options.shares))
    for row in rows:
        scores = row["miou"].values()
        table.add_row(row["model"], *(f"{100 * one:.1f}" for one in scores))
    Console(width=140).print(f"mIoU of {len(pairs)} images, in %", table)
    chosen = {"images": len(pairs), "only": options.only, "flips": options.flips}
    keep({**chosen, "rows": rows}, options.output)


def measure(
    model: str,
    pairs: list[Pair],
    images: list[np.ndarray],
    shares: list[float],
    settings: dict[str, bool],
) -> dict[str, Any]:
    segmenter = napari_threestage.load_segmenter(model, "cpu")
    found = {"as trained": score(segmenter, pairs, **settings)}
    for share in shares:
        fitted = napari_threestage.adapt(segmenter, images, share=share)
        found[str(share)] = score(fitted, pairs, **settings)
    return {"model": model, "miou": found}


if __name__ == "__main__":
    main()
