"""Samples of a run in training as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage.config import Config
from napari_threestage.events import Sampled
from napari_threestage.runs import Run, RunInputs
from napari_threestage.window_pictures import (
    OUTLINE,
    SIDE,
    draw_mask,
    outline,
    shown_size,
    window_pictures,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import Project
    from napari_threestage.project_file import ImageRecord

    AddImage = Callable[..., ImageRecord]


def make_run(project: Project, truths: dict[str, np.ndarray]) -> Run:
    inputs = RunInputs(
        images=dict.fromkeys(project.images, ""),
        labels={},
        pixels={},
        classes=[entry.model_dump() for entry in project.classes],
        channels=None,
        n_channels=1,
        normalisation="auto",
        first_stage=1,
        last_stage=3,
        seed=0,
        device="cpu",
        threads=1,
    )
    return Run.create(project, Config(), inputs, (), truths)


def sampled(*windows: dict[str, Any]) -> Sampled:
    return Sampled(stage=1, step=5, on="labelled", miou=None, iou={}, windows=list(windows))


def window(image_id: str, plane: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"image": image_id, "plane": list(plane), "y": 8, "x": 16, "height": 16, "width": 32}


def test_a_window_is_drawn_in_the_colours_of_its_classes(
    small_project: Project, add_image: AddImage
) -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[8:24, 16:32] = 2
    record = add_image("one", truth)
    run = make_run(small_project, {record.id: truth})
    mask = np.ones((16, 32), np.uint8)
    run.write_sample(1, record.id, mask)
    (picture,) = window_pictures(small_project, run, sampled(window(record.id)))
    assert picture.image.shape == picture.mask.shape == (SIDE // 2, SIDE, 3)
    assert (picture.name, picture.present, picture.has_truth) == ("one", (1,), True)
    blue = np.array(small_project.classes[0].color)
    corner = picture.mask[2, 2].astype(float)
    assert np.abs(corner - 0.6 * blue - 0.4 * picture.image[2, 2]).max() <= 1
    assert (picture.mask[10, SIDE // 2 - 1] == OUTLINE).all()  # where the label ends


def test_classes_of_the_run_are_shown_as_they_are_now(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("one")
    run = make_run(small_project, {})
    run.write_sample(1, record.id, np.full((16, 32), 2, np.uint8))
    small_project.set_class_table(small_project.class_table.move(2, 0))
    (picture,) = window_pictures(small_project, run, sampled(window(record.id)))
    assert picture.present == (1,)
    assert not picture.has_truth


@pytest.mark.parametrize(
    ("shape", "axes", "plane"),
    [((3, 64, 64), "cyx", ()), ((5, 4, 64, 64), "czyx", (3,)), ((2, 64, 64), "cyx", ())],
)
def test_colours_and_stacks(
    small_project: Project,
    add_image: AddImage,
    shape: tuple[int, ...],
    axes: str,
    plane: tuple[int, ...],
) -> None:
    record = add_image("one", shape=shape, axes=axes)
    truth = np.zeros(record.label_shape, np.uint8)
    truth[..., 8:12, :] = 1
    run = make_run(small_project, {record.id: truth})
    run.write_sample(1, record.id, np.ones((16, 32), np.uint8))
    (picture,) = window_pictures(small_project, run, sampled(window(record.id, plane)))
    assert picture.has_truth
    coloured = bool(np.ptp(picture.image.astype(int), axis=-1).any())
    assert coloured == (shape[0] >= 3)


def test_what_is_gone_is_left_out(small_project: Project, add_image: AddImage) -> None:
    record, other = add_image("one"), add_image("two")
    run = make_run(small_project, {})
    run.write_sample(1, record.id, np.ones((16, 32), np.uint8))
    event = sampled(window("gone"), window(other.id), window(record.id))
    assert [one.image_id for one in window_pictures(small_project, run, event)] == [record.id]


def test_sizes_masks_and_outlines() -> None:
    assert shown_size(100, 50, 160) == (80, 160)
    assert shown_size(1, 1000, 160) == (160, 1)
    image = np.full((2, 2, 3), 100, np.uint8)
    colours = np.array([(0, 0, 0), (200, 0, 0)], np.uint8)
    drawn = draw_mask(image, np.array([[0, 1], [0, 0]]), colours)
    assert drawn[0, 0].tolist() == [100] * 3 and drawn[0, 1].tolist() == [160, 40, 40]
    labels = np.array([[1, 1, 2], [1, 1, 2]])
    assert outline(labels).tolist() == [[False, True, False]] * 2
