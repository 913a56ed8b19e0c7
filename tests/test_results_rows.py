"""What the view of results says: tables, pages and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare_helpers import add_images, disturbed, make_compared_run
from results_documents import alarm, budget, comparison

from napari_threestage.compare.document import build_document, columns_of_run
from napari_threestage.compare.places import Place
from napari_threestage.project import Project, default_classes
from napari_threestage.result_figures import Look, figure_pixels, new_figure
from napari_threestage.results_pages import (
    FRACTIONS,
    PAGES,
    Choice,
    budget_page,
    columns,
    groups,
    make_page,
    pairs,
)
from napari_threestage.results_rows import gain_ends, interval_ends, percent, small_percent
from napari_threestage.results_tables import (
    calibration_table,
    confusion_table,
    images_table,
    scores_table,
)
from napari_threestage.results_texts import alarms, verdict

if TYPE_CHECKING:
    from napari_threestage.results_rows import Table


def shown(table: Table) -> list[list[str]]:
    """What a person reads."""
    return [
        [column.text(value) for column, value in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]


def test_shares_and_intervals_say_no_more_than_is_known() -> None:
    assert [percent(0.8421), percent(1), percent(None)] == ["84.2", "100.0", "–"]
    assert [small_percent(0.0), small_percent(0.0004), small_percent(0.02)] == ["0", "<0.1", "2.0"]
    assert interval_ends({"value": 0.5, "low": 0.4121, "high": 0.559}) == "41–56"
    assert interval_ends({"value": 0.995, "low": 0.991, "high": 0.998}) == "99.1–99.8"
    assert gain_ends({"value": 0.01, "low": -0.003, "high": 0.004}) == "-0.3 to +0.4"
    assert interval_ends({"value": 0.5, "low": None, "high": None}) == interval_ends(None) == ""


def test_scores_have_a_row_for_each_class_and_what_the_last_stage_gained() -> None:
    found = comparison(groups=("labelled", "validation"))
    group = found["groups"][1]
    group["scores"]["2"]["iou"]["wall"] = None
    group["scores"]["1"]["miou"]["value"] = 0.1234
    group["differences"][2]["miou"] = {"value": -0.021, "low": -0.05, "high": 0.01}
    table = scores_table(found, "validation")
    assert [column.title for column in table.columns] == [
        *("Class", "Stage\n1", "Stage\n2", "Stage\n3"),
        "Gain",
    ]
    rows = shown(table)
    assert [row[0] for row in rows] == ["Mean IoU", "Right pixels", "background", "cell", "wall"]
    assert rows[0][1] == "12.3" and rows[0][4] == "-2.1" and rows[1][4] == "–"
    assert rows[4][2] == "–" and rows[4][3] != "–"
    assert table.pinned == 2 and len(table.colours) == 5
    assert table.colours[:2] == [None, None] and table.colours[3] == (70, 120, 130)
    two = scores_table(comparison(runs=("20250101-120000-quick", "b"), stages=(3,)), "labelled")
    assert [column.title for column in two.columns[1:3]] == ["Stage 3\n20250…quick", "Stage 3\nb"]
    alone = scores_table(comparison(stages=(2,)), "labelled")
    assert [column.title for column in alone.columns] == ["Class", "Stage\n2"]


def test_confusion_is_told_as_found_right_and_mistaken() -> None:
    found = comparison()
    matrix = [[80, 15, 5], [0, 0, 0], [0, 30, 70]]
    found["groups"][0]["scores"]["2"]["confusion"] = matrix
    assert shown(confusion_table(found, "validation", "2")) == [
        ["background", "80.0", "100.0", "cell, 15.0 %"],
        ["cell", "–", "0.0", "–"],
        ["wall", "70.0", "93.3", "cell, 30.0 %"],
    ]


def test_calibration_tells_what_is_kept() -> None:
    table = calibration_table(comparison(stages=(1, 3)), "validation")
    assert shown(table)[1:] == [["≥ 90 %", "97.0", "97.0"], ["≥ 99 %", "–", "–"]]
    assert [table.columns[1].small(row[1]) for row in table.rows[1:]] == ["of 60.0", "of 0"]


def test_images_lead_to_their_places() -> None:
    found = comparison(groups=("validation",), images=("one", "two"))
    found["images"][1]["place"] = None
    table = images_table(found)
    assert shown(table)[0] == ["image one", "70.0", "10.0", "cell and wall are mixed up here"]
    assert shown(table)[1][1] == "–"
    assert table.target is not None and table.tip is not None
    assert table.target(0) == ("one", Place((), (8, 40), (16, 48)))
    assert table.target(1) == ("two", None)
    assert "Validation · 80.0 % sure" in table.tip(0)


def test_what_is_chosen_and_gone_is_replaced_by_the_best_there_is() -> None:
    found = comparison()
    assert groups(found) == [("validation", "Validation (9)"), ("labelled", "Learned from (9)")]
    assert [key for key, _ in columns(found)] == ["3", "2", "1"]
    assert [key for key, _ in pairs(found)] == ["1>3", "1>2", "2>3", FRACTIONS]
    assert make_page(found, "confusion", Choice("new", "7")).name == "confusion-validation-3"
    assert make_page(found, "confusion", Choice("labelled", "1")).name == "confusion-labelled-1"
    assert make_page(found, "changes", Choice(pair="2>3")).name == "changes-2-to-3"
    assert make_page(comparison(stages=(1,)), "changes", Choice(pair="2>3")).name == "classes"


def test_without_labels_there_is_agreement_alone() -> None:
    found = comparison(groups=())
    for name in ("scores", "confusion", "calibration"):
        page = make_page(found, name, Choice())
        assert page.table is page.draw is page.numbers is None
        assert "Changes tells how far the stages agree" in page.note
    assert make_page(found, "changes", Choice()).draw is not None
    told = verdict(found)
    assert told.helped == "unknown" and "set five or more" in told.advice
    assert told.hint == "Set some images aside."
    assert verdict(comparison()).advice == ""  # judged honestly
    learned = comparison()
    learned["verdict"] |= {"helped": "yes", "group": "labelled"}
    assert verdict(learned).helped == "unknown"


def test_few_images_have_no_intervals_and_the_page_says_so() -> None:
    assert "too few images" in make_page(comparison(in_group=2), "scores", Choice()).note
    assert "95\u00a0% intervals" in make_page(comparison(), "scores", Choice()).note


def test_alarms_say_what_to_use_instead() -> None:
    found = comparison(runs=("a", "b"), stages=(1, 2))
    found["alarms"] = [alarm("vanished", "cell", "b/2", 1), alarm("vanished", "wall", "a/1", None)]
    good, none = alarms(found)
    assert (good.run, good.stage, good.advice) == ("b", 1, "Stage 1 is the last good one.")
    assert (none.run, none.stage) == ("a", 0) and none.advice.startswith("Use stage")


def test_a_budget_without_runs_is_a_sentence() -> None:
    page = budget_page(budget(points=0))
    assert page.draw is page.table is None and page.note.endswith("of mean IoU.")
    page = budget_page(budget())
    assert page.table is not None and page.note.endswith("On 9 validation images.")
    assert shown(page.table)[0] == ["run-0", "2", "2,000", "50.0"]
    assert page.draw is not None
    alone = budget_page(budget(points=1))
    assert alone.table is not None and alone.draw is None


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a made-up run, as the command makes it."""
    folder = tmp_path_factory.mktemp("real")
    project = Project.create(folder / "project", default_classes(["a", "b", "never"]))
    ids = add_images(project, ["one", "two"], (24, 24), "validation")
    ids += add_images(project, ["three"], (24, 24))
    truth = np.ones((24, 24), np.uint8)
    truth[8:] = 2
    project.write_ground_truth(ids[0], truth, "imported")
    masks = {
        stage: {one: disturbed(truth, 0.6 / stage, 2, stage) for one in ids} for stage in (1, 2)
    }
    make_compared_run(project, masks)
    return build_document(Project(project.path), columns_of_run(project))


@pytest.mark.parametrize("name", PAGES)
def test_the_command_and_the_pages_speak_the_same(real: dict[str, Any], name: str) -> None:
    for pair in ("", FRACTIONS):
        page = make_page(real, name, Choice(pair=pair))
        assert page.table is not None and page.numbers is not None
        assert all(shown(page.table)) and list(page.numbers())
        if page.draw is not None:
            figure = new_figure(3.2)
            page.draw(figure, Look())
            assert figure_pixels(figure).std() > 0
    assert verdict(real).sentence and not alarms(real)[1:]
