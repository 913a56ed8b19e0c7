"""What a stage notes of each image: numbers against direct ones, lines that survive a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage.image_statistics import (
    ImageStatistics,
    append,
    describe,
    read_statistics,
)
from napari_threestage.runs import Run

if TYPE_CHECKING:
    from pathlib import Path


def made(image: str = "a", shape: tuple[int, ...] = (3, 40, 60)) -> ImageStatistics:
    rng = np.random.default_rng(len(image))
    mask, first, second = (rng.integers(1, 4, shape).astype(np.uint8) for _ in range(3))
    confidence = rng.integers(0, 256, shape).astype(np.uint8)
    features = rng.standard_normal(5).astype(np.float16)
    return describe(image, mask, confidence, {1: first, 2: second}, 3, 0.25, features)


def test_the_numbers_are_those_of_the_pixels() -> None:
    rng = np.random.default_rng(0)
    first, second, mask = (rng.integers(1, 4, (40, 60)).astype(np.uint8) for _ in range(3))
    confidence = rng.integers(0, 256, (40, 60)).astype(np.uint8)
    one = describe("a", mask, confidence, {1: first, 2: second}, 3)
    assert one.counts.tolist() == [(mask == k).sum() for k in (1, 2, 3)]
    assert one.pixels == 2400
    assert one.confidence == pytest.approx(confidence.mean() / 255)
    differs = (first != second) | (second != mask)
    assert one.disagreement == pytest.approx(differs.mean())
    table = [[((first == a) & (mask == b)).sum() for b in (1, 2, 3)] for a in (1, 2, 3)]
    assert one.changed[1].tolist() == table


def test_the_place_is_where_the_stages_differ_most() -> None:
    sure = np.full((2, 200, 300), 255, np.uint8)
    before = np.ones((2, 200, 300), np.uint8)
    mask = before.copy()
    mask[1, 120:160, 210:260] = 2
    one = describe("a", mask, sure, {1: before}, 2)
    assert one.place.plane == (1,)
    assert (mask[one.place.slices] == 2).sum() == 2000
    unsure = sure.copy()
    unsure[0, :50, :50] = 10
    assert describe("a", before, unsure, {1: before}, 2).place.center[0] == 0


def test_lines_come_back_and_half_a_line_does_no_harm(tmp_path: Path) -> None:
    run = Run.__new__(Run)
    run.path = tmp_path
    path = tmp_path / "stage-2" / "images.jsonl"
    append(path, [made("a"), made("bb")])
    with path.open("ab") as file:
        file.write(made("ccc").to_json().encode()[:100])  # killed while writing
    append(path, [made("dddd")])
    append(path.with_name("images-1.jsonl"), [made("eeeee")])
    found = read_statistics(run, 2)
    assert list(found) == ["eeeee", "a", "bb", "dddd"]
    one, again = made("a"), found["a"]
    assert again.counts.tolist() == one.counts.tolist()
    assert again.changed.keys() == {1, 2}
    assert again.place == one.place
    assert again.features is not None and again.features.tobytes() == one.features.tobytes()
    assert (again.inconsistency, again.confidence) == (0.25, pytest.approx(one.confidence))
