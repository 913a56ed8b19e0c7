"""The table of methods: every one can be trained, and differs in what it says and no more."""

from __future__ import annotations

from typing import Any

import pytest

from napari_threestage.benchmark.methods import (
    DEFAULT,
    FOREST,
    METHODS,
    Method,
    choose_methods,
    weighted,
)
from napari_threestage.benchmark.recipes import resolve, to_arguments
from napari_threestage.config import Config, OperatorConfig, load_config, parse_setting
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS
from napari_threestage.stages import parse_stages, stage_table

BASE = {"stages.steps": [5, 7]}  # 5 + 7 + 7
SHARE = 0.03


def config_of(name: str, preset: str = "quick", changes: dict[str, Any] | None = None) -> Config:
    return resolve(METHODS[name], preset, changes or BASE, SHARE)[2]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_recipe_of_every_preset(name: str, preset: str) -> None:
    method = METHODS[name]
    used, settings, config = resolve(method, preset, {}, SHARE)
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


def test_rivals_of_one_stage_leave_the_labelled_crops_out_of_their_term() -> None:
    configs = {one.name: config_of(one.name) for one in METHODS.values() if one.group == "rivals"}
    on = {name: config.loss.consistency_on for name, config in configs.items()}
    assert {name for name, where in on.items() if where == "both"} == {"self-training", FOREST}
    uncounted = [name for name, one in configs.items() if not one.augment.cutout_labels]
    assert uncounted == ["mean-teacher-cutout"]
    for name in ("cutmix", "mean-teacher-cutout", "ict", "vat", "classmix"):
        assert configs[name].augment.operations == ("color", "brightness", "contrast"), name
        assert configs[name].augment.count == 3, name
    assert configs["ict"].loss.consistency == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"augment.adversarial": 1.0, "augment.views": 2},
        {"augment.mixup": 1.0, "loss.distance": "squared", "loss.pseudo": 0.0},
        {"augment.feature_view": True},
    ],
)
def test_plain_pseudo_labels_have_no_ingredient_of_the_changed_settings(
    changes: dict[str, Any],
) -> None:
    config = config_of("self-training", changes=BASE | changes)
    augment = config.augment
    assert (augment.adversarial, augment.views, augment.mixup) == (0, 1, 0)
    assert not augment.feature_view
    assert config.loss.distance == "hard"


def test_the_papers_presets_depend_on_the_share_of_labels() -> None:
    for name in ("three-stage", "supervised"):
        _, settings, config = resolve(METHODS[name], "paper-voc", {}, 1 / 20)
        assert (config.loss.consistency, config.data.labelled_batch) == (1.25, 1)
        assert "loss.consistency=1.25" in to_arguments(settings)
        assert resolve(METHODS[name], "paper-voc", {}, 1 / 8)[2].data.labelled_batch == 2
    chosen = resolve(METHODS["three-stage"], "paper-voc", {"loss.pseudo": 0.5}, 1 / 20)[2]
    assert (chosen.loss.consistency, chosen.loss.pseudo) == (1.25, 0.5)


def test_changes_of_the_network_are_left_out_for_another_backbone() -> None:
    changes = {"network.weights": "mobilenet_v2.pth", "threads": 2}
    assert config_of("quick", changes=changes).network.weights == "mobilenet_v2.pth"
    balanced = config_of("balanced", changes=changes)
    assert balanced.network == load_config("balanced").network
    assert balanced.threads == 2
    other = changes | {"network.backbone": "resnet50", "network.weights": "resnet50.pth"}
    assert config_of("balanced", changes=other).network.weights == "resnet50.pth"


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
    config = resolve(method, "quick", BASE, SHARE)[2]
    assert method.name == "lambda-0.25"
    assert (config.loss.consistency, config.loss.pseudo) == (0.25, 0.25)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_unlabelled_images_lend_their_statistics_to_our_method_alone(method: Method) -> None:
    """Labels alone are labels alone, and a rival is what its authors say; all labels are all."""
    never = {"paper-style", "student-statistics", "supervised", "supervised-long"}
    presets_own = method.group != "rivals" and method.name not in never
    if method.name != "forest":
        found = config_of(method.name).teacher.statistics
        assert (found == "clean") is presets_own
    if method.name not in {"forest", "supervised-adapted", "quick", "best", "balanced"}:
        without = BASE | {"teacher.statistics": "student"}
        assert config_of(method.name, changes=without).teacher.statistics == "student"
