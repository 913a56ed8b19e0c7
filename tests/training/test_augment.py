"""A and B: B against a slow reference, A against B, magnitudes, draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from napari_threestage.config import PAPER_OPERATIONS, AugmentConfig
from napari_threestage.training import augment
from napari_threestage.training.augment import (
    GEOMETRIC,
    GREY,
    PHOTOMETRY,
    StrongOperator,
    draw_operator,
)
from napari_threestage.training.losses import IGNORE
from napari_threestage.training.photometry import PHOTOMETRIC

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT, WIDTH = 24, 32
OUT = -1  # fills what leaves the frame in label maps whose pixels all differ
LEVELS = [sign * strength / 10 for sign in (1, -1) for strength in range(1, 10)]
Operation = tuple[str, float]


def only(*names: str, **changes: object) -> AugmentConfig:
    """Draw these operations, each of the `count` slots applied, and nothing else."""
    settings = {"operations": names, "count": 1, "probability": 1.0, "cutouts": 0}
    return AugmentConfig.model_validate(settings | changes)


def draw(
    config: AugmentConfig, seed: int = 0, batch: int = 1, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> StrongOperator:
    return draw_operator(config, batch, size, torch.Generator().manual_seed(seed))


def numbered(batch: int = 1) -> Tensor:
    """Label maps in which every pixel has its own value."""
    return torch.arange(batch * HEIGHT * WIDTH).view(batch, HEIGHT, WIDTH)


def regions(batch: int, size: tuple[int, int]) -> Tensor:
    """Label maps of 0, 1, 2 in regions several pixels wide."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([(y // 16 + 2 * (x // 16) + n) % 3 for n in range(batch)])


def source_of(operation: Operation, x: float, y: float) -> tuple[float, float]:
    """Where an operation takes the content of (x, y) from: from the definitions, by hand.

    A positive level turns clockwise about the centre, shears about the top left corner, and moves
    the content to the left or up.
    """
    name, level = operation
    if name == "rotate":
        dx, dy = x - WIDTH / 2, y - HEIGHT / 2
        angle = math.atan2(dy, dx) - math.radians(30 * level)
        radius = math.hypot(dx, dy)
        return WIDTH / 2 + radius * math.cos(angle), HEIGHT / 2 + radius * math.sin(angle)
    if name == "shear_x":
        return x + 0.3 * level * y, y
    if name == "shear_y":
        return x, y + 0.3 * level * x
    if name == "translate_x":
        return x + round(10 / 321 * level * WIDTH), y
    if name == "translate_y":
        return x, y + round(10 / 321 * level * HEIGHT)
    return x, y


def slow_labels(labels: Tensor, operations: Sequence[Operation]) -> tuple[Tensor, Tensor]:
    """B of operations done one after another, and which pixels are clear of rounding."""
    moved, clear = torch.full_like(labels, OUT), torch.ones_like(labels, dtype=torch.bool)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x, y = column + 0.5, row + 0.5
            for operation in reversed(operations):
                x, y = source_of(operation, x, y)
            clear[row, column] = abs(x - round(x)) > 1e-4 and abs(y - round(y)) > 1e-4
            if 0 <= x < WIDTH and 0 <= y < HEIGHT:
                moved[row, column] = labels[math.floor(y), math.floor(x)]
    return moved, clear


def agrees(moved: Tensor, operations: Sequence[Operation]) -> bool:
    expected, clear = slow_labels(numbered()[0], operations)
    return float(clear.float().mean()) > 0.9 and torch.equal(moved[clear], expected[clear])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    """The geometric operations of the last draws, in order."""
    operations: list[Operation] = []
    original = augment._matrix

    def record(name: str, level: float, size: Sequence[int]) -> Tensor:
        operations.append((name, level))
        return original(name, level, size)

    monkeypatch.setattr(augment, "_matrix", record)
    return operations


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", GEOMETRIC)
def test_labels_move_as_the_slow_reference_says(name: str, seed: int) -> None:
    moved = draw(only(name), seed).labels(numbered(), fill=OUT)[0]
    assert any(agrees(moved, [(name, level)]) for level in LEVELS)


@pytest.mark.parametrize("seed", range(12))
def test_compositions_move_labels_as_one_operation_after_another(
    seed: int, drawn: list[Operation]
) -> None:
    moved = draw(only(*PAPER_OPERATIONS, count=5), seed).labels(numbered(), fill=OUT)[0]
    assert agrees(moved, drawn)


