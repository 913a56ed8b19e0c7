"""The folder of masks: what is refused, what is replaced, and what an error leaves behind."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import tifffile
from mask_helpers import CLASSES, noise
from PIL import Image

from napari_threestage import store
from napari_threestage.errors import ConfigError
from napari_threestage.mask_files import FORMATS, MaskFolder, is_mask_file
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

COMMON = {
    "tiff": [],
    "png": ["labelmap.txt"],
    "ome-zarr": [],
    "coco": ["annotations.json", "panoptic.json"],
    "geojson": [],
}
STATISTICS = ["classes.csv", "objects.csv"]


def add(folder: Path, format: str, labels: np.ndarray | None = None, name: str = "a") -> MaskFolder:
    with MaskFolder(folder, format, CLASSES, statistics=True) as masks:
        labels = noise((8, 9)) if labels is None else labels
        masks.add(name, labels, "zyx"[-labels.ndim :], {}, {})
    return masks


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("format", FORMATS)
def test_files_are_listed_and_nothing_else_is_left(tmp_path: Path, format: str) -> None:
    masks = add(tmp_path / "new" / "deep", format)
    folder = tmp_path / "new" / "deep"
    assert masks.files[1:] == [folder / name for name in COMMON[format]]
    assert masks.statistics == [folder / name for name in STATISTICS]
    found = {path for path in folder.iterdir() if path.name != "panoptic"}
    assert found | {masks.files[0]} == {*masks.files, *masks.statistics}
    assert all(path.exists() for path in masks.files)


@pytest.mark.parametrize("format", FORMATS)
def test_our_own_files_are_replaced(tmp_path: Path, format: str) -> None:
    labels = [noise((8, 9), seed=seed) for seed in (1, 2)]
    add(tmp_path / "one", format, labels[0])
    add(tmp_path / "other", format, labels[1])
    add(tmp_path / "one", format, labels[1])
    found, expected = contents(tmp_path / "one"), contents(tmp_path / "other")
    assert found.keys() == expected.keys()
    if format != "tiff":  # which tells when it was written
        assert found == expected


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["text", "of the format", "empty", "folder"])
def test_files_of_others_are_refused_before_anything_is_written(
    tmp_path: Path, format: str, kind: str
) -> None:
    add(tmp_path / "model", format)
    model = [path.relative_to(tmp_path / "model") for path in add(tmp_path / "model", format).files]
    for name in [*model, *STATISTICS]:
        folder = tmp_path / "given"
        path = folder / name
        path.parent.mkdir(parents=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "of the format":
            foreign(path)
        else:
            path.write_text("mine" if kind == "text" else "")
        before = contents(folder)
        with pytest.raises(ConfigError, match="is there already and is no mask of this program"):
            add(folder, format)
        assert contents(folder) == before
        shutil.rmtree(folder)


def foreign(path: Path) -> None:
    """Write a file as another program would."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, noise((8, 9)))
    elif path.suffix == ".png":
        Image.fromarray(noise((8, 9))).save(path)
    elif path.suffix == ".zarr":  # an image of a project is ours, but no mask
        store.write_image(path, ImageArray(noise((1, 8, 9)), "cyx"), {"name": "a"})
    elif path.suffix == ".csv":
        path.write_text("image,z,t\r\n")
    elif path.suffix == ".txt":
        path.write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\n")
    else:
        path.write_text(json.dumps({"info": {}, "type": "FeatureCollection", "features": []}))


