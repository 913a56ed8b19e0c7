"""Rows: what they are called, and which are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from napari_threestage.benchmark.rows import Group, Row, difference, read_row, write_row
from napari_threestage.config import load_config
from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ROW = Row(Group("nuclei", 0.03, "dense", 1), "cutmix")
FOUND = {"stages": {"1": {"miou": 0.5}}, "training_seconds": 3.0, "images_per_second": 9.0}


def recipe(**settings: Any) -> dict[str, Any]:
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    config = load_config("quick", changes).model_dump(mode="json")
    return {"preset": "quick", "stages": "1", "config": config, "labelled_images": ["a", "b"]}


def test_names_tell_rows_apart() -> None:
    names = {
        Row(Group("nuclei", labelled, labels, seed), method).name
        for labelled in (0.03, 0.05, 14, None)
        for labels in ("dense", "scribbles")
        for seed in (0, 1)
        for method in ("full", "full-short")
    }
    assert len(names) == 32
    assert ROW.name == "nuclei-0.03-dense-1-cutmix"
    assert Row(Group("nuclei", None, "dense", 1), "full").name == "nuclei-all-dense-1-full"


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_row(tmp_path, ROW, recipe()) is None
    written = write_row(tmp_path, ROW, recipe(), FOUND)
    found = read_row(tmp_path, ROW, recipe())
    assert found == json.loads(json.dumps(written))
    assert {"data", "labelled", "labels", "seed", "method", "stages"} <= found.keys()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (recipe(loss__threshold=0.8), "loss.threshold was 0.9 and is 0.8"),
        (recipe() | {"labelled_images": ["a", "c"]}, "labelled_images"),
        (recipe() | {"stages": "1-3"}, 'stages was "1" and is "1-3"'),
        (recipe() | {"held_out": 0.2}, "held_out was null"),
    ],
)
def test_a_row_of_another_recipe_is_refused(
    other: dict[str, Any], what: str, tmp_path: Path
) -> None:
    write_row(tmp_path, ROW, recipe(), FOUND)
    with pytest.raises(ConfigError, match=what) as caught:
        read_row(tmp_path, ROW, other)
    assert "--output" in str(caught.value)


def test_what_changes_no_result_is_no_other_recipe() -> None:
    assert not difference(recipe(threads=1), recipe(threads=2, checkpoint_seconds=5), "dense")
    assert not difference(recipe(threads=1), recipe(live__every_seconds=1), "dense")


def test_what_acts_on_scribbles_alone_changes_no_result_of_masks() -> None:
    wanted = recipe(loss__crf=0.3)
    assert not difference(recipe(), wanted, "dense")
    assert difference(recipe(), wanted, "scribbles") == "loss.crf was 0.1 and is 0.3"


def test_settings_that_an_older_program_did_not_know_had_their_default() -> None:
    old = recipe()
    del old["config"]["augment"]["views"]
    assert not difference(old, recipe(), "dense")
    assert difference(old, recipe(augment__views=2), "dense") == "augment.views was 1 and is 2"


@pytest.mark.parametrize("content", ["{", "[]", '{"stages": {}}'])
def test_a_damaged_row_is_named(content: str, tmp_path: Path) -> None:
    ROW.path(tmp_path).write_text(content)
    with pytest.raises(ConfigError, match=r"nuclei-0\.03-dense-1-cutmix\.json is damaged"):
        read_row(tmp_path, ROW, recipe())
