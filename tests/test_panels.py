"""The comparison figure: layout that follows the rows, tints, and colours of the changes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from napari_threestage import panels
from napari_threestage.panels import (
    CORRECTED,
    DIM,
    GAP,
    HAZE,
    MARGIN,
    UNDECIDED,
    WORSENED,
    PanelRow,
    draw_panels,
)

CLASSES = [("first", (10, 20, 30)), ("second", (200, 100, 50))]
Labels = npt.NDArray[np.int64]


def full(label: int, height: int = 200, width: int = 200) -> Labels:
    return np.full((height, width), label, dtype=np.int64)


def row(height: int = 200, width: int = 200, *, truth: bool = True, name: str = "r") -> PanelRow:
    image = np.full((height, width, 3), 100, dtype=np.uint8)
    stages = {number: full(1, height, width) for number in (1, 2, 3)}
    return PanelRow(name, image, full(1, height, width) if truth else None, stages)


def quarters(a: int, b: int, c: int, d: int) -> Labels:
    """Label image of four quarters, top left to bottom right."""
    return np.kron(np.array([[a, b], [c, d]]), np.ones((100, 100), dtype=np.int64))


def tile(figure: npt.NDArray[np.uint8], column: int) -> npt.NDArray[np.uint8]:
    """200 x 200 tile of the first row of a figure with 200 pixel wide columns."""
    top = panels._Layout(200, [(200, 200)], 1).top(0)
    left = MARGIN + column * (200 + GAP)
    return figure[top : top + 200, left : left + 200]


def corners(figure: npt.NDArray[np.uint8], column: int) -> list[tuple[int, ...]]:
    shown = tile(figure, column)
    return [tuple(shown[y, x].tolist()) for y in (50, 150) for x in (50, 150)]


def dark_pixels(figure: npt.NDArray[np.uint8]) -> int:
    return int((figure.max(axis=2) < 60).sum())


def test_changes_are_coloured_by_what_the_truth_says() -> None:
    stages = {1: quarters(2, 1, 1, 1), 3: quarters(1, 2, 2, 1)}
    case = PanelRow("x", np.full((200, 200, 3), 100, np.uint8), quarters(1, 1, 0, 1), stages)
    figure = np.asarray(draw_panels([case], CLASSES))
    grey = (round(DIM * 100 + (1 - DIM) * HAZE),) * 3
    assert corners(figure, 4) == [CORRECTED, WORSENED, UNDECIDED, grey]


def test_change_from_wrong_to_wrong_is_undecided() -> None:
    case = PanelRow("x", row().image, full(3), {1: full(1), 2: full(2)})
    figure = np.asarray(draw_panels([case], [*CLASSES, ("third", (0, 0, 0))]))
    assert set(corners(figure, 4)) == {UNDECIDED}


def test_change_without_truth_is_undecided() -> None:
    case = PanelRow("x", row().image, None, {1: full(1), 2: full(2)})
    assert set(corners(np.asarray(draw_panels([case], CLASSES)), 4)) == {UNDECIDED}


def test_mask_is_tinted_and_unlabelled_pixels_stay_as_they_are() -> None:
    case = PanelRow("x", row().image, quarters(2, 2, 0, 1), {1: full(1)})
    found = corners(np.asarray(draw_panels([case], CLASSES)), 1)
    assert found == [(155, 100, 72), (155, 100, 72), (100, 100, 100), (50, 56, 61)]


def test_class_border_is_one_pixel_of_pure_colour() -> None:
    labels = full(1)
    labels[:, 100:] = 2
    figure = np.asarray(draw_panels([PanelRow("x", row().image, labels, {1: labels})], CLASSES))
    pure = (tile(figure, 1)[50] == CLASSES[1][1]).all(axis=1)
    assert np.flatnonzero(pure).tolist() == [100]


def test_figure_grows_with_the_rows_and_the_stages() -> None:
    one, two = draw_panels([row()], CLASSES), draw_panels([row(), row()], CLASSES)
    assert two.width == one.width
    assert two.height > one.height + 200
    single = PanelRow("x", row().image, full(1), {1: full(1)})
    assert draw_panels([single], CLASSES).width == one.width - 3 * (200 + GAP)


def test_scores_are_written_into_the_titles() -> None:
    assert panels._titles([1, 2], {2: 0.7128}) == [
        "Image",
        "Ground truth",
        "Stage 1",
        "Stage 2 · 71.3 %",
        "Changes",
    ]


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(160, 160, (320, 320)), (64, 32, (128, 256)), (190, 190, (190, 190)), (640, 320, (160, 320))],
)
def test_images_are_shown_at_a_readable_size(
    height: int, width: int, shown: tuple[int, int]
) -> None:
    assert panels._shown_size(height, width) == shown


def test_images_of_any_size_share_a_figure() -> None:
    rows = [row(160, 160), row(900, 300), row(7, 40), row(1, 1), row(64, 500, truth=False)]
    figure = np.asarray(draw_panels(rows, CLASSES))
    assert (figure[:, :MARGIN] == 255).all()
    assert (figure[:, -MARGIN:] == 255).all()


def test_stage_missing_in_a_row_leaves_its_place_empty() -> None:
    short = PanelRow("x", row().image, full(1), {1: full(1)})
    assert draw_panels([row(), short], CLASSES).size == draw_panels([row(), row()], CLASSES).size


def test_long_names_stay_inside_the_figure() -> None:
    classes = [(f"class {n} " + "with a very long name " * 12, (n, n, n)) for n in range(1, 13)]
    long_named = PanelRow("an image name " * 20, row().image, None, {1: full(12)})
    figure = np.asarray(draw_panels([long_named], classes, {1: 1.0}))
    assert (figure[:, -MARGIN:] == 255).all()
    assert dark_pixels(figure[-MARGIN:]) == 0


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        draw_panels([], CLASSES)


def test_import_needs_only_numpy_and_pillow() -> None:
    code = (
        "import sys, napari_threestage.panels; "
        "heavy = {'torch', 'zarr', 'qtpy', 'napari', 'scipy', 'skimage'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
