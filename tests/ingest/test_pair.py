"""Which files are images, and which mask belongs to which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import Pairing, find_pairs


def make(root: Path, *names: str) -> Path:
    """Make empty files, and folders for names that end in a slash."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def shown(found: Pairing, root: Path) -> dict[str, str | None]:
    """Give the pairs with names relative to `root`."""

    def name(path: Path) -> str:
        return path.relative_to(root).as_posix()

    return {name(image): name(mask) if mask else None for image, mask in found.pairs}


def reasons(found: Pairing, root: Path) -> dict[str, str]:
    """Give the skipped files with names relative to `root`."""
    return {item.path.relative_to(root).as_posix(): item.reason for item in found.skipped}


@pytest.mark.parametrize(
    "mask",
    [
        *("a.png", "A.PNG", "a_mask.png", "a_masks.tif", "a_label.png", "a-labels.png"),
        *("a-seg.png", "a_seg.npy", "a.gt.png", "a mask.png", "a_annotation.png", "a_L.png"),
        *("a_labelIds.png", "a_gtFine_labelIds.png", "a_Mask.ome.tif", "a__MASK.png"),
        *("a_segmentation.tif", "a_ground_truth.png", "a_labels.zarr/"),
    ],
)
def test_masks_of_a_folder(tmp_path: Path, mask: str) -> None:
    make(tmp_path, "images/a.tif", f"masks/{mask}")
    found = find_pairs([tmp_path / "images"], tmp_path / "masks")
    assert shown(found, tmp_path) == {"images/a.tif": f"masks/{mask}".rstrip("/")}
    assert not found.skipped


@pytest.mark.parametrize("mask", ["ab_mask.png", "amask.png", "a_mask2.png", "a_color.png"])
def test_other_names_are_masks_without_image(tmp_path: Path, mask: str) -> None:
    make(tmp_path, "images/a.tif", f"masks/{mask}")
    found = find_pairs([tmp_path / "images"], tmp_path / "masks")
    assert shown(found, tmp_path) == {"images/a.tif": None}
    assert reasons(found, tmp_path) == {f"masks/{mask}": "a mask without an image of that name"}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.ome.tif", "a_mask.tif"),
        ("a.ome.zarr/", "a.png"),
        ("a_leftImg8bit.png", "a_gtFine_labelIds.png"),
        ("a_image.png", "a_mask.png"),
        ("a_mask.png", "a_mask.png"),
        ("a.b.png", "a.b_mask.png"),
    ],
)
def test_endings_of_images(tmp_path: Path, image: str, mask: str) -> None:
    make(tmp_path, f"images/{image}", f"masks/{mask}")
    found = find_pairs([tmp_path / "images"], tmp_path / "masks")
    assert shown(found, tmp_path) == {f"images/{image}".rstrip("/"): f"masks/{mask}"}


def test_order_is_natural(tmp_path: Path) -> None:
    make(tmp_path, "a10.png", "a9.png", "A1.png", "b/2.png", "b/10.png")
    expected = ["A1.png", "a9.png", "a10.png", "b/2.png", "b/10.png"]
    assert list(shown(find_pairs([tmp_path]), tmp_path)) == expected


def test_every_other_file_is_listed_and_hidden_ones_are_not(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "notes.txt", "sub/table.csv", "README", ".hidden.png", ".git/b.png")
    found = find_pairs([tmp_path])
    assert shown(found, tmp_path) == {"a.png": None}
    assert reasons(found, tmp_path) == {
        "notes.txt": "not a known image format (.txt)",
        "README": "not a known image format (no ending)",
        "sub/table.csv": "not a known image format (.csv)",
    }


def test_zarr_folders_are_one_image(tmp_path: Path) -> None:
    make(tmp_path, "x/a.ome.zarr/0/c/0.png", "x/a.ome.zarr/zarr.json", "b.zarr/zarr.json")
    found = find_pairs([tmp_path / "x", tmp_path / "b.zarr"])
    assert shown(found, tmp_path) == {"b.zarr": None, "x/a.ome.zarr": None}
    assert not found.skipped


def test_files_that_are_named_twice_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "x/a.png", "x/notes.txt")
    monkeypatch.chdir(tmp_path)
    found = find_pairs([tmp_path / "x", Path("x/a.png"), tmp_path / "x" / "a.png"])
    assert shown(found, tmp_path) == {"x/a.png": None}


