"""Labels that all stages contradict: found, ordered, said to be right, taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from suspect_helpers import confidence, plant

from napari_threestage import label_contradictions
from napari_threestage.compare.places import Place
from napari_threestage.errors import ConfigError, NotReadyError, ProjectError
from napari_threestage.label_checks import Spot, dismiss, read_right, undismiss
from napari_threestage.label_contradictions import contradictions
from napari_threestage.label_suspects import find_suspects, is_settled, spot_pixels
from napari_threestage.project import Project
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from pathlib import Path

CELL = (slice(20, 32), slice(30, 40))  # that the stages find, 120 pixels


@pytest.fixture
def truth() -> np.ndarray:
    """Background with a cell, which is painted as the stages find it."""
    truth = np.ones((64, 80), np.uint8)
    truth[44:56, 50:62] = 2
    return truth


def with_cell(truth: np.ndarray) -> np.ndarray:
    mask = truth.copy()
    mask[CELL] = 2
    return mask


def test_a_cell_that_nobody_painted_is_found(tmp_path: Path, truth: np.ndarray) -> None:
    mask = with_cell(truth)
    mask[43:57, 49:63] = 2  # a band of one pixel around the painted cell
    sure = [confidence(mask, 0.99), confidence(mask, 0.9)]
    project, run = plant(tmp_path, truth, [mask, mask], sure)
    document = find_suspects(project, run).to_dict(project)
    [image] = project.images
    [region] = document["regions"]
    assert region["sentence"] == (
        "Painted background, but both stages find cell (120 pixels, confidence 90 %)"
    )
    assert region["place"] == {"plane": [], "rows": [0, 56], "columns": [6, 64]}
    assert region["key"] == f"{image}:1-2::20-32:30-40"
    assert (region["painted"], region["found"]) == ("background", "cell")
    assert document["dismissed"] == document["left_out_count"] == 0


@pytest.mark.parametrize("doubt", ["unsure", "one stage disagrees", "not labelled", "border"])
def test_what_is_no_sure_contradiction_is_left_alone(
    tmp_path: Path, truth: np.ndarray, doubt: str
) -> None:
    masks, sure = [with_cell(truth), with_cell(truth)], [confidence(truth, 0.95)] * 2
    if doubt == "unsure":
        sure[1] = confidence(truth, 0.59)
    elif doubt == "one stage disagrees":
        masks[0] = truth
    elif doubt == "border":  # further off than a thin band, but both classes are beside it
        truth[:, :30], truth[:, 30:] = 1, 2
        masks = [np.roll(truth, 8, 1)] * 2
        masks[0][:, :8] = 1
    else:
        truth[CELL] = 0
    project, run = plant(tmp_path, truth, masks, sure)
    assert find_suspects(project, run).found == []


def test_bands_are_left_out_and_thin_strokes_are_not() -> None:
    truth, found = np.ones((40, 40), np.uint8), np.ones((40, 40), np.uint8)
    found[10:14] = 2  # a border that is 4 pixels off
    found[:4] = 2  # half of a square that would reach beyond the image
    assert not contradictions(truth, found).any()
    found[:4], found[10:15] = 1, 2
    assert (contradictions(truth, found)[10:15] == 256 + 2).all()
    stroke = np.zeros_like(truth)
    stroke[20, 5:35] = 1  # through what the stages find: nothing else is painted
    found[15:26] = 2
    codes = contradictions(stroke, found)
    assert (codes[20, 5:35] == 256 + 2).all() and np.count_nonzero(codes) == 30


def test_two_classes_in_one_region_are_two_suspects() -> None:
    truth = np.ones((30, 30), np.uint8)
    truth[:, 15:] = 2
    codes = contradictions(truth, np.full_like(truth, 3))
    assert set(codes[:, :15].ravel()) == {256 + 3} and set(codes[:, 15:].ravel()) == {512 + 3}


def test_planes_and_bands_do_not_change_what_is_found(
    tmp_path: Path, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = np.stack([truth, truth, np.zeros_like(truth)])
    masks = stack.copy()
    masks[1] = with_cell(truth)
    masks[2] = 2
    project, run = plant(tmp_path, stack, [masks] * 3, [confidence(stack, 1.0)] * 3)
    whole = find_suspects(project, run)
    [one] = whole.found
    assert one.spot.box == Place((1,), (20, 32), (30, 40))
    assert Spot.from_key(one.spot.key) == one.spot
    monkeypatch.setattr(label_contradictions, "BAND", 7)
    assert find_suspects(project, run).found == whole.found


def test_what_lies_apart_comes_before_what_is_larger(tmp_path: Path) -> None:
    truth = np.ones((64, 80), np.uint8)
    truth[10:30, 10:30] = 2
    found = truth.copy()
    found[24:44, 30:40] = 2  # a corner of the cell, perhaps
    found[45:57, 60:70] = 2
    project, run = plant(tmp_path, truth, [found] * 3, [confidence(found, 0.9)] * 3)
    assert [one.pixels for one in find_suspects(project, run).found] == [120, 200]


def test_a_class_that_the_stages_never_find_speaks_against_the_stages(tmp_path: Path) -> None:
    truth = np.ones((64, 80), np.uint8)
    truth[:, 40:] = 2  # large, and all of it is found to be background
    truth[10:20, 10:20] = 3
    found = np.where(truth == 2, 1, truth).astype(np.uint8)
    found[40:50, 10:20] = 3  # small, in a background that is mostly found
    project, run = plant(
        tmp_path, truth, [found] * 3, [confidence(found, 0.9)] * 3, ["background", "cell", "dirt"]
    )
    painted = [(one.spot.painted, one.pixels) for one in find_suspects(project, run).found]
    assert painted == [(1, 100), (2, 64 * 40)]


def test_a_label_that_is_right_stays_away_until_it_is_changed(
    tmp_path: Path, truth: np.ndarray
) -> None:
    project, run = plant(tmp_path, truth, [with_cell(truth)] * 3, [confidence(truth, 1.0)] * 3)
    [image] = project.images
    [found] = find_suspects(project, run).found
    dismiss(project, [found.spot.key])
    after = find_suspects(Project(project.path), run)
    assert (after.found, after.dismissed) == ([], 1)

    larger = truth.copy()  # the next run finds a little more
    larger[19:33, 30:41] = 2
    run.write_mask(1, image, larger, confidence(truth, 1.0), "yx")
    run.write_mask(2, image, larger, confidence(truth, 1.0), "yx")
    run.write_mask(3, image, larger, confidence(truth, 1.0), "yx")
    assert find_suspects(project, run).dismissed == 1

    project.set_class_table(project.class_table.add("dirt"))
    truth[CELL] = 3  # painted anew, and doubted anew
    project.write_ground_truth(image, truth, "painted")
    after = find_suspects(project, run)
    assert [one.spot.painted for one in after.found] == [3] and after.dismissed == 0

    undismiss(project, [found.spot.key])
    assert read_right(project) == []


def test_wrong_keys_and_a_damaged_file_are_told(tmp_path: Path, truth: np.ndarray) -> None:
    project, _ = plant(tmp_path, truth, [truth], [confidence(truth, 1.0)])
    [image] = project.images
    with pytest.raises(ConfigError, match="is no key"):
        dismiss(project, [f"{image}:1-2::20-32:30-40", "cell"])
    with pytest.raises(ConfigError, match="has no image other"):
        dismiss(project, ["other:1-2::20-32:30-40"])
    with pytest.raises(ConfigError, match="Nobody has said"):
        undismiss(project, [f"{image}:1-2::20-32:30-40"])
    assert read_right(project) == []
    (project.path / "label_checks.json").write_text("[]")
    with pytest.raises(ProjectError, match=r"label_checks\.json cannot be read"):
        read_right(project)


def test_the_pixels_of_a_suspect_are_its_own(tmp_path: Path, truth: np.ndarray) -> None:
    mask = with_cell(truth)
    mask[20:32, 36] = 1  # two parts; the box of neither holds the other
    stack, masks = np.stack([truth, truth]), np.stack([truth, mask])
    project, run = plant(tmp_path, stack, [masks] * 2, [confidence(masks, 1.0)] * 2)
    [found] = find_suspects(project, run).found  # the other part is too thin
    assert found.pixels == 72
    pixels = spot_pixels(project, run, found.spot, found.place, stack[found.place.slices])
    only = np.zeros(stack.shape, bool)
    only[pixels] = True
    assert only[1, 20:32, 30:36].all() and np.count_nonzero(only) == 72

    [image] = project.images  # one stage is less sure of the upper half, and finds much more there
    sure, masks[1, 0:20, 32] = confidence(masks, 1.0), 2
    sure[1, :26] = 100
    for stage in (1, 2):
        run.write_mask(stage, image, masks, sure, "zyx")
    [half] = find_suspects(project, run).found
    assert half.pixels == 36
    only[:] = False
    only[spot_pixels(project, run, half.spot, half.place, stack[half.place.slices])] = True
    assert only[1, 21:32, 30:36].all() and np.count_nonzero(only) == 66
    assert not is_settled(project, found.spot, found.pixels, stack, masks)

    stack[1, 20:32, 30:34] = 2  # somebody painted most of it
    assert is_settled(project, found.spot, found.pixels, stack, masks)


@pytest.mark.parametrize(
    ("masks", "labelled", "words"),
    [(0, True, "no finished stage"), (1, False, "No image has labels")],
)
def test_without_stages_or_labels_there_is_nothing_to_check(
    tmp_path: Path, truth: np.ndarray, masks: int, labelled: bool, words: str
) -> None:
    given = truth if labelled else np.zeros_like(truth)
    project, run = plant(tmp_path, given, [truth] * masks, [confidence(truth, 1.0)] * masks)
    with pytest.raises(NotReadyError, match=words):
        find_suspects(project, run)


def test_images_of_validation_are_checked_and_later_ones_are_named(
    tmp_path: Path, truth: np.ndarray
) -> None:
    project, run = plant(tmp_path, truth, [with_cell(truth)], [confidence(truth, 0.9)])
    [image] = project.images
    project.set_split([image], "validation")
    later, _ = project.add_image("later", ImageArray(np.zeros((1, 8, 8), np.uint8), "cyx"))
    project.write_ground_truth(later.id, np.ones((8, 8), np.uint8), "imported")
    seen: list[Any] = []
    found = find_suspects(project, run, lambda *what: seen.append(what))
    document = found.to_dict(project)
    assert document["regions"][0]["sentence"].startswith("Painted background, but stage 1 finds")
    assert [entry["image"] for entry in document["left_out"]] == [later.id]
    assert seen == [(1, 1)]
