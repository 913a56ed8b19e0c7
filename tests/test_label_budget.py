"""What more labels brought: points on the same images, a law through them, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run

from napari_threestage.compare import Confusion
from napari_threestage.files import write_json
from napari_threestage.label_budget import budget_document
from napari_threestage.learning_curve import fit_curve

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.runs import Run

AMOUNTS = np.array([1000.0, 2000, 3000, 5000, 8000])


def law(amounts: np.ndarray) -> np.ndarray:
    return 1 - (0.1 + 0.2 * (amounts / 1000) ** -0.5)


def test_a_planted_law_is_found_and_goes_on_to_twice_the_labels() -> None:
    noise = np.array([0.002, -0.003, 0.001, 0.002, -0.002])
    curve, reason = fit_curve(AMOUNTS, law(AMOUNTS) + noise)
    assert curve is not None, reason
    middle, low, high = curve.twice
    assert curve.amounts[[0, -1]] == pytest.approx([1000, 16000])
    assert middle == pytest.approx(law(np.array(16000.0)), abs=0.01)
    assert curve.now == pytest.approx(law(np.array(8000.0)), abs=0.005)
    assert low < law(np.array(16000.0)) < high < low + 0.1
    assert (np.diff(curve.values) > 0).all()


def test_resampled_images_widen_the_band() -> None:
    scores = law(AMOUNTS)
    moved = scores + np.random.default_rng(0).normal(0, 0.04, (300, 1))  # all runs together
    narrow, wide = (fit_curve(AMOUNTS, scores, some)[0] for some in (None, moved))
    assert narrow is not None and wide is not None
    assert narrow.high[-1] - narrow.low[-1] < 0.01 < 0.1 < wide.high[-1] - wide.low[-1]


@pytest.mark.parametrize(
    ("amounts", "scores", "reason"),
    [
        (
            [1, 2, 4],
            [0.5, 0.6, 0.7],
            "4 runs of the same preset, stages and steps as the latest one, and there are 3",
        ),
        ([10, 10.2, 10.3, 40], [0.5, 0.6, 0.7, 0.8], "3 different amounts"),
        ([10, 12, 15, 19], [0.5, 0.6, 0.7, 0.8], "at least 2 times the fewest"),
        ([1, 2, 4, 8], [0.8, 0.7, 0.6, 0.5], "not brought a higher mIoU"),
        ([1, 2, 4, 8], [0.7, 0.7, 0.7, 0.7], "not brought a higher mIoU"),
        ([1, 1, 1, 2, 4, 4, 4], [0.4, 0.7, 0.5, 0.5, 0.8, 0.5, 0.4], "differs more than"),
        ([1, 2, 4, 8], [0.3, 0.35, 0.72, 0.75], "anything between"),
    ],
)
def test_there_is_no_law_where_little_is_known(
    amounts: list[float], scores: list[float], reason: str
) -> None:
    curve, told = fit_curve(np.array(amounts), np.array(scores))
    assert curve is None
    assert reason in told


# --- the runs of a project ------------------------------------------------------------------------

SHAPE = (32, 32)


@pytest.fixture
def judged(small_project: Project) -> tuple[Project, list[str], dict[str, np.ndarray]]:
    """Three images to learn from, six labelled ones of validation, and the truth of all."""
    train = add_images(small_project, ["a", "b", "c"], SHAPE)
    validation = add_images(small_project, list("uvwxyz"), SHAPE, "validation")
    rng = np.random.default_rng(0)
    truths = {one: rng.integers(1, 3, SHAPE, np.uint8) for one in [*train, *validation]}
    for one, truth in truths.items():
        small_project.write_ground_truth(one, truth, "imported")
    return small_project, train, truths


def add_run(
    project: Project,
    truths: dict[str, np.ndarray],
    noise: float,
    amount: int,
    learned: list[str],
    **inputs: object,
) -> Run:
    masks = {1: {one: disturbed(truth, noise, 2, amount) for one, truth in truths.items()}}
    pixels = {"background": amount, "nucleus": amount}
    return make_compared_run(project, masks, learned, pixels=pixels, **inputs)


def test_runs_are_scored_on_images_that_none_of_them_learned_from(
    judged: tuple[Project, list[str], dict[str, np.ndarray]],
) -> None:
    project, train, truths = judged
    once_learned, *held_out = [one for one in truths if one not in train]
    noises = {500: 0.6, 1000: 0.45, 2000: 0.36, 4000: 0.3}
    runs = [
        add_run(
            project, truths, noise, amount, [*train, *([once_learned] if amount == 500 else [])]
        )
        for amount, noise in noises.items()
    ]
    add_run(project, truths, 0.0, 4000, train, baseline_of=runs[0].id)
    add_run(project, truths, 0.0, 4000, train, last_stage=3)  # is not finished
    document = budget_document(project)
    assert document["on"]["images"] == len(held_out) == 5
    assert [one["run"] for one in document["points"]] == [run.id for run in runs]
    assert [one["labelled_pixels"] for one in document["points"]] == [2 * one for one in noises]
    for run, point in zip(runs, document["points"], strict=True):
        confusion = Confusion(["background", "nucleus"])
        for one in held_out:
            confusion.add(truths[one], run.read_mask(1, one))
        assert point["miou"]["value"] == pytest.approx(confusion.scores().miou)
        assert point["miou"]["low"] < point["miou"]["value"] < point["miou"]["high"]
    last = document["fit"]["curve"][-1]
    assert document["fit"]["until"] == last["labelled_pixels"] == 16000
    assert last["low"] < last["miou"] < last["high"]
    assert f"to about {100 * last['miou']:.1f} %" in document["sentence"]


def test_runs_of_another_recipe_are_shown_but_not_fitted(
    judged: tuple[Project, list[str], dict[str, np.ndarray]],
) -> None:
    project, train, truths = judged
    for amount, noise in {500: 0.6, 1000: 0.5, 2000: 0.4}.items():
        add_run(project, truths, noise, amount, train)
    two = {stage: dict.fromkeys(truths, truths[train[0]]) for stage in (1, 2)}
    make_compared_run(project, two, train)
    document = budget_document(project)
    assert len(document["points"]) == 4
    assert document["fit"] is None
    assert "there is 1" in document["sentence"]


def test_scores_on_images_of_another_time_give_points_but_no_law(small_project: Project) -> None:
    [image] = add_images(small_project, ["a"], SHAPE)
    small_project.write_ground_truth(image, np.ones(SHAPE, np.uint8), "imported")
    runs = [
        make_compared_run(small_project, {1: {}}, [image], pixels={"background": amount})
        for amount in (10, 20, 40, 80)
    ]
    assert budget_document(small_project)["on"] is None
    assert "--split validation" in budget_document(small_project)["sentence"]
    add_images(small_project, ["b"], SHAPE, "validation")  # of which no run has masks
    assert "newer than the runs" in budget_document(small_project)["sentence"]
    for run, miou in zip(runs, (0.5, 0.6, 0.65, 0.68), strict=True):
        write_json(run.stage_path(1) / "metrics.json", {"validation": {"miou": miou}})
    document = budget_document(small_project)
    assert [one["miou"]["value"] for one in document["points"]] == [0.5, 0.6, 0.65, 0.68]
    assert "may be different" in document["on"]["text"]
    assert document["fit"] is None
