"""Editing ground truth in memory: what changed, where it comes from, and how much there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage import journal
from napari_threestage.truth_editor import TruthEditor, take_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord

    AddImage = Callable[..., ImageRecord]

STAGE = "stage-2 of run x"


@pytest.fixture
def editor(small_project: Project, add_image: AddImage) -> TruthEditor:
    """An editor of 6 x 8 pixels whose first row is imported as class 1."""
    truth = np.zeros((6, 8), np.uint8)
    truth[0] = 1
    return TruthEditor(small_project, add_image("a", truth, (1, 6, 8)).id)


def sources(editor: TruthEditor, *place: Any) -> list[str]:
    return [["", *editor.names][value] for value in np.ravel(editor.origin[place])]


def test_what_is_loaded_is_what_lies_on_disk(small_project: Project, editor: TruthEditor) -> None:
    np.testing.assert_array_equal(editor.truth, small_project.read_labels(editor.image_id))
    assert editor.truth.dtype == np.uint8 and editor.truth.flags.writeable
    assert editor.counts().tolist() == [40, 8, 0]
    assert sources(editor, 0, 0) == ["imported"] and sources(editor, 1, 0) == [""]
    assert editor.note("painted") is None


def test_an_image_without_labels_starts_empty(small_project: Project, add_image: AddImage) -> None:
    empty = TruthEditor(small_project, add_image("b", shape=(2, 3, 4, 5), axes="czyx").id)
    assert empty.truth.shape == (3, 4, 5) and not empty.truth.any()
    assert empty.counts().tolist() == [60, 0, 0] and empty.names == ()


def test_a_stroke_becomes_the_smallest_block_around_it(editor: TruthEditor) -> None:
    editor.truth[2, 3] = editor.truth[4, 5] = 2
    block = editor.note("painted", (slice(1, 6), slice(0, 7)))
    assert block is not None and block.changed is not None
    assert block.start == (2, 3) and block.box == (slice(2, 5), slice(3, 6))
    assert block.values.tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 2]]
    assert (block.changed == (block.values == 2)).all()
    assert [block.names[value - 1] for value in block.origin[block.changed]] == ["painted"] * 2
    assert editor.counts().tolist() == [38, 8, 2]
    assert editor.note(None) is None


def test_a_block_shares_nothing_with_the_editor(editor: TruthEditor) -> None:
    editor.truth[2] = 2
    block = editor.note("painted")
    assert block is not None and block.changed is not None
    before = [array.copy() for array in (block.values, block.origin, block.changed)]
    editor.truth[2] = 1
    editor.note(STAGE)
    for array, old in zip((block.values, block.origin, block.changed), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_what_lies_outside_the_region_is_noticed_later(editor: TruthEditor) -> None:
    editor.truth[1, 1] = editor.truth[5, 7] = 2
    first = editor.note("painted", (slice(0, 3),))
    assert first is not None and first.start == (1, 1)
    second = editor.note("painted", (slice(-1, 99), slice(None)))
    assert second is not None and second.start == (5, 7)
    assert editor.note("painted", (slice(4, 2), slice(None))) is None


def test_blocks_hold_ids_of_classes(small_project: Project, add_image: AddImage) -> None:
    record = add_image("a", shape=(1, 2, 2))
    small_project.set_class_table(small_project.class_table.add("membrane").move(3, 0))
    editor = TruthEditor(small_project, record.id)
    editor.truth[0] = [1, 2]
    block = editor.note("painted")
    assert block is not None and block.values.tolist() == [[3, 1]]


def test_every_pixel_keeps_where_its_value_comes_from(editor: TruthEditor) -> None:
    editor.truth[0, :4] = [2, 0, 1, 1]
    editor.note("painted")
    assert sources(editor, 0, slice(0, 4)) == ["painted", "", "imported", "imported"]
    editor.truth[0, :2] = 1  # as it was loaded, by whatever way
    editor.note("painted")
    assert sources(editor, 0, slice(0, 2)) == ["imported", "imported"]


def test_undoing_and_redoing_bring_the_source_back(editor: TruthEditor) -> None:
    row = editor.truth[3]
    row[:4] = 2
    editor.note(STAGE)
    row[1:3] = 1
    editor.note("painted")
    assert sources(editor, 3, slice(0, 4)) == [STAGE, "painted", "painted", STAGE]
    row[1:3] = 2  # undo
    editor.note(None)
    assert sources(editor, 3, slice(0, 4)) == [STAGE] * 4
    row[1:3] = 1  # redo
    editor.note(None)
    assert sources(editor, 3, slice(0, 4)) == [STAGE, "painted", "painted", STAGE]
    row[:4] = 0  # undo of all
    editor.note(None)
    assert sources(editor, 3, slice(0, 4)) == [""] * 4
    row[:4] = 2  # redo of the first
    editor.note(None)
    assert sources(editor, 3, slice(0, 4)) == [STAGE] * 4


def test_the_source_that_gave_a_value_last_counts(editor: TruthEditor) -> None:
    cell = editor.truth[4, 4:5]
    for value, source in ((2, STAGE), (0, "painted"), (2, "stage-3 of run x"), (1, "painted")):
        cell[:] = value
        editor.note(source)
    cell[:] = 2
    editor.note(None)
    assert sources(editor, 4, 4) == ["stage-3 of run x"]
    for value, source in ((0, "painted"), (2, "painted"), (0, None), (2, None)):
        cell[:] = value
        editor.note(source)
    assert sources(editor, 4, 4) == ["painted"]


def test_more_sources_than_a_byte_can_hold(editor: TruthEditor) -> None:
    for number in range(300):
        editor.truth[1 + number % 5, number % 8] = 1 + number // 40 % 2
        editor.note(f"stage-2 of run {number}")
    assert editor.origin.dtype == np.uint16
    place = (1 + 299 % 5, 299 % 8)
    assert sources(editor, *place) == ["stage-2 of run 299"]


def test_a_value_that_is_no_class_is_taken_back(editor: TruthEditor) -> None:
    editor.truth[2, :2] = [9, 2]
    block = editor.note("painted")
    assert block is not None and block.start == (2, 1)
    assert editor.truth[2, :2].tolist() == [0, 2]
    editor.truth[0, 0] = 200
    assert editor.note("painted") is None and editor.truth[0, 0] == 1


@pytest.mark.parametrize("shape", [(40, 50), (3, 20, 30)])
def test_random_strokes_lead_to_the_same_on_disk(
    small_project: Project, add_image: AddImage, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, shape).astype(np.uint8)
    record = add_image("r", labels, (1, *shape), "c" + "zyx"[-len(shape) :])
    editor = TruthEditor(small_project, record.id)
    for number in range(40):
        corner = [int(rng.integers(0, size - 2)) for size in shape]
        region = tuple(slice(first, first + int(rng.integers(1, 9))) for first in corner)
        editor.truth[region] = rng.integers(0, 3, editor.truth[region].shape)
        block = editor.note([None, "painted", STAGE][number % 3], region if number % 2 else None)
        if block is not None:
            journal.append(small_project.path, record.id, block)
        np.testing.assert_array_equal(
            editor.counts(), np.bincount(editor.truth.ravel(), minlength=3)
        )
        assert ((editor.origin > 0) == (editor.truth > 0)).all()
        if number % 10 == 5:
            journal.fold(small_project, record.id)
    again = TruthEditor(small_project, record.id)
    np.testing.assert_array_equal(again.truth, editor.truth)
    assert sources(again) == sources(editor)
    assert small_project.label_counts(record.id).tolist() == editor.counts().tolist()
    assert journal.pending(small_project.path) == []


def test_an_editor_that_may_not_write_leaves_the_journal(
    small_project: Project, editor: TruthEditor
) -> None:
    editor.truth[5] = 2
    block = editor.note("painted")
    assert block is not None
    journal.append(small_project.path, editor.image_id, block)
    reader = TruthEditor(small_project, editor.image_id, writable=False)
    assert not reader.truth[5].any() and journal.pending(small_project.path)
    assert TruthEditor(small_project, editor.image_id).truth[5].all()


def test_a_deleted_class_reads_as_not_labelled_and_comes_back(
    small_project: Project, add_image: AddImage
) -> None:
    small_project.set_class_table(small_project.class_table.add("membrane"))
    record = add_image("a", np.array([[1, 2, 3, 3]], np.uint8), (1, 1, 4))
    before = small_project.class_table
    small_project.set_class_table(before.remove(3))
    editor = TruthEditor(small_project, record.id)
    assert editor.truth.tolist() == [[1, 2, 0, 0]]
    assert sources(editor) == ["imported", "imported", "", ""]
    editor.truth[0, 2] = 2
    block = editor.note("painted")
    assert block is not None
    journal.append(small_project.path, record.id, block)
    journal.fold(small_project, record.id)
    small_project.set_class_table(before)
    restored = TruthEditor(small_project, record.id)
    assert restored.truth.tolist() == [[1, 2, 2, 3]]
    assert sources(restored) == ["imported", "imported", "painted", "imported"]


# --- taking over --------------------------------------------------------------------------------

TRUTH = np.array([[0, 0, 1, 2], [0, 0, 1, 2]], np.uint8)
MASK = np.array([[1, 2, 1, 1], [0, 2, 2, 2]], np.uint8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[1, 1, 0, 0], [0, 1, 0, 0]]),
        ({"only_unlabelled": False}, [[1, 1, 0, 1], [0, 1, 1, 0]]),
        ({"classes": [2]}, [[0, 1, 0, 0], [0, 1, 0, 0]]),
        ({"classes": set()}, [[0, 0, 0, 0], [0, 0, 0, 0]]),
        ({"region": (slice(0, 1), slice(None))}, [[1, 1, 0, 0], [0, 0, 0, 0]]),
        ({"region": MASK == 1, "only_unlabelled": False}, [[1, 0, 0, 1], [0, 0, 0, 0]]),
        (
            {"confidence": np.array([[127, 128, 0, 0]] * 2, np.uint8), "at_least": 0.5},
            [[0, 1, 0, 0], [0, 1, 0, 0]],
        ),
        (
            {"confidence": np.array([[0.4, 0.5, 0, 0]] * 2, np.float32), "at_least": 0.5},
            [[0, 1, 0, 0], [0, 1, 0, 0]],
        ),
    ],
)
def test_a_mask_is_taken_over_where_it_was_asked_for(
    options: dict[str, Any], expected: list[list[int]]
) -> None:
    truth, mask = TRUTH.copy(), MASK.copy()
    taken = take_over(truth, mask, **options)
    assert taken.dtype == bool and taken.astype(int).tolist() == expected
    assert (truth == TRUTH).all() and (mask == MASK).all()
