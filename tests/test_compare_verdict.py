"""What is said of made-up numbers: whether it helped, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run

from napari_threestage.compare.alarms import find_alarms, has_swallowed, has_vanished
from napari_threestage.compare.bootstrap import Interval
from napari_threestage.compare.columns import columns_of_run, columns_of_runs
from napari_threestage.compare.document import build_document
from napari_threestage.compare.gather import Gathered, Judged
from napari_threestage.compare.verdict import (
    baseline_sentence,
    decide,
    judging_group,
    sentence,
)
from napari_threestage.project import Project, default_classes
from napari_threestage.runs import Run, list_runs

if TYPE_CHECKING:
    from pathlib import Path

NO_COUNTS: dict[str, np.ndarray] = {}
STAGES = ("stage 1", "stage 3")
SCORES = (0.7, 0.801)
SURE = Interval(0.101, 0.062, 0.134)


@pytest.mark.parametrize(
    ("gain", "name", "n_images", "helped", "text"),
    [
        (
            SURE, "validation", 12, "yes",
            "Stage 3 is better than stage 1: mIoU 80.1 % after 70.0 %, "
            "+10.1 points [95 %: +6.2 to +13.4] on 12 validation images.",
        ),
        (
            Interval(-0.05, -0.08, -0.01), "new", 7, "no",
            "Stage 3 is worse than stage 1: mIoU 80.1 % after 70.0 %, "
            "-5.0 points [95 %: -8.0 to -1.0] on 7 images labelled since.",
        ),
        (
            Interval(0.101, 0.0, 0.2), "validation", 5, "unclear",
            "It is not clear whether stage 3 is better than stage 1: mIoU 80.1 % after 70.0 %, "
            "+10.1 points [95 %: +0.0 to +20.0] on 5 validation images.",
        ),
        (
            Interval(0.101), "validation", 1, "unclear",
            "It is not clear whether stage 3 is better than stage 1: mIoU 80.1 % after 70.0 %, "
            "+10.1 points on 1 validation image, and fewer than 5 allow no interval.",
        ),
        (
            SURE, "labelled", 6, "yes",
            "Stage 3 is better than stage 1 on the images that they learned from, which proves "
            "little: mIoU 80.1 % after 70.0 %, +10.1 points [95 %: +6.2 to +13.4] on 6 labelled "
            "images.",
        ),
    ],
)  # fmt: skip
def test_the_sentence_says_no_more_than_the_interval(
    gain: Interval, name: str, n_images: int, helped: str, text: str
) -> None:
    assert decide(gain) == helped
    assert sentence(STAGES, SCORES, gain, name, n_images) == text


def test_the_baseline_has_a_sentence_of_its_own() -> None:
    assert baseline_sentence("stage 3", SURE, 0.7, 12) == (
        "Self-training gives more than longer training: in as many steps as all stages had, the "
        "labels alone reach 70.0 %; stage 3 is +10.1 points [95 %: +6.2 to +13.4] from there."
    )
    few = baseline_sentence("stage 3", Interval(0.1), 0.7, 2)
    assert few.startswith("Whether self-training gives more than longer training is not clear: ")
    assert few.endswith("stage 3 is +10.0 points from there on 2 images.")
    assert baseline_sentence("stage 3", Interval(-0.2, -0.3, -0.1), 0.7, 9).startswith("Longer")


@pytest.mark.parametrize(
    ("images", "group"),
    [
        ({"labelled": 9, "new": 5, "validation": 5}, "validation"),
        ({"labelled": 9, "new": 5, "validation": 4}, "new"),
        ({"labelled": 9, "new": 1}, "new"),
        ({"labelled": 9, "validation": 4, "new": 4}, "validation"),
        ({"labelled": 1}, "labelled"),
        ({}, None),
    ],
)
def test_honest_images_judge_before_those_that_were_learned_from(
    images: dict[str, int], group: str | None
) -> None:
    groups = {name: Judged(margins=[NO_COUNTS] * count) for name, count in images.items()}
    assert judging_group(Gathered(groups=groups)) == group


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Run, dict[str, np.ndarray]]:
    """A project of six validation images whose run gets better from stage to stage."""
    path = tmp_path_factory.mktemp("judged") / "project"
    project = Project.create(path, default_classes(["ground", "cell"]))
    truths = {}
    for number, one in enumerate(add_images(project, list("abcdef"), (24, 24), "validation")):
        truths[one] = np.ones((24, 24), np.uint8)
        truths[one][4 + number : 16] = 2
        project.write_ground_truth(one, truths[one], "painted")
    masks = {
        stage: {one: disturbed(truth, share, 2, stage) for one, truth in truths.items()}
        for stage, share in ((1, 0.5), (2, 0.3), (3, 0.2))
    }
    return project, make_compared_run(project, masks), truths


def verdict_of(project: Project, run: Run) -> dict[str, Any]:
    verdict: dict[str, Any] = build_document(project, columns_of_run(project, run.id))["verdict"]
    return verdict


def test_validation_images_decide_and_labels_alone_are_measured_against(
    judged: tuple[Project, Run, dict[str, np.ndarray]],
) -> None:
    project, run, truths = judged
    alone = verdict_of(project, run)
    assert (alone["helped"], alone["group"], alone["baseline"]) == ("yes", "validation", None)
    assert alone["against_first"]["low"] > 0 and alone["against_baseline"] is None
    assert [hint.split("threestage ")[1] for hint in alone["hints"]] == [
        f"run {project.path} --baseline {run.id}"
    ]
    masks = {1: {one: disturbed(truth, 0.01, 2) for one, truth in truths.items()}}
    baseline = make_compared_run(project, masks, baseline_of=run.id)
    make_compared_run(project, {}, baseline_of=run.id)  # not finished yet
    against = verdict_of(project, run)
    assert against["baseline"] == baseline.id and against["hints"] == []
    assert against["against_baseline"]["high"] < 0 < against["against_first"]["low"]
    assert against["sentence"].startswith("Stage 3 is better than stage 1: ")
    assert " Longer training on the labels alone gives more: " in against["sentence"]
    assert verdict_of(project, baseline)["hints"] == []  # nothing to measure it against
    both = build_document(project, columns_of_runs(project, [baseline.id, run.id]))["verdict"]
    assert both["sentence"].startswith(
        f"Stage 3 of {run.id} is worse than labels alone ({baseline.id}): "
    )
    assert (both["baseline"], both["against_baseline"], both["hints"]) == (None, None, [])


def test_without_labels_nobody_can_say_but_what_changed_is_said(
    small_project: Project,
) -> None:
    ids = add_images(small_project, ["a", "b"], (20, 20))
    before, after = np.ones((20, 20), np.uint8), np.ones((20, 20), np.uint8)
    after[:5] = 2
    run = make_compared_run(
        small_project, {1: dict.fromkeys(ids, before), 2: dict.fromkeys(ids, after)}
    )
    verdict = verdict_of(small_project, run)
    assert (verdict["helped"], verdict["group"], verdict["against_first"]) == (
        "unknown", None, None,
    )  # fmt: skip
    assert verdict["sentence"] == (
        "Nobody can say whether stage 2 is better than stage 1: no labels judge them. "
        "Stages 1 and 2 differ in 25.0 % of the pixels."
    )
    assert verdict["hints"][0].startswith("Label 5 or more images of which the run had no labels")
    [image] = add_images(small_project, ["later"], (20, 20), "validation")
    small_project.write_ground_truth(image, after, "painted")
    assert "cannot judge: they came after the run" in verdict_of(small_project, run)["hints"][0]


@pytest.mark.parametrize(
    ("before", "after", "labelled", "vanished"),
    [
        (0.02, 0.0019, 0.0, True),
        (0.02, 0.0021, 0.0, False),  # a tenth is left
        (0.0009, 0.0, 0.0, False),  # specks of what nobody labelled
        (0.0009, 0.0, 0.1, True),
        (0.00009, 0.0, 0.1, False),  # was as good as gone already
        (0.0, 0.0, 0.1, False),
    ],
)
def test_a_class_vanishes(before: float, after: float, labelled: float, vanished: bool) -> None:
    assert has_vanished(before, after, labelled) == vanished


@pytest.mark.parametrize(
    ("before", "after", "labelled", "swallowed"),
    [
        (0.8, 0.96, 0.5, True),
        (0.8, 0.94, 0.5, False),
        (0.93, 0.96, 0.5, False),  # sparse objects: the others kept more than half
        (0.8, 0.96, 0.97, False),  # so it is in the labels
        (0.2, 0.61, 0.3, True),
        (0.31, 0.61, 0.3, False),
        (0.2, 0.59, 0.3, False),
        (0.2, 0.61, 0.65, False),
    ],
)
def test_a_class_swallows_others(
    before: float, after: float, labelled: float, swallowed: bool
) -> None:
    assert has_swallowed(before, after, labelled) == swallowed


def alarms_of(project: Project, shares: dict[int, list[float]]) -> list[dict[str, Any]]:
    counts = {str(k): np.round(1e6 * np.array(part)).astype(int) for k, part in shares.items()}
    return find_alarms(project, columns_of_run(project), counts)


def test_alarms_name_the_last_good_stage_and_the_way_back(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "my project", default_classes(["ground", "cell", "fibre"]))
    stages = {1: {}, 2: {}, 3: {}}
    run = make_compared_run(project, stages, pixels={"ground": 700, "cell": 200, "fibre": 100})
    sound = [0.7, 0.2, 0.1]
    assert alarms_of(project, {1: sound, 2: [0.8, 0.15, 0.05], 3: [0.75, 0.2, 0.05]}) == []

    [vanished] = alarms_of(project, {1: sound, 2: [0.79, 0.208, 0.002], 3: [0.8, 0.2, 0]})
    assert {k: vanished[k] for k in ("kind", "class", "key", "stage", "last_good_stage")} == {
        "kind": "vanished", "class": "fibre", "key": "2", "stage": 2, "last_good_stage": 1,
    }  # fmt: skip
    assert (vanished["before"], vanished["after"]) == (0.1, 0.002)
    assert vanished["sentence"] == (
        "Class 'fibre' has all but vanished: stage 2 gives it 0.2 % of all pixels, "
        "stage 1 gave it 10.0 %."
    )
    assert f"threestage export '{project.path}' --stage 1 " in vanished["hint"]
    assert f"threestage run '{project.path}' --stages 2-3)" in vanished["hint"]

    # What goes slowly is gone all the same; the stage before is the last good one.
    [slowly] = alarms_of(project, {1: sound, 2: [0.77, 0.2, 0.03], 3: [0.795, 0.2, 0.005]})
    assert (slowly["stage"], slowly["before"], slowly["last_good_stage"]) == (3, 0.1, 2)
    assert "--stages 3)" in slowly["hint"]

    kinds = alarms_of(project, {1: sound, 2: sound, 3: [0.96, 0.021, 0.019]})
    assert [(one["kind"], one["class"], one["stage"]) for one in kinds] == [
        ("swallowed", "ground", 3)
    ]
    [missing] = alarms_of(project, {1: [0.8, 0.2, 0], 2: [0.8, 0.2, 0], 3: [0.8, 0.2, 0]})
    assert (missing["class"], missing["stage"], missing["last_good_stage"]) == ("fibre", 1, None)
    assert missing["sentence"] == (
        "Stage 1 does not find class 'fibre': it has 10.0 % of the labels and none of the pixels "
        "of all masks."
    )

    # Later stages build on the latest run that has the stages before.
    make_compared_run(project, {1: {}, 2: {}})
    columns = columns_of_run(project, run.id)
    counts = {str(k): np.array([700, 200, 100]) for k in (1, 2)} | {"3": np.array([960, 0, 40])}
    [older] = [one for one in find_alarms(project, columns, counts) if one["kind"] == "vanished"]
    assert f"--run {run.id} --stage 2" in older["hint"] and "train on" not in older["hint"]
    assert len(list_runs(project)) == 2
