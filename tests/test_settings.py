"""Settings as a form shows them and as the command line takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from napari_threestage.config import Config, load_config, parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS
from napari_threestage.settings import (
    PRESET_PURPOSES,
    RunChoices,
    all_settings,
    changed_settings,
    device_choices,
    device_kind,
    device_memory,
    flat_values,
    parse_value,
    preset_values,
    section_title,
    setting_problems,
    value_text,
)

BY_NAME = {setting.name: setting for setting in all_settings()}
OTHERS: dict[str, Any] = {
    "bool": lambda value: not value,
    "int": lambda value: value + 1,
    "float": lambda value: value / 2 or 0.5,
}


def leaves(tree: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted names of all that is no section."""
    names: set[str] = set()
    for name, value in tree.items():
        if isinstance(value, dict):
            names |= leaves(value, f"{prefix}{name}.")
        else:
            names.add(prefix + name)
    return names


def test_every_setting_is_there_once() -> None:
    assert leaves(Config().model_dump()) == {*BY_NAME, "preset"}
    assert len(all_settings()) == len(BY_NAME)


def test_kinds_limits_and_choices_come_from_the_fields() -> None:
    assert BY_NAME["teacher.enabled"].kind == "bool"
    assert BY_NAME["network.output_stride"].choices == (8, 16, 32)
    assert BY_NAME["data.crop"].kind == "json"
    assert BY_NAME["network.weights"].kind == "text"
    count = BY_NAME["augment.max_level"]
    assert (count.kind, count.low, count.high) == ("int", 1, 10)
    threshold = BY_NAME["loss.threshold"]
    assert (threshold.low, threshold.high) == (0, 1)
    assert threshold.high_open and not threshold.low_open
    assert BY_NAME["live.every_seconds"].low_open
    assert BY_NAME["loss.consistency"].description == "λ1"
    assert all(section_title(setting.section) for setting in all_settings())


def test_every_preset_has_its_purpose() -> None:
    assert PRESET_PURPOSES.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_differs_from_itself_in_nothing(preset: str) -> None:
    assert changed_settings(preset, preset_values(preset)) == []
    as_lists = json.loads(json.dumps(preset_values(preset)))
    assert changed_settings(preset, as_lists) == []


@pytest.mark.parametrize("name", [s.name for s in all_settings() if s.kind in OTHERS])
def test_what_is_changed_arrives_as_it_was_set(name: str) -> None:
    value = OTHERS[BY_NAME[name].kind](preset_values("quick")[name])
    (text,) = changed_settings("quick", {name: value})
    assert parse_setting(text) == (name, value)


@pytest.mark.parametrize("value", ["auto", "5", "true", "[1]", "/a b/c.pth", "", "ä=b", "null"])
def test_strings_come_back_as_strings(value: str) -> None:
    assert parse_setting(f"network.weights={value_text(value)}")[1] == value


def test_several_values_are_read_as_they_are_written() -> None:
    assert parse_value(value_text((1, 2.5))) == [1, 2.5]
    assert value_text(((1.0, 0.99),)) == "[[1.0, 0.99]]"


def test_settings_of_the_share_of_labelled_images_are_no_change() -> None:
    values = preset_values("paper-voc", 1 / 8)
    assert values["data.labelled_batch"] == 2
    assert changed_settings("paper-voc", values, 1 / 8) == []
    back = values | {"data.labelled_batch": 1}
    assert changed_settings("paper-voc", back, 1 / 8) == ["data.labelled_batch=1"]
    choices = RunChoices("paper-voc", changes=("data.labelled_batch=1",))
    assert choices.config(1 / 8).data.labelled_batch == 1


def test_each_wrong_setting_has_its_own_sentence() -> None:
    changes = {
        "loss.dice": -1,
        "data.crop": [0, 8],
        "data.scale": [3, 1],
        "inference.halo": 5000,
        "augment.operations": ["blur"],
        "data.flip": False,
    }
    problems = setting_problems("quick", changes)
    assert problems.keys() == changes.keys() - {"data.flip"}
    assert "lower end comes first" in problems["data.scale"]
    assert "larger than the tile" in problems["inference.halo"]
    assert "unknown blur" in problems["augment.operations"]


def test_a_check_that_names_a_neighbour_blames_what_was_changed() -> None:
    assert setting_problems("quick", {"inference.tile": 64}) == {}
    problems = setting_problems("quick", {"inference.tile": "x"})
    assert problems.keys() == {"inference.tile"}


def test_choices_are_what_a_person_would_type() -> None:
    choices = RunChoices("balanced", "cpu", "2-3", 50, 7, ("loss.dice=0.1", "threads=1"))
    expected = "--preset balanced --device cpu --stages 2-3 --seed 7 --steps 50"
    expected += " --set loss.dice=0.1 --set threads=1"
    assert choices.arguments() == expected.split()
    assert "--steps" not in RunChoices().arguments()


def test_the_recipe_of_choices_is_that_of_the_run() -> None:
    config = RunChoices("quick", steps=9, changes=("loss.dice=0.1",)).config()
    assert config == load_config("quick", {"stages.steps": [9], "loss.dice": 0.1})
    with pytest.raises(ConfigError):
        RunChoices(changes=("loss.dice=-1",)).config()


FOUND = {
    "devices": [
        {"id": "cpu", "name": "A CPU", "cores": 2},
        {"id": "cuda:0", "name": "A GPU", "memory": 16 * 2**30},
    ],
    "default_device": "cuda:0",
}


def test_devices_are_named_and_auto_says_what_it_takes() -> None:
    assert device_choices(FOUND) == [
        ("auto", "auto (A GPU, 16 GB)"),
        ("cpu", "CPU, 2 cores"),
        ("cuda:0", "cuda:0: A GPU, 16 GB"),
    ]
    only_cpu = {"devices": FOUND["devices"][:1], "default_device": "cpu"}
    assert device_choices(only_cpu)[0] == ("auto", "auto (CPU, 2 cores)")
    assert device_choices({}) == [("auto", "auto")]


def test_auto_is_of_the_kind_it_takes() -> None:
    assert device_kind("auto", FOUND) == "cuda"
    assert device_kind("cpu", FOUND) == "cpu"
    assert device_kind("cuda:1", {}) == "cuda"
    assert device_kind("auto", {}) == "cpu"


def test_the_memory_of_a_gpu_is_known_once_it_is_found() -> None:
    for name in ("auto", "cuda", "cuda:0"):
        assert device_memory(name, FOUND) == 16 * 2**30
    for name in ("cpu", "cuda:1"):
        assert device_memory(name, FOUND) is None
    assert device_memory("auto", {}) is None


def test_a_setting_with_settings_of_its_own_can_be_shown_and_sent() -> None:
    own = {"operations": ["rotate"], "count": 2}
    config = load_config("quick", {"augment.labelled_with": own})
    value = flat_values(config)["augment.labelled_with"]
    (text,) = changed_settings("quick", {"augment.labelled_with": value})
    name, sent = parse_setting(text)
    assert load_config("quick", {name: sent}) == config
    assert changed_settings("quick", {"augment.labelled_with": None}) == []
