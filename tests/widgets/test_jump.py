"""Going to a window of an image, in a real napari window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari_helpers import make_project
from run_helpers import make_run

from napari_threestage.compare.places import Place
from napari_threestage.widgets.framing import room_of
from napari_threestage.widgets.view_modes import GRID

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui


def _shown(person: Any, place: Place) -> None:
    """The middle of the window is in the middle of the canvas, and all of it is on the canvas."""
    middle = person.on_canvas(*place.center)
    assert abs(middle.x() - person.canvas.width() / 2) <= 1
    assert abs(middle.y() - person.canvas.height() / 2) <= 1
    corner = person.on_canvas(place.rows[0], place.columns[0])
    assert 0 < corner.x() < person.canvas.width() / 2
    assert 0 < corner.y() < person.canvas.height() / 2


def test_a_jump_shows_the_image_and_its_window(person: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    first, second, *_ = project.images
    person.open(tmp_path / "p")
    place = Place((), (40, 60), (8, 20))
    person.bench.jump.to(first, place)
    _shown(person, place)
    other = Place((), (0, 10), (50, 64))
    person.bench.jump.to(second, other)
    person.wait_for_image(second)
    _shown(person, other)


def test_a_jump_that_a_person_has_left_again_moves_nothing(person: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    _, second, third, *_ = project.images
    person.open(tmp_path / "p")
    person.bench.jump.to(second, Place((), (40, 60), (8, 20)))
    person.session.show(third)
    person.wait_for_image(third)
    person.session.show(second)
    person.wait_for_image(second)
    assert person.viewer.scene.camera.center[-2:] == pytest.approx((31.5, 31.5))


def test_a_jump_within_the_image_calls_another_one_off(person: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    first, *_ = project.images
    person.open(tmp_path / "p")
    person.session.step(1)
    place = Place((), (40, 60), (8, 20))
    person.bench.jump.to(first, place)
    person.wait(lambda: person.session.wanted == person.session.image_id)
    assert person.session.image_id == first
    person.wait(lambda: person.viewer.scene.camera.center[-2:] == pytest.approx(place.center))


def test_a_jump_fills_a_cell_where_masks_lie_side_by_side(person: Any, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    run = make_run(project)
    mask = np.full((64, 64), 2, np.uint8)
    for stage in (1, 2, 3):
        run.write_mask(stage, next(iter(project.images)), mask, mask, "yx")
    person.open(tmp_path / "p")
    person.session.runs.follow(run)
    person.wait(lambda: person.bench.layers.stages == [1, 2, 3])
    person.bench.views.choose(GRID)
    grid = person.bench.views.grid
    person.wait(lambda: grid.shown and not grid.busy)
    place = Place((), (0, 20), (0, 20))
    person.bench.jump.to(person.session.image_id, place)
    camera, room = person.viewer.scene.camera, room_of(person.viewer)
    assert min(room) < min(person.viewer.canvas.size) / 1.5
    assert camera.zoom == pytest.approx(0.6 * min(room) / 20)
    assert camera.center[-2:] == pytest.approx(place.center)
