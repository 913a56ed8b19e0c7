"""Predictions on disk: band by band, gone on with, complete or absent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage import store, zarr_arrays
from napari_threestage.errors import ConfigError
from napari_threestage.ome_metadata import validate
from napari_threestage.prediction_store import (
    CONFIDENCE,
    MASK,
    PROBABILITIES,
    Layout,
    PartialPrediction,
    PredictedClass,
    Unit,
    check_targets,
    is_finished,
    read_mask,
    target_paths,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CLASSES = (PredictedClass(1, "ground", (1, 2, 3)), PredictedClass(2, "cell", (200, 30, 40)))
RECIPE = {"model": "abc", "tile": 64}


def layout(folder: Path, shape: tuple[int, ...] = (2, 130, 90), axes: str = "zyx") -> Layout:
    height, tile = shape[-2], 64
    bands = tuple((top, min(top + tile, height)) for top in range(0, height, tile))
    kinds = target_paths(folder, "image", confidence=True, probabilities=True)
    return Layout(kinds, shape, axes, bands, CLASSES, {"y": 0.5, "x": 0.25}, {"y": "micrometer"})


def values(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        MASK: rng.integers(0, 3, shape, np.uint8),
        CONFIDENCE: rng.integers(0, 256, shape, np.uint8),
        PROBABILITIES: rng.integers(0, 256, (2, *shape), np.uint8),
    }


def fill(partial: PartialPrediction, every: Mapping[str, np.ndarray], units: list[Unit]) -> None:
    """Write some units from whole arrays."""
    stack = partial.layout.shape[:-2]
    for unit in units:
        top, bottom = partial.layout.bands[unit.band]
        place = np.unravel_index(unit.plane, stack) if stack else ()
        part = (..., *place, slice(top, bottom), slice(None))
        partial.write(unit, {kind: array[part] for kind, array in every.items()})


def pixels(path: Path) -> np.ndarray:
    return np.asarray(store.read_ome_zarr(path).data[...])


@pytest.mark.parametrize(
    ("shape", "axes"), [((130, 90), "yx"), ((2, 130, 90), "zyx"), ((3, 2, 70, 40), "tzyx")]
)
def test_what_is_written_in_bands_is_what_is_read(
    shape: tuple[int, ...], axes: str, tmp_path: Path
) -> None:
    partial, every = PartialPrediction(layout(tmp_path, shape, axes), RECIPE), values(shape)
    fill(partial, every, partial.begin()[::-1])  # in any order
    assert not [*tmp_path.glob("[!.]*")]  # nothing that looks like a result
    partial.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image.ome.zarr",
        "image_confidence.ome.zarr",
        "image_probabilities.ome.zarr",
    ]
    paths = partial.layout.kinds
    np.testing.assert_array_equal(read_mask(paths[MASK]), every[MASK])
    np.testing.assert_array_equal(pixels(paths[CONFIDENCE]), every[CONFIDENCE])
    probabilities = store.read_ome_zarr(paths[PROBABILITIES])
    assert probabilities.channel_names == ("ground", "cell")
    found = np.moveaxis(pixels(paths[PROBABILITIES]), probabilities.axes.index("c"), 0)
    np.testing.assert_array_equal(found, every[PROBABILITIES])
    for path in paths.values():
        validate(path)
    image = store.read_ome_zarr(paths[MASK])
    assert (image.axes, image.scale["x"], image.unit) == (axes, 0.25, {"y": "micrometer"})


def test_a_prediction_that_was_stopped_is_gone_on_with(tmp_path: Path) -> None:
    plan, every = layout(tmp_path), values((2, 130, 90))
    first = PartialPrediction(plan, RECIPE)
    units = first.begin()
    assert len(units) == 2 * 3
    fill(first, every, units[1:4])
    second = PartialPrediction(plan, RECIPE)
    left = second.begin()
    assert left == [units[0], *units[4:]]
    fill(second, every, left)
    second.finish()
    np.testing.assert_array_equal(read_mask(plan.kinds[MASK]), every[MASK])


def test_another_recipe_begins_anew(tmp_path: Path) -> None:
    plan, every = layout(tmp_path), values((2, 130, 90))
    first = PartialPrediction(plan, RECIPE)
    fill(first, every, first.begin()[:3])
    assert len(PartialPrediction(plan, RECIPE | {"tile": 65}).begin()) == 6


def test_other_kinds_begin_anew(tmp_path: Path) -> None:
    plan, every = layout(tmp_path), values((2, 130, 90))
    less = replace(plan, kinds={MASK: plan.kinds[MASK]})
    first = PartialPrediction(less, RECIPE)
    fill(first, every, first.begin())
    second = PartialPrediction(plan, RECIPE)
    assert len(second.begin()) == 6
    fill(second, every, plan.units)
    second.finish()
    assert is_finished(plan.kinds, RECIPE)
    assert PartialPrediction(less, RECIPE).layout.kinds.keys() == {MASK}


def test_only_one_process_writes_it(tmp_path: Path) -> None:
    partial = PartialPrediction(layout(tmp_path), RECIPE)
    with partial.held() as left:
        assert len(left) == 6
        script = (
            "import sys; from pathlib import Path; from filelock import FileLock, Timeout\n"
            "try: FileLock(sys.argv[1]).acquire(timeout=0)\n"
            "except Timeout: sys.exit(7)"
        )
        lock = partial.folder / "command.lock"
        done = subprocess.run([sys.executable, "-c", script, str(lock)], timeout=60)
        assert done.returncode == 7
        fill(partial, values((2, 130, 90)), left)
        partial.finish()
    assert not [*tmp_path.glob(".*")]


def test_one_that_was_killed_while_it_put_results_in_place_is_finished(tmp_path: Path) -> None:
    plan, every = layout(tmp_path), values((2, 130, 90))
    first = PartialPrediction(plan, RECIPE)
    fill(first, every, first.begin())
    killed = PartialPrediction(plan, RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartialPrediction, "_ome", failing_at(2))
        with pytest.raises(KeyboardInterrupt):
            killed.finish()
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["image_probabilities.ome.zarr"]
    assert not is_finished(plan.kinds, RECIPE)
    again = PartialPrediction(plan, RECIPE)
    assert again.begin() == []
    again.finish()
    assert is_finished(plan.kinds, RECIPE)
    np.testing.assert_array_equal(read_mask(plan.kinds[MASK]), every[MASK])
    assert not [*tmp_path.glob(".*")]


def failing_at(call: int) -> Any:
    original, calls = PartialPrediction._ome, []

    def ome(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    return ome


def test_coarser_levels_are_made_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_threestage.ome_metadata.PYRAMID_ABOVE", 40)
    plan, every = layout(tmp_path, (131, 95), "yx"), values((131, 95))
    partial = PartialPrediction(plan, RECIPE)
    fill(partial, every, partial.begin())
    partial.finish()
    mask = store.read_ome_zarr(plan.kinds[MASK])
    assert [level.shape for level in mask.coarser] == [(65, 47), (32, 23)]
    np.testing.assert_array_equal(mask.coarser[0][...], every[MASK][:130:2, :94:2])
    confidence = store.read_ome_zarr(plan.kinds[CONFIDENCE]).coarser[0][...]
    expected = every[CONFIDENCE][:130, :94].reshape(65, 2, 47, 2).mean((1, 3))
    np.testing.assert_array_equal(confidence, expected.astype(np.uint8))


def test_the_same_recipe_is_known_again_and_replaces_what_is_there(tmp_path: Path) -> None:
    plan, every = layout(tmp_path), values((2, 130, 90))
    for recipe in (RECIPE, RECIPE | {"tile": 65}):
        partial = PartialPrediction(plan, recipe)
        fill(partial, every, partial.begin())
        partial.finish()
        assert is_finished(plan.kinds, recipe)
    assert not is_finished(plan.kinds, RECIPE)


def test_what_we_did_not_write_is_not_replaced(tmp_path: Path) -> None:
    plan = layout(tmp_path)
    check_targets(plan.kinds)
    image = store.ImageArray(np.zeros((3, 20, 20), np.uint8), "cyx")
    store.write_image(plan.kinds[MASK], image, {})
    with pytest.raises(ConfigError, match=r"image\.ome\.zarr is there already"):
        check_targets(plan.kinds)


def test_two_bands_never_share_a_chunk(tmp_path: Path) -> None:
    for tile in (64, 100, 1024, 1500):
        bands = tuple((top, min(top + tile, 4000)) for top in range(0, 4000, tile))
        kinds = target_paths(tmp_path / str(tile), "image", True, True)
        (tmp_path / str(tile)).mkdir()
        partial = PartialPrediction(Layout(kinds, (4000, 3000), "yx", bands, CLASSES), RECIPE)
        partial.begin()
        for kind in kinds:
            height = zarr_arrays.open_array(partial.folder / kind / "0").chunks[-2]
            assert all(top % height == 0 for top, _ in bands)
