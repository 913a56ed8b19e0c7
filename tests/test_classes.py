"""Changing the classes of a project: what labels mean before, after, and once it is undone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_threestage.classes import ClassTable
from napari_threestage.errors import ProjectError
from napari_threestage.palette import PALETTE, new_color
from napari_threestage.project_file import default_classes

TABLE = ClassTable(tuple(default_classes(["background", "nucleus", "membrane"])), {}, 4)
EVERY = np.arange(7, dtype=np.uint8)


def meaning(table: ClassTable, ids: np.ndarray = EVERY) -> list[str]:
    names = ["-", *(entry.name for entry in table.classes)]
    return [names[index] for index in table.indices(ids)]


def test_a_table_says_what_each_id_means() -> None:
    assert TABLE.ids.tolist() == [0, 1, 2, 3]
    assert meaning(TABLE) == ["-", "background", "nucleus", "membrane", "-", "-", "-"]


def test_changes_leave_the_table_of_before_as_it_was() -> None:
    before = ClassTable(TABLE.classes, dict(TABLE.merged), TABLE.next_id)
    TABLE.add("cell").rename(2, "core").recolour(1, (0, 0, 0)).move(3, 0).merge(1, 2).remove(3)
    assert before == TABLE


def test_a_new_class_gets_a_new_id_and_a_colour_of_its_own() -> None:
    table = TABLE.add("  cell  ")
    added = table.classes[-1]
    assert (added.id, added.name, table.next_id) == (4, "cell", 5)
    assert added.color not in {entry.color for entry in TABLE.classes}
    assert TABLE.add("cell", (1, 2, 3)).classes[-1].color == (1, 2, 3)


def test_an_id_is_never_given_again() -> None:
    table = TABLE.add("cell").remove(4).add("vesicle")
    assert table.classes[-1].id == 5
    assert meaning(table)[4:6] == ["-", "vesicle"]


def test_renaming_and_recolouring_keep_id_and_place() -> None:
    table = TABLE.rename(2, " core ").recolour(2, (1, 2, 3))
    assert table.classes[1] == TABLE.classes[1].model_copy(
        update={"name": "core", "color": (1, 2, 3)}
    )
    assert TABLE.rename(2, "Nucleus").get(2).name == "Nucleus"  # its own name in other letters


@pytest.mark.parametrize(
    ("class_id", "place", "order"),
    [(3, 0, [3, 1, 2]), (1, 1, [2, 1, 3]), (1, 9, [2, 3, 1]), (2, -1, [2, 1, 3])],
)
def test_moving_changes_indices_but_no_meaning(class_id: int, place: int, order: list[int]) -> None:
    table = TABLE.move(class_id, place)
    assert [entry.id for entry in table.classes] == order
    assert table.ids.tolist() == [0, *order]
    assert meaning(table) == meaning(TABLE)


def test_merging_and_deleting_are_followed_through_chains() -> None:
    table = TABLE.add("cell").merge(1, 2).merge(2, 3)
    assert meaning(table) == ["-", "membrane", "membrane", "membrane", "cell", "-", "-"]
    assert table.merged == {1: 2, 2: 3}
    gone = table.add("vesicle").remove(3)
    assert meaning(gone) == ["-", "-", "-", "-", "cell", "vesicle", "-"]


def test_ids_above_a_byte_are_held_in_two() -> None:
    table = ClassTable(TABLE.classes, {}, 300).add("late")
    assert table.ids.dtype == np.uint16 and table.ids.tolist() == [0, 1, 2, 3, 300]
    indices = table.indices(np.array([300, 299, 2], np.uint16))
    assert indices.dtype == np.uint8 and indices.tolist() == [4, 0, 2]


def test_former_ids_are_named_by_what_they_mean() -> None:
    table = TABLE.add("cell").merge(2, 3).remove(1)
    named = {entry.id: entry.name for entry in table.named([0, 1, 2, 3, 6])}
    assert named == {
        3: "membrane",
        4: "cell",
        1: "deleted class 1",
        2: "membrane",
        6: "deleted class 6",
    }


def test_a_circle_of_merged_ids_means_nothing() -> None:
    assert ClassTable(TABLE.classes, {5: 6, 6: 5}, 7).resolve(5) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table.add(" "), "needs a name"),
        (lambda table: table.add("NUCLEUS "), "There is a class 'nucleus' already"),
        (lambda table: table.rename(1, "Nucleus"), "There is a class 'nucleus' already"),
        (lambda table: table.rename(1, ""), "needs a name"),
        (lambda table: table.rename(9, "x"), "no class with the id 9"),
        (lambda table: table.recolour(1, (0, 0, 256)), "is no colour"),
        (lambda table: table.merge(1, 1), "'background' cannot be merged into itself"),
        (lambda table: table.merge(1, 9), "no class with the id 9"),
        (lambda table: table.merge(9, 1), "no class with the id 9"),
        (lambda table: table.remove(1).remove(2), "'nucleus' has to stay"),
        (lambda table: table.merge(1, 2).merge(2, 3), "'nucleus' has to stay"),
        (lambda table: ClassTable(table.classes, {}, 65536).add("x"), "used up"),
    ],
)
def test_a_change_that_makes_no_sense_is_a_sentence(change: object, sentence: str) -> None:
    with pytest.raises(ProjectError, match=sentence):
        change(TABLE)  # type: ignore[operator]


def test_there_are_at_most_254_classes() -> None:
    many = tuple(default_classes([str(number) for number in range(253)]))
    full = ClassTable(many, {}, 254).add("last")
    with pytest.raises(ProjectError, match="254 classes at most"):
        full.add("one more")


def test_forty_colours_can_be_told_apart() -> None:
    colors = [entry.color for entry in default_classes([str(number) for number in range(40)])]
    assert tuple(colors[:10]) == PALETTE
    gaps = [
        np.linalg.norm(np.subtract(one, other))
        for number, one in enumerate(colors)
        for other in colors[:number]
    ]
    assert min(gaps) > 40
    assert new_color(colors) == new_color(reversed(colors))


def test_a_colour_that_became_free_is_taken_again() -> None:
    assert TABLE.remove(2).add("cell").classes[-1].color == PALETTE[1]
