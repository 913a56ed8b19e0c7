"""The table of methods: every one can be trained, and differs in what it says and no more."""

from __future__ import annotations

from typing import Any

import pytest

from napari_threestage.benchmark.methods import (
    DEFAULT,
    FOREST,
    METHODS,
    choose_methods,
    resolve,
    to_arguments,
    weighted,
)
from napari_threestage.config import Config, OperatorConfig, load_config, parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS
from napari_threestage.stages import parse_stages, stage_table

BASE = {"stages.steps": [5, 7]}  # 5 + 7 + 7


def config_of(name: str, preset: str = "quick", changes: dict[str, Any] | None = None) -> Config:
    return resolve(METHODS[name], preset, changes or BASE)[2]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_recipe_of_every_preset(name: str, preset: str) -> None:
    method = METHODS[name]
    used, settings, config = resolve(method, preset, {})
    arguments = to_arguments(settings)[1::2]
    assert load_config(used, dict(map(parse_setting, arguments))) == config
    first, last = parse_stages(method.stages)
    assert first == 1
    assert len(stage_table(config, last)) == last


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("supervised", [5]),
        ("full-short", [5]),
        ("supervised-long", [19]),
        ("full", [19]),
        ("cutmix", [19]),
        ("unimatch", [19]),
        ("self-training", [5, 14]),
        ("three-stage", [5, 7, 7]),
        ("four-stages", [5, 7, 7, 7]),
    ],
)
def test_budgets(name: str, steps: list[int]) -> None:
    table = stage_table(config_of(name), parse_stages(METHODS[name].stages)[1])
    assert [spec.steps for spec in table] == steps


def test_the_methods_own_settings_go_before_those_of_the_benchmark() -> None:
    changes = {"augment.count": 2, "augment.cutmix": 0.25, "data.crop": [32, 32]}
    config = config_of("no-strong", changes=changes)
    assert (config.augment.count, config.augment.cutmix, config.data.crop) == (0, 0.0, (32, 32))
    assert config_of("three-stage", changes=changes).augment.count == 2


def test_bounds_see_no_unlabelled_image_even_where_the_preset_would() -> None:
    from_the_start = BASE | {"stages.unlabelled_from": 1}
    for name in ("supervised", "supervised-long", "full", "full-short"):
        [spec] = stage_table(config_of(name, changes=from_the_start), 1)
        assert not spec.self_training, name
    assert METHODS["full"].labels == "all"


def test_rivals_differ_from_the_preset_in_what_they_do_with_unlabelled_images_alone() -> None:
    base = load_config("quick")
    for method in METHODS.values():
        if method.group != "rivals" or method.name == FOREST:
            continue
        config = config_of(method.name)
        for part in ("network", "data", "optimiser", "inference"):
            assert getattr(config, part) == getattr(base, part), (method.name, part)
        assert config.augment.labelled == base.augment.labelled, method.name
        perturbs = config.augment.labelled_with or config.augment
        for part in OperatorConfig.model_fields:
            assert getattr(perturbs, part) == getattr(base.augment, part), (method.name, part)
        assert method.source, method.name


def test_rivals_learn_from_unlabelled_images_without_a_second_branch() -> None:
    for method in METHODS.values():
        if method.group == "rivals" and method.name != FOREST:
            table = stage_table(config_of(method.name), parse_stages(method.stages)[1])
            assert table[-1].self_training, method.name
            assert not any(spec.own_blocks for spec in table), method.name
    [_, second] = stage_table(config_of("self-training"), 2)
    assert second.pseudo_masks_from == 1


def test_ablations() -> None:
    configs = {one.name: config_of(one.name) for one in choose_methods(["ablations"])}
    assert configs["no-consistency"].loss.consistency == 0 < configs["no-consistency"].loss.pseudo
    assert configs["no-pseudo"].loss.pseudo == 0 < configs["no-pseudo"].loss.consistency
    assert not configs["no-average"].teacher.enabled
    assert [spec.own_blocks for spec in stage_table(configs["wide-branch"])] == [0, 2, 2]


def test_choice_by_name_and_group_is_in_the_order_of_the_table() -> None:
    assert [one.name for one in choose_methods(["full", "supervised"])] == ["supervised", "full"]
    assert [one.name for one in choose_methods(["all"])] == list(METHODS)
    rivals = {one.name for one in choose_methods(["rivals", "supervised"])}
    assert {"supervised", "cutmix", "self-training", FOREST} < rivals
    assert "three-stage" not in rivals
    assert len(choose_methods(DEFAULT)) == len(DEFAULT)
    with pytest.raises(ConfigError, match=r"'magic'.*cutmix"):
        choose_methods(["magic"])


def test_weights_of_figure_3() -> None:
    [method] = choose_methods([], [0.25])
    assert method == weighted(0.25)
    config = resolve(method, "quick", BASE)[2]
    assert method.name == "lambda-0.25"
    assert (config.loss.consistency, config.loss.pseudo) == (0.25, 0.25)
