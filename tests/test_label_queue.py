"""Which image to label next: what is covered, what is doubted, what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from frozen_run import make_run

from napari_threestage import label_queue
from napari_threestage.compare.places import Place
from napari_threestage.config import load_config
from napari_threestage.errors import NotReadyError
from napari_threestage.files import write_json
from napari_threestage.image_statistics import ImageStatistics, append
from napari_threestage.label_queue import rank

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_threestage.project import ImageRecord, Project
    from napari_threestage.runs import Run

    AddImage = Callable[..., ImageRecord]

TRUTH = np.full((64, 64), 2, np.uint8)
DIRECTIONS = np.eye(6)


def note(
    image: str, doubt: float, features: np.ndarray | None, inconsistency: float | None = None
) -> ImageStatistics:
    place = Place((), (10, 20), (30, 40))
    kept = None if features is None else features.astype(np.float16)
    counts, changed = np.array([4000, 96]), {1: np.zeros((2, 2), np.int64)}
    return ImageStatistics(
        image, counts, 1 - doubt, doubt, changed, place, doubt, inconsistency, kept
    )


@pytest.fixture
def run(small_project: Project, add_image: AddImage) -> Run:
    """Nine images, the first labelled, another one only there to judge."""
    for number in range(9):
        add_image(f"image {number}", TRUTH if number == 0 else None)
    add_image("judge", split="validation")
    run = make_run(small_project, load_config("quick"))
    write_json(run.stage_path(1) / "metrics.json", {})
    return run


def fill(project: Project, run: Run, lines: Mapping[int, ImageStatistics | None]) -> list[str]:
    """Note something of each image; return their ids."""
    ids = list(project.images)
    named = [(ids[at], one) for at, one in lines.items() if one is not None]
    for image_id, one in named:
        object.__setattr__(one, "image", image_id)
    append(run.stage_path(1) / "images.jsonl", [one for _, one in named])
    return ids


def test_near_duplicates_and_what_is_like_a_labelled_image_come_last(
    small_project: Project, run: Run
) -> None:
    """The labelled image is of kind 0; kind 1 has four members, kind 2 two, kind 3 one."""
    kinds = [0, 0, 1, 1, 1, 1, 2, 2, 3]
    doubts = [0.1, 0.9, 0.5, 0.6, 0.7, 0.4, 0.5, 0.45, 0.55]
    lines = {
        at: note("", doubt, DIRECTIONS[kind])
        for at, (kind, doubt) in enumerate(zip(kinds, doubts, strict=True))
    }
    ids = fill(small_project, run, lines)
    queue = rank(small_project, run)
    order = [ids.index(one.image) for one in queue.images]
    # The most doubted of the largest kind, then one of each other kind, then what is covered.
    assert order[0] == 4
    assert set(order[:3]) == {4, 6, 8}
    assert order[3] == 1  # covered by a label, but the most doubted of the rest
    assert queue.images[0].score == 1
    assert [one.score for one in queue.images] == sorted(
        (one.score for one in queue.images), reverse=True
    )
    assert "looks like 3 other images" in queue.images[0].reason
    assert queue.candidates == 8


@pytest.mark.parametrize("by", ["disagreement", "uncertainty", "inconsistency"])
def test_one_ingredient_alone_orders_by_it(small_project: Project, run: Run, by: str) -> None:
    doubts = [0.0, 0.3, 0.8, 0.1, 0.6, 0.2, 0.7, 0.5, 0.4]
    lines = {at: note("", one, DIRECTIONS[at % 6], one) for at, one in enumerate(doubts)}
    ids = fill(small_project, run, lines)
    queue = rank(small_project, run, top=3, by=by)  # type: ignore[arg-type]
    assert [ids.index(one.image) for one in queue.images] == [2, 6, 4]
    assert queue.images[1].score == pytest.approx(0.7 / 0.8, abs=1e-3)
    assert queue.images[0].place == Place((), (10, 20), (30, 40))


def test_reasons_name_what_is_striking(small_project: Project, run: Run) -> None:
    lines = {at: note("", 0.01 * at, DIRECTIONS[at % 6]) for at in range(8)}
    lines[8] = note("", 0.25, -DIRECTIONS[0])
    fill(small_project, run, lines)
    found = {one.name: one.reason for one in rank(small_project, run).images}
    assert "he stages disagree on 25.0 % of it" in found["image 8"]
    assert "disagree" not in found["image 1"]
    assert all(reason[0].isupper() for reason in found.values())


def test_what_was_labelled_or_imported_since_is_not_ranked(
    small_project: Project, run: Run, add_image: AddImage
) -> None:
    ids = fill(small_project, run, {at: note("", 0.1 * at, DIRECTIONS[0]) for at in range(9)})
    small_project.write_ground_truth(ids[8], TRUTH, "painted")
    later = add_image("later").id
    queue = rank(small_project, run)
    ranked = {one.image for one in queue.images}
    assert ranked == set(ids[1:8])
    assert set(queue.left_out) == {later}


def test_without_features_the_doubt_decides(small_project: Project, run: Run) -> None:
    lines = {at: note("", 0.1 * at, None) for at in range(9)}
    ids = fill(small_project, run, lines)
    queue = rank(small_project, run, top=2)
    assert [ids.index(one.image) for one in queue.images] == [8, 7]
    assert queue.images[0].novelty is None


def test_an_image_of_which_less_is_known_does_not_spoil_the_queue(
    small_project: Project, run: Run
) -> None:
    lines = {at: note("", 0.1 * at, DIRECTIONS[at % 6], 0.1 * at) for at in range(9)}
    lines[3] = note("", 0.3, DIRECTIONS[3])  # its line was lost, and the student is gone
    fill(small_project, run, lines)
    scores = [one.score for one in rank(small_project, run).images]
    assert scores[0] == 1 and scores[4] > 0 and np.isfinite(scores).all()


def test_random_is_repeatable(small_project: Project, run: Run) -> None:
    fill(small_project, run, {at: note("", 0.1, DIRECTIONS[0]) for at in range(9)})
    first, again, other = (
        [one.image for one in rank(small_project, run, by="random", seed=seed).images]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(first) == 8


def test_everything_labelled_gives_an_empty_queue(small_project: Project, run: Run) -> None:
    ids = fill(small_project, run, {at: note("", 0.1, DIRECTIONS[0]) for at in range(9)})
    for image_id in ids[1:9]:
        small_project.write_ground_truth(image_id, TRUTH, "painted")
    for by in label_queue.WAYS:
        assert rank(small_project, run, by=by).images == []


def test_a_run_that_noted_nothing_says_so(small_project: Project, run: Run) -> None:
    with pytest.raises(NotReadyError, match="older version"):
        rank(small_project, run)


def test_some_stand_for_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """With witnesses instead of all images the kinds are covered all the same."""
    monkeypatch.setattr(label_queue, "WITNESSES", 60)
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 6, 600)
    notes = [
        note(str(at), 0.5, DIRECTIONS[kind] + rng.normal(0, 0.05, 6))
        for at, kind in enumerate(kinds)
    ]
    order, _ = label_queue._View(notes, [], 0).choose("default", 6)
    assert set(kinds[order]) == set(range(6))
