"""Fingerprints: data sets of one name are told apart, and copies of one are not."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from data_set_helpers import cityscapes_data_set, folder_data_set, write_classes, write_part

from napari_threestage.benchmark.datasets import half_resolution, open_data_set
from napari_threestage.benchmark.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_copy_elsewhere_and_later_is_the_same(tmp_path: Path) -> None:
    here = folder_data_set(tmp_path / "here")
    there = shutil.copytree(here, tmp_path / "there")
    for file in there.rglob("*.png"):
        os.utime(file, (1, 1))
    assert fingerprint(open_data_set(here)) == fingerprint(open_data_set(there))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_part(folder / "train", 1, first=9),
        lambda folder: write_part(folder / "test", 1, side=48),
        lambda folder: write_classes(folder, ("background", "circle")),
        lambda folder: (folder / "train/masks/im000.png").write_bytes(
            (folder / "train/masks/im000.png").read_bytes() + b" "
        ),
    ],
)
def test_other_files_or_classes_are_another_data_set(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = folder_data_set(tmp_path / "squares")
    before = fingerprint(open_data_set(folder))
    change(folder)
    assert fingerprint(open_data_set(folder)) != before


def test_half_resolution_is_named_by_what_it_was_made_from(tmp_path: Path) -> None:
    data = open_data_set(cityscapes_data_set(tmp_path / "city"))
    half = half_resolution(data, tmp_path / "half")
    assert fingerprint(half) == fingerprint(data)
    assert half.train[0].image.is_relative_to(tmp_path / "half" / fingerprint(data))
