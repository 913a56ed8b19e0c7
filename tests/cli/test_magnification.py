"""``predict --magnify``: by a factor, by the size of pixels, and what is said of other sizes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from cli_helpers import MIXED, call

from napari_threestage import store
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_helpers import Result

    Command = Callable[..., Result]

TRAINED_AT = 0.5  # micrometres
EXPORT = ("--format", "safetensors", "--output")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, imported: Path) -> Path:
    """A project with a run, whose images say how large their pixels are."""
    path = shutil.copytree(imported, tmp_path_factory.mktemp("measured") / "project")
    for file in path.glob("images/*/zarr.json"):
        content = json.loads(file.read_text())
        [multiscale] = content["attributes"]["ome"]["multiscales"]
        for axis in multiscale["axes"]:
            if axis["name"] in "yx":
                axis["unit"] = "micrometer"
        for level in multiscale["datasets"]:
            [change] = level["coordinateTransformations"]
            names = [axis["name"] for axis in multiscale["axes"]]
            change["scale"] = [
                size * TRAINED_AT if name in "yx" else size
                for name, size in zip(names, change["scale"], strict=True)
            ]
        file.write_text(json.dumps(content))
    result = call("run", path, *MIXED)
    assert result.code == 0, result.err
    return path


def write(path: Path, microns: float | None) -> None:
    """Write a picture of squares as TIFF, with the size of its pixels where that is given."""
    pixels = np.full((70, 90, 3), 40, np.uint8)
    pixels[10:30, 10:40], pixels[40:60, 50:80] = (230, 50, 50), (60, 90, 240)
    more: dict[str, Any] = {}
    if microns is not None:
        more = {"imagej": True, "resolution": (1 / microns,) * 2, "metadata": {"unit": "um"}}
    tifffile.imwrite(path, pixels, photometric="rgb", **more)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, microns in (("same", 0.5), ("coarse", 1.0), ("fine", 0.25), ("silent", None)):
        write(folder / f"{name}.tif", microns)
    return folder


def masks(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: tifffile.imread(path) for path in sorted(folder.glob("*.tif"))}


def same(found: dict[str, np.ndarray], others: dict[str, np.ndarray], *names: str) -> bool:
    return all(np.array_equal(found[name], others[name]) for name in names)


def test_images_are_magnified_by_a_factor(
    threestage: Command, trained: Path, images: Path, tmp_path: Path
) -> None:
    call = ("predict", trained, "--images", images, "--json", "--output")
    plain = threestage(*call, tmp_path / "plain").document
    assert (plain["magnified"], plain["other_pixels"]) == ([], [])  # nothing is known of training
    tifffile.imwrite(images / "pair.tif", np.zeros((2, 70, 90), np.uint8), metadata={"axes": "CYX"})
    found = threestage(*call, tmp_path / "found", "--magnify", "2").document
    assert [name for name, _ in found["failed"]] == ["pair.tif"]  # two channels, without a mask
    (images / "pair.tif").unlink()
    assert found["magnified"] == [
        [f"{name}.tif", 2] for name in ("coarse", "fine", "same", "silent")
    ]
    assert not same(masks(tmp_path / "found"), masks(tmp_path / "plain"), "same")
    one = threestage(*call, tmp_path / "one", "--magnify", "1").document
    assert one["magnified"] == []
    assert same(masks(tmp_path / "one"), masks(tmp_path / "plain"), *masks(tmp_path / "plain"))


@pytest.mark.parametrize("exported", [False, True])
def test_pixels_are_made_as_large_as_in_the_training(
    exported: bool, threestage: Command, measured: Path, images: Path, tmp_path: Path
) -> None:
    model = measured
    if exported:
        model = tmp_path / "cells.safetensors"
        assert threestage("export", measured, *EXPORT, model).code == 0
    call = ("predict", model, "--images", images, "--json", "--output")
    result = threestage(*call, tmp_path / "auto", "--magnify", "auto")
    found = json.loads(result.out)
    assert result.code == 1
    [[name, reason]] = found["failed"]
    assert name == "silent.tif"
    assert "does not say how large its pixels are. Give --magnify a number" in reason
    assert dict(found["magnified"]) == pytest.approx({"coarse.tif": 2, "fine.tif": 0.5}, rel=1e-3)
    for factor in ("1", "2", "0.5"):
        threestage(*call, tmp_path / factor, "--magnify", factor)
    auto = masks(tmp_path / "auto")
    assert [*auto] == ["coarse", "fine", "same"]
    assert same(auto, masks(tmp_path / "1"), "same")
    for name, factor in (("coarse", "2"), ("fine", "0.5")):
        assert (auto[name] != masks(tmp_path / factor)[name]).mean() < 0.02  # sizes are rounded
        assert not same(auto, masks(tmp_path / "1"), name)


def test_other_sizes_of_pixels_are_told(
    threestage: Command, measured: Path, images: Path, tmp_path: Path
) -> None:
    call = ("predict", measured, "--images", images, "--output", tmp_path / "out")
    result = threestage(*call)
    assert result.code == 0
    text = " ".join(result.out.split())
    sizes = "Pixels are larger or smaller than in the training: coarse.tif 2 times"
    assert f"{sizes}, fine.tif 0.5 times. If masks are poor, try --magnify auto." in text
    found = threestage(*call, "--json").document["other_pixels"]
    assert dict(found) == pytest.approx({"coarse.tif": 2, "fine.tif": 0.5}, rel=1e-3)
    (images / "silent.tif").unlink()
    text = " ".join(threestage(*call, "--magnify", "auto").out.split())
    assert "Magnified coarse.tif 2 times, fine.tif 0.5 times." in text
    assert "Pixels are" not in text
    (images / "fine.tif").unlink()
    (images / "same.tif").unlink()
    text = " ".join(threestage(*call, "--magnify", "0.5").out.split())
    assert f"Magnified coarse.tif 0.5 times. {sizes}. Check --magnify." in text
    assert "Pixels are" not in threestage(*call, "--magnify", "1").out


@pytest.mark.parametrize("model", ["project", "file"])
def test_a_training_that_does_not_know_its_pixels(
    model: str, threestage: Command, trained: Path, images: Path, tmp_path: Path
) -> None:
    chosen = trained
    if model == "file":
        chosen = find_run(Project(trained)).model_path(3)
    call = ("predict", chosen, "--images", images, "--output", tmp_path / "out")
    sentence = threestage(*call, "--magnify", "auto").sentence
    assert "not known how large the pixels of the training images are" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("factor", ["0", "-2", "9", "nan", "twice"])
def test_factors_that_make_no_sense(
    factor: str, threestage: Command, trained: Path, images: Path, tmp_path: Path
) -> None:
    call = ("predict", trained, "--images", images, "--output", tmp_path / "out")
    result = threestage(*call, "--magnify", factor)
    if factor == "twice":
        assert result.code == 1
        assert "'twice' is neither a number nor auto" in result.err
    else:
        assert "from 0.125 to 8" in result.sentence
    assert not (tmp_path / "out").exists()


def test_another_factor_is_another_result(
    threestage: Command, measured: Path, images: Path, tmp_path: Path
) -> None:
    image = images / "coarse.tif"
    call = ("predict", measured, "--images", image, "--as", "ome-zarr", "--json", "--output")
    counts = []
    for factor in ("1", "2", "2", "auto"):
        found = threestage(*call, tmp_path / "out", "--magnify", factor).document
        counts.append(len(found["kept"]))
    assert counts == [0, 0, 1, 1]  # its pixels are twice as large
    mask = np.asarray(store.read_ome_zarr(tmp_path / "out" / "coarse.ome.zarr").data[...])
    threestage(*call[:4], "--output", tmp_path / "tiff", "--magnify", "auto")
    np.testing.assert_array_equal(mask, tifffile.imread(tmp_path / "tiff" / "coarse.tif") + 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_", ["tiff", "ome-zarr"])
def test_a_cluster_magnifies_each_image_too(
    format_: str, threestage: Command, scheduler: str, measured: Path, images: Path, tmp_path: Path
) -> None:
    call = ("predict", measured, "--images", images, "--as", format_, "--magnify", "auto", "--json")
    alone = json.loads(threestage(*call, "--output", tmp_path / "alone").out)
    more = ("--output", tmp_path / "shared", "--scheduler", scheduler)
    shared = json.loads(threestage(*call, *more).out)
    assert len(alone["magnified"]) == 2
    for kind in ("magnified", "failed"):
        assert shared[kind] == alone[kind]
    for path in (tmp_path / "alone").glob("*.tif"):
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / "shared" / path.name), tifffile.imread(path)
        )
    for path in (tmp_path / "alone").glob("*.zarr"):
        found, expected = (
            np.asarray(store.read_ome_zarr(place).data[...])
            for place in (tmp_path / "shared" / path.name, path)
        )
        np.testing.assert_array_equal(found, expected)


def test_an_adapted_segmenter_keeps_its_factor(
    threestage: Command, measured: Path, images: Path, tmp_path: Path
) -> None:
    adapt = ("adapt", measured, "--images", images, "--output")
    file = tmp_path / "magnified.safetensors"
    assert threestage(*adapt, file, "--magnify", "2").code == 0
    call = ("predict", file, "--images", images / "coarse.tif", "--json", "--output", tmp_path)
    found = threestage(*call).document
    assert (found["magnified"], found["other_pixels"]) == ([["coarse.tif", 2]], [])
    assert threestage(*call, "--magnify", "1").document["magnified"] == []
    # It knows the pixels of its training, too.
    assert threestage(*call, "--magnify", "auto").document["magnified"] == [["coarse.tif", 2]]
    sentence = threestage(*adapt, tmp_path / "auto.safetensors", "--magnify", "auto").sentence
    assert "adapted at one magnification" in sentence
