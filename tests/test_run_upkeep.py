"""What is known of runs, what is out of date, and that nothing is lost when some are deleted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_threestage import run_deletion, run_staleness, run_upkeep, store, zarr_arrays
from napari_threestage.config import load_config
from napari_threestage.errors import BusyError, ProjectError
from napari_threestage.events import Warned
from napari_threestage.labels import publish_mask
from napari_threestage.project import Project, content_hash
from napari_threestage.run_deletion import delete_runs
from napari_threestage.run_notes import read_notes, set_note
from napari_threestage.run_staleness import label_time, stale_reasons
from napari_threestage.run_upkeep import disk_space, read_rows
from napari_threestage.runs import Run, RunInputs, find_run, list_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.project import ImageRecord

    AddImage = Callable[..., ImageRecord]
    Change = Callable[[Project, AddImage], object]

SIDE = 16
SMALL = {"shape": (1, SIDE, SIDE)}


def truth(value: int = 1) -> np.ndarray:
    """Two classes, the second in the first rows."""
    labels = np.ones((SIDE, SIDE), np.uint8)
    labels[:value] = 2
    return labels


@pytest.fixture
def project(small_project: Project, add_image: AddImage) -> Project:
    """Two labelled images, one without labels, one of validation; three classes."""
    small_project.set_class_table(small_project.class_table.add("vessel"))
    for name in "ab":
        add_image(name, truth(), **SMALL)
    add_image("c", **SMALL)
    add_image("v", truth(), split="validation", **SMALL)
    return small_project


def ids_of(project: Project) -> dict[str, str]:
    return {record.name: record.id for record in project.images.values()}


def make_run(project: Project, stages: tuple[int, ...] = (), **more: Any) -> Run:
    """A run of the project as it is, with masks of some stages; their values say which run."""
    train = [one.id for one in project.images.values() if one.split == "train"]
    found = {image_id: project.read_labels(image_id) for image_id in train}
    truths = {image_id: one for image_id, one in found.items() if one is not None}
    inputs = RunInputs(
        images=dict.fromkeys(train, ""),
        labels={image_id: content_hash(one) for image_id, one in truths.items()},
        pixels={"background": 5, "nucleus": 7},
        classes=[entry.model_dump() for entry in project.classes],
        channels=project.channels,
        n_channels=project.n_channels,
        normalisation=project.normalisation,
        first_stage=1,
        last_stage=3,
        seed=0,
        device="cpu",
        threads=1,
        label_times={image_id: label_time(project, image_id) for image_id in truths},
    )
    run = Run.create(project, load_config(), replace(inputs, **more), truths=truths)
    for stage in stages:
        for image_id in project.images:
            mask = truth(len(list_runs(project)))
            run.write_mask(stage, image_id, mask, mask, "yx")
            publish_mask(project, run, stage, image_id, mask)
        (run.stage_path(stage) / "metrics.json").write_text('{"labelled": {"miou": 0.5}}')
    return run


# --- what is out of date ------------------------------------------------------------------------


def _change_table(change: Callable[[Any], Any]) -> Change:
    return lambda project, add: project.set_class_table(change(project.class_table))


def _write(name: str, value: int, source: str = "painted") -> Change:
    labels = truth(value) if value >= 0 else np.zeros((SIDE, SIDE), np.uint8)
    return lambda project, add: project.write_ground_truth(ids_of(project)[name], labels, source)


def _remove_image(project: Project, add: AddImage) -> None:
    content = project._file.images
    del content[ids_of(project)["a"]]


CHANGES: list[tuple[Change, list[str]]] = [
    (lambda project, add: None, []),
    (_write("c", 3), ["1 image has been labelled since."]),
    (_write("a", 3), ["The labels of 1 image have changed since."]),
    (_write("a", 1), []),  # as they were
    (_write("a", -1), ["The labels of 1 image have been removed since."]),
    (_write("v", 3), []),  # nobody learns from it
    (_change_table(lambda table: table.add("x")), ["Class 'x' has been added since."]),
    (_change_table(lambda table: table.remove(3)), ["Class 'vessel' has been deleted since."]),
    (
        _change_table(lambda table: table.merge(2, into=1)),
        ["Class 'nucleus' has been merged into 'background' since."],
    ),
    (
        _change_table(lambda t: t.rename(2, "x").recolour(1, (1, 2, 3)).move(1, 9)),
        [],
    ),
    (
        lambda project, add: (add("d", **SMALL), add("e", **SMALL)),
        ["2 images have been added since."],
    ),
    (_remove_image, ["1 image has been removed since."]),
    (
        lambda project, add: project.set_split([ids_of(project)["a"]], "validation"),
        ["1 image has been moved from training to validation since."],
    ),
    (
        lambda project, add: project.set_split([ids_of(project)["v"]], "train"),
        [
            "1 image has been labelled since.",
            "1 image has been moved from validation to training since.",
        ],
    ),
    (lambda project, add: project.set_channels([0]), ["The channels have been changed since."]),
    (
        lambda project, add: project.set_normalisation("range"),
        ["The normalisation has been changed since."],
    ),
]


@pytest.mark.parametrize(("change", "reasons"), CHANGES)
def test_what_has_changed_since_a_run_is_said(
    project: Project, add_image: AddImage, change: Change, reasons: list[str]
) -> None:
    run = make_run(project)
    run.write_mask(1, ids_of(project)["v"], truth(), truth(), "yx")  # it judged the run
    (run.stage_path(1) / "metrics.json").write_text("{}")
    change(project, add_image)
    assert stale_reasons(project, run) == reasons
    # Runs of older versions do not say when labels were written.
    older = Run(run.path)
    older.inputs = replace(run.inputs, label_times={})
    assert stale_reasons(project, older) == reasons


def test_labels_are_compared_without_their_frozen_copy_and_across_classes(
    project: Project,
) -> None:
    run, ids = make_run(project), ids_of(project)
    shutil.rmtree(run.path / "truth")
    project.set_class_table(project.class_table.move(1, 9).add("x"))
    for name, value in (("a", 1), ("b", 5)):
        # The places of the classes have changed, what the pixels mean has not.
        project.write_ground_truth(ids[name], np.array([0, 3, 1], np.uint8)[truth(value)], "x")
    assert stale_reasons(project, run) == [
        "The labels of 1 image have changed since.",
        "Class 'x' has been added since.",
    ]


def test_labels_that_were_not_written_again_are_not_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(project)
    monkeypatch.setattr(store, "read_labels", lambda *arguments: pytest.fail("read"))
    monkeypatch.setattr(store, "read_map", lambda *arguments: pytest.fail("read"))
    assert stale_reasons(project, run) == []
    older = Run(run.path)
    older.inputs = replace(run.inputs, label_times={})
    monkeypatch.setattr(run_staleness, "MARGIN_SECONDS", -3600.0)  # as if the run came much later
    assert stale_reasons(project, older) == []


# --- all that is known --------------------------------------------------------------------------


def test_rows_say_all_that_is_known(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(project, stages=(1,))
    baseline = make_run(project, baseline_of=run.id, last_stage=1)
    set_note(project, run.id, name="good", pinned=True)
    _write("c", 1)(project, lambda: None)
    latest, row = read_rows(project)
    assert (latest.run, latest.kind, latest.baseline_of) == (baseline.id, "baseline", run.id)
    assert (row.run, row.name, row.pinned, row.kind) == (run.id, "good", True, "stages")
    assert (row.stages, row.finished_stages, row.miou, row.on) == ((1, 3), (1,), 0.5, "labelled")
    assert (row.labelled_images, row.labelled_pixels) == (2, 12)
    assert row.stale == latest.stale == ("1 image has been labelled since.",)
    assert row.bytes == disk_space([run.path]) > latest.bytes > 0
    run.record(Warned(message="x"))
    sizes = {one.run: one.bytes for one in read_rows(project)}
    assert sizes[run.id] > row.bytes
    monkeypatch.setattr(run_upkeep, "disk_space", lambda paths: pytest.fail("looked again"))
    run_upkeep._sizes(project, [run])
    (project.path / ".run_sizes.json").write_text("{")
    monkeypatch.undo()
    assert {one.run: one.bytes for one in read_rows(project)} == sizes


def test_scores_are_of_validation_images_where_there_are_some(project: Project) -> None:
    file = make_run(project, stages=(1,)).stage_path(1) / "metrics.json"
    file.write_text(json.dumps({"labelled": {"miou": 0.5}, "validation": {"miou": 0.25}}))
    assert [(row.miou, row.on) for row in read_rows(project)] == [(0.25, "validation")]
    file.write_text("{")
    assert [(row.miou, row.on) for row in read_rows(project)] == [(None, "")]


def test_a_baseline_is_never_the_latest_run_nor_shown_in_images(project: Project) -> None:
    run = make_run(project, stages=(1,))
    baseline = make_run(project, stages=(1,), baseline_of=run.id)
    assert find_run(project).id == run.id
    assert find_run(project, baselines=True).id == find_run(project, baseline.id).id == baseline.id
    assert origins(project, 1) == {run.id}
    shutil.rmtree(run.path)
    with pytest.raises(ProjectError, match="has no run but baselines; there are: "):
        find_run(project)


# --- deleting -----------------------------------------------------------------------------------


def origins(project: Project, stage: int) -> set[str | None]:
    """Return the runs that the label sets of a stage come from."""
    found = (project.label_attributes(image_id, f"stage-{stage}") for image_id in project.images)
    return {(one or {}).get("run") for one in found}


def test_images_show_the_masks_of_the_latest_run_that_is_left(project: Project) -> None:
    first = make_run(project, stages=(1, 2))
    second = make_run(project, stages=(1,))
    project.set_class_table(project.class_table.move(2, 0))
    third = make_run(project, stages=(1, 2, 3))
    baseline = make_run(project, stages=(1, 2, 3), baseline_of=third.id)
    set_note(project, third.id, name="the last one")
    assert origins(project, 1) == origins(project, 3) == {third.id}
    size, told = disk_space([third.path]), []
    freed = delete_runs(project, ["The last one"], lambda *now: told.append(now))
    assert freed == {third.id: size} and told[-1] == (4, 4)
    assert [run.id for run in list_runs(project)] == [first.id, second.id, baseline.id]
    assert (origins(project, 1), origins(project, 2)) == ({second.id}, {first.id})
    assert origins(project, 3) == {None}
    image = ids_of(project)["a"]
    # Class 2 is the first now.
    shown = project.read_labels(image, "stage-1")
    np.testing.assert_array_equal(shown, np.array([0, 2, 1])[second.read_mask(1, image)])
    listed = store._listed(project.image_path(image) / "labels")
    assert listed == ["ground_truth", "stage-1", "stage-2"]
    assert read_notes(project) == {}
    assert sorted(path.name for path in (project.path / "runs").iterdir()) == sorted(
        run.id for run in list_runs(project)
    )


KEPT = {
    "pinned": "is pinned. If it may go",
    "running": "is going on. Stop it first",
    "nonsense": "has no run nonsense",
    "../images": "has no run ../images",
    ".hidden": "has no run .hidden",
    "": "has no run",
}


def test_what_must_stay_is_not_deleted_and_nothing_with_it(project: Project) -> None:
    free, pinned, running = make_run(project), make_run(project), make_run(project, stages=(1,))
    set_note(project, pinned.id, name="pinned", pinned=True)
    set_note(project, running.id, name="running")
    running.enter_process()
    (project.path / "runs" / ".hidden").mkdir()
    for name, error in KEPT.items():
        with pytest.raises((ProjectError, BusyError), match=error):
            delete_runs(project, [free.id, name])
    assert len(list_runs(project)) == 3 and origins(project, 1) == {running.id}
    running.leave_process()
    set_note(project, pinned.id, pinned=False)
    delete_runs(project, [free.id, "pinned", "running", free.id])
    assert list_runs(project) == [] and origins(project, 1) == {None}


def test_nothing_is_deleted_while_anybody_trains(project: Project) -> None:
    run = make_run(project)
    with project.running(), pytest.raises(BusyError, match="is going on"):
        delete_runs(project, [run.id])
    assert find_run(project).id == run.id


def test_a_kill_while_masks_are_replaced_leaves_the_run_to_be_deleted_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_run(project, stages=(1,)), make_run(project, stages=(1, 2))
    replaced, original = [], run_deletion._replace_mask

    def replace_some(*arguments: Any) -> None:
        if len(replaced) == 3:
            raise KeyboardInterrupt
        replaced.append(original(*arguments))

    monkeypatch.setattr(run_deletion, "_replace_mask", replace_some)
    with pytest.raises(KeyboardInterrupt):
        delete_runs(project, [second.id])
    monkeypatch.undo()
    assert [run.id for run in list_runs(project)] == [first.id, second.id]
    assert origins(project, 1) == {first.id, second.id}
    delete_runs(project, [second.id])
    assert (origins(project, 1), origins(project, 2)) == ({first.id}, {None})


def test_a_kill_while_a_folder_is_removed_leaves_no_run_and_the_next_deletion_removes_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_run(project), make_run(project)
    original = shutil.rmtree

    def killed(path: Path, **options: Any) -> None:
        if second.id in str(path):
            raise KeyboardInterrupt
        original(path, **options)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        delete_runs(project, [second.id])
    monkeypatch.undo()
    assert [run.id for run in list_runs(project)] == [first.id]
    assert not second.path.exists() and len([*(project.path / "runs").rglob("truth")]) == 2
    delete_runs(project, [first.id])
    assert [*(project.path / "runs").iterdir()] == []


def test_a_damaged_run_can_be_deleted_and_a_damaged_mask_is_passed_over(project: Project) -> None:
    oldest, older, run = (make_run(project, stages=(1,)) for _ in range(3))
    for image_id in project.images:
        shutil.rmtree(older.stage_path(1) / "masks" / image_id / "c")
        (older.stage_path(1) / "masks" / image_id / "zarr.json").write_text("{")
    (run.path / "inputs.json").write_text("{")
    delete_runs(project, [run.id])
    assert origins(project, 1) == {oldest.id}


def test_a_label_set_that_is_removed_while_it_is_read_is_read_whole_or_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(project, stages=(1,))
    path = project.image_path(ids_of(project)["a"])

    def remove_first(place: Any) -> Any:
        array = open_to_read(place)
        store.remove_labels(path, "stage-1")
        return array

    open_to_read = zarr_arrays.open_to_read
    monkeypatch.setattr(zarr_arrays, "open_to_read", remove_first)
    assert store.read_labels(path, "stage-1") is None
    assert store.label_sets(path) == ["ground_truth"]
    store.remove_labels(path, "stage-1")  # again does no harm
