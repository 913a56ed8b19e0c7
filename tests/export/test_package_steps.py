"""What a package does to stored values, and what it can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from export_helpers import export
from family_helpers import make_material

from napari_threestage import store
from napari_threestage.errors import NotReadyError, ThreeStageError
from napari_threestage.export import bioimageio_package, exporter
from napari_threestage.export.bioimageio_package import apply_steps, identifiers
from napari_threestage.export.material import Crop, Material
from napari_threestage.export.verify import Proof
from napari_threestage.pixel_size import images_of_run
from napari_threestage.planes import to_bytes
from napari_threestage.project import Project
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from pathlib import Path


def numbers(dtype: str, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(3, 64, 64))
    if dtype in ("float32", "float64"):
        return (values * scale).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    middle = (float(low) + float(high)) / 2
    return (middle + values * (float(high) - float(low)) / 10).clip(low, high).astype(dtype)


@pytest.mark.parametrize("method", ["auto", "range", "percentile"])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("uint8", 1), ("uint16", 1), ("int16", 1), ("float32", 1), ("float32", 1e-7), ("float64", 9)],
)
def test_the_steps_of_a_package_are_what_we_do(method: str, dtype: str, scale: float) -> None:
    raw = numbers(dtype, scale)
    info = replace(make_material("compact").segmenter.info, normalisation=method)
    images = apply_steps(raw[np.newaxis], bioimageio_package._steps(info, raw.dtype))[0]
    assert np.abs(images - to_bytes(raw, method) / 255).max() <= 0.501 / 255 + 1e-4
    bioimageio_package._check_steps(raw, images, info)


def with_raw(raw: np.ndarray) -> Material:
    material = make_material("compact")
    crop = Crop(raw, to_bytes(raw))
    return replace(material, crops=((crop,), material.crops[1]))


def test_wrong_steps_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = bioimageio_package._steps

    def wrong(*arguments: Any) -> Any:
        [(name, given), *rest] = right(*arguments)
        return [(name, {**given, "gain": given["gain"] / 4}), *rest]

    monkeypatch.setattr(bioimageio_package, "_steps", wrong)
    with pytest.raises(ThreeStageError, match="preprocessing of the package"):
        bioimageio_package._write_files(with_raw(numbers("uint8")), tmp_path)


def test_pixels_without_a_value_are_told(tmp_path: Path) -> None:
    raw = numbers("float32")
    raw[0, 0, 0] = np.nan
    with pytest.raises(NotReadyError, match="without a value"):
        bioimageio_package._write_files(with_raw(raw), tmp_path)


def test_names_become_identifiers_each_once() -> None:
    given = ["class 1", "細胞", "class_2", "a", "class 2", "class_2", "", "1st"]
    made = identifiers(given, "class")
    assert len(set(made)) == len(made) == len(given)
    assert all(name.isascii() and name.isidentifier() for name in made)
    assert (made[0], made[3]) == ("class_1", "a")


@pytest.mark.usefixtures("no_network")
def test_many_long_names_of_classes_fit(tmp_path: Path) -> None:
    material = make_material("compact")
    classes = [{"name": f"cytoplasm of kind {n} " * 20, "color": [1, 2, n]} for n in range(3)]
    material.segmenter.info = replace(material.segmenter.info, classes=classes)
    bioimageio_package.write(material, tmp_path / "made.zip")
    assert (tmp_path / "made.zip").stat().st_size > 10_000


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the file for proved, where the proof is not what is looked at."""
    monkeypatch.setattr(exporter, "prove", lambda *_: Proof(0.0, {"torch": "0"}))


@pytest.mark.usefixtures("unproved")
def test_images_that_are_gone_or_damaged_are_left_out(trained_project: Path) -> None:
    project = Project(trained_project)
    first, second, *_ = sorted(project.images)
    (project.image_path(first) / "zarr.json").unlink()
    for chunk in (project.image_path(second) / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"nonsense")
    assert len(images_of_run(project, find_run(project))) == 3
    found = export(trained_project, "safetensors", trained_project / "made").document
    assert found["image"] in {project.images[one].name for one in sorted(project.images)[2:]}


@pytest.mark.usefixtures("unproved")
def test_a_project_that_cannot_be_written_can_be_exported(
    trained_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(exporter, "remember_text", refuse)
    found = export(trained_project, "safetensors", tmp_path / "made", "--name", "New").document
    assert (tmp_path / "made.safetensors").exists()
    assert found["warning"].endswith("(Read-only file system).")


@pytest.mark.usefixtures("unproved")
def test_a_kill_between_record_and_file_locks_nobody_out(
    trained_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made.safetensors"
    assert export(trained_project, "safetensors", target).code == 0
    before = target.read_bytes()
    written = store.write_json

    def killed(*arguments: Any) -> None:
        written(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "write_json", killed)
        assert export(trained_project, "safetensors", target, "--name", "Other").code == 3
    assert target.read_bytes() == before
    (tmp_path / ".made.safetensors.0123abcd").mkdir()  # of one that was killed
    assert export(trained_project, "safetensors", target, "--name", "Other").code == 0
    assert target.read_bytes() != before
    assert not [*tmp_path.glob(".made*")]
