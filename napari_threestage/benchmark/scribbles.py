"""Scribbles drawn into a dense mask, as a person would paint who has little time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.graph import route_through_array
from skimage.measure import label
from skimage.segmentation import find_boundaries

if TYPE_CHECKING:
    from collections.abc import Iterator

UNLABELLED = 255
SHARE = 0.02  # of the pixels are painted, at most
CLASS_SHARE = 0.3  # of a class are painted, at most, beyond one stroke
MOST_STROKES = 8  # per class
REACH = 0.25  # of the shorter side: how far a stroke goes
CORE = 0.3  # strokes begin and end at this share of the greatest depth of their region or deeper
TRIES = 8  # places looked at for a stroke: the farthest from what is painted is taken
HUGGING = 4.0  # how much longer a way through the middle may be than one along the border
WOBBLE, WAVE = 0.5, 3.0  # how much the hand strays, and over how many pixels


@dataclass(frozen=True)
class _Scene:
    """A dense mask (H, W), its connected regions numbered from 1, and how deep pixels lie.

    `depth` is the distance in pixels to the border of the region, and `core` is where it is great.
    """

    mask: np.ndarray
    regions: np.ndarray
    depth: np.ndarray
    core: np.ndarray


def scribble(mask: np.ndarray, seed: int) -> np.ndarray:
    """Draw a few strokes into each class of a dense mask.

    A stroke is 3 pixels wide. It begins somewhere inside a region, away from the strokes before,
    and goes to another place inside of it on a wavy line that keeps off the border: people, too,
    scribble into the middle of things and say nothing about their outlines.

    Parameters
    ----------
    mask
        Shape (H, W), uint8: class indices, 255 = not labelled.
    seed
        Which strokes; the same mask and seed give the same.

    Returns
    -------
    numpy.ndarray
        Shape (H, W), uint8: `mask` on the strokes, 255 elsewhere. About 1 to 3 % of the pixels are
        on strokes, less where all regions are small; each class has at least one stroke. Classes
        share the pixels by the square root of their area, as a person spends time on small
        classes too.

    References
    ----------
    Lin et al., *ScribbleSup: scribble-supervised convolutional networks for semantic
    segmentation*, CVPR 2016: scribbles instead of dense masks.
    """
    rng = np.random.default_rng(seed)
    scene = _survey(mask)
    painted = np.full_like(mask, UNLABELLED)
    values, areas = np.unique(mask[mask != UNLABELLED], return_counts=True)
    shares = np.sqrt(areas) / np.sqrt(areas).sum()
    budgets = np.minimum(SHARE * mask.size * shares, CLASS_SHARE * areas)
    for value, budget in zip(values, budgets, strict=True):
        for stroke in _strokes(scene, int(value), painted, rng):
            painted[stroke] = value
            if np.count_nonzero(painted == value) >= budget:
                break
    return painted


def _survey(mask: np.ndarray) -> _Scene:
    regions = label(mask, background=UNLABELLED)
    # Beyond the edge of the image is another class: strokes keep off the edge as well.
    border = find_boundaries(np.pad(regions, 1, constant_values=-1), mode="inner")[1:-1, 1:-1]
    depth = ndimage.distance_transform_edt(~border) + 1 if border.any() else np.ones(mask.shape)
    greatest = ndimage.maximum(depth, regions, np.arange(regions.max() + 1))
    core = (depth >= CORE * np.asarray(greatest)[regions]) & (mask != UNLABELLED)
    return _Scene(mask, regions, depth, core)


def _strokes(
    scene: _Scene, value: int, painted: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give rows and columns of strokes in a class, each where `painted` is still bare."""
    reach = max(2, round(REACH * min(scene.mask.shape)))
    of_class = scene.core & (scene.mask == value)
    for _ in range(MOST_STROKES):
        bare = np.argwhere(of_class & (painted == UNLABELLED))
        if not len(bare):
            return
        starts = rng.choice(bare, TRIES)
        line = _line(scene, _farthest(starts, np.argwhere(painted == value)), reach, rng)
        yield _widened(line, scene.mask, value)


def _farthest(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return that of the places (N, 2) which is farthest from all others (M, 2)."""
    best = np.argmax(cdist(places, others).min(1)) if len(others) else 0
    farthest: np.ndarray = places[best]
    return farthest


def _line(scene: _Scene, start: np.ndarray, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels (N, 2) of a way from `start` to another place of its region."""
    corner = np.maximum(start - reach, 0)
    window = tuple(slice(low, high) for low, high in zip(corner, start + reach + 1, strict=True))
    start = start - corner
    region = scene.regions[window]
    inside = label(region == region[tuple(start)])  # a region may leave the window and come back
    inside = inside == inside[tuple(start)]
    ends = np.argwhere(inside & scene.core[window])
    distances = np.hypot(*(ends - start).T)
    far = ends[distances >= distances.max() / 2]
    stray = WAVE * ndimage.gaussian_filter(rng.standard_normal(inside.shape), WAVE)
    costs = np.exp(WOBBLE * stray) * (1 + HUGGING / scene.depth[window])
    costs[~inside] = -1  # no way through
    route, _ = route_through_array(costs, start, rng.choice(far), geometric=True)
    line: np.ndarray = np.array(route) + corner
    return line


def _widened(line: np.ndarray, mask: np.ndarray, value: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels of the class within one pixel of a line."""
    brush = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])
    pixels = (line[:, np.newaxis] + brush).reshape(-1, 2)
    pixels = pixels[((pixels >= 0) & (pixels < mask.shape)).all(1)]
    rows, columns = pixels[mask[tuple(pixels.T)] == value].T
    return rows, columns
