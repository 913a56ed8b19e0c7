"""Scores of images of one kind, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage.compare.kinds import ConfusionsByKind
from napari_threestage.errors import ConfigError

CLASSES = ("ground", "cell")
TRUTH = np.uint8([1, 1, 2, 2])
GOOD, BAD = TRUTH, np.uint8([1, 1, 1, 2])  # IoU of 2/3 and 1/2


def counted(pattern: str | None, *names: str) -> ConfusionsByKind:
    """Count good masks of stage 3, and bad ones of stage 1."""
    found = ConfusionsByKind(CLASSES, [1, 3], pattern)
    for name in names:
        add(found, name, BAD, GOOD)
    return found


def add(found: ConfusionsByKind, name: str, *masks: np.ndarray) -> None:
    for confusion, mask in zip(found.of(name).values(), masks, strict=True):
        confusion.add(TRUTH, mask)


def test_images_are_counted_in_all_and_in_their_kind() -> None:
    found = counted("^[^_]+", "steel_1", "glass_1")
    add(found, "steel_2", BAD, BAD)
    document = found.to_dict()
    assert {kind: one["images"] for kind, one in document["kinds"].items()} == {
        "glass": 1,
        "steel": 2,
    }
    glass, steel = (document["kinds"][kind]["stages"] for kind in ("glass", "steel"))
    assert glass["3"]["miou"] == 1
    assert glass["1"]["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert steel["3"]["miou"] == pytest.approx((4 / 5 + 3 / 4) / 2)
    assert document["stages"]["3"]["pixels"] == 12
    assert document["stages"]["3"] == found.scores(3).to_dict()
    assert document["stages"]["3"]["miou"] == pytest.approx((6 / 7 + 5 / 6) / 2)


def test_a_group_of_the_pattern_is_the_kind_and_the_rest_is_other() -> None:
    pattern = "_day(1|2)?|^(night)"
    document = counted(pattern, "a_day1", "b_day2", "c_day3", "d", "night_1").to_dict()
    images = {kind: one["images"] for kind, one in document["kinds"].items()}
    assert images == {"1": 1, "2": 1, "night": 1, "other": 2}


def test_without_a_pattern_there_are_no_kinds() -> None:
    assert counted(None, "a").to_dict().keys() == {"stages"}


def test_a_pattern_that_makes_no_sense_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"'\(' is no regular expression"):
        ConfusionsByKind(CLASSES, [1], "(")
