"""Figures draw the values that they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_threestage.benchmark.figure_panels import changed_places, class_colors
from napari_threestage.benchmark.figure_style import styles
from napari_threestage.benchmark.figures import (
    Panel,
    gap_bars,
    label_curve,
    panels,
    save,
    save_figures,
    stage_curve,
    training_curves,
    weight_curve,
)
from napari_threestage.benchmark.statistics import summarise
from napari_threestage.errors import NotReadyError
from napari_threestage.events import Progress, Sampled, StageStarted, Started

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

CLASSES = ({"name": "background"}, {"name": "cell"})


def row(method: str, seed: int, stages: Sequence[float], **more: Any) -> dict[str, Any]:
    return {
        "data": "cells",
        "labelled": 0.03,
        "labels": "dense",
        "seed": seed,
        "method": method,
        "stages": {str(n): {"miou": value, "iou": {}} for n, value in enumerate(stages, 1)},
        "training_seconds": 60.0,
        "images_per_second": 10.0,
        **more,
    }


ROWS = [
    row("supervised", 0, [0.5]),
    row("supervised", 1, [0.6]),
    row("full", 0, [0.9], labelled=None),
    row("full", 1, [0.8], labelled=None),
    row("three-stage", 0, [0.5, 0.6, 0.7]),
    row("three-stage", 1, [0.6, 0.64, 0.66]),
    row("cutmix", 0, [0.55]),
    row("cutmix", 1, [0.65]),
]


def line(axis: Axes, label: str) -> tuple[list[float], list[float]]:
    found = next(one for one in axis.lines if one.get_label() == label)
    return list(found.get_xdata()), list(found.get_ydata())


def points(axis: Axes) -> set[tuple[float, float]]:
    every = np.concatenate(
        [np.asarray(one.get_offsets()) for one in axis.collections if one.get_offsets().size]
    )
    return {(float(x), round(float(y), 6)) for x, y in every}


def ticks(axis: Axes) -> dict[str, float]:
    labels = [one.get_text() for one in axis.get_xticklabels()]
    return dict(zip(labels, axis.get_xticks(), strict=True))


# --- scores ---------------------------------------------------------------------------------------


def test_stage_curve_has_means_and_seeds() -> None:
    (axis,) = stage_curve(summarise(ROWS)).axes
    x, y = line(axis, "three-stage")
    assert x == [1, 2, 3]
    assert y == pytest.approx([55, 62, 68])
    assert {(1, 50), (1, 60), (3, 70), (3, 66)} <= points(axis)
    assert line(axis, "supervised")[1] == pytest.approx([55, 55])
    assert line(axis, "full")[1] == pytest.approx([85, 85])
    assert axis.get_title() == "cells\n3 % labelled"


def test_method_with_one_stage_stands_beside_the_stages() -> None:
    (axis,) = stage_curve(summarise(ROWS)).axes
    place = ticks(axis)["cutmix"]
    assert place > 3
    assert {(place, 55), (place, 65)} <= points(axis)


def test_each_data_set_and_amount_has_a_panel() -> None:
    more = [row("three-stage", 0, [0.1, 0.2, 0.3], labelled=5, data="leaves", labels="scribbles")]
    titles = [axis.get_title() for axis in stage_curve(summarise(ROWS + more)).axes]
    assert titles == ["cells\n3 % labelled", "leaves\n5 labelled, scribbles"]


def test_weight_curve() -> None:
    rows = [row(f"lambda-{w:g}", 0, [0.5, 0.5 + w / 10]) for w in (1, 0.25, 0.5)]
    (axis,) = weight_curve(summarise(ROWS + rows)).axes
    x, y = line(axis, "stage 2")
    assert x == [0.25, 0.5, 1]
    assert y == pytest.approx([52.5, 55, 60])
    assert ticks(axis) == {"1/4": 0.25, "1/2": 0.5, "1": 1}
    assert axis.get_xscale() == "log"


def test_label_curve_has_the_last_stage_of_methods_with_several_amounts() -> None:
    rows = [row("three-stage", 0, [0.5, 0.6, 0.75], labelled=0.2)]
    (axis,) = label_curve(summarise(ROWS + rows)).axes
    x, y = line(axis, "three-stage")
    assert x == [0.03, 0.2]
    assert y == pytest.approx([68, 75])
    assert ticks(axis) == {"3": 0.03, "20": 0.2}
    assert "cutmix" not in {one.get_label() for one in axis.lines}


def test_shares_and_numbers_of_images_have_panels_of_their_own() -> None:
    rows = [row("three-stage", 0, [0.5], labelled=amount) for amount in (0.1, 0.2, 100, 200)]
    shares, numbers = label_curve(summarise(rows)).axes
    assert (list(ticks(shares)), list(ticks(numbers))) == (["10", "20"], ["100", "200"])
    assert shares.get_xlabel() != numbers.get_xlabel()


def test_gap_bars() -> None:
    (axis,) = gap_bars(summarise(ROWS)).axes
    names = [one.get_text() for one in axis.get_yticklabels()]
    assert names == ["three-stage", "cutmix"]
    widths = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in axis.patches}
    assert widths[0] == pytest.approx((50 + 30) / 2)
    assert {(50, 0), (30, 0)} <= {(round(x, 6), y) for x, y in points(axis)}


def test_a_collapse_is_a_figure_at_the_edge_and_leaves_the_others_their_room() -> None:
    collapsed = [row("ict", 0, [0.02]), row("ict", 1, [0.58])]
    summary = summarise(ROWS + collapsed)
    (axis,) = stage_curve(summary).axes
    assert [one.get_text() for one in axis.texts] == ["← 2.0"]
    assert axis.get_ylim()[0] > 20
    assert (ticks(axis)["ict"], 58) in points(axis)
    (axis,) = gap_bars(summary).axes
    assert [one.get_text() for one in axis.texts] == ["← -120"]
    assert axis.get_xlim()[0] > -120
    assert {(-10, 2)} <= {(round(x, 6), y) for x, y in points(axis)}


@pytest.mark.parametrize("draw", [stage_curve, weight_curve, label_curve, gap_bars])
def test_nothing_to_draw(draw: Any) -> None:
    with pytest.raises(NotReadyError, match="no result to draw"):
        draw(summarise([]))


def test_methods_can_be_told_apart() -> None:
    names = ["supervised", "full", "three-stage", "cutmix", "forest", "vat", "ict", "unknown"]
    looks = [(one["color"], one["linestyle"]) for one in styles(iter(names)).values()]
    assert len(set(looks)) == len(names)


# --- curves while training ------------------------------------------------------------------------


def events(path: Path, losses: Sequence[float], mious: Sequence[float | None]) -> Path:
    """Write the events of two stages of 40 steps; the second has a consistency loss."""
    found: list[Any] = [Started(run="r", device="cpu", stages=[1, 2], labelled=2, unlabelled=8)]
    for stage in (1, 2):
        found.append(StageStarted(stage=stage, steps=40))
        for place, (loss, miou) in enumerate(zip(losses, mious, strict=True), 1):
            told = {"segmentation": 1.0} | ({"consistency": loss} if stage == 2 else {})
            at = {"stage": stage, "step": 10 * place}
            rest = {"images_per_second": 1.0, "eta": 0.0, "memory": 0}
            found.append(Progress(**at, steps=40, losses=told, **rest))
            found.append(Sampled(**at, on="validation", miou=miou, iou={"a": miou}, windows=[]))
    path.write_text("".join(f"{event.to_json()}\n" for event in found))
    return path


def test_training_curves(tmp_path: Path) -> None:
    runs = {
        "with": [events(tmp_path / "a", [4, 3, 2, 1], [0.1, 0.2, None, 0.4])],
        "without": [events(tmp_path / "b", [8, 6, 4, 2], [0.1, 0.1, 0.1, 0.1])],
    }
    loss, score = training_curves(runs, "cells").axes
    raw = loss.lines[0]
    assert list(raw.get_xdata()) == [50, 60, 70, 80]  # counted from the beginning of stage 1
    assert list(raw.get_ydata()) == [4, 3, 2, 1]
    x, y = line(score, "with")
    np.testing.assert_allclose(score.lines[0].get_ydata(), [10, 20, 40, np.nan, 10, 20, 40])
    assert np.isnan(y[3])  # no line from one stage to the next
    assert (x[0], x[-1]) == (10, 80)
    assert "validation" in score.get_ylabel()
    assert [one.get_text() for one in loss.texts] == ["stage 2"]


def test_smoothing_keeps_a_level_and_lessens_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, found = tmp_path / "noisy", [StageStarted(stage=2, steps=400).to_json()]
    for step in range(1, 401):
        losses = {"consistency": 1 + float(rng.normal(0, 0.2))}
        rest = {"images_per_second": 1.0, "eta": 0.0, "memory": 0}
        found.append(Progress(stage=2, step=step, steps=400, losses=losses, **rest).to_json())
    path.write_text("\n".join(found) + "\n")
    (axis,) = training_curves({"run": [path]}).axes
    smoothed = np.array(line(axis, "run")[1])
    assert smoothed.std() < 0.1
    assert smoothed.mean() == pytest.approx(1, abs=0.05)


def test_training_without_consistency_loss_or_events(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="consistency"):
        training_curves({"run": [tmp_path / "missing.jsonl"]})


# --- masks ----------------------------------------------------------------------------------------


def example(truth: bool = True) -> Panel:
    first, last = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    last[20:40, 30:50] = 1
    image = np.full((60, 80, 3), 90, np.uint8)
    return Panel(image, {"stage 1": first, "stage 3": last}, last if truth else None)


def test_panels_show_masks_in_their_colours_and_frame_the_change() -> None:
    figure = panels([example()], CLASSES)
    axes = figure.axes
    titles = [axis.get_title() for axis in axes]
    assert titles == ["image", "stage 1", "stage 3", "ground truth"]
    shown = np.asarray(axes[2].images[0].get_array())
    colors = class_colors(CLASSES)
    np.testing.assert_array_equal(shown[30, 40], colors[1])
    np.testing.assert_array_equal(shown[0, 0], colors[0])
    frame = axes[1].patches[-1].get_bbox()
    assert frame.x0 <= 30 < 49 <= frame.x1
    assert frame.y0 <= 20 < 39 <= frame.y1
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == ["background", "cell"]


def test_pixels_without_truth_are_white() -> None:
    mask = np.full((60, 80), 255, np.uint8)
    shown = panels([Panel(mask, {"stage 1": mask}, mask)], CLASSES).axes[1].images[0]
    assert (np.asarray(shown.get_array()) == 255).all()


def test_column_of_truth_is_left_out_where_there_is_none() -> None:
    assert len(panels([example(truth=False)], CLASSES).axes) == 3
    assert len(panels([example(), example(truth=False)], CLASSES).axes) == 8


def test_seams_and_single_pixels_are_no_places() -> None:
    first = np.zeros((240, 240), np.uint8)
    last = first.copy()
    last[:, 100] = 1
    last[7::20, 9::20] = 1
    assert changed_places(first, last) == []
    last[50:90, 150:200] = 1
    last[200:220, 20:40] = 1
    (y, x), (small, _) = changed_places(first, last)
    assert (y.start <= 52, y.stop >= 88, x.start <= 152, x.stop >= 198) == (True,) * 4
    assert small.start > 180


def test_few_classes_get_colours_of_ours_and_many_keep_theirs() -> None:
    red_and_green = [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 255, 0]}]
    assert class_colors(red_and_green).tolist() != [[255, 0, 0], [0, 255, 0]]
    many = [{"name": str(n), "color": [n, 0, 0]} for n in range(21)]
    assert class_colors(many)[20].tolist() == [20, 0, 0]
    bare = class_colors([{"name": str(n)} for n in range(21)])
    assert len(np.unique(bare, axis=0)) == 21


def test_no_example() -> None:
    with pytest.raises(NotReadyError, match="no image"):
        panels([], CLASSES)


# --- files ----------------------------------------------------------------------------------------


def test_save_writes_png_and_the_same_svg_each_time(tmp_path: Path) -> None:
    written = save(stage_curve(summarise(ROWS)), tmp_path / "new" / "stages.v1")
    assert [path.name for path in written] == ["stages.v1.png", "stages.v1.svg"]
    with Image.open(written[0]) as picture:
        assert min(picture.size) > 300
    again = save(stage_curve(summarise(ROWS)), tmp_path / "again")
    assert again[1].read_bytes() == written[1].read_bytes()


def test_save_figures_writes_what_there_is_data_for(tmp_path: Path) -> None:
    curves = {
        f"cells-0.03-dense-{seed}-three-stage": events(tmp_path / str(seed), [2, 1], [0.1, 0.2])
        for seed in (0, 1)
    }
    written = save_figures(ROWS, tmp_path / "figures", curves)
    assert {path.stem for path in written} == {"stages", "label-gap", "training-cells-0.03-dense"}
    assert sorted(written) == sorted((tmp_path / "figures").iterdir())


def test_save_figures_without_results(tmp_path: Path) -> None:
    assert save_figures([], tmp_path / "figures", {}) == []
