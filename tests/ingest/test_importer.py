"""Folders of files into a project: all of them, once, and nothing half."""

from __future__ import annotations

import json
import threading
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_threestage import store
from napari_threestage.errors import ImageFileError
from napari_threestage.ingest import (
    ImportOptions,
    ImportReport,
    encode_mask,
    import_images,
    importer,
    load_image,
    load_mask_values,
)
from napari_threestage.project import Project
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 12, 16
TRUTH = (
    np.random.default_rng(7).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
)  # 0 = not labelled


def pixels(number: int, channels: int = 1) -> np.ndarray:
    shape = (channels, HEIGHT, WIDTH)
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    """Write (C, H, W) or (H, W) in the format that the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zarr":
        axes = "cyx"[-array.ndim :]
        store.write_image(path, ImageArray(array, axes, {"y": 0.5, "x": 0.5}), {})
        return
    plane = array
    if array.ndim == 3:
        plane = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    if path.suffix == ".npy":
        np.save(path, plane)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, plane)
    else:
        Image.fromarray(plane).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "data" / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "data" / "masks"


def fill(images: Path, masks: Path, ending: str = ".png", count: int = 3) -> None:
    """Write `count` grey images, and masks in indices for the first two."""
    for number in range(count):
        save(images / f"a{number}{ending}", pixels(number))
        if number < 2:
            save(masks / f"a{number}{ending}", encode_mask(TRUTH))


def run(project: Project, images: Path, masks: Path | None = None, **options: Any) -> ImportReport:
    with project.editing():
        return import_images(project, [images], masks, ImportOptions(**options))


def stored(project: Project) -> dict[str, np.ndarray | None]:
    """Ground truth by name, as a fresh look at the disk finds it; every image is whole."""
    project = Project(project.path)
    folders = {path.name for path in (project.path / "images").iterdir()}
    assert folders == {f"{image_id}.ome.zarr" for image_id in project.images}
    for image_id in project.images:
        store.validate(project.image_path(image_id))
    return {record.name: project.read_labels(record.id) for record in project.images.values()}


# --- formats ----------------------------------------------------------------------------------


def test_names_of_channels_are_stored_with_the_image(small_project: Project, images: Path) -> None:
    images.mkdir(parents=True)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(images / "a.ome.tif", pixels(0, 2), metadata=metadata)
    run(small_project, images)
    (image_id,) = small_project.images
    assert small_project.read_image(image_id).channel_names == ("DAPI", "GFP")
    store.validate(small_project.image_path(image_id))


@pytest.mark.parametrize("ending", [".png", ".tif", ".npy", ".ome.zarr"])
def test_a_folder_is_imported_with_its_masks(
    small_project: Project, images: Path, masks: Path, ending: str
) -> None:
    fill(images, masks, ending)
    report = run(small_project, images, masks)
    assert (len(report.imported), report.labelled) == (3, 2)
    assert report.failed == report.ignored == report.unchanged == []
    assert report.warnings == []
    truths = stored(small_project)
    assert sorted(truths) == ["a0", "a1", "a2"] and truths["a2"] is None
    for name in ("a0", "a1"):
        np.testing.assert_array_equal(truths[name], TRUTH)
    for record in small_project.images.values():
        found = small_project.read_image(record.id)
        np.testing.assert_array_equal(found.data[...], pixels(int(record.name[1])))
        assert found.scale["y"] == (0.5 if ending == ".ome.zarr" else 1.0)


@pytest.mark.parametrize(
    ("values", "raw"),
    [
        ("index", encode_mask(TRUTH)),
        ("one-based", TRUTH),
        ('{"10": 1, "20": 2, "255": 0}', np.array([255, 10, 20], np.uint8)[TRUTH]),
    ],
)
def test_the_values_of_masks_mean_what_the_options_say(
    small_project: Project, images: Path, masks: Path, values: str, raw: np.ndarray
) -> None:
    save(images / "a.png", pixels(0))
    save(masks / "a.png", raw)
    if values.startswith("{"):
        (masks.parent / "values.json").write_text(values)
        values = str(masks.parent / "values.json")
    report = run(small_project, images, masks, mask_values=load_mask_values(values))
    assert report.labelled == 1
    np.testing.assert_array_equal(stored(small_project)["a"], TRUTH)


def test_masks_may_hold_the_colours_of_the_classes(
    small_project: Project, images: Path, masks: Path
) -> None:
    colours = np.array([entry.color for entry in small_project.classes], np.uint8)
    truth = np.maximum(TRUTH, 1)
    save(images / "a.png", pixels(0))
    save(masks / "a.png", np.moveaxis(colours[truth - 1], -1, 0))
    run(small_project, images, masks, mask_values="rgb")
    np.testing.assert_array_equal(stored(small_project)["a"], truth)


def test_another_value_or_none_may_mean_not_labelled(
    small_project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", pixels(0))
    save(masks / "a.png", encode_mask(TRUTH, 9))
    run(small_project, images, masks, unlabelled_value=9)
    np.testing.assert_array_equal(stored(small_project)["a"], TRUTH)


def test_masks_of_0_and_255_are_warned_about(
    small_project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", pixels(0))
    save(masks / "a.png", np.where(TRUTH > 1, 255, 0).astype(np.uint8))
    (warning,) = run(small_project, images, masks).warnings
    assert "255 was taken as not labelled" in warning and "--mask-values" in warning


def test_a_stack_keeps_its_planes_and_its_masks(
    small_project: Project, images: Path, masks: Path
) -> None:
    images.mkdir(parents=True)
    masks.mkdir()
    stack = np.concatenate([pixels(number) for number in range(5)])
    truth = np.stack([TRUTH] * 4 + [np.zeros_like(TRUTH)])
    for folder, values in ((images, stack), (masks, encode_mask(truth))):
        tifffile.imwrite(folder / "a.tif", values, imagej=True, metadata={"axes": "ZYX"})
    run(small_project, images, masks)
    (record,) = small_project.images.values()
    assert (record.axes, record.n_planes) == ("czyx", 5)
    np.testing.assert_array_equal(stored(small_project)["a"], truth)


def test_images_that_judge_are_kept_apart(small_project: Project, images: Path) -> None:
    save(images / "a.png", pixels(0))
    run(small_project, images, split="validation")
    assert [record.split for record in Project(small_project.path).images.values()] == [
        "validation"
    ]


# --- again ------------------------------------------------------------------------------------


def test_a_second_import_changes_nothing(small_project: Project, images: Path, masks: Path) -> None:
    fill(images, masks)
    first = run(small_project, images, masks)
    files = {p: p.stat().st_mtime_ns for p in (small_project.path / "images").rglob("*")}
    second = run(small_project, images, masks)
    assert second.imported == [] and second.unchanged == first.imported
    assert second.labelled == 2 and second.warnings == []
    assert files == {p: p.stat().st_mtime_ns for p in (small_project.path / "images").rglob("*")}


def test_an_interrupted_import_goes_on_where_it_was(
    small_project: Project, images: Path, masks: Path
) -> None:
    fill(images, masks, count=12)

    def interrupt(done: int, total: int) -> None:
        assert total == 12
        if done == 3:
            raise KeyboardInterrupt

    with small_project.editing(), pytest.raises(KeyboardInterrupt):
        import_images(small_project, [images], masks, ImportOptions(), interrupt)
    kept = stored(small_project)
    assert 3 <= len(kept) <= 12
    report = run(small_project, images, masks)
    assert len(report.unchanged) == len(kept)
    assert len(report.imported) == 12 - len(kept) and report.labelled == 2
    assert len(stored(small_project)) == 12


def test_an_import_that_was_killed_before_it_was_saved_is_taken_up(
    small_project: Project, images: Path, masks: Path
) -> None:
    fill(images, masks)
    before = (small_project.path / "project.json").read_bytes()
    run(small_project, images, masks)
    (small_project.path / "project.json").write_bytes(before)
    report = run(Project(small_project.path), images, masks)
    assert (len(report.imported), report.labelled) == (3, 2)
    assert len(stored(small_project)) == 3


def test_ground_truth_is_kept_unless_it_may_be_replaced(
    small_project: Project, images: Path, masks: Path
) -> None:
    fill(images, masks, count=1)
    run(small_project, images, masks)
    (image_id,) = small_project.images
    painted = np.full_like(TRUTH, 2)
    small_project.write_ground_truth(image_id, painted, "painted")
    report = run(small_project, images, masks)
    assert report.labelled == 0 and "a0.png has other ground truth already" in report.warnings[0]
    np.testing.assert_array_equal(stored(small_project)["a0"], painted)
    assert run(small_project, images).warnings == []  # without masks there is nothing to say
    np.testing.assert_array_equal(stored(small_project)["a0"], painted)
    assert run(small_project, images, masks, replace_masks=True).labelled == 1
    np.testing.assert_array_equal(stored(small_project)["a0"], TRUTH)


def test_many_copies_of_one_image_are_one_image_with_one_mask(
    small_project: Project, images: Path, masks: Path
) -> None:
    for number in range(16):
        save(images / str(number) / "a.png", pixels(0))
        save(
            masks / str(number) / "a.png", encode_mask(TRUTH if number else np.full_like(TRUTH, 1))
        )
    report = run(small_project, images, masks)
    assert report.failed == [] and len(report.imported) == 1 and len(report.unchanged) == 15
    (kept,) = stored(small_project).values()
    assert kept is not None
    others = 15 if (kept == 1).all() else 1  # whichever mask came first stays
    assert len(report.warnings) == others and report.labelled == 16 - others


# --- what is wrong ----------------------------------------------------------------------------


def damaged(images: Path, masks: Path, case: str) -> tuple[str, str]:
    """Damage one of three pairs; give the file to blame and words of the reason."""
    target, words = images / "b.png", "damaged"
    save(images / "b.png", pixels(9))
    if case == "mask of another size":
        save(masks / "b.png", encode_mask(TRUTH)[:-1])
        return "b.png", "Mask b.png has 16 x 11 pixels, its image b.png 16 x 12"
    if case == "class too high":
        save(masks / "b.png", np.full_like(TRUTH, 7))
        return "b.png", "^b.png: .*\\b7\\b.*class"
    if case == "cut mask":
        save(masks / "b.png", encode_mask(TRUTH))
        target = masks / "b.png"
    if case in ("cut mask", "cut png"):
        target.write_bytes(target.read_bytes()[:60])
        return target.name, "cannot be read as PNG"
    target.unlink()
    if case == "cut tiff":
        target = images / "b.tif"
        save(target, pixels(9))
        target.write_bytes(target.read_bytes()[:-100])
        words = "b.tif is cut off"
    elif case == "text":
        target = images / "b.tif"
        target.write_text("no image at all")
        words = "b.tif cannot be read as TIF: not a TIFF file"
    elif case == "empty":
        target.write_bytes(b"")
        words = "b.png is empty"
    elif case == "channels":
        target = images / "b.ome.zarr"
        save(target, pixels(9, 5))
        words = r"b\.ome\.zarr has 5 channels, the other images have 1"
    elif case in ("zarr", "zarr chunk", "zarr mask"):
        folder = masks if case == "zarr mask" else images
        target = folder / "b.ome.zarr"
        if case == "zarr mask":
            save(images / "b.png", pixels(9))
        save(target, TRUTH if case == "zarr mask" else pixels(9))
        part = "zarr.json" if case == "zarr" else "0/c/0/0" + "/0" * (case == "zarr chunk")
        assert (target / part).is_file()
        (target / part).write_bytes(b"garbage")
        words = r"b\.ome\.zarr (is damaged|cannot be opened)"
    return target.name, words


CASES = [
    "mask of another size",
    "class too high",
    "cut mask",
    "cut png",
    "cut tiff",
    "text",
    "empty",
    "channels",
    "zarr",
    "zarr chunk",
    "zarr mask",
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:tifffile")
def test_a_bad_file_is_listed_with_its_reason_and_the_others_are_imported(
    small_project: Project, images: Path, masks: Path, case: str
) -> None:
    fill(images, masks)
    name, words = damaged(images, masks, case)
    report = run(small_project, images, masks)
    (failed,) = report.failed
    assert failed.path.name == name
    with pytest.raises(ImageFileError, match=words):
        raise ImageFileError(failed.reason)
    assert len(report.imported) == 3 and sorted(stored(small_project)) == ["a0", "a1", "a2"]
    listed = json.loads(json.dumps(report.to_dict()))["failed"]
    assert listed == [{"file": str(failed.path), "reason": failed.reason}]


@pytest.mark.parametrize("case", [c for c in CASES if c != "channels"])
def test_when_nothing_can_be_imported_the_project_stays_as_it_was(
    small_project: Project, images: Path, masks: Path, case: str
) -> None:
    before = (small_project.path / "project.json").read_bytes()
    masks.mkdir(parents=True)
    save(masks / "unused.png", TRUTH)
    damaged(images, masks, case)
    with pytest.raises(ImageFileError, match="Nothing was imported: "):
        run(small_project, images, masks)
    assert stored(small_project) == {}
    assert (small_project.path / "project.json").read_bytes() == before


def test_everything_that_is_not_used_is_listed_with_its_reason(
    small_project: Project, images: Path, masks: Path
) -> None:
    fill(images, masks)
    (images / "notes.txt").write_text("x")
    save(masks / "orphan.png", TRUTH)
    report = run(small_project, images, masks)
    reasons = {skipped.path.name: skipped.reason for skipped in report.ignored}
    assert set(reasons) == {"notes.txt", "orphan.png"}
    assert "not a known image format" in reasons["notes.txt"]
    assert "without an image" in reasons["orphan.png"]


def test_an_unforeseen_failure_leaves_a_complete_project(
    small_project: Project, images: Path, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(images, masks)
    write_group = store._write_group

    def fail(path: Path, *arguments: Any) -> None:
        if ".a1-" in path.name:
            raise OSError(28, "No space left on device")
        write_group(path, *arguments)

    monkeypatch.setattr(store, "_write_group", fail)
    with pytest.raises(OSError, match="No space left"):
        run(small_project, images, masks)
    assert "a1" not in stored(small_project)  # which also finds every image whole
    monkeypatch.undo()
    run(small_project, images, masks)
    assert sorted(stored(small_project)) == ["a0", "a1", "a2"]


# --- channels ---------------------------------------------------------------------------------


def test_many_channels_have_to_be_chosen(small_project: Project, images: Path) -> None:
    images.mkdir(parents=True)
    tifffile.imwrite(images / "a.tif", pixels(0, 5), metadata={"axes": "CYX"}, ome=True)
    with pytest.raises(ImageFileError, match=r"5 channels, .* --channels"):
        run(small_project, images)
    assert stored(small_project) == {}
    small_project.set_channels([4, 0])
    small_project.save()
    assert len(run(small_project, images).imported) == 1
    assert small_project.n_channels == 2


def test_a_chosen_channel_that_an_image_does_not_have_is_a_reason(
    small_project: Project, images: Path
) -> None:
    small_project.set_channels([4])
    small_project.save()
    save(images / "a.png", pixels(0))  # grey fills all
    save(images / "b.png", pixels(1, 3))
    report = run(small_project, images)
    assert "b.png has 3 channels, the project uses channel 4" in report.failed[0].reason
    assert list(stored(small_project)) == ["a"]


@pytest.mark.parametrize("colour", ["a", "z"], ids=["colour first", "grey first"])
def test_grey_images_among_colour_images_do_not_change_the_number_of_channels(
    small_project: Project, images: Path, colour: str
) -> None:
    save(images / f"{colour}.png", pixels(0, 3).repeat(8, 1).repeat(8, 2))
    for number in range(4):
        save(images / f"b{number}.png", pixels(number))  # which are ready before the large one
    report = run(small_project, images)
    assert report.failed == [] and small_project.n_channels == 3


def test_an_image_for_training_does_not_become_one_for_validation(
    small_project: Project, images: Path
) -> None:
    save(images / "a.png", pixels(0))
    run(small_project, images)
    report = run(small_project, images, split="validation")
    assert "is an image for train already" in report.warnings[0]
    assert [record.split for record in small_project.images.values()] == ["train"]


# --- OME-Zarr ---------------------------------------------------------------------------------


def test_a_linked_image_stays_where_it_is_and_is_never_written(
    small_project: Project, images: Path, masks: Path
) -> None:
    fill(images, masks, ".ome.zarr")
    before = {p: p.stat().st_mtime_ns for p in images.rglob("*")}
    report = run(small_project, images, masks, link=True)
    assert len(report.imported) == 3 and report.labelled == 2
    np.testing.assert_array_equal(stored(small_project)["a0"], TRUTH)
    for record in small_project.images.values():
        level = small_project.image_path(record.id) / "0"
        assert level.is_symlink()
        assert level.resolve() == (images / f"{record.name}.ome.zarr" / "0").resolve()
        assert record.linked == str((images / f"{record.name}.ome.zarr").resolve())
    assert before == {p: p.stat().st_mtime_ns for p in images.rglob("*")}


def ome_zarr_04(path: Path) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=pixels(0))
    transformation = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    datasets = [{"path": "0", "coordinateTransformations": [transformation]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@pytest.mark.parametrize("kind", ["png", "0.4", "no channel axis"])
def test_what_cannot_be_linked_is_a_reason_and_can_be_copied(
    small_project: Project, images: Path, kind: str
) -> None:
    images.mkdir(parents=True)
    if kind == "png":
        save(images / "a.png", pixels(0))
    elif kind == "0.4":
        ome_zarr_04(images / "a.zarr")
    else:
        save(images / "a.zarr", pixels(0)[0])
    with pytest.raises(ImageFileError, match="cannot be linked"):
        run(small_project, images, link=True)
    assert stored(small_project) == {}
    assert len(run(small_project, images).imported) == 1
    (record,) = small_project.images.values()
    np.testing.assert_array_equal(small_project.read_image(record.id).data[...], pixels(0))


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("yx", (4, 5), "cyx"),
        ("zyx", (3, 4, 5), "czyx"),
        ("tzyx", (2, 3, 4, 5), "tczyx"),
        ("zcyx", (3, 2, 4, 5), "czyx"),
    ],
)
def test_axes_of_ome_zarr_are_put_in_order(
    tmp_path: Path, axes: str, shape: tuple[int, ...], expected: str
) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    store.write_image(tmp_path / "a.zarr", ImageArray(values, axes), {})
    image = load_image(tmp_path / "a.zarr")
    assert image.axes == expected
    ordered = values.swapaxes(0, 1) if axes == "zcyx" else values
    np.testing.assert_array_equal(image.data, ordered.reshape(image.data.shape))
    assert image.data.shape[expected.index("c")] == (2 if "c" in axes else 1)


def test_other_axes_are_a_sentence(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=pixels(0))
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * 3}]}]
    axes = [{"name": name} for name in ("angle", "y", "x")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    with pytest.raises(ImageFileError, match="Allowed are t c z y x"):
        load_image(tmp_path / "a.zarr")


def test_images_are_recorded_in_the_order_of_their_files(
    small_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, folder = tmp_path / "first" / "z.png", tmp_path / "later"
    save(first, pixels(99)[0])
    import_images(small_project, [first], None, ImportOptions())
    names = [f"a{number}" for number in range(4)]
    for number, name in enumerate(names):
        save(folder / f"{name}.png", pixels(number)[0])
    add_image, later = Project.add_image, [threading.Event() for _ in names]
    later[-1].set()

    def last_first(project: Project, name: str, *rest: Any) -> Any:
        place = names.index(name)
        assert later[place].wait(30)
        added = add_image(project, name, *rest)
        if place:
            later[place - 1].set()
        return added

    monkeypatch.setattr(Project, "add_image", last_first)
    import_images(small_project, [folder], None, ImportOptions())
    recorded = [record.name for record in Project(small_project.path).images.values()]
    assert recorded == ["z", *names]


def test_the_project_is_saved_now_and_then_however_long_that_takes(
    small_project: Project, images: Path, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that advances with every look: a save takes a second, and so does an image."""
    fill(images, masks, count=30)
    ticks, save, saved = count(), small_project.save, []
    monkeypatch.setattr(importer, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    monkeypatch.setattr(importer, "SAVE_SHARE", 0.1)

    def note() -> None:
        saved.append(len(small_project.images))
        save()

    monkeypatch.setattr(small_project, "save", note)
    import_images(small_project, [images], None, ImportOptions())
    # After three images, twice after ten more, as one second of ten is for saving, at the end.
    assert len(saved) == 1 + 2 + 1
    assert len(Project(small_project.path).images) == 30
