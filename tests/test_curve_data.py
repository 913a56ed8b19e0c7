"""Curves of a run as numbers."""

from __future__ import annotations

import csv
import io
import math

import pytest

from napari_threestage.curve_data import (
    latest_values,
    loss_series,
    score_series,
    scored_on,
    smooth,
    stage_starts,
    to_csv,
)
from napari_threestage.events import Progress, Sampled, StageStarted, Started, Validated
from napari_threestage.run_view import RunView


def progress(stage: int, step: int, **losses: float) -> Progress:
    return Progress(
        stage=stage, step=step, steps=10, losses=losses, images_per_second=1, eta=1, memory=1
    )


def sampled(stage: int, step: int, miou: float | None, on: str = "labelled") -> Sampled:
    iou = {"a": miou, "b": None}
    return Sampled(stage=stage, step=step, on=on, miou=miou, iou=iou, windows=[])


def validated(stage: int, miou: float, on: str = "labelled") -> Validated:
    return Validated(stage=stage, on=on, miou=miou, iou={"a": miou, "b": None}, accuracy=1)


@pytest.fixture
def view() -> RunView:
    """Two stages of ten steps, the second half done."""
    view = RunView({1: 10, 2: 10})
    view.add(Started(run="r", device="cpu", stages=[1, 2], labelled=1, unlabelled=1))
    for stage, steps in ((1, (5, 10)), (2, (5,))):
        view.add(StageStarted(stage=stage, steps=10))
        for step in steps:
            view.add(progress(stage, step, seg=1.0, **({"con": 0.5} if stage > 1 else {})))
            view.add(sampled(stage, step, step / 20))
        if stage == 1:
            view.add(validated(1, 0.7))
    return view


def test_stages_follow_each_other_with_a_gap(view: RunView) -> None:
    assert stage_starts(view) == {1: 0, 2: 10}
    seg, con = loss_series(view)
    assert (seg.name, seg.x) == ("seg", [5, 10, 10, 15])
    assert math.isnan(seg.y[2])
    assert seg.y[0] == pytest.approx(1)
    assert con.x == [15]


def test_scores_are_lines_while_training_and_points_at_the_end(view: RunView) -> None:
    series = {(one.name, one.points): one for one in score_series(view)}
    assert series["mIoU", False].x == [5, 10, 10, 15]
    assert (series["mIoU", True].x, series["mIoU", True].y) == ([10], [0.7])
    assert series["b", True].x == []
    assert latest_values(score_series(view)) == {"mIoU": 0.25, "a": 0.25, "b": None}


def test_the_result_of_a_stage_counts_more_than_its_last_sample(view: RunView) -> None:
    view.add(progress(2, 10, seg=1.0))
    view.add(sampled(2, 10, 0.5))
    view.add(validated(2, 0.9))
    assert latest_values(score_series(view))["mIoU"] == 0.9


def test_validation_images_are_preferred(view: RunView) -> None:
    assert scored_on(view) == "labelled"
    view.add(validated(1, 0.2, on="validation"))
    assert scored_on(view) == "validation"
    assert latest_values(score_series(view))["mIoU"] == 0.2


def test_a_run_without_events_has_no_curves() -> None:
    empty = RunView()
    assert (loss_series(empty), score_series(empty), scored_on(empty)) == ([], [], "")


def test_smoothing_keeps_a_constant_and_calms_a_zigzag() -> None:
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    calmed = smooth([0.0, 1.0] * 20)
    assert max(calmed[10:]) - min(calmed[10:]) < 0.5
    assert smooth([]) == []


def test_the_table_has_every_value_as_it_was(view: RunView) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(view))))
    losses = [row for row in rows if row["kind"] == "loss"]
    assert [(row["curve"], row["stage"], row["step"]) for row in losses] == [
        ("seg", "1", "5"),
        ("seg", "1", "10"),
        ("seg", "2", "5"),
        ("con", "2", "5"),
    ]
    results = [row for row in rows if row["kind"] == "IoU on labelled images"]
    assert [(row["curve"], float(row["value"])) for row in results] == [("mIoU", 0.7), ("a", 0.7)]


def test_the_share_of_confident_pixels_is_no_loss(view: RunView) -> None:
    view.add(progress(2, 7, seg=1.0, confident=0.5))
    assert [series.name for series in loss_series(view)] == ["seg", "con"]
    assert "confident,share,2,7,0.5" in to_csv(view).splitlines()