def test_the_order_of_a_composition_matters(drawn: list[Operation]) -> None:
    moved = draw(only("rotate", "shear_x", count=2), 4).labels(numbered(), fill=OUT)[0]
    assert {name for name, _ in drawn} == {"rotate", "shear_x"}
    assert agrees(moved, drawn)
    assert not agrees(moved, drawn[::-1])


@pytest.mark.parametrize("name", sorted(PHOTOMETRIC))
def test_photometry_leaves_labels_as_they_are(name: str) -> None:
    assert torch.equal(draw(only(name, count=3)).labels(numbered(), fill=OUT), numbered())


def test_every_operation_of_the_paper_is_either_geometric_or_photometric() -> None:
    assert sorted(PAPER_OPERATIONS) == sorted([*GEOMETRIC, *PHOTOMETRIC])
    assert len(PAPER_OPERATIONS) == 14


@pytest.mark.parametrize("name", PAPER_OPERATIONS)
def test_a_single_operation_of_the_image_is_what_its_name_says(name: str) -> None:
    images = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    operator = draw(only(name), 2)
    changed = operator.image(images)
    if name in GEOMETRIC:
        assert operator.operations.tolist() == [[-1]]
        assert not torch.equal(changed, images)
        return
    assert name == "identity" or PHOTOMETRY[operator.operations[0, 0]] == name
    level = operator.levels[0]
    assert any(float(level) == pytest.approx(known) for known in LEVELS)
    torch.testing.assert_close(changed, PHOTOMETRIC[name](images, level), atol=1e-5, rtol=0)


def test_labels_under_cutouts_are_kept_and_the_image_there_is_grey() -> None:
    operator = draw(AugmentConfig(count=0), batch=4, size=(64, 96))
    images = torch.rand(4, 2, 64, 96) * 0.4
    labels = regions(4, (64, 96))
    hidden = torch.zeros(4, 64, 96, dtype=torch.bool)
    for sample, boxes in enumerate(operator.cutouts.tolist()):
        assert len(boxes) == 3
        for top, bottom, left, right in boxes:
            for row in range(top, bottom):
                for column in range(left, right):
                    hidden[sample, row, column] = True
    assert torch.equal(operator.labels(labels), labels)
    expected = images.masked_fill(hidden.unsqueeze(1), GREY)
    torch.testing.assert_close(operator.image(images), expected, atol=1e-5, rtol=0)
    assert hidden.any()


def test_cutouts_have_their_side_and_are_cut_at_the_border() -> None:
    boxes = draw(AugmentConfig(cutout_size=32 / 256), batch=200, size=(256, 512)).cutouts
    heights, widths = boxes[..., 1] - boxes[..., 0], boxes[..., 3] - boxes[..., 2]
    inside = (boxes[..., 0] > 0) & (boxes[..., 1] < 256) & (boxes[..., 2] > 0)
    inside &= boxes[..., 3] < 512
    assert set(heights[inside].tolist()) | set(widths[inside].tolist()) <= {31, 32, 33}
    assert int(boxes.min()) == 0
    assert int(boxes[..., 1].max()) == 256
    assert int(boxes[..., 3].max()) == 512
    assert not inside.all()


def test_cutmix_takes_its_box_from_the_sample_before_in_image_and_labels() -> None:
    operator = draw(AugmentConfig(count=0, cutouts=0, cutmix=1.0), batch=3)
    labels, images = numbered(3), torch.rand(3, 2, HEIGHT, WIDTH)
    moved, mixed = operator.labels(labels, fill=OUT), operator.image(images)
    for sample, (top, bottom, left, right) in enumerate(operator.mix.tolist()):
        assert 0.2 < (bottom - top) * (right - left) / (HEIGHT * WIDTH) < 0.55
        for row in range(HEIGHT):
            for column in range(WIDTH):
                inside = top <= row < bottom and left <= column < right
                origin = (sample - 1) % 3 if inside else sample
                assert moved[sample, row, column] == labels[origin, row, column]
                torch.testing.assert_close(
                    mixed[sample, :, row, column], images[origin, :, row, column]
                )


