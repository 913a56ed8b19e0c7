"""The samples of a run: their order, their values, however many threads read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from frozen_run import make_run

from napari_threestage.config import load_config
from napari_threestage.errors import ImageFileError
from napari_threestage.training import data
from napari_threestage.training.data import SampleSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.project import ImageRecord, Project

    AddImage = Callable[..., ImageRecord]


@pytest.fixture
def project(small_project: Project, add_image: AddImage) -> Project:
    """Single images and stacks, some with labels."""
    for number in range(5):
        add_image(f"plain {number}", shape=(1, 16, 20))
        truth = np.full((3, 16, 20), 1 + number % 2, np.uint8)
        truth[1] = 0
        add_image(f"stack {number}", truth, (1, 3, 16, 20), "czyx")
    return small_project


@pytest.mark.parametrize("loaders", [1, 7])
@pytest.mark.parametrize("cache", [1.0, 1e-9])
def test_samples_are_the_planes_in_the_order_of_image_and_plane(
    project: Project, loaders: int, cache: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "LOADERS", loaders)
    run = make_run(project, load_config("quick", {"data.cache_gigabytes": cache}))
    found = SampleSet(project, run)
    assert (run.path / "cache").is_dir() == (cache < 1)
    samples = iter(found.samples)
    for image_id in sorted(project.images):
        record, pixels = project.images[image_id], project.read_image(image_id).data[...]
        truth = project.read_labels(image_id)
        for plane in range(record.n_planes):
            sample = next(samples)
            expected = pixels.reshape(1, -1, 16, 20)[:, plane]
            np.testing.assert_array_equal(sample.image, expected)
            if truth is None or not truth[plane].any():
                assert sample.truth is None
            else:
                np.testing.assert_array_equal(sample.truth, truth[plane] - 1)
    assert next(samples, None) is None
    found.close()
    assert not (run.path / "cache").exists()


def test_pseudo_masks_go_to_their_samples(project: Project) -> None:
    run = make_run(project, load_config("quick"))
    found = SampleSet(project, run)
    masks = {}
    for number, image_id in enumerate(sorted(project.images)):
        shape = project.images[image_id].label_shape
        masks[image_id] = (np.indices(shape).sum(0) + number).astype(np.uint8) % 2 + 1
        axes = "zyx"[-len(shape) :]
        run.write_mask(1, image_id, masks[image_id], masks[image_id], axes)
    found.load_pseudo_masks(1)
    planes = [plane for mask in masks.values() for plane in mask.reshape(-1, 16, 20)]
    for sample, plane in zip(found.samples, planes, strict=True):
        assert sample.pseudo is not None
        np.testing.assert_array_equal(sample.pseudo, plane - 1)


def test_doubtful_pixels_of_a_pseudo_mask_do_not_count(project: Project) -> None:
    run = make_run(project, load_config("quick", {"loss.pseudo_threshold": 0.8}))
    found = SampleSet(project, run)
    confidence = {}
    for image_id in sorted(project.images):
        shape = project.images[image_id].label_shape
        confidence[image_id] = (np.indices(shape).sum(0) % 2 * 2 + 203).astype(np.uint8)
        axes = "zyx"[-len(shape) :]
        run.write_mask(1, image_id, np.ones(shape, np.uint8), confidence[image_id], axes)
    found.load_pseudo_masks(1)
    planes = [plane for one in confidence.values() for plane in one.reshape(-1, 16, 20)]
    for sample, plane in zip(found.samples, planes, strict=True):
        assert sample.pseudo is not None
        np.testing.assert_array_equal(sample.pseudo, np.where(plane >= 204, 0, 255))


def test_an_image_that_cannot_be_read_ends_the_loading(project: Project) -> None:
    run = make_run(project, load_config("quick"))
    (project.image_path(sorted(project.images)[3]) / "zarr.json").write_text("damaged")
    with pytest.raises(ImageFileError, match="cannot be opened"):
        SampleSet(project, run)
