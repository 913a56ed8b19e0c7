"""The recipes: the paper's carry its numbers and nothing beyond it."""

from __future__ import annotations

import pytest

from napari_threestage.config import PAPER_OPERATIONS, Config, load_config
from napari_threestage.errors import ConfigError
from napari_threestage.presets import PRESETS, settings_for_share
from napari_threestage.stages import stage_table

PAPER = ("paper-cityscapes", "paper-voc")
every_paper = pytest.mark.parametrize("config", [load_config(name) for name in PAPER], ids=PAPER)


@every_paper
def test_the_paper_trains_deeplabv2_with_resnet101_from_imagenet(config: Config) -> None:
    network = config.network
    assert (network.backbone, network.decoder, network.weights) == ("resnet101", "aspp", "imagenet")
    assert network.aspp_rates == (6, 12, 18, 24)
    assert network.output_stride == 8
    assert network.batch_norm == "frozen"
    assert network.align_corners


@every_paper
def test_the_paper_uses_adam_at_a_constant_rate(config: Config) -> None:
    optimiser = config.optimiser
    assert (optimiser.name, optimiser.learning_rate) == ("adam", 3e-5)
    assert optimiser.backbone_factor == 0.1
    assert optimiser.schedule == "constant"
    assert optimiser.weight_decay == optimiser.warm_up == optimiser.clip == 0


@every_paper
def test_the_paper_averages_the_teacher_in_four_pieces(config: Config) -> None:
    pieces = ((1 / 3, 0.99), (2 / 3, 0.995), (5 / 6, 0.9975), (1.0, 0.999))
    assert config.teacher.decay == pieces
    assert config.teacher.enabled


@every_paper
def test_the_paper_perturbs_with_randaugment_and_cutout(config: Config) -> None:
    augment = config.augment
    assert augment.operations == PAPER_OPERATIONS
    assert len(set(augment.operations)) == 14
    assert (augment.count, augment.probability, augment.max_level) == (3, 0.5, 9)
    assert augment.cutouts == 3
    assert augment.cutout_size * min(config.data.crop) == pytest.approx(32)


def test_cityscapes_has_its_crops_batches_and_weights() -> None:
    config = load_config("paper-cityscapes")
    assert config.data.crop == (256, 512)
    assert config.data.labelled_batch + config.data.whole_set_batch == 5
    assert config.data.labelled_batch == 1
    assert config.data.stage1_batch == 4
    assert config.data.flip
    assert config.data.scale == (1.0, 1.0)
    assert (config.loss.consistency, config.loss.pseudo) == (1 / 2, 1 / 2)


def test_voc_has_its_crops_batches_and_weights() -> None:
    config = load_config("paper-voc")
    assert config.data.crop == (321, 321)
    assert config.data.labelled_batch + config.data.whole_set_batch == 10
    assert config.data.labelled_batch == 1
    assert config.data.stage1_batch == 10
    assert config.data.flip
    assert config.data.scale == (0.5, 1.5)
    assert (config.loss.consistency, config.loss.pseudo) == (1 / 4, 1 / 4)


@pytest.mark.parametrize("name", ["paper-cityscapes", "paper-voc"])
def test_the_stages_of_the_paper_share_more_and_start_anew(name: str) -> None:
    table = stage_table(load_config(name), last=4)
    assert [row.steps for row in table] == [60_000] * 4
    assert [row.own_blocks for row in table] == [0, 2, 1, 1]
    assert [row.pseudo_masks_from for row in table] == [None, 1, 2, 3]
    assert [row.start_from for row in table] == [None] * 4


@every_paper
def test_nothing_beyond_the_paper_is_on(config: Config) -> None:
    loss, augment, data, teacher = config.loss, config.augment, config.data, config.teacher
    assert loss.threshold == loss.ramp_up == loss.dice == loss.crf == 0
    assert loss.class_weights == 0
    assert augment.cutmix == 0
    assert augment.labelled == (0.0,)
    assert data.class_focus == 0
    assert not data.flip_vertical
    assert not config.inference.flips
    assert not teacher.warm_up
    assert not teacher.in_stage_1
    assert config.stages.start_from == "pretrained"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_recipe_that_comes_back_from_its_file(name: str) -> None:
    config = load_config(name)
    assert config.preset == name
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert all(row.steps > 0 for row in stage_table(config))


@pytest.mark.parametrize("name", PRESETS)
def test_changes_do_not_leak_into_the_presets(name: str) -> None:
    before = load_config(name)
    changed = load_config(name, {"loss.consistency": 0.125, "data.crop": (64, 64)})
    assert changed.loss.consistency == 0.125
    assert changed.loss.pseudo == before.loss.pseudo
    assert load_config(name) == before


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'papre'.*paper-voc"):
        load_config("papre")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.consistancy": 1}, "no setting 'loss.consistancy'.*consistency"),
        ({"augment.operations": ["rotate", "blur"]}, "unknown blur"),
        ({"augment.max_level": 11}, "augment.max_level"),
        ({"loss.threshold": 1.0}, "loss.threshold"),
        ({"preset.name": 1}, "'preset' has no parts"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("quick", changes)


@pytest.mark.parametrize(
    ("preset", "share", "labelled", "whole_set", "weight"),
    [
        ("paper-voc", 106 / 10582, 1, 9, 0.25),
        ("paper-voc", 212 / 10582, 1, 9, 0.25),
        ("paper-voc", 529 / 10582, 1, 9, 1.25),
        ("paper-voc", 1323 / 10582, 2, 8, 0.625),
        ("paper-voc", 1.0, 2, 8, 0.625),
        ("paper-cityscapes", 100 / 2975, 1, 4, 0.5),
        ("paper-cityscapes", 1488 / 2975, 3, 2, 0.5),
    ],
)
def test_the_paper_changes_batches_and_weights_with_the_share_of_labels(
    preset: str, share: float, labelled: int, whole_set: int, weight: float
) -> None:
    config = load_config(preset, settings_for_share(preset, share))
    assert (config.data.labelled_batch, config.data.whole_set_batch) == (labelled, whole_set)
    assert (config.loss.consistency, config.loss.pseudo) == (weight, weight)


def test_our_presets_do_not_change_with_the_share_of_labels() -> None:
    assert settings_for_share("quick", 0.1) == {}
    assert settings_for_share("paper-voc", 0.0) == {}
