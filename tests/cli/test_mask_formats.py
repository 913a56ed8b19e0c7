"""``export-masks`` in every format: files that other programs, and our own import, read."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from cli_helpers import CLASSES, HEIGHT, WIDTH, Result, draw_pair, fingerprint, latest
from PIL import Image

from napari_threestage.mask_files import FORMATS
from napari_threestage.project import Project
from napari_threestage.store import read_ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMON = {"png": 1, "coco": 2}  # files that concern all images


@pytest.fixture
def stacked(tmp_path: Path, threestage: Callable[..., Result]) -> Path:
    """A project of a plane and a stack of known pixel size, both labelled in part."""
    path = tmp_path / "stacked"
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    truth = np.stack([draw_pair(seed)[1] for seed in range(3)])
    truth[0, :5] = 255
    images = np.stack([draw_pair(seed)[0][..., 0] for seed in range(3)])
    sizes = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "images/deep.tif", images, imagej=True, resolution=(2, 4), metadata=sizes
    )
    tifffile.imwrite(tmp_path / "masks/deep.tif", truth, imagej=True, metadata={"axes": "ZYX"})
    Image.fromarray(images[0]).save(tmp_path / "images/flat.png")
    Image.fromarray(truth[0]).save(tmp_path / "masks/flat.png")
    assert threestage("init", path, "--classes", ",".join(CLASSES)).code == 0
    folders = ("--images", tmp_path / "images", "--masks", tmp_path / "masks")
    assert threestage("import", path, *folders).code == 0
    return path


def truths(path: Path) -> dict[str, np.ndarray]:
    project = Project(path)
    found = {record.name: project.read_labels(i) for i, record in project.images.items()}
    return {name: labels for name, labels in found.items() if labels is not None}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_tells_what_it_wrote(
    format: str, stacked: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    out = tmp_path / "out"
    arguments = ("export-masks", stacked, "--output", out, "--as", format)
    options = ("--stage", "ground_truth", "--statistics")
    result = threestage(*arguments, *options, "--json", "--progress")
    assert result.code == 0, result.err
    made = result.document
    assert made.keys() == {"stage", "files", "statistics", "without_mask"}
    planes = 4 if format in ("png", "coco") else 2
    assert len(made["files"]) == planes + COMMON.get(format, 0)
    assert made["statistics"] == [str(out / "classes.csv"), str(out / "objects.csv")]
    assert (made["stage"], made["without_mask"]) == (None, 0)
    assert [json.loads(line) for line in result.err.splitlines()] == [
        {"done": 1, "total": 2},
        {"done": 2, "total": 2},
    ]
    with (out / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, labels in truths(stacked).items():
        for value, entry in enumerate(CLASSES, start=1):
            own = [row for row in rows if (row["image"], row["class"]) == (name, entry)]
            assert sum(int(row["pixels"]) for row in own) == (labels == value).sum()
            assert {row["unit"] for row in own} == {"micrometer^2" if name == "deep" else ""}
    shown = threestage(*arguments, *options)  # over our own files
    assert shown.code == 0 and shown.err == ""
    assert "Wrote 2 masks" in shown.out and "objects.csv" in shown.out


@pytest.mark.parametrize("format", ["tiff", "png", "ome-zarr"])
def test_exported_masks_can_be_imported_again(
    format: str, stacked: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    arguments = ("export-masks", stacked, "--output", out, "--stage", "ground_truth")
    assert threestage(*arguments, "--as", format).code == 0
    assert threestage("init", again, "--classes", ",".join(CLASSES)).code == 0
    images = [tmp_path / "images" / name for name in ("flat.png", "deep.tif")]
    if format == "png":  # one file a plane
        images = images[:1]
    values = ("--mask-values", "one-based" if format == "ome-zarr" else "index")
    result = threestage(
        "import", again, "--images", *images, "--masks", out, *values, "--json"
    ).document
    assert result["labelled"] == len(images), result
    for name, labels in truths(again).items():
        np.testing.assert_array_equal(labels, truths(stacked)[name])
    if format == "ome-zarr":
        found = read_ome_zarr(out / "deep.ome.zarr")
        assert found.scale == {"z": 2.0, "y": 0.25, "x": 0.5}
        assert set(found.unit.values()) == {"micrometer"}


@pytest.mark.parametrize("format", FORMATS)
def test_a_stage_is_exported_with_the_classes_of_its_run(
    format: str, finished: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    project = Project(finished)
    table = project.class_table
    with project.editing():
        project.set_class_table(table.rename(table.classes[1].id, "renamed"))
        project.save()
    run = latest(finished)
    out = tmp_path / "out"
    arguments = ("export-masks", finished, "--output", out, "--as", format, "--statistics")
    made = threestage(*arguments, "--run", run.id, "--json").document
    assert made["stage"] == 3 and made["without_mask"] == 0
    with (out / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == set(CLASSES)
    for image, record in project.images.items():
        labels = run.read_mask(3, image)
        assert labels.shape == (HEIGHT, WIDTH)
        own = [int(row["pixels"]) for row in rows if row["image"] == record.name]
        assert own == np.bincount(labels.ravel(), minlength=4)[1:].tolist()


@pytest.mark.parametrize(
    ("format", "name", "content"),
    [
        ("tiff", "flat.tif", "text"),
        ("png", "deep_z002.png", "text"),
        ("png", "labelmap.txt", "background:0,0,0::"),
        ("ome-zarr", "deep.ome.zarr", "text"),
        ("coco", "annotations.json", {"images": [], "annotations": [], "info": {}}),
        ("coco", "panoptic/flat.png", "text"),
        ("geojson", "deep.geojson", {"type": "FeatureCollection", "features": []}),
        ("tiff", "objects.csv", "image,area"),
    ],
)
def test_files_of_others_stay(
    format: str,
    name: str,
    content: Any,
    stacked: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text(content if isinstance(content, str) else json.dumps(content))
    before = fingerprint(out)
    result = threestage(
        *("export-masks", stacked, "--output", out, "--as", format),
        *("--stage", "ground_truth", "--statistics"),
    )
    assert f"{name} is there already" in result.sentence
    assert fingerprint(out) == before


def test_an_unknown_format_is_one_sentence(
    stacked: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    result = threestage("export-masks", stacked, "--output", tmp_path / "out", "--as", "gif")
    assert "gif" in result.sentence and "geojson" in result.sentence


def test_a_project_without_masks_leaves_no_folder(
    tmp_path: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    path, out = tmp_path / "bare", tmp_path / "out"
    assert threestage("init", path, "--classes", ",".join(CLASSES)).code == 0
    assert threestage("import", path, "--images", pictures / "images").code == 0
    result = threestage("export-masks", path, "--output", out, "--stage", "ground_truth")
    assert "has no masks of ground_truth" in result.sentence
    assert not out.exists()


def test_a_damaged_image_does_not_keep_its_mask_back(
    stacked: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    for path in stacked.glob("images/*/zarr.json"):
        path.rename(path.with_name("gone"))
    out = tmp_path / "out"
    arguments = ("export-masks", stacked, "--output", out, "--stage", "ground_truth", "--json")
    assert len(threestage(*arguments).document["files"]) == 2
