"""The project folder: what is refused, what stays, and who may change it."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage import files, store
from napari_threestage.errors import BusyError, ImageFileError, ProjectError
from napari_threestage.labels import StoredTruth, write_stored
from napari_threestage.project import Project
from napari_threestage.project_file import default_classes
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.project_file import ImageRecord

    AddImage = Callable[..., ImageRecord]

CLASSES = default_classes(["background", "nucleus"])


def picture(seed: int = 0, shape: tuple[int, ...] = (1, 16, 20)) -> ImageArray:
    return ImageArray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), "cyx")


def truth(value: int = 1, shape: tuple[int, ...] = (16, 20)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


# --- create and open --------------------------------------------------------------------------


def test_a_new_project_is_opened_with_what_it_was_made_of(tmp_path: Path) -> None:
    made = Project.create(tmp_path / "new" / "project", CLASSES, [0, 2])
    opened = Project(made.path)
    assert opened.classes == CLASSES and opened.channels == [0, 2] and opened.n_channels == 2
    assert dict(opened.images) == {} and opened.normalisation == "auto"
    assert {entry.name for entry in made.path.iterdir()} == {
        "project.json",
        "images",
        "runs",
        "exports",
    }


def test_an_empty_folder_becomes_a_project_but_no_other(tmp_path: Path) -> None:
    Project.create(tmp_path, CLASSES)
    with pytest.raises(ProjectError, match="is a project already"):
        Project.create(tmp_path, CLASSES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ProjectError, match="is not empty"):
        Project.create(tmp_path / "full", CLASSES)
    assert [entry.name for entry in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["nucleus"], "at least two classes"),
        (["a", "b", "A "], "the same name"),
        (["a", " "], "has no name"),
        ([f"class {number}" for number in range(255)], "254 classes at most"),
    ],
)
def test_classes_that_make_no_sense_are_refused_before_anything_is_made(
    tmp_path: Path, names: list[str], sentence: str
) -> None:
    with pytest.raises(ProjectError, match=sentence):
        Project.create(tmp_path / "project", default_classes(names))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/project"])
def test_a_project_below_a_file_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ProjectError, match=r"cannot be written .* you may write to"):
        Project.create(tmp_path / place, CLASSES)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_project_in_a_read_only_folder_cannot_be_made_or_saved(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", CLASSES)
    project.path.chmod(0o555)
    try:
        with pytest.raises(ProjectError, match="cannot be written"):
            project.save()
        with pytest.raises(ProjectError, match="cannot be written"):
            Project.create(project.path / "another", CLASSES)
    finally:
        project.path.chmod(0o755)


def test_a_full_disk_leaves_the_old_project_file(
    small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (small_project.path / "project.json").read_bytes()

    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    small_project.set_channels([0])
    with pytest.raises(ProjectError, match="No space left on device"):
        small_project.save()
    assert (small_project.path / "project.json").read_bytes() == before
    assert not list(small_project.path.glob(".project.json*"))


def test_a_folder_that_is_missing_or_no_project_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"There is no folder .* threestage init"):
        Project(tmp_path / "nothing")
    with pytest.raises(ProjectError, match=r"is no project: it has no project.json"):
        Project(tmp_path)
    (tmp_path / "project.json").mkdir()
    with pytest.raises(ProjectError, match="cannot be read"):
        Project(tmp_path)


RECORD = {"id": "a-1", "name": "a", "axes": "cyx", "shape": [1, 2, 2], "dtype": "uint8"}


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": None},
        {"schema_version": "one"},
        {"classes": 5},
        {"classes": [{"name": "", "color": [0, 0, 0]}]},
        {"classes": [{"name": "without id", "color": [0, 0, 0]}]},
        {"classes": [{"id": 1, "name": name, "color": [0, 0, 0]} for name in "ab"]},
        {"merged": {"1": 2}},
        {"merged": {"x": 2}},
        {"unknown": 1},
        {"normalisation": "magic"},
        {"images": {"../../x": {**RECORD, "id": "../../x", "sha256": ""}}},
        {"images": {"../../x": {**RECORD, "sha256": ""}}},
        {"images": {"a-1": RECORD}},
    ],
    ids=str,
)
def test_a_project_file_with_wrong_entries_is_damaged(
    small_project: Project, change: dict[str, Any]
) -> None:
    file = small_project.path / "project.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ProjectError, match=r"is damaged .* Restore it"):
        Project(small_project.path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe\x00", b'{"a": 1}'])
def test_a_project_file_that_is_cut_or_garbage_is_damaged(
    small_project: Project, content: bytes
) -> None:
    (small_project.path / "project.json").write_bytes(content)
    with pytest.raises(ProjectError, match=r"is damaged .* Restore it"):
        Project(small_project.path)


def test_a_project_of_a_newer_program_asks_for_an_update(small_project: Project) -> None:
    file = small_project.path / "project.json"
    file.write_text(json.dumps({"schema_version": 4, "whatever": "comes"}))
    with pytest.raises(ProjectError, match=r"newer version .* \(schema 4, this one knows 3\)"):
        Project(small_project.path)


# --- images -----------------------------------------------------------------------------------


def test_the_same_image_is_stored_once(small_project: Project) -> None:
    first, new = small_project.add_image("a", picture())
    again, newer = small_project.add_image("a", picture())
    other, _ = small_project.add_image("a", picture(1))
    assert (new, newer) == (True, False) and again == first
    assert list(small_project.images) == [first.id, other.id]
    np.testing.assert_array_equal(small_project.read_image(first.id).data[...], picture().data)


def test_an_image_that_was_stored_but_not_recorded_is_taken_as_it_is(
    small_project: Project,
) -> None:
    record, _ = small_project.add_image("a", picture())
    written = (small_project.image_path(record.id) / "zarr.json").stat().st_mtime_ns
    small_project.reload()  # as after a kill before the save
    assert not small_project.images
    again, new = small_project.add_image("a", picture())
    assert new and again == record
    assert (small_project.image_path(record.id) / "zarr.json").stat().st_mtime_ns == written


def test_two_images_whose_hashes_begin_alike_are_two_images(
    small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter(["0" * 64, "0" * 8 + "1" * 56])
    monkeypatch.setattr("napari_threestage.project.content_hash", lambda array: next(hashes))
    first, _ = small_project.add_image("a", picture(0))
    second, new = small_project.add_image("a", picture(1))
    assert new and first.id != second.id
    np.testing.assert_array_equal(small_project.read_image(second.id).data[...], picture(1).data)


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc/passwd", "con:*?", "NUL", "", ".", "..", "\0\n", "細胞", "a" * 5000, "-rf"],
    ids=repr,
)
def test_hostile_names_become_safe_ids(small_project: Project, name: str) -> None:
    record, _ = small_project.add_image(name, picture())
    assert record.name == name and len(record.id) < 80
    assert record.id.replace("-", "").isascii() and record.id.replace("-", "").isalnum()
    assert not record.id.startswith("-")
    path = small_project.image_path(record.id)
    assert path.parent.resolve() == small_project.path.resolve() / "images" and path.is_dir()
    small_project.save()
    assert Project(small_project.path).images[record.id] == record


@pytest.mark.parametrize("order", [(1, 3), (3, 1)])
def test_the_number_of_channels_does_not_depend_on_the_order_of_import(
    small_project: Project, order: tuple[int, int]
) -> None:
    assert small_project.n_channels == 0
    for channels in order:
        small_project.add_image("a", picture(shape=(channels, 16, 20)))
    assert small_project.n_channels == 3
    small_project.set_channels([1])
    assert small_project.n_channels == 1


def test_a_record_knows_planes_channels_and_the_shape_of_labels(add_image: AddImage) -> None:
    record = add_image("a", shape=(2, 3, 4, 8, 9), axes="tczyx")
    assert (record.channels, record.n_planes, record.label_shape) == (3, 8, (2, 4, 8, 9))


def test_many_threads_may_add_while_the_project_is_saved(small_project: Project) -> None:
    stop = threading.Event()

    def save() -> None:
        while not stop.is_set():
            small_project.save()
            Project(small_project.path)  # which is complete at any time

    def add(number: int) -> tuple[str, bool]:
        record, new = small_project.add_image(f"a{number % 6}", picture(number % 6, (1, 4, 4)))
        return record.id, new

    with ThreadPoolExecutor(6) as pool:
        saving = pool.submit(save)
        try:
            added = list(pool.map(add, range(24)))
        finally:
            stop.set()
        saving.result()
    small_project.save()
    assert sum(new for _, new in added) == 6 and len({image_id for image_id, _ in added}) == 6
    assert set(Project(small_project.path).images) == {image_id for image_id, _ in added}
    for image_id in small_project.images:
        store.validate(small_project.image_path(image_id))


def test_moving_the_folder_keeps_it_working(
    small_project: Project, add_image: AddImage, tmp_path: Path
) -> None:
    record = add_image("a", truth(2, (64, 64)))
    moved = Project(shutil.move(small_project.path, tmp_path / "elsewhere"))
    np.testing.assert_array_equal(moved.read_labels(record.id), 2)
    moved.write_ground_truth(record.id, truth(1, (64, 64)), "painted")
    assert moved.label_counts(record.id).tolist() == [0, 64 * 64, 0]
    store.validate(moved.image_path(record.id))


# --- ground truth -----------------------------------------------------------------------------


def test_ground_truth_comes_back_with_counts_source_and_time(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("a", shape=(1, 4, 5))
    assert small_project.read_labels(record.id) is None
    assert small_project.label_counts(record.id).tolist() == [20, 0, 0]
    labels = np.array([[0, 1, 2, 2, 2]] * 4, np.uint8)
    small_project.write_ground_truth(record.id, labels, "painted")
    np.testing.assert_array_equal(small_project.read_labels(record.id), labels)
    assert small_project.label_counts(record.id).tolist() == [4, 4, 12]
    attributes = small_project.label_attributes(record.id)
    assert attributes is not None and attributes["source"] == "painted" and attributes["time"] > 0


@pytest.mark.parametrize("shape", [(20, 16), (16, 19), (1, 16, 20)])
def test_ground_truth_of_another_size_is_refused(
    small_project: Project, shape: tuple[int, ...]
) -> None:
    record, _ = small_project.add_image("a", picture())
    with pytest.raises(ImageFileError, match="the image 20 x 16"):
        small_project.write_ground_truth(record.id, truth(1, shape), "imported")
    assert small_project.read_labels(record.id) is None


def test_labels_of_another_image_are_refused(small_project: Project, add_image: AddImage) -> None:
    first = add_image("a", truth(1, (64, 64)))
    second = add_image("b")
    labels = "labels"
    shutil.copytree(
        small_project.image_path(first.id) / labels, small_project.image_path(second.id) / labels
    )
    for call in (small_project.read_labels, small_project.label_counts):
        with pytest.raises(ProjectError, match=f"of {second.id} belongs to other pixels"):
            call(second.id)


def test_every_pixel_keeps_the_source_of_its_ground_truth(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("a", np.array([[1, 1, 2, 0]], np.uint8), shape=(1, 1, 4))
    small_project.write_ground_truth(record.id, np.array([[1, 2, 0, 1]], np.uint8), "painted")
    path = small_project.image_path(record.id) / "provenance"
    attributes = store.read_attributes(path)
    assert attributes is not None
    names = ["", *attributes["sources"]]
    origin = [names[value] for value in store.read_map(path / "0")[0]]
    assert origin == ["imported", "painted", "", "painted"]


def test_more_sources_than_a_byte_can_hold_keep_their_names(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("a", shape=(1, 1, 300))
    labels, path = np.zeros((1, 300), np.uint8), small_project.image_path(record.id) / "provenance"
    labels[0, :250] = 1
    origin = np.pad(np.arange(1, 251, dtype=np.uint8), (0, 50))[np.newaxis]
    names = tuple(f"stage-2 of run {number}" for number in range(250))
    ids = small_project.class_table.ids[labels]
    write_stored(small_project, record.id, StoredTruth(ids, origin, names), names[-1])
    for number in range(250, 300):
        labels[0, number] = 1
        small_project.write_ground_truth(record.id, labels, f"stage-2 of run {number}")
        if number in (254, 255):
            assert store.read_map(path / "0").dtype == ("uint8" if number < 255 else "uint16")
    attributes = store.read_attributes(path)
    assert attributes is not None
    origin = [attributes["sources"][value - 1] for value in store.read_map(path / "0")[0]]
    assert origin == [f"stage-2 of run {number}" for number in range(300)]


def test_provenance_outlives_a_writer_that_was_killed_between_old_and_new(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("a", np.array([[1, 1, 2, 0]], np.uint8), shape=(1, 1, 4))
    path = small_project.image_path(record.id) / "provenance"
    (path / "0").rename(path / ".0.previous")  # as `store.write_map` does for a moment
    (path / ".0.12345678" / "c").mkdir(parents=True)
    small_project.write_ground_truth(record.id, np.array([[1, 1, 2, 1]], np.uint8), "painted")
    assert store.read_map(path / "0").tolist() == [[1, 1, 1, 2]]
    assert sorted(entry.name for entry in path.iterdir()) == ["0", "zarr.json"]


def test_stage_labels_live_beside_ground_truth(small_project: Project, add_image: AddImage) -> None:
    record = add_image("a", truth(1, (64, 64)))
    small_project.write_labels(record.id, "stage-1", truth(2, (64, 64)), {"run": "r"})
    np.testing.assert_array_equal(small_project.read_labels(record.id), 1)
    np.testing.assert_array_equal(small_project.read_labels(record.id, "stage-1"), 2)
    attributes = small_project.label_attributes(record.id, "stage-1")
    assert attributes is not None and attributes["run"] == "r"


# --- classes that change ----------------------------------------------------------------------

ROW = np.array([[0, 1, 2, 3]], np.uint8)


@pytest.fixture
def three(small_project: Project, add_image: AddImage) -> tuple[Project, str]:
    """A project of three classes and an image with a pixel of each and one without label."""
    small_project.set_class_table(small_project.class_table.add("membrane"))
    return small_project, add_image("a", ROW, (1, 1, 4)).id


def test_a_project_of_the_first_schema_keeps_its_labels(three: tuple[Project, str]) -> None:
    project, image_id = three
    file = project.path / "project.json"
    content = json.loads(file.read_text())
    old = {key: content[key] for key in content if key not in ("merged", "next_class_id")}
    for entry in old["classes"]:
        del entry["id"]
    file.write_text(json.dumps(old | {"schema_version": 1}))
    opened = Project(project.path)
    assert opened.classes == project.classes and opened.class_table == project.class_table
    np.testing.assert_array_equal(opened.read_labels(image_id), ROW)
    opened.set_class_table(opened.class_table.move(3, 0))
    opened.save()
    assert json.loads(file.read_text())["schema_version"] == 3
    assert Project(project.path).read_labels(image_id).tolist() == [[0, 2, 3, 1]]  # type: ignore[union-attr]


def test_changes_of_classes_are_permanent_and_touch_no_label(three: tuple[Project, str]) -> None:
    project, image_id = three
    labels = project.image_path(image_id) / "labels" / "ground_truth" / "zarr.json"
    written = labels.read_bytes()
    before = project.class_table
    project.set_class_table(before.rename(1, "outside").merge(2, 3).add("cell"))
    project.save()
    opened = Project(project.path)
    assert opened.class_table == project.class_table
    assert opened.read_labels(image_id).tolist() == [[0, 1, 2, 2]]  # type: ignore[union-attr]
    assert opened.label_counts(image_id).tolist() == [1, 1, 2, 0]
    assert labels.read_bytes() == written
    opened.set_class_table(before)
    np.testing.assert_array_equal(opened.read_labels(image_id), ROW)


def test_undoing_a_merge_or_a_deletion_brings_back_all_but_what_was_repainted(
    three: tuple[Project, str],
) -> None:
    project, image_id = three
    before = project.class_table
    for change, painted in ((before.merge(2, 3), [0, 2, 2, 2]), (before.remove(2), [0, 2, 0, 2])):
        project.set_class_table(before)
        project.write_ground_truth(image_id, ROW, "imported")
        project.set_class_table(change)
        project.write_ground_truth(image_id, np.array([painted], np.uint8), "painted")
        assert project.read_labels(image_id).tolist() == [painted]  # type: ignore[union-attr]
        project.set_class_table(before)
        assert project.read_labels(image_id).tolist() == [[0, 3, 2, 3]]  # type: ignore[union-attr]
        origin, names = project.provenance(image_id)
        assert [["", *names][value] for value in origin[0]] == [
            "",
            "painted",
            "imported",
            "imported",
        ]


def test_an_id_is_not_given_again_after_an_addition_was_undone(three: tuple[Project, str]) -> None:
    project, image_id = three
    before = project.class_table
    project.set_class_table(before.add("cell"))
    project.write_ground_truth(image_id, np.array([[4, 4, 2, 3]], np.uint8), "painted")
    added = project.class_table
    project.set_class_table(before)
    assert project.read_labels(image_id).tolist() == [[0, 0, 2, 3]]  # type: ignore[union-attr]
    other = project.class_table.add("vesicle")
    assert other.classes[-1].id == 5
    project.set_class_table(other)
    assert project.label_counts(image_id).tolist() == [2, 0, 1, 1, 0]
    project.set_class_table(added)  # redone
    assert project.label_counts(image_id).tolist() == [0, 0, 1, 1, 2]


def test_a_set_of_classes_that_makes_no_sense_is_refused(three: tuple[Project, str]) -> None:
    project, _ = three
    table = project.class_table
    with pytest.raises(ProjectError, match="at least two classes"):
        project.set_class_table(replace(table, classes=table.classes[:1]))
    assert project.class_table == table


def test_labels_of_a_run_are_written_with_its_own_classes(three: tuple[Project, str]) -> None:
    project, image_id = three
    project.set_class_table(project.class_table.move(3, 0).remove(2))
    project.write_labels(image_id, "stage-1", ROW, {}, class_ids=[1, 2, 3])
    assert project.read_labels(image_id, "stage-1").tolist() == [[0, 2, 0, 1]]  # type: ignore[union-attr]
    project.write_labels(image_id, "stage-2", np.array([[1, 1, 2, 2]], np.uint8), {})
    assert project.read_labels(image_id, "stage-2").tolist() == [[1, 1, 2, 2]]  # type: ignore[union-attr]


def test_every_value_of_a_label_set_has_a_name_and_a_colour(three: tuple[Project, str]) -> None:
    project, image_id = three
    project.set_class_table(project.class_table.add("cell").merge(1, 3).remove(2))
    project.write_ground_truth(image_id, np.array([[2, 1, 0, 1]], np.uint8), "painted")
    group = project.image_path(image_id) / "labels" / "ground_truth"
    meaning = json.loads((group / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    names = {entry["label-value"]: entry["class"] for entry in meaning["properties"]}
    assert names == {
        0: "not labelled",
        1: "membrane",
        2: "deleted class 2",
        3: "membrane",
        4: "cell",
    }
    assert {entry["label-value"] for entry in meaning["colors"]} == set(names)
    store.validate(group)


def test_a_reader_of_before_takes_unknown_classes_for_not_labelled(
    three: tuple[Project, str],
) -> None:
    project, image_id = three
    reader = Project(project.path)
    project.set_class_table(project.class_table.add("cell"))
    project.write_ground_truth(image_id, np.array([[4, 1, 2, 3]], np.uint8), "painted")
    np.testing.assert_array_equal(reader.read_labels(image_id), ROW)
    assert reader.label_counts(image_id).tolist() == [1, 1, 1, 1]


def test_provenance_of_an_image_without_labels_is_empty(
    small_project: Project, add_image: AddImage
) -> None:
    origin, names = small_project.provenance(add_image("a", shape=(1, 2, 3)).id)
    assert origin.tolist() == [[0, 0, 0]] * 2 and names == ()


# --- who may change it ------------------------------------------------------------------------


def test_two_cannot_edit_at_the_same_time_but_one_may_train(small_project: Project) -> None:
    other = Project(small_project.path)
    with small_project.editing():
        with pytest.raises(BusyError, match=rf"being changed .*process {os.getpid()} "):
            other.editing().__enter__()
        with other.running(), pytest.raises(BusyError, match="A run of project"):
            small_project.running().__enter__()
    with other.editing():
        pass


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(
    small_project: Project, add_image: AddImage
) -> None:
    record = add_image("a")
    images = small_project.path / "images"
    (images / ".b-1.ome.zarr.0123abcd" / "0").mkdir(parents=True)
    (images / ".mine").mkdir()
    (small_project.path / ".project.json.0123abcd").write_text("{")
    (small_project.path / ".gitignore").write_text("runs")
    Project(small_project.path)  # a reader leaves them: somebody may be writing
    assert (images / ".b-1.ome.zarr.0123abcd").exists()
    with small_project.editing():
        assert {entry.name for entry in images.iterdir()} == {".mine", f"{record.id}.ome.zarr"}
        hidden = {entry.name for entry in small_project.path.glob(".*")}
        assert hidden == {".gitignore", ".edit.lock", ".edit.json"}


def test_who_may_not_edit_removes_nothing(small_project: Project) -> None:
    left = small_project.path / "images" / ".b-1.ome.zarr.0123abcd"
    with small_project.editing():
        left.mkdir()
        with pytest.raises(BusyError):
            Project(small_project.path).editing().__enter__()
        assert left.exists()


def test_editing_starts_from_what_lies_on_disk(small_project: Project) -> None:
    other = Project(small_project.path)
    record, _ = other.add_image("a", picture())
    other.save()
    with small_project.editing():
        assert list(small_project.images) == [record.id]


def test_default_classes_have_ids_in_order_and_colours_of_their_own() -> None:
    classes = default_classes([str(number) for number in range(40)])
    assert [entry.id for entry in classes] == list(range(1, 41))
    assert len({entry.color for entry in classes}) == 40
