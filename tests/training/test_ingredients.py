"""Ingredients beyond the paper, and those of rival methods, each a switch of the same step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trainer_helpers import LIVE, N_CLASSES, N_LABELLED, N_WHOLE, losses_of, make, tiny_network

from napari_threestage.config import AugmentConfig, load_config
from napari_threestage.errors import ConfigError
from napari_threestage.stages import StageSpec, stage_table, student_crops
from napari_threestage.training.adversarial import worst_change
from napari_threestage.training.augment import StrongOperator, draw_operator
from napari_threestage.training.losses import IGNORE, soft_distance
from napari_threestage.training.multitask import FeatureDropout

if TYPE_CHECKING:
    from napari_threestage.training.loop import StageTrainer
    from napari_threestage.training.targets import Targets

SIZE = (16, 20)
STRONG = {"augment.probability": 1.0, "augment.cutouts": 0}
ONE_STAGE = {"stages.unlabelled_from": 1, "loss.pseudo": 0.0}


def step_of(trainer: StageTrainer) -> tuple[Targets, Tensor, StrongOperator, dict[str, float]]:
    """Make a step; return its targets, what the teacher saw, its operator and its losses."""
    kept: list[Any] = []
    seen: list[Tensor] = []
    make_targets = trainer._make_targets
    trainer.teacher.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    def keep(batch: Any, drawn: Any, *rest: Any) -> Targets:
        kept.extend((make_targets(batch, drawn, *rest), drawn.operator))
        return kept[0]

    trainer._make_targets = keep  # type: ignore[assignment]
    losses = losses_of(trainer.train_step())
    return kept[0], seen[0] if seen else torch.empty(0), kept[1], losses


def mixing(kind: str, batch: int, seed: int = 0) -> StrongOperator:
    config = AugmentConfig(count=0, cutouts=0, cutmix=1.0, mix=kind)  # type: ignore[arg-type]
    return draw_operator(config, batch, SIZE, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 5])
def test_class_mixing_takes_all_pixels_of_half_of_the_classes_of_the_sample_before(
    n_classes: int,
) -> None:
    columns = torch.arange(SIZE[1]) * n_classes // SIZE[1]
    labels = columns.expand(3, *SIZE).contiguous().byte()
    labels[:, :2] = IGNORE
    operator = mixing("classes", 3)
    mask = operator.mix_mask(labels)
    for sample in range(3):
        taken = set(labels[sample - 1][mask[sample]].tolist())
        assert len(taken) == (n_classes + 1) // 2
        expected = torch.isin(labels[sample - 1], torch.tensor(sorted(taken), dtype=torch.uint8))
        assert torch.equal(mask[sample], expected)
    assert not mask[:, :2].any()


def test_which_classes_are_mixed_is_random() -> None:
    labels = torch.arange(SIZE[1]).expand(2, *SIZE).contiguous().byte() // 5
    masks = {tuple(mixing("classes", 2, seed).mix_mask(labels)[0, 0].tolist()) for seed in range(9)}
    assert len(masks) > 3


def test_image_and_labels_are_mixed_by_the_same_classes() -> None:
    labels = (torch.arange(SIZE[1]) // 5).expand(2, *SIZE).contiguous().byte()
    labels = torch.stack([labels[0], labels[1].flip(1)])
    images = labels.unsqueeze(1).float() / 4
    operator = mixing("classes", 2)
    mask = operator.mix_mask(operator.moved(labels))
    assert mask.any() and not mask.all()
    mixed = operator.image(images, mask)
    torch.testing.assert_close(mixed[:, 0] * 4, operator.mixed(labels, mask).float())


def test_samples_that_are_not_to_be_mixed_are_whole() -> None:
    config = AugmentConfig(count=0, cutouts=0, cutmix=1.0, mix="classes", mixup=0.0)
    only_last = torch.tensor([False, False, True])
    generator = torch.Generator().manual_seed(1)
    operator = draw_operator(config, 3, SIZE, generator, mixed=only_last)
    mask = operator.mix_mask(torch.zeros(3, *SIZE, dtype=torch.uint8))
    assert mask.flatten(1).any(1).tolist() == [False, False, True]


def test_mixup_blends_images_and_probabilities_alike() -> None:
    config = AugmentConfig(count=0, cutouts=0, mixup=1.0)
    operator = draw_operator(config, 4, SIZE, torch.Generator().manual_seed(0))
    images = torch.rand(4, 3, *SIZE)
    assert operator.blend is not None
    assert operator.blend.min() >= 0 and operator.blend.max() <= 1
    for sample in range(4):
        share = float(operator.blend[sample])
        expected = (1 - share) * images[sample] + share * images[sample - 1]
        torch.testing.assert_close(operator.image(images)[sample], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(operator.blended(images)[sample], expected)


def test_every_view_of_a_crop_is_perturbed_anew_and_learns_what_the_teacher_said_once() -> None:
    views = 3
    trainer = make(STRONG | {"augment.views": views})
    targets, seen, operator, _ = step_of(trainer)
    assert len(seen) == N_LABELLED + N_WHOLE
    assert len(targets.images) == N_LABELLED + views * N_WHOLE == trainer.images_per_step
    with torch.no_grad():
        label = trainer.teacher.network(seen).argmax(1).byte()
    whole = slice(N_LABELLED, None)
    again = torch.cat([seen, *[seen[whole]] * (views - 1)])
    labels = torch.cat([label, *[label[whole]] * (views - 1)])
    assert torch.equal(targets.images, operator.image(again))
    # The teacher has moved on by now, a little.
    same = targets.teacher == operator.labels(labels)
    assert float(same.float().mean()) > 0.9
    first, second = targets.images[N_LABELLED:][:N_WHOLE], targets.images[-N_WHOLE:]
    assert float((first - second).abs().mean()) > 0.01
    assert (targets.truth[N_LABELLED:] == IGNORE).all()


def test_one_view_is_the_step_as_it_was() -> None:
    plain, again = make(STRONG), make(STRONG | {"augment.views": 1})
    assert losses_of(plain.train_step()) == losses_of(again.train_step())


def test_the_feature_view_is_weak_and_no_pseudo_mask_guides_it() -> None:
    trainer = make(STRONG | {"augment.feature_view": True})
    targets, seen, _, _ = step_of(trainer)
    assert targets.weak.tolist() == [False] * (N_LABELLED + N_WHOLE) + [True] * N_WHOLE
    torch.testing.assert_close(targets.images[targets.weak], seen[-N_WHOLE:], atol=1e-4, rtol=0)
    assert (targets.pseudo[targets.weak] == IGNORE).all()
    assert (targets.teacher[targets.weak] != IGNORE).all()


def test_dropped_features_are_half_of_the_channels_of_the_weak_crops() -> None:
    weak = torch.tensor([False, True])
    dropout = FeatureDropout(weak, torch.Generator().manual_seed(0))
    maps = [torch.ones(2, 400, 3, 3), torch.ones(2, 60, 2, 2)]
    for given, dropped in zip(maps, dropout(maps), strict=True):
        assert torch.equal(dropped[0], given[0])
        assert set(dropped[1].unique().tolist()) == {0.0, 2.0}
        assert (dropped[1].amax((1, 2)) == dropped[1].amin((1, 2))).all()
        assert 0.3 < float((dropped[1] > 0).float().mean()) < 0.7


def test_a_step_with_dropped_features_is_repeatable() -> None:
    changes = STRONG | {"augment.feature_view": True, "augment.views": 2}
    first, again = make(changes), make(changes)
    first.train_step(), again.train_step()
    state = first.state()
    resumed = make(changes)
    resumed.load_state(state)
    expected = losses_of(first.train_step())
    assert losses_of(again.train_step()) == expected
    assert losses_of(resumed.train_step()) == expected


def test_the_soft_distance_is_cross_entropy_or_squared_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    target = torch.randn(2, 3, 4, 5, generator=generator).softmax(1)
    expected = F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(soft_distance(logits, target, "soft"), expected)
    difference = logits.softmax(1) - target
    torch.testing.assert_close(soft_distance(logits, target, "squared"), (difference**2).sum(1))


@pytest.mark.parametrize("distance", ["soft", "squared"])
def test_soft_targets_move_with_the_labels_and_count_where_these_do(distance: str) -> None:
    trainer = make(STRONG | {"loss.distance": distance, "augment.cutmix": 1.0})
    targets, _, _, losses = step_of(trainer)
    assert targets.soft is not None
    valid = targets.teacher != IGNORE
    assert not valid.all()
    best = targets.soft.argmax(1)
    assert torch.equal(best[valid].byte(), targets.teacher[valid])
    torch.testing.assert_close(targets.soft.sum(1)[valid], torch.ones(int(valid.sum())))
    assert (targets.soft.sum(1)[~valid] == 0).all()
    network = make(STRONG | {"loss.distance": distance, "augment.cutmix": 1.0}).network
    with torch.no_grad():
        logits = network(targets.images)[0]
    expected = float(soft_distance(logits, targets.soft, distance)[valid].mean())
    assert losses["consistency"] == pytest.approx(expected, rel=1e-4)


def test_a_gate_by_batch_weighs_all_pixels_by_the_confident_share() -> None:
    changes = STRONG | {"loss.threshold": 0.6}
    by_pixel = step_of(make(changes))
    by_batch = step_of(make(changes | {"loss.gate": "batch"}))
    share = by_pixel[3]["confident"]
    assert 0.1 < share < 0.9
    assert by_batch[3]["confident"] == pytest.approx(share, rel=1e-5)
    assert by_batch[0].confident.unique().tolist() == [pytest.approx(share, rel=1e-5)]


def test_plain_self_training_shows_f_the_pseudo_masks() -> None:
    row = StageSpec(2, 1, 0, 10, None, self_training=True)
    trainer = make({"loss.pseudo_on": "segmenter", "loss.consistency": 0.0}, own=0, spec=row)
    targets, seen, _, losses = step_of(trainer)
    assert not len(seen)  # no teacher is asked
    assert (targets.pseudo[:N_LABELLED] == IGNORE).all()
    with torch.no_grad():
        logits = make(own=0).network(targets.images)[0]
    valid = targets.pseudo != IGNORE
    expected = F.cross_entropy(logits.movedim(1, -1)[valid], targets.pseudo[valid].long())
    assert losses["pseudo"] == pytest.approx(float(expected), rel=1e-4)
    assert losses["total"] == pytest.approx(losses["segmentation"] + 0.5 * losses["pseudo"])


def test_pseudo_masks_on_f_need_no_second_branch() -> None:
    rows = stage_table(load_config("paper-voc", {"loss.pseudo_on": "segmenter"}))
    assert [(row.pseudo_masks_from, row.own_blocks) for row in rows] == [(None, 0), (1, 0), (2, 0)]


def test_a_method_of_one_stage_learns_from_all_images_at_once() -> None:
    config = load_config("quick", ONE_STAGE)
    (row,) = stage_table(config, 1)
    assert row.self_training and row.pseudo_masks_from is None
    assert student_crops(config, row) == 8
    trainer = make({"loss.pseudo": 0.0}, own=0)
    trainer.train_step()
    assert losses_of(trainer.train_step())["consistency"] > 0


def test_views_count_as_crops() -> None:
    config = load_config("quick", {"augment.views": 2, "augment.feature_view": True})
    first, second, _ = stage_table(config)
    assert student_crops(config, first) == 4
    assert student_crops(config, second) == 4 + 3 * 4


def test_without_l_con_no_teacher_is_asked() -> None:
    trainer = make({"loss.consistency": 0.0})
    _, seen, _, losses = step_of(trainer)
    assert not len(seen)
    assert "consistency" not in losses and losses["pseudo"] > 0


def distance_after(network: nn.Module, images: Tensor, change: Tensor) -> Tensor:
    with torch.no_grad():
        target = network(images).softmax(1)
        answer = network(images + change).log_softmax(1)
    return (target * (target.log() - answer)).sum(1).mean((1, 2))


def test_the_worst_change_misleads_more_than_a_random_one_of_the_same_length() -> None:
    network = tiny_network(0).segmenter.eval()
    images = torch.rand(3, 1, 24, 24, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        target = network(images).softmax(1)
    begin = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    change = worst_change(network, images, target, begin, 0.1)
    rows = (images[:, :, 2:] - images[:, :, :-2]) / 2
    columns = (images[:, :, :, 2:] - images[:, :, :, :-2]) / 2
    edges = (rows.square().sum((1, 2, 3)) + columns.square().sum((1, 2, 3))).sqrt()
    torch.testing.assert_close(change.flatten(1).norm(dim=1), 0.1 * edges)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    noise *= (change.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    worst, other = distance_after(network, images, change), distance_after(network, images, noise)
    assert (worst > 2 * other).all()
    assert not any(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("distance", ["hard", "squared"])
def test_adversarial_changes_leave_labelled_crops_alone(distance: str) -> None:
    plain = {"augment.count": 0, "augment.cutouts": 0, "loss.distance": distance}
    targets, seen, _, losses = step_of(make(plain | {"augment.adversarial": 0.2}))
    changed = (targets.images - seen).abs().amax((1, 2, 3))
    assert (changed[:N_LABELLED] < 1e-5).all()
    assert (changed[N_LABELLED:] > 1e-3).all()
    assert losses["consistency"] > 0
    assert (targets.soft is None) == (distance == "hard")


def test_adversarial_changes_leave_the_range_of_pixels_to_no_operation() -> None:
    changes = {"augment.adversarial": 3.0, "augment.operations": ["equalize", "posterize"]}
    targets, *_ = step_of(make(STRONG | changes))
    assert targets.images.min() >= 0 and targets.images.max() <= 1


@pytest.mark.parametrize("parts", [1, 3])
def test_adversarial_changes_are_found_in_as_many_passes_as_memory_wants(parts: int) -> None:
    changes = {"augment.count": 0, "augment.cutouts": 0, "augment.adversarial": 0.2}
    whole, trainer = step_of(make(changes)), make(changes)
    trainer.use(replace(trainer.economy, parts=parts, recompute=parts > 1))
    in_parts = step_of(trainer)
    torch.testing.assert_close(in_parts[0].images, whole[0].images, atol=1e-2, rtol=0)


def test_mixup_leaves_out_what_is_blended_with_no_pixel() -> None:
    changes = {"augment.mixup": 1.0, "loss.distance": "soft", "loss.pseudo": 0.0}
    trainer = make(STRONG | {"augment.operations": ["rotate", "translate_x"]} | changes)
    targets, *_ = step_of(trainer)
    valid = targets.teacher != IGNORE
    assert targets.soft is not None and valid.any() and not valid.all()
    torch.testing.assert_close(targets.soft.sum(1)[valid], torch.ones(int(valid.sum())))


def test_l_con_may_leave_the_labelled_crops_out() -> None:
    targets, *_ = step_of(make({"loss.consistency_on": "whole_set"}))
    assert (targets.teacher[:N_LABELLED] == IGNORE).all()
    assert (targets.truth[:N_LABELLED] != IGNORE).any()
    assert (targets.teacher[N_LABELLED:] != IGNORE).any()


def test_what_cutout_removes_may_be_left_out_of_l_con() -> None:
    changes = {"augment.count": 0, "augment.cutouts": 2, "augment.cutout_labels": False}
    targets, _, operator, _ = step_of(make(changes))
    removed = operator.under_cutouts()
    assert removed.any() and not removed.all()
    assert (targets.teacher[removed] == IGNORE).all()
    assert (targets.teacher[~removed] != IGNORE).all()
    assert (targets.pseudo[N_LABELLED:][removed[N_LABELLED:]] != IGNORE).any()


def test_hard_labels_keep_no_probabilities() -> None:
    targets, *_ = step_of(make())
    assert targets.soft is None


def test_a_weak_view_is_not_changed_for_the_worst() -> None:
    changes = {"augment.adversarial": 0.1, "augment.feature_view": True}
    with pytest.raises(ConfigError, match="do not go together"):
        load_config("quick", changes)


@pytest.mark.parametrize("changes", [{}, {"loss.distance": "soft"}])
def test_blended_labels_need_a_loss_that_can_take_them(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"do not go together: 'augment\.mixup' blends labels"):
        load_config("quick", {"augment.mixup": 0.5} | changes)


RIVALS: dict[str, dict[str, Any]] = {
    "ict": {"augment.mixup": 1.0, "augment.count": 0, "loss.distance": "squared"},
    "vat": {"augment.adversarial": 0.5, "augment.count": 0, "loss.distance": "soft"},
    "classmix": {"augment.mix": "classes", "augment.cutmix": 1.0, "loss.gate": "batch"},
    "unimatch": {"augment.views": 2, "augment.feature_view": True, "teacher.enabled": False},
}


def test_labelled_crops_may_have_an_operator_of_their_own() -> None:
    own = {"operations": ["brightness"], "count": 2, "probability": 1.0, "cutouts": 2}
    changes = {"augment.operations": [], "augment.cutouts": 0, "augment.cutmix": 1.0}
    changes |= {"augment.labelled": [1.0], "augment.labelled_with": own}
    targets, seen, operator, _ = step_of(make(changes))
    changed = (targets.images - seen).abs().amax((1, 2, 3))
    assert (changed[:N_LABELLED] > 0.05).all()
    assert (operator.operations[:, :N_LABELLED] >= 0).all()
    assert (operator.operations[:, N_LABELLED:] == -1).all()
    boxes = operator.cutouts[..., 1] - operator.cutouts[..., 0]
    assert (boxes[:N_LABELLED] > 0).all() and not boxes[N_LABELLED:].any()
    mixed = operator.mix[:, 1] > operator.mix[:, 0]
    assert mixed.tolist() == [False] * N_LABELLED + [True] * N_WHOLE
    # Whole-set crops are mixed of each other's pixels, or those of the last labelled one.
    assert float((targets.images[-1] - seen[-1]).abs().max()) > 0.05


@pytest.mark.parametrize("mix", ["box", "classes"])
def test_the_labelled_operator_goes_with_every_kind_of_mixing(mix: str) -> None:
    own = {"operations": ["rotate"], "count": 1}
    changes = {"augment.cutmix": 1.0, "augment.mix": mix, "augment.labelled_with": own}
    blend = {"augment.mixup": 1.0, "loss.distance": "soft", "loss.pseudo": 0.0}
    trainer = make(changes | blend | {"augment.labelled": [0.5], "augment.views": 2})
    assert losses_of(trainer.train_step())["consistency"] > 0


@pytest.mark.parametrize("name", list(RIVALS))
def test_rivals_learn(name: str) -> None:
    trainer = make(
        LIVE | {"loss.pseudo": 0.0, "optimiser.learning_rate": 3e-3} | RIVALS[name], own=0
    )
    steps = [losses_of(trainer.train_step()) for _ in range(10)]
    assert steps[-1]["segmentation"] < steps[0]["segmentation"]
    assert all(value == value for step in steps for value in step.values())
    assert N_CLASSES == 3
