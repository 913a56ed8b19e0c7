"""Changes that are kept at once and become ground truth later, whatever happens in between."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage import journal, store
from napari_threestage.errors import ProjectError
from napari_threestage.journal import Block
from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.project_file import ImageRecord

    AddImage = Callable[..., ImageRecord]

SHAPE = (1, 4, 6)


def block(
    value: int,
    start: tuple[int, int] = (0, 0),
    size: tuple[int, int] = (2, 2),
    name: str = "painted",
) -> Block:
    """A rectangle of one class, all of which changed."""
    values = np.full(size, value, np.uint8)
    return Block(start, values, (values > 0).astype(np.uint8), (name,))


@pytest.fixture
def record(add_image: AddImage) -> ImageRecord:
    """An image of 4 x 6 pixels, imported as class 1."""
    return add_image("a", np.ones(SHAPE[1:], np.uint8), SHAPE)


def sources(project: Project, image_id: str) -> list[list[str]]:
    origin, names = project.provenance(image_id)
    return [[["", *names][value] for value in row] for row in origin]


def test_a_block_comes_back_as_it_was(small_project: Project, record: ImageRecord) -> None:
    changed = np.random.default_rng(0).random((3, 5)) > 0.5
    values = np.arange(15, dtype=np.uint16).reshape(3, 5) * 1000
    origin = (values > 0).astype(np.uint8) * 2
    kept = Block((1, 0), values, origin, ("gemalt ü", "stage-2 of run …"), changed)
    read = journal.read_entry(journal.append(small_project.path, record.id, kept))
    assert (read.block.start, read.block.names) == (kept.start, kept.names)
    assert read.block.values.dtype == np.uint16 and read.block.changed is not None
    np.testing.assert_array_equal(read.block.values, values)
    np.testing.assert_array_equal(read.block.origin, origin)
    np.testing.assert_array_equal(read.block.changed, changed)
    assert read.image_sha256 == record.sha256
    whole = journal.read_entry(journal.append(small_project.path, record.id, block(1)))
    assert whole.block.changed is None


def test_blocks_are_applied_in_order_with_their_sources(
    small_project: Project, record: ImageRecord
) -> None:
    assert journal.pending(small_project.path) == []
    for value, start, name in ((2, (0, 0), "painted"), (0, (1, 1), "painted"), (2, (2, 1), "s")):
        journal.append(small_project.path, record.id, block(value, start, name=name))
    assert journal.pending(small_project.path) == [record.id]
    assert journal.fold(small_project, record.id) == 3
    labels = [[2, 2, 1, 1, 1, 1], [2, 0, 0, 1, 1, 1], [1, 2, 2, 1, 1, 1], [1, 2, 2, 1, 1, 1]]
    assert small_project.read_labels(record.id).tolist() == labels  # type: ignore[union-attr]
    assert small_project.label_counts(record.id).tolist() == [2, 15, 7]
    assert sources(small_project, record.id)[0] == ["painted"] * 2 + ["imported"] * 4
    assert sources(small_project, record.id)[1][:3] == ["painted", "", ""]
    assert sources(small_project, record.id)[2][:3] == ["imported", "s", "s"]
    attributes = small_project.label_attributes(record.id)
    assert attributes is not None and attributes["source"] == "painted"
    assert not (small_project.path / ".journal").exists()
    assert journal.fold(small_project, record.id) == 0


def test_only_what_changed_is_written(small_project: Project, record: ImageRecord) -> None:
    values = np.zeros((4, 6), np.uint8)
    values[3, 5] = 2
    change = Block((0, 0), values, (values > 0).astype(np.uint8), ("painted",), values > 0)
    journal.append(small_project.path, record.id, change)
    journal.fold(small_project, record.id)
    assert small_project.label_counts(record.id).tolist() == [0, 23, 1]
    assert sources(small_project, record.id)[3] == ["imported"] * 5 + ["painted"]


def test_an_image_without_labels_gets_some(small_project: Project, add_image: AddImage) -> None:
    record = add_image("b", shape=SHAPE)
    journal.append(small_project.path, record.id, block(2))
    assert journal.fold(small_project, record.id) == 1
    assert small_project.label_counts(record.id).tolist() == [20, 0, 4]
    store.validate(small_project.image_path(record.id))


def test_numbers_go_on_after_a_restart(small_project: Project, record: ImageRecord) -> None:
    folder = small_project.path / ".journal" / record.id
    for value in range(12):
        journal.append(small_project.path, record.id, block(value % 3))
    journal.entries(small_project.path, record.id)[0].unlink()
    journal.entries(small_project.path, record.id)[-1].rename(folder / "00000012.npz.damaged")
    path = journal.append(small_project.path, record.id, block(2))
    assert path.name == "00000013.npz"
    numbers = [int(path.stem) for path in journal.entries(small_project.path, record.id)]
    assert numbers == [*range(2, 12), 13]


def test_opening_for_editing_folds_what_a_crash_left(
    small_project: Project, add_image: AddImage, record: ImageRecord
) -> None:
    other = add_image("b", shape=SHAPE)
    for image in (record, other):
        journal.append(small_project.path, image.id, block(2))
    reader = Project(small_project.path)
    assert reader.label_counts(other.id).tolist() == [24, 0, 0]
    with Project(small_project.path).editing():
        assert journal.pending(small_project.path) == []
    assert reader.label_counts(record.id).tolist() == [0, 20, 4]
    assert reader.label_counts(other.id).tolist() == [20, 0, 4]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "pickle", "beyond", "nameless"])
def test_a_damaged_file_is_set_aside_and_hides_no_other(
    small_project: Project, record: ImageRecord, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = journal.append(small_project.path, record.id, block(2))
    journal.append(small_project.path, record.id, block(2, (2, 2)))
    spoil(path, damage, small_project.path, record.id)
    with caplog.at_level(logging.WARNING), small_project.editing():
        pass
    assert str(path) in caplog.text and "set aside" in caplog.text
    assert small_project.label_counts(record.id).tolist() == [0, 20, 4]
    assert [entry.name for entry in path.parent.iterdir()] == [f"{path.name}.damaged"]
    assert journal.pending(small_project.path) == []


def spoil(path: Path, damage: str, project_path: Path, image_id: str) -> None:
    content = bytearray(path.read_bytes())
    if damage in ("beyond", "nameless"):
        wrong = block(2, (3, 3))
        if damage == "nameless":
            wrong = Block((0, 0), wrong.values, wrong.origin, ())
        journal.append(project_path, image_id, wrong).replace(path)
    elif damage == "pickle":
        np.savez(path, about=np.array([{}], object))
    else:
        content[60] ^= 255
        path.write_bytes({"cut": content[:-40], "empty": b"", "flipped": content}[damage])


def test_a_journal_of_no_image_or_of_other_pixels_is_kept(
    small_project: Project, record: ImageRecord, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append(small_project.path, "gone-1", block(2))
    journal.append(small_project.path, record.id, block(2))
    path = small_project.image_path(record.id) / "zarr.json"
    before = path.read_text()
    path.write_text(before.replace(record.sha256, "0" * 64))
    with caplog.at_level(logging.WARNING), small_project.editing():
        pass
    assert "no such image" in caplog.text and "other pixels" in caplog.text
    assert journal.pending(small_project.path) == sorted([record.id, "gone-1"])
    path.write_text(before)
    journal.append(small_project.path, record.id, block(2, (2, 2)))
    with small_project.editing():
        pass
    assert small_project.label_counts(record.id).tolist() == [0, 16, 8]
    assert journal.pending(small_project.path) == ["gone-1"]


def test_a_damaged_label_set_keeps_its_journal_and_holds_up_no_other(
    small_project: Project,
    add_image: AddImage,
    record: ImageRecord,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = add_image("b", shape=SHAPE)
    for image in (record, other):
        journal.append(small_project.path, image.id, block(2))
    (small_project.image_path(record.id) / "labels" / "ground_truth" / "zarr.json").write_text("{")
    with caplog.at_level(logging.WARNING), small_project.editing():
        pass
    assert f"Kept the journal of {record.id}" in caplog.text
    assert journal.pending(small_project.path) == [record.id]
    assert small_project.label_counts(other.id).tolist() == [20, 0, 4]


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half(
    small_project: Project, record: ImageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "fsync", fail)
        with pytest.raises(ProjectError, match=f"in {record.id} cannot be kept.*No space left"):
            journal.append(small_project.path, record.id, block(2))
    assert list((small_project.path / ".journal" / record.id).iterdir()) == []
    journal.append(small_project.path, record.id, block(2))
    assert journal.fold(small_project, record.id) == 1


def test_ids_above_a_byte_widen_the_label_set(small_project: Project, record: ImageRecord) -> None:
    table = small_project.class_table
    small_project.set_class_table(type(table)(table.classes, {}, 300).add("late"))
    values = np.full((1, 2), 300, np.uint16)
    change = Block((0, 0), values, np.ones((1, 2), np.uint8), ("painted",))
    journal.append(small_project.path, record.id, change)
    journal.fold(small_project, record.id)
    assert small_project.label_counts(record.id).tolist() == [0, 22, 0, 2]
    labels = small_project.read_labels(record.id)
    assert labels is not None and labels.dtype == np.uint8 and labels[0, :3].tolist() == [3, 3, 1]
    store.validate(small_project.image_path(record.id) / "labels" / "ground_truth")


def test_what_was_painted_before_classes_changed_means_what_it_meant(
    small_project: Project, record: ImageRecord
) -> None:
    small_project.set_class_table(small_project.class_table.add("membrane"))
    before = small_project.class_table
    journal.append(small_project.path, record.id, block(3))
    journal.append(small_project.path, record.id, block(2, (2, 2)))
    small_project.set_class_table(before.remove(3).move(2, 0))
    journal.fold(small_project, record.id)
    assert small_project.label_counts(record.id).tolist() == [4, 4, 16]
    small_project.set_class_table(before)
    assert small_project.label_counts(record.id).tolist() == [0, 16, 4, 4]


def test_threads_may_append_while_another_folds(
    small_project: Project, record: ImageRecord
) -> None:
    stop, errors = threading.Event(), []

    def fold() -> None:
        try:
            while not stop.is_set():
                journal.fold(small_project, record.id)
        except Exception as error:
            errors.append(error)

    folding = threading.Thread(target=fold)
    folding.start()
    try:
        for number in range(60):
            place = (number % 4, (number // 4) % 6)
            journal.append(small_project.path, record.id, block(2, place, (1, 1)))
    finally:
        stop.set()
        folding.join()
    journal.fold(small_project, record.id)
    assert errors == []
    assert small_project.label_counts(record.id).tolist() == [0, 0, 24]


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from napari_threestage import journal, labels, store
from napari_threestage.project import Project

moment, path, image_id = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
die = lambda *arguments, **options: os.kill(os.getpid(), signal.SIGKILL)
project = Project(path)
if moment == "append":
    Path.rename = die
    values = np.full((2, 2), 2, np.uint8)
    journal.append(path, image_id, journal.Block((0, 4), values, values, ("a", "b")))
elif moment == "between":
    labels._publish = die
elif moment == "swap":
    store.write_json = die
elif moment == "written":
    journal._bring_to_disk = die
else:
    unlink = Path.unlink
    def unlink_first(self, missing_ok=False):
        if self.name == "00000002.npz":
            die()
        unlink(self, missing_ok)
    Path.unlink = unlink_first
journal.fold(project, image_id)
raise SystemExit("was not killed")
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("moment", ["append", "between", "swap", "written", "removing"])
def test_nothing_is_lost_whenever_the_writer_is_killed(
    small_project: Project, record: ImageRecord, moment: str
) -> None:
    for value, start, name in ((2, (0, 0), "painted"), (0, (1, 1), "painted"), (2, (2, 1), "s")):
        journal.append(small_project.path, record.id, block(value, start, name=name))
    arguments = [sys.executable, "-c", KILLED, moment, str(small_project.path), record.id]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert journal.pending(small_project.path) == [record.id]
    with small_project.editing():
        pass
    labels = [[2, 2, 1, 1, 1, 1], [2, 0, 0, 1, 1, 1], [1, 2, 2, 1, 1, 1], [1, 2, 2, 1, 1, 1]]
    assert small_project.read_labels(record.id).tolist() == labels  # type: ignore[union-attr]
    assert sources(small_project, record.id)[1][:3] == ["painted", "", ""]
    assert sources(small_project, record.id)[2][:3] == ["imported", "s", "s"]
    assert small_project.label_counts(record.id).tolist() == [2, 15, 7]
    assert not (small_project.path / ".journal").exists()
