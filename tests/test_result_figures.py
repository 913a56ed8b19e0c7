"""Figures of results: what is in them is what the documents say, and nothing is cut off."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.text import Text
from results_documents import budget, comparison

from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.result_figures import (
    Look,
    draw_budget,
    draw_confusion,
    draw_fractions,
    draw_iou,
    draw_reliability,
    draw_transitions,
    figure_bytes,
    figure_pixels,
    new_figure,
    write_figure,
    write_rows,
)
from napari_threestage.result_figures import rows as numbers
from napari_threestage.result_figures.look import readable, short_name
from napari_threestage.result_figures.matrices import draw_matrix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

DARK = Look.of("#f0f1f2", "#262930")
PAPER = (0x26, 0x29, 0x30)
NARROW = 3.2  # inches, as in a dock
LONG = "a class whose name is much longer than the dock is wide: number "
HOSTILE = ["$x_1^2$", "<b>&amp;</b>", "_hidden", "漢字", "a\tb", "%s {0} \\frac"]
MANY = [*HOSTILE, *(f"{LONG}{number}" for number in range(14))]
RUNS = ("20250101-120000-balanced and a long name", "20250101-120000-balanced and a long name!")

DRAWINGS: dict[str, Callable[[Figure, Any], None]] = {
    "iou": lambda figure, found: draw_iou(figure, found, "validation", DARK),
    "confusion": lambda figure, found: draw_confusion(
        figure, found, "validation", found["columns"][-1]["key"], DARK
    ),
    "reliability": lambda figure, found: draw_reliability(figure, found, "validation", DARK),
    "transitions": lambda figure, found: draw_transitions(
        figure, found, (found["columns"][0]["key"], found["columns"][-1]["key"]), DARK
    ),
    "fractions": lambda figure, found: draw_fractions(figure, found, DARK),
}


def texts(figure: Figure) -> list[Text]:
    return [one for one in figure.findobj(Text) if one.get_text() and one.get_visible()]


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_is_cut_off_and_nothing_is_markup(name: str) -> None:
    found = comparison(MANY, stages=(1, 2), runs=RUNS)
    figure = new_figure(NARROW)
    DRAWINGS[name](figure, found)
    pixels = figure_pixels(figure)
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert all((edge[:, :3] == PAPER).all() for edge in edges)  # what is cut off reaches them
    assert all(not text.get_parse_math() for text in texts(figure))
    for axes in figure.axes:
        boxes = [one.get_window_extent() for one in axes.get_yticklabels()]
        boxes.sort(key=lambda box: box.y0)
        assert all(one.y1 <= other.y0 + 1 for one, other in pairwise(boxes))
    width, words = pixels.shape[1], [text.get_text() for text in texts(figure)]
    if name in ("confusion", "transitions"):
        assert width >= 20 * 0.25 * 100  # cells keep room for their numbers
    else:
        assert width == round(100 * NARROW)
    if name != "reliability":
        for hostile in ("$x_1^2$", "<b>&amp;</b>", "_hidden", "%s {0} \\frac"):
            assert hostile in words
        assert len({word for word in words if word.startswith("a class whose")}) == 14


def test_a_legend_has_an_entry_for_each_column_whatever_it_is_called() -> None:
    found = comparison(stages=(3,), runs=("_a", "_b"))
    for column in found["columns"]:
        column["title"] = "_the same"
    for name in ("iou", "reliability", "fractions"):
        figure = new_figure(NARROW)
        DRAWINGS[name](figure, found)
        (legend,) = figure.legends
        entries = [text.get_text() for text in legend.get_texts()]
        assert len(entries) == 2 and all(one.startswith("_the same") for one in entries)


def test_points_and_whiskers_are_the_scores() -> None:
    found = comparison()
    scores = found["groups"][0]["scores"]
    scores["2"]["iou"]["wall"] = None
    scores["3"]["miou"] = {"value": 0.5, "low": None, "high": None}
    figure = new_figure(NARROW)
    draw_iou(figure, found, "validation", DARK)
    (axes,) = figure.axes
    points = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    for key, line in zip("123", points, strict=True):
        wanted = [scores[key]["miou"], *scores[key]["iou"].values()]
        known = [one["value"] for one in wanted if one is not None]
        np.testing.assert_allclose(line.get_xdata(), known)
    whiskers = [line for line in axes.lines if list(line.get_ydata()) == [line.get_ydata()[0]] * 2]
    first = scores["1"]["miou"]
    assert any(list(line.get_xdata()) == [first["low"], first["high"]] for line in whiskers)
    assert len(whiskers) == 3 * 4 - 2 + 1  # the missing two, and the line below the mean


def test_a_class_without_truth_says_so() -> None:
    found = comparison()
    for scores in found["groups"][0]["scores"].values():
        scores["iou"]["cell"] = None
    figure = new_figure(NARROW)
    draw_iou(figure, found, "validation", DARK)
    assert "not in these images" in [text.get_text() for text in texts(figure)]


def test_a_matrix_is_in_percent_of_its_rows() -> None:
    counts = np.array([[98, 1, 1], [0, 0, 0], [1, 999, 0]])
    figure = new_figure(NARROW)
    draw_matrix(figure, counts, ["a", "b", "c"], DARK, rows="Labels", columns="Stage 1")
    (axes,) = figure.axes
    cells = {
        (int(y), int(x)): text.get_text() for text in axes.texts for x, y in [text.get_position()]
    }
    assert cells == {(0, 0): "98", (0, 1): "1", (0, 2): "1", (2, 0): "<1", (2, 1): "100"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Stage 1", "Labels")
    (image,) = axes.images
    painted = image.get_array()
    assert np.abs(painted[1] - np.array(PAPER) / 255).max() < 0.01  # paper
    assert painted[0, 0, 2] > painted[0, 0, 0]  # right is blue, wrong is orange
    assert painted[2, 1, 0] > painted[2, 1, 2]


def test_calibration_leaves_out_bins_without_pixels() -> None:
    found = comparison(stages=(1,))
    figure = new_figure(NARROW)
    draw_reliability(figure, found, "validation", DARK)
    bins = found["groups"][0]["scores"]["1"]["calibration"]["bins"]
    filled = [one for one in bins if one["pixels"]]
    curve = figure.axes[0].lines[-1]
    np.testing.assert_allclose(curve.get_xdata(), [one["confidence"] for one in filled])
    np.testing.assert_allclose(curve.get_ydata(), [one["accuracy"] for one in filled])
    (steps,) = figure.axes[1].patches
    assert steps.get_data().values.sum() == pytest.approx(1)
    assert "error 8.0 %" in figure.legends[0].get_texts()[0].get_text()


def test_what_nobody_has_labelled_yet_is_dashed() -> None:
    found = budget()
    figure = new_figure(NARROW)
    draw_budget(figure, found, DARK)
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [list(line.get_xdata()) for line in dashed] == [[54_000, 162_000]]
    figure = new_figure(NARROW)
    draw_budget(figure, budget(points=1, fitted=False), DARK)
    low, high = figure.axes[0].get_ylim()
    assert low < 0.5 < high and high - low >= 0.1 - 1e-9  # noise does not look like a trend


def test_figures_follow_the_theme() -> None:
    figure = new_figure(NARROW)
    draw_iou(figure, comparison(), "validation", DARK)
    pixels = figure_pixels(figure)
    assert tuple(pixels[1, -2, :3]) == PAPER
    labels = figure.axes[0].get_yticklabels()
    assert {label.get_color() for label in labels} == {DARK.ink}
    assert DARK.colours[0] != Look().colours[0]  # lighter, to be seen on dark paper


def test_signs_that_no_font_has_become_boxes() -> None:
    assert readable("a\U0001f52c\x07b") == "a□□b"
    assert short_name("  ") == "□"
    assert short_name("nucleus") == "nucleus"
    assert short_name(f"{LONG}12") == "a class whose name\n…s wide: number 12"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_files_are_complete_and_the_same_each_time(tmp_path: Path, kind: str) -> None:
    path, again = tmp_path / f"a.{kind}", tmp_path / f"b.{kind.upper()}"
    for file in (path, again):
        figure = new_figure(NARROW)
        draw_iou(figure, comparison(MANY[:3]), "validation", Look())
        write_figure(figure, file)
    assert path.read_bytes() == again.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, again.name]
    if kind == "svg":
        assert "$x_1^2$" in path.read_text() and "&lt;b&gt;&amp;amp;" in path.read_text()
    else:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    figure = new_figure(NARROW)
    draw_fractions(figure, comparison(), Look())
    missing = tmp_path / "missing"
    for write in (
        lambda: write_figure(figure, missing / "a.png"),
        lambda: write_rows(missing / "a.csv", numbers.fraction_rows(comparison())),
    ):
        with pytest.raises(ProjectError, match="missing"):
            write()
    with pytest.raises(ConfigError, match="neither a PNG nor an SVG"):
        write_figure(figure, tmp_path / "a.pdf")
    assert figure_bytes(figure, "png") and not list(tmp_path.iterdir())


def test_the_rows_of_a_figure_are_what_it_shows(tmp_path: Path) -> None:
    found = comparison(groups=("validation", "labelled"))
    assert {row["group"] for row in numbers.iou_rows(found, "labelled")} == {"labelled"}
    cells = list(numbers.confusion_rows(found, "validation", "3"))
    table = found["groups"][0]["scores"]["3"]["confusion"]
    assert [row["pixels"] for row in cells] == [count for line in table for count in line]
    assert {row["column"] for row in numbers.reliability_rows(found, "labelled")} == {*"123"}
    moved = list(numbers.transition_rows(found, ("1", "3")))
    table = found["agreement"][2]["transitions"]
    assert [row["pixels"] for row in moved] == [count for line in table for count in line]
    path = tmp_path / "runs.csv"
    write_rows(path, numbers.budget_rows(budget(points=2)))
    head, first, _ = path.read_text().splitlines()
    assert head == "run,name,labelled_images,labelled_pixels,value,low,high"
    assert first.startswith("run-0,,2,2000,0.5,")


def test_drawing_is_loaded_when_something_is_drawn() -> None:
    code = (
        "import sys, napari_threestage.results_pages, napari_threestage.results_texts; "
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
