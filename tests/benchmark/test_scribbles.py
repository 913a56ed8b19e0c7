"""Scribbles in dense masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_threestage.benchmark.scribbles import scribble


def blobs(seed: int, shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Return a mask of a background, large blobs, small blobs within, and a band without labels."""
    rng = np.random.default_rng(seed)
    smooth, fine = (ndimage.gaussian_filter(rng.standard_normal(shape), s) * s for s in (10, 3))
    mask = (smooth > 0.1).astype(np.uint8)
    mask[fine > 0.7] = 2
    mask[:, :9] = 255
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_strokes_hold_the_values_of_the_mask_and_every_class(seed: int) -> None:
    mask = blobs(seed)
    painted = scribble(mask, seed)
    on = painted != 255
    assert painted.dtype == np.uint8
    assert (painted[on] == mask[on]).all()
    assert set(np.unique(painted)) == {0, 1, 2, 255}
    assert 0.01 < on.mean() < 0.035


@pytest.mark.parametrize("seed", range(6))
def test_strokes_are_few_thin_and_inside(seed: int) -> None:
    mask = blobs(seed)
    painted = scribble(mask, seed)
    for value in (0, 1, 2):
        stroke = painted == value
        assert 1 <= ndimage.label(stroke, np.ones((3, 3)))[1] <= 8
        # A line of 3 pixels has no pixel farther than 2 from what is bare; crossings have a few.
        assert (ndimage.distance_transform_edt(stroke) > 2).sum() <= 0.15 * stroke.sum()
    for value in (0, 1):
        depth = ndimage.distance_transform_edt(mask == value)
        assert (depth[painted == value] < 2).mean() < 0.5 * (depth[mask == value] < 2).mean()


def test_strokes_are_spread() -> None:
    painted = scribble(np.zeros((100, 100), np.uint8), 0)
    quarters = painted.reshape(2, 50, 2, 50)
    assert ((quarters == 0).any((1, 3))).sum() >= 3


def test_seed_decides_and_nothing_else() -> None:
    mask = blobs(0)
    np.testing.assert_array_equal(scribble(mask, 4), scribble(mask.copy(), 4))
    assert (scribble(mask, 4) != scribble(mask, 5)).any()


def test_mask_stays_as_it_is() -> None:
    mask = blobs(0)
    before = mask.copy()
    scribble(mask, 0)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (40, 2)])
def test_tiny_masks(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, np.uint8)
    assert (scribble(mask, 0) == 0).any()
    mask[-1, -1] = 7
    assert scribble(mask, 0)[-1, -1] == 7


def test_single_pixels_of_a_class_are_found() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[0, 0] = mask[63, 30] = 1
    mask[20, 20] = 2
    assert set(np.unique(scribble(mask, 0))) == {0, 1, 2, 255}


def test_nothing_to_paint() -> None:
    assert (scribble(np.full((20, 20), 255, np.uint8), 0) == 255).all()


def test_a_region_that_leaves_the_window_of_a_stroke_and_comes_back() -> None:
    """A comb: its teeth are joined far away from where most strokes are."""
    mask = np.zeros((120, 40), np.uint8)
    mask[:110, ::4] = 1
    mask[:110, 1::4] = 1
    for seed in range(5):
        painted = scribble(mask, seed)
        assert (painted[painted != 255] == mask[painted != 255]).all()
