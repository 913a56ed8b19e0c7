"""Means, intervals, differences and shares against numbers by hand, and the tables of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from napari_threestage.benchmark.statistics import (
    difference,
    gap_closed,
    over_data_sets,
    spread,
    summarise,
    together,
)
from napari_threestage.benchmark.tables import markdown, recipes, rich_tables

T_2 = 4.302652729911275  # quantile 0.975 of Student's t with 2 degrees of freedom


def row(
    method: str, seed: int, *mious: float, labelled: float | None = 0.03, **more: Any
) -> dict[str, Any]:
    stages = {
        str(stage): {"miou": miou, "iou": {"cell": miou, "rare": None}}
        for stage, miou in enumerate(mious, 1)
    }
    base = {"data": "nuclei", "labelled": labelled, "labels": "dense", "seed": seed}
    speed = {"training_seconds": 10.0 * seed, "images_per_second": None}
    return base | {"method": method, "stages": stages} | speed | more


ROWS = [
    *(row("three-stage", seed, 0.5, 0.6, 0.7 + 0.02 * seed) for seed in (0, 1, 2)),
    *(row("supervised", seed, 0.5) for seed in (0, 1, 2)),
    *(row("supervised-long", seed, 0.6) for seed in (1, 2)),
    *(row("full", seed, 0.9, labelled=None) for seed in (0, 1, 2)),
]


def test_spread_is_that_of_a_sample() -> None:
    found = spread({2: 4.0, 0: 1.0, 1: 1.0})
    assert found is not None
    assert found.mean == pytest.approx(2)
    assert found.sd == pytest.approx(3**0.5)
    assert found.high == pytest.approx(2 + T_2)
    assert found.low == pytest.approx(2 - T_2)
    assert list(found.each) == [0, 1, 2]


def test_one_value_has_no_interval() -> None:
    found = spread({3: 0.25})
    assert found is not None
    assert (found.mean, found.sd, found.low, found.high) == (0.25, None, None, None)
    assert spread({}) is None


def test_differences_are_of_the_same_seed() -> None:
    ours, theirs = {0: 0.7, 1: 0.9, 2: 0.6}, {2: 0.5, 1: 0.6, 5: 0.1}
    found = difference(ours, theirs)
    assert found is not None
    assert found.each == pytest.approx({1: 0.3, 2: 0.1})
    interval = stats.ttest_rel([0.9, 0.6], [0.6, 0.5]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert difference(ours, {7: 0.5}) is None


def test_share_of_the_gap() -> None:
    found = gap_closed({0: 0.7, 1: 0.5, 2: 0.9}, {0: 0.5, 1: 0.6, 2: 0.9}, {0: 0.9, 1: 0.8, 2: 0.9})
    assert found is not None
    # All labels gain nothing with seed 2, so there is no share of it.
    assert found.each == pytest.approx({0: 0.5, 1: -0.5})
    assert gap_closed({0: 0.7}, {}, {0: 0.9}) is None


def test_summary() -> None:
    summary = summarise(ROWS)
    assert [entry["method"] for entry in summary] == [
        *("supervised", "supervised-long", "full", "three-stage")
    ]
    supervised, control, full, ours = summary
    assert ours["stages"]["2"]["mean"] == pytest.approx(0.6)
    assert ours["last"]["stage"] == "3"
    assert ours["last"]["iou"]["cell"]["mean"] == pytest.approx(0.72)
    assert ours["last"]["iou"]["rare"] is None
    assert ours["gap_closed"]["each"] == pytest.approx({0: 0.5, 1: 0.55, 2: 0.6})
    assert ours["over"]["each"] == pytest.approx({1: 0.12, 2: 0.14})
    assert ours["training_seconds"]["mean"] == pytest.approx(10)
    assert ours["images_per_second"] is None
    assert supervised["gap_closed"]["mean"] == 0
    assert full["gap_closed"]["mean"] == 1
    assert full["labelled"] == 0.03  # stands beside what it is compared with
    assert control["over"] is None  # it is the control


def test_another_method_to_compare_with() -> None:
    summary = summarise(ROWS, "three-stage")
    by_method = {entry["method"]: entry for entry in summary}
    assert by_method["three-stage"]["over"] is None
    assert by_method["supervised-long"]["over"]["each"] == pytest.approx({1: -0.12, 2: -0.14})
    assert "|over three-stage|" in markdown(summary)
    without = summarise(ROWS, "vat")
    assert all(entry["over"] is None for entry in without)
    assert "There are no rows of vat to compare with." in markdown(without)
    assert "There are no rows" not in markdown(summary)


def test_all_data_sets_together() -> None:
    leaves = [
        *(row("vat", seed, 0.4, data="leaves") for seed in (0, 1)),
        row("three-stage", 1, 0.5, 0.4, 0.3, data="leaves"),
        row("supervised", 1, 0.2, data="leaves"),
        row("vat", 0, 0.1, data="leaves", labelled=0.2),
    ]
    rows = [*ROWS, *leaves, *(row("vat", seed, 0.6) for seed in (0, 1, 2))]
    summary = summarise(rows, "vat")
    found = {entry["method"]: entry for entry in together(summary)}
    assert [*found] == ["supervised", "three-stage"]  # the others have one data set
    assert {entry["labelled"] for entry in found.values()} == {0.03}
    ours = found["three-stage"]
    pairs = {"nuclei 0": 0.1, "nuclei 1": 0.12, "nuclei 2": 0.14, "leaves 1": -0.1}
    assert ours["over"]["each"] == pytest.approx(pairs)
    # (0.12 - 0.1) / 2, as a set of four weighs no more than one of a single pair.
    assert ours["over"]["mean"] == pytest.approx(0.01)
    assert (ours["over"]["low"], ours["over"]["high"]) == (None, None)  # of one seed there is none
    gains = {"nuclei 0": 0.1, "nuclei 1": 0.1, "nuclei 2": 0.1, "leaves 1": -0.1}
    assert ours["gains"]["2"]["each"] == pytest.approx(gains)
    assert found["supervised"]["gains"] == {}
    text = markdown(summary)
    assert text.count("## All data sets") == 1
    assert "## All data sets, 3 % of the images with masks: points of mIoU, pairs ahead" in text
    assert "|method|stage 2 over 1|stage 3 over 2|over vat|" in text
    [line] = [line for line in text.splitlines() if line.endswith("|+1.0, 3 of 4|")]
    assert line.startswith("|three-stage|+0.0, 3 of 4|")
    assert "|supervised|–|–|-15.0, 0 of 4|" in text
    assert "Each data set weighs the same." in text
    assert "alone." not in text
    assert together(summarise(ROWS)) == []


def test_a_method_of_fewer_data_sets_is_named() -> None:
    rows = [
        row(method, 0, score, data=data)
        for data in ("nuclei", "leaves", "steel")
        for method, score in (("three-stage", 0.5), ("supervised-long", 0.4), ("vat", 0.3))
        if (data, method) != ("steel", "vat")
    ]
    assert "\n\nvat: nuclei and leaves alone.\n\n" in markdown(summarise(rows))


def test_the_interval_over_data_sets_is_for_other_seeds() -> None:
    values = {"a": {0: 1.0, 1: 3.0}, "b": {0: 10.0, 1: 11.0, 2: 12.0}}
    found = over_data_sets(values)
    assert found.mean == pytest.approx((2 + 11) / 2)
    # As of a difference of means of two samples with variances of their own, halved.
    samples = [[-value for value in values["a"].values()], list(values["b"].values())]
    interval = stats.ttest_ind(samples[1], samples[0], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low / 2, interval.high / 2))
    still = over_data_sets({"a": {0: 1.0, 1: 1.0}, "b": {0: 2.0, 1: 2.0}})
    assert (still.low, still.high) == (1.5, 1.5)


def test_seeds_of_one_data_set_are_not_taken_for_data_sets() -> None:
    """The interval holds as often as it says, however far apart data sets are."""
    rng = np.random.default_rng(0)
    truth = {"a": 0.0, "b": 5.0, "c": -2.0}
    hits = 0
    for _ in range(400):
        values = {name: dict(enumerate(rng.normal(mean, 1, 3))) for name, mean in truth.items()}
        found = over_data_sets(values)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1 <= found.high
    assert 0.92 <= hits / 400 <= 0.99


def test_kinds_of_images() -> None:
    def kinds(**scores: float | None) -> dict[str, Any]:
        return {kind: {"stages": {"1": {"miou": score}}} for kind, score in scores.items()}

    rows = [
        row("supervised", 0, 0.5, kinds_pattern="x", kinds=kinds(glass=0.4, **{"[red]|": 0.6})),
        row("supervised", 1, 0.5, kinds_pattern="x", kinds=kinds(glass=0.6, **{"[red]|": None})),
        row("full", 0, 0.9, labelled=None, kinds_pattern=None),
        row("vat", 0, 0.7, kinds_pattern="y", kinds=kinds(glass=0.1)),
    ]
    summary = summarise(rows)
    supervised, full, vat = (entry["kinds"] for entry in summary)
    assert supervised["x"]["glass"]["each"] == {0: 0.4, 1: 0.6}
    assert supervised["x"]["[red]|"]["each"] == {0: 0.6}
    assert (full, [*vat]) == ({}, ["y"])
    _, first, second = rich_tables(summary)  # other patterns are other images
    assert [column.header for column in first.columns] == ["method", "\\[red]|", "glass"]
    assert [column.header for column in second.columns] == ["method", "glass"]
    text = markdown(summary)
    assert "(each seed), last stage, by kind of image (x)" in text
    assert "|method|[red]\\||glass|" in text
    assert "|supervised|60.0|50.0 ± 14.1 (40.0 60.0)|" in text
    assert len(rich_tables(summarise(ROWS))) == 1


def test_amounts_and_kinds_of_labels_are_kept_apart_and_share_the_upper_bound() -> None:
    rows = [
        *(row("supervised", 0, 0.5, labelled=labelled) for labelled in (0.03, 0.2)),
        row("supervised", 0, 0.4, labels="scribbles"),
        row("full", 0, 0.9, labelled=None),
        row("full", 0, 0.8, labelled=None, data="leaf"),
    ]
    found = [
        (entry["data"], entry["labelled"], entry["labels"], entry["method"])
        for entry in summarise(rows)
    ]
    assert found == [
        ("nuclei", 0.03, "dense", "supervised"),
        ("nuclei", 0.03, "dense", "full"),
        ("nuclei", 0.2, "dense", "supervised"),
        ("nuclei", 0.2, "dense", "full"),
        ("nuclei", 0.03, "scribbles", "supervised"),
        ("nuclei", 0.03, "scribbles", "full"),
        ("leaf", None, "dense", "full"),
    ]
    assert summarise([]) == []


def recipe(total: int, width: int = 64, crop: int = 96, stages: str = "1") -> dict[str, Any]:
    config = {
        "network": {"decoder_channels": width},
        "data": {"crop": [crop, crop]},
        "stages": {"steps": [total]},
    }
    return {"recipe": {"config": config, "stages": stages}}


@pytest.mark.parametrize(
    ("terms", "alike"),
    [
        (recipe(10, stages="1-3"), True),
        (recipe(10, stages="1-4"), False),
        (recipe(30, width=128), False),
        (recipe(30, crop=256), False),
        ({"recipe": {"config": {}, "stages": "1"}}, False),
    ],
)
def test_network_crop_and_steps_are_not_counted_as_the_method(
    terms: dict[str, Any], alike: bool
) -> None:
    rows = [
        row("supervised", 0, 0.5, **recipe(10)),
        row("supervised-long", 0, 0.6, **recipe(30)),
        row("full", 0, 0.9, labelled=None, **recipe(30)),
        row("three-stage", 0, 0.7, **terms),
    ]
    summary = summarise(rows)
    found = next(one for one in summary if one["method"] == "three-stage")
    assert found["on_terms"] == alike
    assert (found["gap_closed"] is not None) == alike
    assert (found["over"] is not None) == alike
    assert found["stages"]["1"]["mean"] == 0.7
    [sentence] = [line for line in markdown(summary).splitlines() if line.startswith("No share")]
    assert ("three-stage" in sentence) != alike


def test_a_mean_of_different_recipes_says_so() -> None:
    rows = [row("supervised", seed, 0.5, **recipe(10 + seed)) for seed in (0, 1)]
    [found] = summarise(rows)
    assert found["mixed"] == "stages.steps was [10] and is [11]"
    assert "The rows of supervised are of different recipes: stages.steps" in markdown([found])
    [same] = summarise(ROWS[:3])
    assert same["mixed"] == ""


def test_what_rows_were_asked_for_with_is_said_once() -> None:
    benchmark = {"preset": "quick", "changes": {"loss.dice": 0.0}}
    rows = [row("full", seed, 0.5, benchmark=benchmark) for seed in (0, 1)]
    assert recipes([*rows, row("full", 2, 0.5)]) == ["preset quick, loss.dice=0.0"]


def test_tables_say_the_same() -> None:
    summary = summarise(ROWS)
    text = markdown(summary, "Scored on the test images.")
    assert text.startswith("Scored on the test images.\n\n## nuclei, 3 % of the images with masks")
    [line] = [line for line in text.splitlines() if line.startswith("|three-stage")]
    cells = line.strip("|").split("|")
    assert cells[3] == "72.0 ± 2.0 (70.0 72.0 74.0)"
    assert cells[4] == "55 ± 5 (50 55 60)"
    assert cells[5].startswith("+13.0 [")
    assert cells[6:] == ["10", "–"]
    assert "- three-stage: " in text
    shown = io.StringIO()
    [table] = rich_tables(summary)
    Console(width=200, file=shown).print(table)
    assert "72.0 ± 2.0 (70.0 72.0 74.0)" in shown.getvalue()
