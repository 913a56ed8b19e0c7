"""The sample project: same seed same pixels, hard enough, complete on disk, without a network."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from skimage.io import imread

from napari_threestage import sample_scene
from napari_threestage.sample import SAMPLE_CLASSES, SampleImage, make_sample, write_sample

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the sample opened a network connection")

    monkeypatch.setattr(socket, "socket", refuse)
    sample_scene._picture.cache_clear()


@pytest.fixture(scope="module")
def samples() -> list[SampleImage]:
    return [make_sample(seed) for seed in range(24)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_same_seed_gives_same_pixels() -> None:
    first, again, other = make_sample(3), make_sample(3), make_sample(4)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.name == again.name != other.name
    assert (first.mask != other.mask).any()


@pytest.mark.parametrize("size", [64, 97, 160])
def test_image_and_mask_are_uint8_of_the_size_asked_for(size: int) -> None:
    drawn = make_sample(1, size)
    assert drawn.image.shape == (size, size, 3)
    assert drawn.mask.shape == (size, size)
    assert drawn.image.dtype == drawn.mask.dtype == np.uint8


def test_size_too_small_for_the_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        make_sample(0, 32)


def test_every_image_has_background_and_two_other_classes(samples: list[SampleImage]) -> None:
    for drawn in samples:
        present = set(np.unique(drawn.mask).tolist())
        assert 0 in present
        assert len(present) >= 3
        assert present <= set(range(len(SAMPLE_CLASSES)))


def test_no_class_is_rare_on_average(samples: list[SampleImage]) -> None:
    pixels = np.concatenate([drawn.mask.ravel() for drawn in samples])
    shares = np.bincount(pixels, minlength=len(SAMPLE_CLASSES)) / pixels.size
    assert shares.min() > 0.02


def test_colour_alone_does_not_tell_cells_from_debris(samples: list[SampleImage]) -> None:
    cells, debris = (
        np.concatenate([drawn.image[drawn.mask == label] for drawn in samples]).mean(axis=1)
        for label in (sample_scene.CELL, sample_scene.DEBRIS)
    )
    edges = np.linspace(0, 255, 33)
    cell_share, debris_share = (np.histogram(v, edges)[0] / v.size for v in (cells, debris))
    assert np.minimum(cell_share, debris_share).sum() > 0.6


def test_brightness_differs_from_image_to_image(samples: list[SampleImage]) -> None:
    assert np.std([drawn.image.mean() for drawn in samples]) > 10


def test_written_project_is_complete(tmp_path: Path) -> None:
    write_sample(tmp_path / "new" / "demo", labelled=2, unlabelled=3, test=2)
    folder = tmp_path / "new" / "demo"
    images, masks = names(folder / "images"), names(folder / "masks")
    assert (len(images), len(masks)) == (5, 2)
    assert masks < images
    tests = names(folder / "test" / "images")
    assert tests == names(folder / "test" / "masks")
    assert len(tests) == 2
    assert not tests & images


def test_written_files_hold_the_pixels_drawn(tmp_path: Path) -> None:
    write_sample(tmp_path, labelled=1, unlabelled=0, test=0)
    expected = make_sample(0)
    written = f"{expected.name}.png"
    np.testing.assert_array_equal(imread(tmp_path / "images" / written), expected.image)
    np.testing.assert_array_equal(imread(tmp_path / "masks" / written), expected.mask)


def test_class_list_follows_the_mask_values(tmp_path: Path) -> None:
    write_sample(tmp_path, labelled=0, unlabelled=0, test=0)
    listing = json.loads((tmp_path / "classes.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in listing] == [name for name, _ in SAMPLE_CLASSES]
    colors = [tuple(bytes.fromhex(entry["color"].removeprefix("#"))) for entry in listing]
    assert colors == [color for _, color in SAMPLE_CLASSES]


def test_number_of_unlabelled_images_leaves_the_test_set_alone(tmp_path: Path) -> None:
    for count in (0, 2):
        write_sample(tmp_path / str(count), labelled=1, unlabelled=count, test=1)
    assert names(tmp_path / "0" / "test" / "images") == names(tmp_path / "2" / "test" / "images")


def test_projects_of_two_seeds_share_no_image(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_sample(tmp_path / str(seed), labelled=1, unlabelled=1, test=1, seed=seed)
    assert not names(tmp_path / "0" / "images") & names(tmp_path / "1" / "images")
    assert not names(tmp_path / "0" / "test/images") & names(tmp_path / "1" / "test/images")


def test_import_needs_neither_torch_nor_zarr_nor_qt() -> None:
    code = (
        "import sys, napari_threestage.sample; "
        "sys.exit(', '.join({'torch', 'zarr', 'qtpy', 'napari'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
