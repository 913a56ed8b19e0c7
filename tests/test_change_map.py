"""Maps of changes with their legend, and two masks in one array."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage.compare import changes
from napari_threestage.compare.change_map import (
    BECAME,
    JUDGED,
    Entry,
    change_map,
    disagreement_map,
)
from napari_threestage.compare.halves import Halves

CLASSES = [Entry("ground", (90, 90, 90)), Entry("cell", (0, 160, 0)), Entry("edge", (0, 0, 200))]
FEW = np.random.default_rng(0).integers(0, 4, (4, 2, 9, 11)).astype(np.uint8)
BEFORE, AFTER, TRUTH, OTHER = FEW


def test_a_map_has_the_values_and_the_shares_of_what_changed() -> None:
    both = (BEFORE > 0) & (AFTER > 0)
    by_hand = {
        BECAME: changes.changed_to(BEFORE, AFTER),
        JUDGED: changes.judged(BEFORE, AFTER, TRUTH),
        2: changes.gained_lost(BEFORE, AFTER, 2),
    }
    for what, values in by_hand.items():
        made = change_map(BEFORE, AFTER, TRUTH, CLASSES, what)
        np.testing.assert_array_equal(made.values, values)
        shares = [(values == place).sum() / both.sum() for place in range(1, len(made.legend) + 1)]
        assert [entry.share for entry in made.legend] == pytest.approx(shares)
        assert made.changed == pytest.approx((both & (BEFORE != AFTER)).sum() / both.sum())
    cell = next(entry for entry in made.classes if entry.name == "cell")
    assert (cell.gained, cell.lost) == pytest.approx(tuple(e.share for e in made.legend))
    order = [entry.gained + entry.lost for entry in made.classes]
    assert order == sorted(order, reverse=True) and len(order) == 3


def test_masks_disagree_where_they_name_more_than_one_class() -> None:
    made = disagreement_map([BEFORE, AFTER, OTHER])
    for place, value in np.ndenumerate(made.values):
        named = {int(mask[place]) for mask in (BEFORE, AFTER, OTHER)} - {0}
        assert value == max(0, len(named) - 1)
    assert [entry.name for entry in made.legend] == ["2 different classes", "3 different classes"]
    named = np.max([BEFORE, AFTER, OTHER], axis=0) > 0
    assert made.changed == pytest.approx((made.values > 0).sum() / named.sum())


def test_a_divider_moves_through_the_plane_that_is_shown() -> None:
    values = np.full(BEFORE.shape, 77, np.uint8)
    halves = Halves(values, BEFORE, None, (0, 1))  # displayed: the first axis, and rows across
    for place in (4, 9, 2, 0, 5):
        assert halves.move(place, {2: 3})
        np.testing.assert_array_equal(values[:, :place, 3], BEFORE[:, :place, 3])
        assert not values[:, place:, 3].any()
    assert not halves.move(5, {2: 3})
    assert (np.delete(values, 3, axis=2) == 77).all()  # other planes wait until they are shown
    halves.move(5, {2: 4})
    np.testing.assert_array_equal(values[:, :5, 4], BEFORE[:, :5, 4])
