"""What a list of images shows, finds and sorts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage import files
from napari_threestage.errors import ProjectError
from napari_threestage.image_state import (
    ImageState,
    image_state,
    read_reviewed,
    select,
    set_reviewed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord

    AddImage = Callable[..., ImageRecord]


def state_of(name: str, pixels: tuple[int, ...], reviewed: bool = False) -> ImageState:
    return ImageState(f"id {name}", name, "train", (2, 5), pixels, reviewed)


STATES = [
    state_of("Cell 10", (0, 4, 6), True),
    state_of("cell 2", (10, 0, 0)),
    state_of("nerve", (3, 7, 0)),
    state_of("cell 1b", (1, 9, 0), True),
]


def names(ids: list[str]) -> list[str]:
    return [one.removeprefix("id ") for one in ids]


def test_a_state_follows_from_the_ground_truth(small_project: Project, add_image: AddImage) -> None:
    whole = add_image("whole", np.full((8, 8), 2, np.uint8), (1, 8, 8))
    part = add_image("part", np.eye(8, dtype=np.uint8), (1, 8, 8), split="validation")
    none = add_image("none", shape=(3, 2, 8, 8), axes="czyx")
    states = [image_state(small_project, record.id) for record in (whole, part, none)]
    assert [one.state for one in states] == ["labelled", "part", "unlabelled"]
    assert [one.pixels for one in states] == [(0, 0, 64), (56, 8, 0), (128, 0, 0)]
    assert [one.split for one in states] == ["train", "validation", "train"]
    assert states[2] == ImageState(none.id, "none", "train", (2, 8, 8), (128, 0, 0), False)


def test_marks_come_back_and_go(small_project: Project, add_image: AddImage) -> None:
    first, second = add_image("a"), add_image("b")
    assert read_reviewed(small_project) == {}
    set_reviewed(small_project, first.id, True)
    marks = set_reviewed(small_project, second.id, True)
    assert marks == read_reviewed(small_project) and list(marks) == [first.id, second.id]
    assert image_state(small_project, first.id).reviewed
    set_reviewed(small_project, first.id, False)
    set_reviewed(small_project, first.id, False)
    assert list(read_reviewed(small_project)) == [second.id]
    assert not image_state(small_project, first.id).reviewed
    assert image_state(small_project, first.id, {first.id}).reviewed


def test_a_full_disk_leaves_the_marks_of_before(
    small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_reviewed(small_project, "a", True)

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(ProjectError, match="No space left on device"):
        set_reviewed(small_project, "b", True)
    assert list(read_reviewed(small_project)) == ["a"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "today"}', '{"a": null}'])
def test_damaged_marks_say_which_file_it_is(small_project: Project, content: str) -> None:
    (small_project.path / "review.json").write_text(content)
    with pytest.raises(ProjectError, match=r"review.json cannot be read .* remove it"):
        read_reviewed(small_project)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Cell 10", "cell 2", "nerve", "cell 1b"]),
        ({"text": " CELL "}, ["Cell 10", "cell 2", "cell 1b"]),
        ({"text": "x"}, []),
        ({"state": "unlabelled"}, ["cell 2"]),
        ({"state": "part"}, ["nerve", "cell 1b"]),
        ({"state": "labelled"}, ["Cell 10"]),
        ({"state": "reviewed"}, ["Cell 10", "cell 1b"]),
        ({"state": "not reviewed", "text": "e"}, ["cell 2", "nerve"]),
        ({"sort": "name"}, ["cell 1b", "cell 2", "Cell 10", "nerve"]),
        ({"sort": "state"}, ["cell 2", "nerve", "cell 1b", "Cell 10"]),
        ({"sort": "labelled pixels"}, ["Cell 10", "cell 1b", "nerve", "cell 2"]),
        ({"sort": "name", "state": "part"}, ["cell 1b", "nerve"]),
    ],
)
def test_images_are_found_and_sorted(options: dict[str, str], expected: list[str]) -> None:
    assert names(select(STATES, **options)) == expected  # type: ignore[arg-type]


def test_names_of_any_kind_can_be_sorted() -> None:
    mixed = [state_of(name, (1, 0)) for name in ("b", "10", "", "2a", "a2", "2", "٣", "a10")]
    assert names(select(mixed, sort="name")) == ["", "2", "2a", "٣", "10", "a2", "a10", "b"]
