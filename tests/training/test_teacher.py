"""θ', the moving average of θ, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from napari_threestage.config import TeacherConfig
from napari_threestage.training.networks import AtrousPyramid, BlockNetwork
from napari_threestage.training.teacher import Teacher, decay_at


def tiny(seed: int) -> BlockNetwork:
    torch.manual_seed(seed)
    first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    net = BlockNetwork([first, AtrousPyramid((4,), 3, (1, 2))], [0.4], [0.2])
    net.train()(torch.rand(2, 1, 8, 8))  # running statistics of its own
    return net


def copied(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("warm_up", [False, True])
def test_two_updates_are_the_average_worked_out_by_hand(warm_up: bool) -> None:
    config = TeacherConfig(decay=((0.5, 0.6), (1.0, 0.9)), warm_up=warm_up)
    students = [tiny(seed) for seed in (1, 2, 3)]
    teacher = Teacher(students[0], config)
    start, first, second = map(copied, students)
    teacher.update(students[1], 1, 4)
    teacher.update(students[2], 2, 4)
    # Shares 1/4 and 2/4 of the steps; the warm-up allows 1 - 1/2 and 1 - 1/3.
    a, b = (1 / 2, 2 / 3) if warm_up else (0.6, 0.9)
    for name, value in teacher.network.state_dict().items():
        if not value.is_floating_point():
            assert value == second[name]
            continue
        expected = b * (a * start[name] + (1 - a) * first[name]) + (1 - b) * second[name]
        torch.testing.assert_close(value, expected)
    statistics = "blocks.0.1.running_mean"
    assert not torch.equal(start[statistics], teacher.network.state_dict()[statistics])


def test_the_count_of_batches_is_copied() -> None:
    student = tiny(1)
    teacher = Teacher(student, TeacherConfig())
    student(torch.rand(2, 1, 8, 8))
    student(torch.rand(2, 1, 8, 8))
    teacher.update(student, 0, 10)
    norm: Any = teacher.network.blocks[0]
    assert int(norm[1].num_batches_tracked) == 3


def test_without_averaging_the_teacher_is_the_student() -> None:
    teacher = Teacher(tiny(1), TeacherConfig(enabled=False))
    student = tiny(2)
    teacher.update(student, 5, 10)
    for name, value in student.state_dict().items():
        assert torch.equal(teacher.network.state_dict()[name], value)


def test_the_teacher_begins_as_a_copy_that_does_not_learn() -> None:
    student = tiny(1)
    teacher = Teacher(student, TeacherConfig())
    for name, value in student.state_dict().items():
        assert torch.equal(teacher.network.state_dict()[name], value)
    mine = {id(parameter) for parameter in teacher.network.parameters()}
    assert not mine & {id(parameter) for parameter in student.parameters()}
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    assert not any(part.training for part in teacher.network.modules())


def test_an_update_leaves_the_student_alone() -> None:
    student = tiny(2)
    before = copied(student)
    Teacher(tiny(1), TeacherConfig()).update(student, 0, 10)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("step", "decay"),
    [
        (0, 0.99),
        (19_999, 0.99),
        (20_000, 0.995),
        (39_999, 0.995),
        (40_000, 0.9975),
        (49_999, 0.9975),
        (50_000, 0.999),
        (59_999, 0.999),
        (60_000, 0.999),
    ],
)
def test_the_decay_of_the_paper_grows_in_four_pieces(step: int, decay: float) -> None:
    assert decay_at(TeacherConfig(), step, 60_000) == decay


@pytest.mark.parametrize(
    ("step", "decay"), [(0, 0.0), (1, 1 / 2), (2, 2 / 3), (98, 1 - 1 / 99), (99, 0.99), (500, 0.99)]
)
def test_the_warm_up_limits_the_decay(step: int, decay: float) -> None:
    config = TeacherConfig(decay=((1.0, 0.99),), warm_up=True)
    assert decay_at(config, step, 1000) == pytest.approx(decay)


def test_a_teacher_that_starts_trained_needs_no_warm_up() -> None:
    config = TeacherConfig(decay=((1.0, 0.9),), warm_up=True)
    students = tiny(1), tiny(2)
    name = "blocks.0.0.weight"
    start, new = (net.state_dict()[name].clone() for net in students)
    cold, warm = Teacher(students[0], config), Teacher(students[0], config, warm=True)
    for teacher in (cold, warm):
        teacher.update(students[1], 0, 100)
    torch.testing.assert_close(cold.network.state_dict()[name], new)
    torch.testing.assert_close(warm.network.state_dict()[name], 0.9 * start + 0.1 * new)