@pytest.mark.parametrize("format", FORMATS)
def test_check_says_before_what_add_would_say(tmp_path: Path, format: str) -> None:
    masks = MaskFolder(tmp_path, format, CLASSES)
    masks.check("a", (3, 8, 9), "zyx")
    path = masks.paths("a", (3, 8, 9), "zyx")[-1]
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(ConfigError, match=path.name):
        masks.check("a", (3, 8, 9), "zyx")
    masks.check("b", (3, 8, 9), "zyx")


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a\\b", ".a", "a\0"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with (
        MaskFolder(tmp_path / "out", "tiff", CLASSES) as masks,
        pytest.raises(ConfigError, match="cannot be the name of a mask file"),
    ):
        masks.add(name, noise((8, 9)), "yx", {}, {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a_z001", "a")])
def test_two_images_do_not_share_a_file(tmp_path: Path, names: tuple[str, str]) -> None:
    stack = noise((2, 8, 9)) if "_" in names[0] else noise((8, 9))
    with MaskFolder(tmp_path, "png", CLASSES) as masks:
        masks.add(names[0], noise((8, 9)), "yx", {}, {})
        with pytest.raises(ConfigError, match="Two images would have the mask"):
            masks.add(names[1], stack, "zyx"[-stack.ndim :], {}, {})
    assert len(masks.files) == 2


def test_an_unknown_format_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no format 'jpeg' of masks"):
        MaskFolder(tmp_path, "jpeg", CLASSES)


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (noise((8, 9)).astype(int), "yx"),
        (noise((8, 9)), "zyx"),
        (noise((8, 9)), "xy"),
        (noise((2, 8, 9)), "cyx"),
        (noise((8, 9), 4), "yx"),
    ],
)
def test_labels_that_only_a_bug_makes(tmp_path: Path, labels: np.ndarray, axes: str) -> None:
    with MaskFolder(tmp_path, "tiff", CLASSES) as masks, pytest.raises(ValueError, match=r"\w"):
        masks.add("a", labels, axes, {}, {})
    assert not list(tmp_path.iterdir())


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_after_an_error_what_was_added_is_complete(
    tmp_path: Path, format: str, error: type[BaseException] | BaseException
) -> None:
    expected = contents(add(tmp_path / "expected", format).folder)
    kind = error if isinstance(error, type) else type(error)
    with (
        pytest.raises(kind),
        MaskFolder(tmp_path / "got", format, CLASSES, statistics=True) as masks,
    ):
        masks.add("a", noise((8, 9)), "yx", {}, {})
        raise error
    found = contents(tmp_path / "got")
    assert found.keys() == expected.keys()
    assert format == "tiff" or found == expected


@pytest.mark.parametrize("format", FORMATS)
def test_without_a_mask_nothing_is_written(tmp_path: Path, format: str) -> None:
    with MaskFolder(tmp_path / "out", format, CLASSES, statistics=True) as masks:
        pass
    assert masks.files == masks.statistics == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wanted", [True, False])
def test_a_mask_that_is_there_already_is_only_measured(tmp_path: Path, wanted: bool) -> None:
    expected = contents(add(tmp_path / "expected", "ome-zarr").folder)
    with MaskFolder(tmp_path / "got", "ome-zarr", CLASSES, statistics=wanted) as masks:
        masks.measure("a", noise((8, 9)), "yx", {}, {}, "a.tif")
    assert masks.files == []
    found = contents(tmp_path / "got") if wanted else {}
    assert found == {name: expected[name] for name in STATISTICS if wanted}
    assert (tmp_path / "got").exists() == wanted


def test_the_first_error_is_told_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(RuntimeError, match="first"),
        MaskFolder(tmp_path, "coco", CLASSES, statistics=True) as masks,
    ):
        masks.add("a", noise((8, 9)), "yx", {}, {})
        monkeypatch.setattr("napari_threestage.mask_files.text_file.os.fsync", fail)
        raise RuntimeError("first")
    assert [path.name for path in tmp_path.iterdir()] == ["panoptic"]
    with pytest.raises(OSError, match="No space"):
        add(tmp_path, "png")
    assert {path.name for path in tmp_path.iterdir()} == {"panoptic", "a.png"}


def test_a_file_that_cannot_be_written_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for kind, place in (("png", "png_file._write_pixels"), ("geojson", "geojson._feature")):
        with monkeypatch.context() as patch:
            patch.setattr(f"napari_threestage.mask_files.{place}", fail)
            with pytest.raises(OSError, match="No space"):
                add(tmp_path, kind)
        assert not list(tmp_path.iterdir())


def test_a_stack_of_three_planes_is_not_taken_for_colours(tmp_path: Path) -> None:
    from napari_threestage.mask_files import write_mask_file

    write_mask_file(tmp_path / "a.tif", noise((3, 8, 9)))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 3
    assert is_mask_file(tmp_path / "a.tif")


def test_names_of_files_that_are_no_utf_8_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    for kind in ("geojson", "coco"):
        add(tmp_path / kind, kind, name=name)
    lines = (tmp_path / "coco" / "classes.csv").read_bytes().splitlines()
    assert lines[1].startswith(b"caf\xe9,")
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert content["images"][0]["file_name"] == f"{name}.png"
