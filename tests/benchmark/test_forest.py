"""The random forest on pixel features."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from data_set_helpers import write

from napari_threestage.benchmark import forest
from napari_threestage.benchmark.forest import train_and_score
from napari_threestage.benchmark.items import Item
from napari_threestage.errors import ImageFileError, NotReadyError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.compare import Scores

SIDE = 48
CLASSES = ("flat", "striped")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "TREES", 10)


def texture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose classes have one mean and differ in their stripes, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    top = int(rng.integers(8, 24))
    mask[top : top + 20] = 1
    stripes = 40 * np.sign(np.sin(np.arange(SIDE) * np.pi / 2 + 0.1))
    image = 128 + stripes * mask + rng.normal(0, 12, mask.shape)
    return image.clip(0, 255).astype(np.uint8), mask


def item(folder: Path, seed: int, mask: np.ndarray | None = None) -> Item:
    image, truth = texture(seed)
    name = f"im{seed}"
    return Item(
        name,
        write(folder / "images" / f"{name}.png", image),
        write(folder / "masks" / f"{name}.png", truth if mask is None else mask),
    )


def score(labelled: list[Item], test: list[Item], seed: int = 0) -> Scores:
    masks = [one.mask for one in labelled]
    return train_and_score(labelled, masks, test, CLASSES, seed, threads=1).scores(1)


def test_texture_is_learned(tmp_path: Path) -> None:
    labelled, test = [item(tmp_path, seed) for seed in (0, 1)], [item(tmp_path, 2)]
    scores = score(labelled, test)
    assert scores.miou is not None
    assert scores.miou > 0.8  # one mean grey value: by that alone it would be about 0.3
    assert scores.pixels == SIDE * SIDE
    assert score(labelled, test) == scores
    assert score(labelled, test, seed=1) != scores


def test_kinds_of_images_are_scored(tmp_path: Path) -> None:
    first, second = item(tmp_path, 0), item(tmp_path, 1)
    found = train_and_score([first], [first.mask], [first, second], CLASSES, 0, "0$", threads=1)
    kinds = found.to_dict()["kinds"]
    assert {kind: one["images"] for kind, one in kinds.items()} == {"0": 1, "other": 1}
    assert kinds["other"]["stages"]["1"] == score([first], [second]).to_dict()


def test_scribbles_are_enough_and_unlabelled_pixels_count_nowhere(tmp_path: Path) -> None:
    strokes = np.full((SIDE, SIDE), 255, np.uint8)
    truth = texture(0)[1]
    strokes[:, ::7] = truth[:, ::7]
    hidden = texture(3)[1]
    hidden[:, : SIDE // 2] = 255
    scores = score([item(tmp_path, 0, strokes)], [item(tmp_path, 3, hidden)])
    assert scores.miou is not None
    assert scores.miou > 0.7
    assert scores.pixels == SIDE * SIDE // 2


def test_masks_to_train_on_are_those_given(tmp_path: Path) -> None:
    """Scribbles lie elsewhere than the whole masks."""
    labelled, test = item(tmp_path, 0), item(tmp_path, 1)
    swapped = write(tmp_path / "swapped.png", 1 - texture(0)[1])
    scores = train_and_score([labelled], [swapped], [test], CLASSES, 0, threads=1).scores(1)
    assert scores.miou is not None
    assert scores.miou < 0.1


def test_class_without_label_is_never_found(tmp_path: Path) -> None:
    only_striped = texture(0)[1]
    only_striped[only_striped == 0] = 255
    scores = score([item(tmp_path, 0, only_striped)], [item(tmp_path, 1)])
    assert scores.iou["flat"] == 0
    assert scores.iou["striped"] == scores.accuracy


def test_few_pixels_of_each_class_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.repeat(np.uint8([0, 1, 2]), (50, 200, 3))
    taken = forest._choose(truth, 10, np.random.default_rng(0))
    assert np.bincount(truth[taken]).tolist() == [0, 10, 3]
    assert len(set(taken.tolist())) == len(taken)


def test_stack_is_taken_plane_by_plane(tmp_path: Path) -> None:
    stack = np.stack([texture(seed)[0] for seed in (0, 1, 4, 5, 6)])  # 5 planes are z
    masks = np.stack([texture(seed)[1] for seed in (0, 1, 4, 5, 6)])
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "stack_mask.npy", masks)
    whole = Item("stack", tmp_path / "stack.npy", tmp_path / "stack_mask.npy")
    scores = score([whole], [whole])
    assert scores.pixels == masks.size
    assert scores.miou is not None
    assert scores.miou > 0.8


def test_nothing_labelled(tmp_path: Path) -> None:
    bare = np.full((SIDE, SIDE), 255, np.uint8)
    with pytest.raises(NotReadyError, match="No pixel is labelled"):
        score([item(tmp_path, 0, bare)], [item(tmp_path, 1)])


def test_mask_with_a_value_of_no_class_is_named(tmp_path: Path) -> None:
    wrong = np.full((SIDE, SIDE), 7, np.uint8)
    with pytest.raises(ImageFileError, match=r"im0\.png.*7"):
        score([item(tmp_path, 0, wrong)], [item(tmp_path, 1)])


def test_other_channels_are_refused(tmp_path: Path) -> None:
    image, mask = texture(1)
    coloured = Item(
        "rgb",
        write(tmp_path / "rgb.png", np.stack([image] * 3, -1)),
        write(tmp_path / "rgb_mask.png", mask),
    )
    with pytest.raises(ImageFileError, match=r"rgb\.png has other channels"):
        score([item(tmp_path, 0)], [coloured])


def test_missing_package_has_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(NotReadyError, match=r"pip install 'napari-threestage\[benchmark\]'"):
        score([item(tmp_path, 0)], [item(tmp_path, 1)])
