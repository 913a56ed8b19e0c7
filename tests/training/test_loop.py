"""One step of a stage: what the losses are given, what learns, how a stage goes on."""

from __future__ import annotations

import gc
import math
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trainer_helpers import (
    LIVE,
    N_CLASSES,
    N_LABELLED,
    N_WHOLE,
    VALUE,
    losses_of,
    make,
    samples,
    scribbled,
)

from napari_threestage.training import drawing, objective
from napari_threestage.training.augment import GREY
from napari_threestage.training.batch_norm import FrozenBatchNorm
from napari_threestage.training.batches import Sample
from napari_threestage.training.checkpoint import load_checkpoint, save_checkpoint
from napari_threestage.training.losses import IGNORE

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.training.augment import StrongOperator
    from napari_threestage.training.loop import StageTrainer
    from napari_threestage.training.targets import Targets


class Spy:
    """What a step gives to the losses, the networks and the operator."""

    def __init__(self, trainer: StageTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.losses: list[dict[str, Any]] = []
        self.operators: list[StrongOperator] = []
        self.student: list[Tensor] = []
        self.teacher: list[tuple[Tensor, Tensor]] = []
        cross_entropy, draw_operator = objective.masked_cross_entropy, drawing.draw_operator

        def record_loss(logits: Tensor, target: Tensor, **weights: Any) -> Tensor:
            value = cross_entropy(logits, target, **weights)
            self.losses.append({"logits": logits, "target": target, "value": value, **weights})
            return value

        def record_operator(*args: Any) -> StrongOperator:
            self.operators.append(draw_operator(*args))
            return self.operators[-1]

        monkeypatch.setattr(objective, "masked_cross_entropy", record_loss)
        monkeypatch.setattr(drawing, "draw_operator", record_operator)
        trainer.network.register_forward_pre_hook(lambda _, given: self.student.append(given[0]))
        trainer.teacher.network.register_forward_hook(
            lambda _, given, logits: self.teacher.append((given[0], logits))
        )


def mean_over_valid(loss: dict[str, Any]) -> float:
    """Cross-entropy over all pixels of all crops that count, worked out anew."""
    logits = loss["logits"].detach().permute(0, 2, 3, 1).flatten(0, 2)
    target = loss["target"].flatten().long()
    valid = target != IGNORE
    return float(F.cross_entropy(logits[valid], target[valid]))


def test_the_loss_is_the_sum_of_equation_4(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make({"loss.consistency": 0.25, "loss.pseudo": 0.75})
    spy = Spy(trainer, monkeypatch)
    step = losses_of(trainer.train_step())
    segmentation, consistency, pseudo = map(mean_over_valid, spy.losses)
    assert step["segmentation"] == pytest.approx(segmentation, rel=1e-5)
    assert step["consistency"] == pytest.approx(consistency, rel=1e-5)
    assert step["pseudo"] == pytest.approx(pseudo, rel=1e-5)
    total = segmentation + 0.25 * consistency + 0.75 * pseudo
    assert step["total"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("own", [1, 2])
def test_only_the_segmentation_loss_is_limited_to_the_labelled_crops(
    own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(own=own)
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    segmentation, consistency, pseudo = spy.losses
    both = N_LABELLED + N_WHOLE
    assert len(segmentation["target"]) == N_LABELLED
    assert len(consistency["target"]) == len(pseudo["target"]) == both
    assert torch.equal(segmentation["logits"], consistency["logits"][:N_LABELLED])
    assert not torch.equal(pseudo["logits"], consistency["logits"])
    assert (segmentation["target"] != IGNORE).all()
    assert len(spy.student) == len(spy.teacher) == 1
    assert len(spy.student[0]) == len(spy.teacher[0][0]) == both


def test_a_and_b_are_the_identity_on_labelled_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make({"augment.probability": 1.0, "augment.cutmix": 1.0})
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    weak, teacher_logits = spy.teacher[0]
    labelled, whole = slice(0, N_LABELLED), slice(N_LABELLED, None)
    torch.testing.assert_close(spy.student[0][labelled], weak[labelled], atol=1e-4, rtol=0)
    assert float((spy.student[0][whole] - weak[whole]).abs().mean()) > 0.01
    _, consistency, pseudo = spy.losses
    assert torch.equal(consistency["target"][labelled], teacher_logits.argmax(1)[labelled].byte())
    known = (weak[:, 0] * 255 / VALUE).round().byte()
    assert torch.equal(pseudo["target"][labelled], known[labelled])


def test_the_student_sees_a_of_the_crops_and_learns_b_of_their_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make({"augment.probability": 1.0})
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    (operator,), (weak, teacher_logits) = spy.operators, spy.teacher[0]
    assert torch.equal(spy.student[0], operator.image(weak))
    _, consistency, pseudo = spy.losses
    hard = teacher_logits.argmax(1).byte()
    assert len(hard.unique()) > 1
    assert torch.equal(consistency["target"], operator.labels(hard))
    known = (weak[:, 0] * 255 / VALUE).round().byte()
    assert torch.equal(pseudo["target"], operator.labels(known))
    assert (consistency["target"] == IGNORE).any()
    assert not consistency["target"].is_floating_point()


def test_without_a_threshold_every_valid_pixel_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make()
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    consistency = spy.losses[1]
    valid = consistency["target"] != IGNORE
    assert torch.equal(consistency["pixel_weight"], valid.float())


def test_a_threshold_leaves_out_what_the_teacher_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make({"loss.threshold": 0.6, "augment.probability": 1.0})
    spy = Spy(trainer, monkeypatch)
    step = losses_of(trainer.train_step())
    confident = spy.teacher[0][1].softmax(1).amax(1) >= 0.6
    assert 0.1 < float(confident.float().mean()) < 0.9
    consistency = spy.losses[1]
    weight = spy.operators[0].labels(confident.byte(), fill=0)
    assert torch.equal(consistency["pixel_weight"], weight.float())
    counted = int((consistency["target"] != IGNORE).sum())
    assert step["confident"] == pytest.approx(int(weight.sum()) / counted)
    logits, target = consistency["logits"].detach(), consistency["target"].long()
    each = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    expected = float((each * weight).sum() / (target != IGNORE).sum())
    assert step["consistency"] == pytest.approx(expected, rel=1e-5)


def test_padding_counts_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make({"augment.count": 0, "augment.cutouts": 0}, planes=samples(side=24))
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[4:28, 4:28] = True
    for loss in spy.losses:
        for target in loss["target"]:
            assert torch.equal(target != IGNORE, inside)


def test_unlabelled_pixels_do_not_enter_the_segmentation_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planes = samples()
    for plane in planes[:3]:
        assert plane.truth is not None
        plane.truth[:, 5:] = IGNORE
    trainer = make(planes=planes)
    spy = Spy(trainer, monkeypatch)
    step = losses_of(trainer.train_step())
    share = float((spy.losses[0]["target"] != IGNORE).float().mean())
    assert 0 < share < 0.2
    assert step["segmentation"] == pytest.approx(mean_over_valid(spy.losses[0]), rel=1e-5)


def test_pseudo_masks_do_not_change_what_f_says() -> None:
    first = losses_of(make().train_step())
    planes = samples()
    for plane in planes:
        assert plane.pseudo is not None
        plane.pseudo = (plane.pseudo + 1) % N_CLASSES
    other = losses_of(make(planes=planes).train_step())
    assert other["segmentation"] == first["segmentation"]
    assert other["consistency"] == first["consistency"]
    assert other["pseudo"] != first["pseudo"]


def test_the_ramp_scales_the_consistency_loss_only() -> None:
    step = losses_of(make({"loss.ramp_up": 1.0}).train_step())
    total = step["segmentation"] + 0.5 * math.exp(-5) * step["consistency"] + 0.5 * step["pseudo"]
    assert step["total"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("changes", [{"loss.pseudo": 0.0}, {}])
def test_without_the_second_task_there_is_no_second_branch(changes: dict[str, Any]) -> None:
    step = losses_of(make(changes, own=2 if changes else 0).train_step())
    assert set(step) == {"total", "segmentation", "consistency", "confident"}
    assert step["total"] == pytest.approx(step["segmentation"] + 0.5 * step["consistency"])


def test_a_dice_term_is_added_to_the_segmentation_loss() -> None:
    plain, dice = (losses_of(make({"loss.dice": w}).train_step()) for w in (0.0, 0.5))
    added = dice["segmentation"] - plain["segmentation"]
    assert 0 < added < 0.5
    assert dice["consistency"] == plain["consistency"]


@pytest.mark.parametrize("stage", [1, 2])
def test_a_crf_is_in_the_segmentation_loss_of_images_labelled_in_part(stage: int) -> None:
    plain, crf = (
        losses_of(make({"loss.crf": w}, stage=stage, sparse=True).train_step()) for w in (0.0, 0.5)
    )
    assert crf["segmentation"] > plain["segmentation"] + 0.01
    assert crf.get("consistency") == plain.get("consistency")


@pytest.mark.parametrize("stage", [1, 2])
def test_a_crf_changes_nothing_where_all_is_labelled(stage: int) -> None:
    plain, crf = (make({"loss.crf": w}, stage=stage) for w in (0.0, 0.5))
    for _ in range(2):
        assert losses_of(crf.train_step()) == losses_of(plain.train_step())


def first_targets(trainer: StageTrainer) -> Targets:
    """Return what the first step is to learn."""
    assert trainer._feed is not None
    assert trainer._planes is not None
    assert trainer._passes is not None
    drawn = trainer._feed(0)
    batch = trainer._planes.cut(drawn.fetched)
    return trainer._make_targets(batch, drawn, 0, trainer._passes, 1)


def test_padding_cutout_boxes_and_what_is_outside_the_frame_have_no_pairs() -> None:
    truth = torch.full((20, 48), IGNORE, dtype=torch.uint8)
    truth[8:12] = 0
    small = [Sample(torch.full((1, 20, 48), 200, dtype=torch.uint8), truth)]
    changes = {"augment.operations": ("rotate",), "augment.cutouts": 1, "augment.labelled": (1.0,)}
    changes |= {"augment.probability": 1.0, "loss.crf": 0.5}
    targets = first_targets(make(changes, stage=1, own=0, planes=small))
    paired, grey = targets.paired, targets.images[:, 0]
    assert paired is not None
    assert 0 < int(paired.sum()) < 20 / 32 * paired.numel()  # there is more than the padding
    assert bool((grey[paired] > 0.7).float().mean() > 0.95)  # edges are blended by the warp
    assert not bool((paired & (grey == GREY)).any())


@pytest.mark.parametrize("stage", [1, 2])
def test_only_crops_of_images_labelled_in_part_have_pairs(stage: int) -> None:
    first, second, *others = samples(labelled=2)
    planes = [*scribbled([first]), second, *others]
    for plane, value in zip(planes, (40, 200, 90, 90, 90), strict=True):
        plane.image.fill_(value)
    changes = {"loss.crf": 0.5, "data.class_focus": 1.0, "augment.views": 2}
    targets = first_targets(make(changes, stage=stage, planes=planes))
    assert targets.paired is not None
    of_first = (targets.images[:, 0] * 255 - 40).abs().flatten(1).amax(1) < 1
    of_first[targets.n_labelled :] = False
    assert targets.paired.flatten(1).any(1).tolist() == of_first.tolist()
    assert 0 < int(of_first.sum()) < targets.n_labelled


def test_class_weights_are_inverse_shares_of_mean_1_in_the_segmentation_loss_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = torch.zeros(48, 48, dtype=torch.uint8)
    truth[:12] = 1  # a quarter; class 2 is absent
    planes = [Sample(torch.zeros(1, 48, 48, dtype=torch.uint8), truth, truth)]
    trainer = make({"loss.class_weights": 1.0}, planes=planes)
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    # 4/3 and 4, divided by their mean 8/3
    assert spy.losses[0]["class_weight"].tolist() == pytest.approx([0.5, 1.5, 0.0])
    assert all(loss.get("class_weight") is None for loss in spy.losses[1:])


def test_stage_1_sees_weak_crops_of_labelled_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(stage=1, own=0)
    spy = Spy(trainer, monkeypatch)
    step = losses_of(trainer.train_step())
    assert set(step) == {"total", "segmentation"}
    assert step["total"] == step["segmentation"]
    assert not spy.teacher
    assert len(spy.losses) == 1
    assert (spy.losses[0]["target"] != IGNORE).all()
    grey = spy.student[0] * 255 / VALUE
    torch.testing.assert_close(grey, grey.round(), atol=2e-2, rtol=0)
    assert trainer.segmenter is trainer.network.segmenter


@pytest.mark.parametrize("averaged", [False, True])
def test_stage_1_has_a_teacher_where_the_recipe_wants_one(averaged: bool) -> None:
    trainer = make({"teacher.in_stage_1": averaged}, stage=1, own=0)
    before = trainer.teacher.network.state_dict()["blocks.0.0.weight"].clone()
    trainer.train_step()
    after = trainer.teacher.network.state_dict()["blocks.0.0.weight"]
    assert torch.equal(before, after) != averaged
    assert (trainer.segmenter is trainer.teacher.network) == averaged


def test_later_stages_end_with_the_teacher() -> None:
    trainer = make()
    assert trainer.segmenter is trainer.teacher.network


def test_the_teacher_follows_the_student_after_the_step() -> None:
    trainer = make({"teacher.decay": ((1.0, 0.75),)})
    name = "blocks.1.0.weight"
    before = trainer.teacher.network.state_dict()[name].clone()
    trainer.train_step()
    student = trainer.network.segmenter.state_dict()[name]
    assert not torch.equal(student, before)
    expected = 0.75 * before + 0.25 * student
    torch.testing.assert_close(trainer.teacher.network.state_dict()[name], expected)


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def values(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return torch.cat([norm.weight, norm.bias, norm.running_mean, norm.running_var]).detach().clone()


@pytest.mark.parametrize(
    ("batch_norm", "weights", "frozen"),
    [
        ("frozen", "imagenet", True),
        ("live", "imagenet", False),
        ("auto", "imagenet", True),
        ("auto", "none", False),
    ],
)
def test_frozen_batch_norm_stays_as_it_is_but_conv6_learns_its_own(
    batch_norm: str, weights: str, frozen: bool
) -> None:
    trainer = make({"network.batch_norm": batch_norm, "network.weights": weights})
    f, own = norms(trainer.network.segmenter), norms(trainer.network.own_blocks)
    before = [values(norm) for norm in [*f, *own]]
    for _ in range(3):
        trainer.train_step()
    after = [values(norm) for norm in [*f, *own]]
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [frozen] * 3 + [False]
    assert own[0].weight.grad is not None
    teachers = norms(trainer.teacher.network)  # what it is asked for may need a gradient too
    assert [isinstance(norm, FrozenBatchNorm) for norm in teachers] == [frozen] * 3


def test_the_backbone_learns_at_its_share_of_the_rate_and_all_else_at_the_whole() -> None:
    changes = {"optimiser.learning_rate": 1e-3, "optimiser.backbone_factor": 0.1}
    trainer = make(changes | LIVE)
    trainer.train_step()
    slow, fast = trainer.optimiser.param_groups
    assert slow["lr"] == pytest.approx(1e-4)
    assert fast["lr"] == pytest.approx(1e-3)
    blocks = list(trainer.network.segmenter.blocks)
    expected = {id(p) for part in blocks[:-1] for p in part.parameters()}
    assert {id(p) for p in slow["params"]} == expected
    rest = {id(p) for p in trainer.network.parameters()} - expected
    assert {id(p) for p in fast["params"]} == rest


def test_a_backbone_of_random_weights_learns_at_the_whole_rate() -> None:
    trainer = make({"network.weights": "none", "optimiser.learning_rate": 1e-3})
    trainer.train_step()
    assert [group["lr"] for group in trainer.optimiser.param_groups] == pytest.approx([1e-3] * 2)


def rates(changes: dict[str, Any], steps: int) -> list[float]:
    trainer = make({"optimiser.learning_rate": 1e-3} | changes, stage=1, own=0, steps=steps)
    found = []
    while not trainer.done:
        trainer.train_step()
        found.append(trainer.optimiser.param_groups[1]["lr"])
    return found


def test_the_learning_rate_is_constant_or_falls_as_a_polynomial() -> None:
    assert rates({}, 3) == pytest.approx([1e-3] * 3)
    falling = [1e-3 * (1 - step / 4) ** 0.9 for step in range(4)]
    assert rates({"optimiser.schedule": "poly"}, 4) == pytest.approx(falling)


def test_a_warm_up_lets_the_rate_rise_evenly() -> None:
    rising = rates({"optimiser.warm_up": 0.5}, 6)
    assert rising == pytest.approx([1e-3 * share for share in (1 / 4, 2 / 4, 3 / 4, 1, 1, 1)])


def test_the_gradient_is_clipped() -> None:
    trainer = make({"optimiser.clip": 1e-3})
    trainer.train_step()
    gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


EVERYTHING = LIVE | {
    "data.scale": (0.8, 1.3),
    "data.flip": True,
    "data.class_focus": 0.5,
    "augment.cutmix": 0.5,
    "augment.labelled": (0.5,),
    "loss.ramp_up": 0.5,
    "loss.crf": 0.3,
    "loss.threshold": 0.4,
    "optimiser.name": "adamw",
    "optimiser.schedule": "poly",
    "optimiser.learning_rate": 1e-3,
    "optimiser.weight_decay": 1e-3,
    "teacher.warm_up": True,
    "teacher.statistics": "clean",
}


@pytest.mark.parametrize(("stage", "own"), [(1, 0), (2, 2), (3, 1)])
def test_a_stage_goes_on_bit_for_bit_from_its_checkpoint(
    stage: int, own: int, tmp_path: Path
) -> None:
    whole, first, second = (make(EVERYTHING, stage=stage, own=own, sparse=True) for _ in range(3))
    expected = [losses_of(whole.train_step()) for _ in range(7)]
    found = [losses_of(first.train_step()) for _ in range(2)]
    save_checkpoint(tmp_path / "checkpoint.pt", first.state())
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None
    second.load_state(state)
    assert second.step == 2
    found += [losses_of(second.train_step()) for _ in range(5)]
    assert found == expected
    whole.finish(student=True)
    second.finish(student=True)
    for mine, theirs in ((whole.network, second.network), (whole.segmenter, second.segmenter)):
        for name, value in mine.state_dict().items():
            assert torch.equal(theirs.state_dict()[name], value), name


def test_the_seed_decides_the_steps() -> None:
    first, again, other = (losses_of(make(seed=seed).train_step()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_step_without_crops_of_the_whole_set_is_possible() -> None:
    step = losses_of(make({"data.whole_set_batch": 0}).train_step())
    assert math.isfinite(step["total"])


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.5,), [True, False]),
        ((0.0, 1.0), [True, True]),
        ((1.0, 0.0), [False, False]),
    ],
)
def test_the_stage_decides_how_many_labelled_crops_are_perturbed(
    shares: tuple[float, ...], expected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"augment.operations": ("rotate",), "augment.count": 1, "augment.cutmix": 1.0}
    trainer = make(changes | {"augment.labelled": shares, "augment.probability": 1.0})
    spy = Spy(trainer, monkeypatch)
    trainer.train_step()
    weak, student = spy.teacher[0][0], spy.student[0]
    changed = (student - weak).abs().flatten(1).amax(1) > 0.05
    assert changed.tolist() == [*expected, True, True, True]
    boxes = spy.operators[0].mix
    assert not boxes[:N_LABELLED].any()  # labels are not mixed
    assert (boxes[N_LABELLED:, 1] > boxes[N_LABELLED:, 0]).all()
    truth = spy.losses[0]["target"]
    assert (truth == IGNORE).flatten(1).any(1).tolist() == expected


@pytest.mark.parametrize(("stage", "own"), [(1, 0), (2, 2)])
def test_training_learns_what_can_be_learned(stage: int, own: int) -> None:
    planes = samples()
    for plane in planes[:3]:
        plane.truth = plane.pseudo
    changes = LIVE | {
        "optimiser.learning_rate": 2e-2,
        "optimiser.backbone_factor": 1.0,
        "teacher.decay": ((1.0, 0.9),),
        "augment.operations": ("identity", "rotate", "translate_x"),
    }
    trainer = make(changes, stage=stage, own=own, steps=100, planes=planes)
    losses = [losses_of(trainer.train_step())["segmentation"] for _ in range(100)]
    assert trainer.done
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    if trainer.spec.self_training:
        image = planes[-1].image[None].float() / 255
        agreement = (trainer.segmenter(image).argmax(1) == planes[-1].pseudo).float().mean()
        assert float(agreement) > 0.7


def test_a_stage_that_is_over_leaves_no_memory_behind() -> None:
    trainer = make()
    trainer.train_step()
    trainer.close()
    left = weakref.ref(trainer)
    gc.disable()  # which would find what holds on to itself, but late
    try:
        del trainer
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_compiled_network_learns_the_same() -> None:
    usual, compiled = make(LIVE), make(LIVE | {"compile": True})
    for _ in range(2):
        expected = losses_of(usual.train_step())
        assert losses_of(compiled.train_step()) == pytest.approx(expected, rel=1e-3)
    assert list(compiled.network.state_dict()) == list(usual.network.state_dict())


def test_a_network_that_cannot_be_compiled_learns_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(1)
        raise RuntimeError("no compiler")

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = make(LIVE | {"compile": True})
        torch._dynamo.reset()
        losses = losses_of(compiled.train_step())
    assert tried
    assert losses == pytest.approx(losses_of(make(LIVE).train_step()), rel=1e-5)