def test_cutmix_mixes_what_the_geometry_has_moved(drawn: list[Operation]) -> None:
    operator = draw(only("rotate", cutmix=1.0), batch=2)
    moved = operator.labels(numbered(2), fill=OUT)
    parts = [slow_labels(numbered(2)[n], drawn[n : n + 1]) for n in range(2)]
    for sample, (top, bottom, left, right) in enumerate(operator.mix.tolist()):
        expected, clear = (part.clone() for part in parts[sample])
        other, other_clear = parts[sample - 1]
        box = slice(top, bottom), slice(left, right)
        expected[box], clear[box] = other[box], other_clear[box]
        assert torch.equal(moved[sample][clear], expected[clear])


@pytest.mark.parametrize("seed", range(6))
def test_pixels_of_the_image_move_as_the_labels_do(seed: int) -> None:
    size = (64, 80)
    labels = regions(6, size).byte()
    values = torch.tensor([0.1, 0.45, 0.95])
    images = values[labels.long()].unsqueeze(1).repeat(1, 3, 1, 1)
    operator = draw(only(*GEOMETRIC, count=3), seed, 6, size)
    image, moved = operator.image(images), operator.labels(labels)
    neighbours = moved.unfold(1, 5, 1).unfold(2, 5, 1).flatten(3)
    middle = moved[:, 2:-2, 2:-2]
    calm = (neighbours == middle.unsqueeze(3)).all(3) & (middle != IGNORE)
    expected = values[middle.long().clamp(max=2)]
    for channel in image[:, :, 2:-2, 2:-2].unbind(1):
        torch.testing.assert_close(channel[calm], expected[calm], atol=1e-4, rtol=0)
    assert float(calm.float().mean()) > 0.25
    assert moved.dtype == torch.uint8


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_from_outside_the_frame_is_grey_and_masked(seed: int) -> None:
    operator = draw(only(*GEOMETRIC, count=3), seed, 4, (64, 64))
    image = operator.image(torch.ones(4, 1, 64, 64))
    outside = operator.labels(torch.zeros(4, 64, 64, dtype=torch.uint8)) == IGNORE
    assert outside.any()
    assert torch.equal(image[:, 0] == GREY, outside)
    zeros = torch.ones(4, 64, 64, dtype=torch.uint8)
    assert torch.equal(operator.labels(zeros, fill=0) == 0, outside)


def test_a_hand_made_translation_moves_whole_pixels() -> None:
    matrix = torch.tensor([[[1.0, 0, 3], [0, 1, -2]]])
    no_boxes = torch.zeros(1, 0, 4, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long)
    nothing = torch.zeros(0, 1, dtype=torch.long), torch.zeros(0, 1)
    operator = StrongOperator((HEIGHT, WIDTH), matrix, *nothing, *no_boxes)
    moved = operator.labels(numbered(), fill=OUT)[0]
    assert torch.equal(moved[2:, :-3], numbered()[0, :-2, 3:])
    assert (moved[:2] == OUT).all()
    assert (moved[:, -3:] == OUT).all()


PAPER_SIZE = (321, 321)


def matrices(name: str) -> Tensor:
    return draw(only(name), batch=300, size=PAPER_SIZE).matrix.double()


def assert_all_used(values: Tensor, expected: Sequence[float]) -> None:
    found = sorted(set(values.mul(1e4).round().div(1e4).tolist()))
    assert found == pytest.approx(sorted(expected), abs=2e-4)


def test_angles_are_those_of_the_script() -> None:
    matrix = matrices("rotate")
    degrees = torch.rad2deg(torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0]))
    assert_all_used(degrees.round(), [sign * 3 * m for sign in (1, -1) for m in range(1, 10)])


@pytest.mark.parametrize(("name", "place"), [("shear_x", (0, 1)), ("shear_y", (1, 0))])
def test_shears_are_those_of_the_script(name: str, place: tuple[int, int]) -> None:
    shear = matrices(name)[:, place[0], place[1]]
    assert_all_used(shear, [sign * 0.03 * m for sign in (1, -1) for m in range(1, 10)])


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 0), ("translate_y", 1)])
def test_translations_are_those_of_the_script_at_its_crop(name: str, axis: int) -> None:
    moved = matrices(name)[:, axis, 2]
    assert_all_used(moved, [sign * m for sign in (1, -1) for m in range(1, 10)])