def test_named_files(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png", "c.txt")
    names = ["a.png", "a_mask.png", "b.png", "c.txt"]
    found = find_pairs([tmp_path / name for name in names])
    assert shown(found, tmp_path) == {"a.png": "a_mask.png", "b.png": None}
    assert list(reasons(found, tmp_path)) == ["c.txt"]


def test_masks_beside_their_images(tmp_path: Path) -> None:
    make(tmp_path, "x/a.png", "x/a_mask.png", "y/a.png", "z/b.png", "z/c_labels.png")
    found = find_pairs([tmp_path])
    pairs = {"x/a.png": "x/a_mask.png", "y/a.png": None, "z/b.png": None}
    assert shown(found, tmp_path) == pairs
    assert reasons(found, tmp_path) == {"z/c_labels.png": "a mask without an image of that name"}


def test_left_and_right_images_are_no_masks(tmp_path: Path) -> None:
    make(tmp_path, "eye_L.png", "eye_R.png")
    assert shown(find_pairs([tmp_path]), tmp_path) == {"eye_L.png": None, "eye_R.png": None}


def test_same_names_in_two_named_folders_stay_apart(tmp_path: Path) -> None:
    make(tmp_path, "x/a.png", "x/a_mask.png", "y/a.png", "y/a_mask.png")
    found = find_pairs([tmp_path / "x", tmp_path / "y"])
    assert shown(found, tmp_path) == {"x/a.png": "x/a_mask.png", "y/a.png": "y/a_mask.png"}


@pytest.mark.parametrize("folder", ["masks", "labels", "Annotations", "gt"])
@pytest.mark.parametrize("top", ["", "train/"])
def test_parallel_folders(tmp_path: Path, folder: str, top: str) -> None:
    files = [f"{top}images/s/a.png", f"{top}{folder}/s/a.png", f"{top}images/b.png"]
    make(tmp_path, *files, f"{top}overlays/a.png")
    found = find_pairs([tmp_path])
    assert shown(found, tmp_path) == {files[2]: None, files[0]: files[1]}
    outside = {f"{top}overlays/a.png": "lies beside a folder of images and one of masks"}
    assert reasons(found, tmp_path) == outside


def test_mask_folder_below_the_images(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "masks/a_mask.png", "sub/b.png")
    found = find_pairs([tmp_path])
    assert shown(found, tmp_path) == {"a.png": "masks/a_mask.png", "sub/b.png": None}


def test_same_sub_folder_comes_first(tmp_path: Path) -> None:
    make(tmp_path, "i/x/a.png", "i/y/a.png", "m/x/a.png", "m/y/a.png", "i/x/b.png", "m/b.png")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    pairs = {"i/x/a.png": "m/x/a.png", "i/x/b.png": "m/b.png", "i/y/a.png": "m/y/a.png"}
    assert shown(found, tmp_path) == pairs
    assert not found.skipped


def test_two_masks_for_one_image_are_skipped_with_it(tmp_path: Path) -> None:
    make(tmp_path, "i/a.png", "i/b.png", "m/a.png", "m/a_mask.png", "m/b.png")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    assert shown(found, tmp_path) == {"i/b.png": "m/b.png"}
    assert list(reasons(found, tmp_path)) == ["i/a.png", "m/a.png", "m/a_mask.png"]
    assert "1 image and 2 masks" in found.skipped[0].reason


def test_one_mask_for_two_images_is_skipped_with_them(tmp_path: Path) -> None:
    make(tmp_path, "i/x/a.png", "i/y/a.png", "m/a.png", "i/c.png")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    assert shown(found, tmp_path) == {"i/c.png": None}
    assert list(reasons(found, tmp_path)) == ["i/x/a.png", "i/y/a.png", "m/a.png"]
    assert "2 images and 1 mask " in found.skipped[0].reason


def test_exact_name_is_not_taken_for_an_ending(tmp_path: Path) -> None:
    make(tmp_path, "i/a.png", "i/b_seg.png", "m/a.png", "m/b_seg.png")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    assert shown(found, tmp_path) == {"i/a.png": "m/a.png", "i/b_seg.png": "m/b_seg.png"}


@pytest.mark.parametrize(
    ("images", "masks"),
    [(".", "masks"), ("images", "."), (".", ".")],
)
def test_masks_in_or_around_the_images(tmp_path: Path, images: str, masks: str) -> None:
    make(tmp_path, "images/a.png", "masks/a.png", "images/b.png")
    found = find_pairs([tmp_path / images], tmp_path / masks)
    assert shown(found, tmp_path) == {"images/a.png": "masks/a.png", "images/b.png": None}


def test_images_and_masks_in_one_folder_that_is_named_twice(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a_mask.png")
    found = find_pairs([tmp_path], tmp_path)
    assert shown(found, tmp_path) == {"a.png": "a_mask.png"}


def test_mask_beside_the_image_is_not_an_image(tmp_path: Path) -> None:
    make(tmp_path, "i/a.png", "i/a_mask.png", "m/a.png")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    assert shown(found, tmp_path) == {"i/a.png": "m/a.png"}
    assert "named like a mask" in reasons(found, tmp_path)["i/a_mask.png"]


def test_other_files_among_the_masks_are_listed(tmp_path: Path) -> None:
    make(tmp_path, "i/a.png", "m/a.png", "m/classes.json")
    found = find_pairs([tmp_path / "i"], tmp_path / "m")
    assert reasons(found, tmp_path) == {"m/classes.json": "not a known image format (.json)"}


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_linked_folders_are_listed_and_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "x/a.png")
    (tmp_path / "x" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find_pairs([tmp_path / "x"])
    assert shown(found, tmp_path) == {"x/a.png": None}
    assert "linked folder" in reasons(found, tmp_path)["x/loop"]


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (["nowhere"], None, "nowhere does not exist"),
        (["i", "i/b.png"], None, r"b\.png does not exist"),
        (["i"], "nowhere", "nowhere does not exist"),
        (["i"], "i/a.png", r"a\.png is not a folder"),
        (["i"], "empty", "No mask found in .*empty"),
        (["empty"], None, "No image found in .*empty"),
        (["text"], None, "No image found in .*text"),
        (["only"], None, "No image found in .*only"),
        ([], None, "No image found in an empty list"),
    ],
)
def test_nothing_to_read(
    tmp_path: Path, images: list[str], masks: str | None, message: str
) -> None:
    make(tmp_path, "i/a.png", "empty/", "text/a.txt", "only/a_mask.png")
    with pytest.raises(ImageFileError, match=message) as caught:
        find_pairs([tmp_path / name for name in images], tmp_path / masks if masks else None)
    assert caught.value.hint


def test_hint_says_what_was_found_instead(tmp_path: Path) -> None:
    make(tmp_path, "a_mask.png", "b.txt")
    with pytest.raises(ImageFileError) as caught:
        find_pairs([tmp_path])
    assert "1 files there are named like masks" in caught.value.hint
    assert "1 files there are of no known format" in caught.value.hint
    assert ".tif" in caught.value.hint
