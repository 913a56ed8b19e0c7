"""The stage table."""

from __future__ import annotations

import pytest

from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError
from napari_threestage.stages import StageSpec, parse_stages, stage_table

PAPER = {"stages.steps": [20, 60], "stages.own_blocks": [0, 2, 1]}
ROWS = [
    StageSpec(1, None, 0, 20, None, False),
    StageSpec(2, 1, 2, 60, None, True),
    StageSpec(3, 2, 1, 60, None, True),
    StageSpec(4, 3, 1, 60, None, True),
]


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_the_table_is_that_of_the_paper_and_repeats_its_last_row(last: int) -> None:
    assert stage_table(load_config("paper-cityscapes", PAPER), last) == ROWS[:last]


def test_stages_may_start_from_the_one_before() -> None:
    config = load_config("paper-cityscapes", {**PAPER, "stages.start_from": "previous"})
    assert [row.start_from for row in stage_table(config, 4)] == [None, 1, 2, 3]


def test_a_stage_without_own_blocks_needs_no_pseudo_masks() -> None:
    config = load_config("paper-cityscapes", {"stages.own_blocks": [0]})
    assert [row.pseudo_masks_from for row in stage_table(config)] == [None, None, None]


def test_rows_know_their_name_and_whether_they_train_themselves() -> None:
    rows = stage_table(load_config())
    assert [row.name for row in rows] == ["stage-1", "stage-2", "stage-3"]
    assert [row.self_training for row in rows] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "bounds"), [("1-3", (1, 3)), ("2", (2, 2)), ("2-4", (2, 4)), (" 1 - 9 ", (1, 9))]
)
def test_stages_are_read_as_the_first_and_the_last(text: str, bounds: tuple[int, int]) -> None:
    assert parse_stages(text) == bounds


@pytest.mark.parametrize("text", ["", "-", "a", "0", "0-2", "3-1", "1-10", "1-2-3", "-1", "1.5"])
def test_what_names_no_stages_is_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=f"'{text}' names no stages"):
        parse_stages(text)
