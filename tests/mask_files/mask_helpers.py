"""Masks with everything that goes wrong in them, and what independent readers make of files."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

CLASSES = [("ground", (40, 40, 40)), ('cell: "odd", ü', (230, 50, 50)), ("#last", (60, 90, 240))]


def many(count: int) -> list[tuple[str, tuple[int, int, int]]]:
    """Return so many classes of different colours."""
    return [(f"class {k}", (k % 256, k // 256 + 1, 7)) for k in range(count)]


def noise(shape: tuple[int, ...], n_classes: int = 3, seed: int = 0) -> np.ndarray:
    """Return a mask in which anything touches anything."""
    values = np.random.default_rng(seed).integers(0, n_classes + 1, shape)
    return values.astype(np.uint8)


def shapes() -> dict[str, np.ndarray]:
    """Return planes that are hard for outlines."""
    nested = np.zeros((11, 12), np.uint8)
    for margin, value in enumerate((2, 0, 2, 1, 2)):
        nested[margin : 11 - margin, margin : 12 - margin] = value
    corners = np.eye(6, dtype=np.uint8) * 2
    ring = np.zeros((5, 5), np.uint8)  # holds together all round, and touches itself at a corner
    ring[0, :4] = ring[1:4, 0] = ring[1, 3] = ring[3, 1] = ring[3, 0] = 1
    ring[2, 2] = 1
    checked = (np.indices((7, 8)).sum(0) % 2 + 1).astype(np.uint8)
    whole = np.full((4, 5), 3, np.uint8)
    return {
        "nested": nested,
        "corners": corners,
        "ring": ring,
        "checked": checked,
        "whole": whole,
        "one pixel": np.pad(np.ones((1, 1), np.uint8), 2),
        "nothing": np.zeros((4, 5), np.uint8),
        "one line": np.array([[1, 0, 2, 2, 1]], np.uint8),
        "noise": noise((23, 31)),
        "sparse": noise((40, 30), 1, seed=3) * noise((40, 30), 1, seed=4) * 2,
    }


def fill(rings: list[list[list[int]]], shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of a polygon with holes, drawn by Pillow at eight times the size.

    Pillow counts the pixels of a polygon's own line in, so each pixel is asked for in its middle.
    """
    height, width = shape
    inside = np.zeros(shape, bool)
    for ring in rings:
        canvas = Image.new("1", (8 * width + 1, 8 * height + 1))
        ImageDraw.Draw(canvas).polygon([(8 * x, 8 * y) for x, y in ring], fill=1)
        inside ^= np.asarray(canvas)[4::8, 4::8]
    return inside
