"""Settings: known names, values that make sense, and presets that load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from napari_threestage.config import Config, load_config, parse_setting, read_config
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_come_back_through_json(tmp_path: Path, preset: str) -> None:
    config = load_config(preset)
    assert config.preset == preset
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    assert read_config(file) == config


def test_the_paper_preset_changes_nothing_but_its_name() -> None:
    assert load_config("paper-cityscapes") == Config(preset="paper-cityscapes")


def test_dotted_changes_reach_their_setting_and_leave_the_preset_alone() -> None:
    before = json.dumps(PRESETS)
    changes = {"loss.consistency": 0.125, "data.crop": [32, 48], "threads": 2}
    config = load_config("quick", changes)
    assert config.loss.consistency == 0.125 and config.data.crop == (32, 48)
    assert config.threads == 2
    assert config.loss.pseudo == load_config("quick").loss.pseudo
    assert json.dumps(PRESETS) == before


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config().loss.pseudo = 1.0  # type: ignore[misc]


def test_an_unknown_preset_is_a_sentence_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'fast'\. Choose one of quick, "):
        load_config("fast")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("loss.lambda", r"no setting 'loss\.lambda'\. 'loss' has consistency, pseudo, "),
        ("colour", r"no setting 'colour'\. Known are preset, network, data, "),
        ("colour.red", r"no setting 'colour'\. Known are "),
        ("loss.", r"no setting 'loss\.'\. 'loss' has "),
        ("data.crop.height", "'data.crop.height' is no setting: 'crop' has no parts"),
        ("precision.bits", "is no setting|cannot be"),
    ],
)
def test_an_unknown_setting_is_a_sentence_with_those_that_are_known(
    name: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config("quick", {name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss.consistency", -1),
        ("loss.consistency", float("nan")),
        ("loss.threshold", 1.0),
        ("data.labelled_batch", 0),
        ("data.labelled_batch", "many"),
        ("loss.consistency", float("inf")),
        ("network.aspp_rates", [6, 0]),
        ("network.aspp_rates", []),
        ("data.crop", [32]),
        ("data.crop", [32, 0]),
        ("data.crop", [-32, 32]),
        ("data.scale", [0, 1]),
        ("data.scale", [0.5, -1.5]),
        ("data.scale", [1.5, 0.5]),
        ("teacher.decay", []),
        ("teacher.decay", [[1.0, 1.5]]),
        ("data", 5),
        ("augment.probability", 1.5),
        ("network.backbone", "resnet7"),
        ("network.output_stride", 4),
        ("optimiser.learning_rate", 0),
        ("stages.steps", []),
        ("stages.steps", [100, 0]),
        ("stages.steps", [-1]),
        ("stages.own_blocks", []),
        ("stages.own_blocks", [0, -1]),
        ("stages.own_blocks", [0, 3]),
        ("stages.own_blocks", [1, 2]),
        ("inference.tile", 0),
        ("inference.halo", -1),
        ("inference.halo", 1025),
        ("precision", "int4"),
        ("checkpoint_seconds", 0),
    ],
)
def test_a_value_that_makes_no_sense_is_a_sentence(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^Setting '{name}.*' cannot be .+: .+") as caught:
        load_config("quick", {name: value})
    assert "\n" not in str(caught.value) and "Value error" not in str(caught.value)


def test_values_that_belong_together_are_refused_with_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"'inference\.halo' cannot be 65: .* tile of 64 pixels"):
        load_config("quick", {"inference.tile": 64, "inference.halo": 65})
    with pytest.raises(ConfigError, match=r"'inference\.tile' cannot be 1"):  # and not its halo
        load_config("quick", {"inference.tile": 1, "inference.halo": 65})
    with pytest.raises(ConfigError, match=r"'data\.scale' cannot be \[2, 1\]: the lower end"):
        load_config("quick", {"data.scale": [2, 1]})
    with pytest.raises(ConfigError, match=r"'stages\.own_blocks' cannot be .*: stage 1 has no"):
        load_config("quick", {"stages.own_blocks": [2]})


def test_crops_of_which_the_network_sees_nothing_are_refused() -> None:
    load_config("quick", {"data.crop": (4, 4), "network.zoom": 0.25})
    with pytest.raises(ConfigError, match=r"nothing is left of a 'data.crop' of 3 x 4 pixels"):
        load_config("quick", {"data.crop": (3, 4), "network.zoom": 0.25})


def test_an_unknown_operation_is_a_sentence_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="unknown warp; known: identity, autocontrast"):
        load_config("quick", {"augment.operations": ["rotate", "warp"]})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1", 1),
        ("a.b=0.5", 0.5),
        ("a.b=true", True),
        ("a.b=[1,2]", [1, 2]),
        ("a.b=resnet18", "resnet18"),
        ("a.b=", ""),
        ("a.b=x=y", "x=y"),
    ],
)
def test_settings_are_read_as_json_or_as_text(text: str, value: object) -> None:
    assert parse_setting(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["", "a.b", "=1"])
def test_a_setting_without_a_name_or_a_value_is_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="Write --set name=value"):
        parse_setting(text)


def test_changes_of_nested_settings_leave_the_presets_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nested = {"augment": {"labelled_with": {"count": 1}}}
    monkeypatch.setitem(PRESETS, "nested", nested)
    config = load_config("nested", {"augment.labelled_with.count": 5})
    assert config.augment.labelled_with is not None
    assert config.augment.labelled_with.count == 5
    assert nested == {"augment": {"labelled_with": {"count": 1}}}


def test_parts_of_a_setting_that_is_not_given_can_be_set() -> None:
    config = load_config("quick", {"augment.labelled_with": None, "augment.labelled_with.count": 5})
    assert config.augment.labelled_with is not None
    assert config.augment.labelled_with.count == 5
