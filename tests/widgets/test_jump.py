"""Going to a window of an image, in a real napari window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from napari_helpers import make_project

from napari_threestage.compare.places import Place

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