def test_a_lower_largest_level_is_never_exceeded() -> None:
    operator = draw(only("shear_x", max_level=4), batch=200)
    assert float(operator.matrix[:, 0, 1].abs().max()) == pytest.approx(0.3 * 0.4)


def test_operations_are_drawn_evenly_and_applied_with_their_probability() -> None:
    config = AugmentConfig(operations=("solarize", "translate_x"), count=2, cutouts=0)
    operator = draw(config, batch=1000, size=PAPER_SIZE)
    assert len(operator.operations) == 2
    for slot in operator.operations:
        assert 200 < int((slot == PHOTOMETRY.index("solarize")).sum()) < 300  # 1000 · ½ · ½
    still = int((operator.matrix[:, 0, 2] == 0).sum())
    assert 510 < still < 630  # neither slot moved, or the two moves cancelled out


def test_without_operations_nothing_happens() -> None:
    operator = draw(AugmentConfig(operations=(), cutouts=0))
    images = torch.rand(1, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(operator.image(images), images, atol=1e-5, rtol=0)
    assert torch.equal(operator.labels(numbered()), numbered())


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_operator_is_a_pure_function_of_its_generator(channels: int) -> None:
    config = AugmentConfig(cutmix=0.5)
    images = torch.rand(4, channels, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = regions(4, (32, 32)).byte()
    first, again, other = (draw(config, seed, 4, (32, 32)) for seed in (7, 7, 8))
    assert torch.equal(first.image(images), again.image(images))
    assert torch.equal(first.labels(labels), again.labels(labels))
    assert torch.equal(first.image(images), first.image(images))
    assert not torch.equal(first.image(images), other.image(images))
    assert first.image(images).shape == images.shape


def test_the_images_given_are_not_changed() -> None:
    images, labels = torch.rand(4, 3, 32, 32), regions(4, (32, 32)).byte()
    before = images.clone(), labels.clone()
    operator = draw(AugmentConfig(probability=1.0, cutmix=1.0), 1, 4, (32, 32))
    operator.image(images)
    operator.labels(labels)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


def test_samples_that_are_not_to_be_perturbed_stay_as_they_are() -> None:
    config = AugmentConfig(probability=1.0, cutmix=1.0)
    perturbed = torch.tensor([False, True, False, True])
    operator = draw_operator(config, 4, (32, 32), torch.Generator().manual_seed(5), perturbed)
    images, labels = torch.rand(4, 3, 32, 32), regions(4, (32, 32)).byte()
    kept = ~perturbed
    torch.testing.assert_close(operator.image(images)[kept], images[kept], atol=1e-4, rtol=0)
    assert torch.equal(operator.labels(labels)[kept], labels[kept])
    for sample in (1, 3):
        assert float((operator.image(images)[sample] - images[sample]).abs().max()) > 0.1
        assert not torch.equal(operator.labels(labels)[sample], labels[sample])


def test_samples_that_are_not_to_be_mixed_are_perturbed_only() -> None:
    config = AugmentConfig(count=0, cutmix=1.0)
    mixed = torch.tensor([True, False, True])
    generator = torch.Generator().manual_seed(1)
    operator = draw_operator(config, 3, (HEIGHT, WIDTH), generator, mixed=mixed)
    moved = operator.labels(numbered(3), fill=OUT)
    changed = (moved != numbered(3)).flatten(1).any(1)
    assert torch.equal(changed, mixed)
    assert operator.cutouts[1].any()


def test_the_operator_of_some_samples_does_to_them_what_that_of_all_does() -> None:
    config = AugmentConfig(cutmix=0.0)
    operator = draw(config, 7, batch=6)
    images = torch.rand(6, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    some = torch.tensor([4, 1, 5])
    part = operator.part(some)
    assert torch.equal(part.image(images[some]), operator.image(images)[some])
    assert torch.equal(part.labels(numbered(6)[some]), operator.labels(numbered(6))[some])


def test_several_maps_move_as_each_alone() -> None:
    operator = draw(AugmentConfig(cutmix=1.0), 3, batch=4)
    maps = torch.stack([regions(4, (HEIGHT, WIDTH)), numbered(4)], 1)
    moved = operator.labels(maps)
    for number in range(2):
        assert torch.equal(moved[:, number], operator.labels(maps[:, number]))
