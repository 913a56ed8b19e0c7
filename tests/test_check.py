"""What would go wrong in a run, and what to do about it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_threestage import store
from napari_threestage.check import plan_run
from napari_threestage.config import load_config
from napari_threestage.errors import NotReadyError
from napari_threestage.memory_estimate import FreeMemory, MemoryEstimate
from napari_threestage.project import Project
from napari_threestage.store import ImageArray

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_threestage.check import Plan
    from napari_threestage.project import ImageRecord

    AddImage = Callable[..., ImageRecord]

CONFIG = load_config("quick", {"data.crop": [64, 64]})
GB = 2**30
PARTS = {"process": GB, "networks": 1, "crops": 2 * GB, "losses": 1, "images": 1}
FULL = np.repeat(np.array([1, 2], np.uint8), 64 * 32).reshape(64, 64)


def told(plan: Plan) -> list[tuple[str, str]]:
    assert all(problem.fix for problem in plan.problems)
    return [(problem.level, problem.message) for problem in plan.problems]


def test_a_ready_project_has_no_problems(small_project: Project, add_image: AddImage) -> None:
    labelled, unlabelled = add_image("a", FULL), add_image("b")
    judge = add_image("c", FULL, split="validation")
    plan = plan_run(small_project, CONFIG)
    assert plan.problems == []
    assert (plan.labelled, plan.unlabelled) == ([labelled.id], [unlabelled.id])
    assert plan.validation == [judge.id]
    assert plan.pixels == {"background": 2048, "nucleus": 2048}  # without those that judge
    plan.require_ready()
    assert json.loads(json.dumps(plan.to_dict()))["labelled"] == [labelled.id]


def test_a_project_without_images_is_no_project_to_run(small_project: Project) -> None:
    plan = plan_run(small_project, CONFIG)
    assert told(plan) == [("error", "The project has no images.")]
    with pytest.raises(NotReadyError, match=r"has no images. threestage import"):
        plan.require_ready()


def test_without_ground_truth_there_is_nothing_to_learn(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a")
    add_image("b", np.zeros((64, 64), np.uint8))
    add_image("c", FULL, split="validation")
    ((level, message),) = told(plan_run(small_project, CONFIG))
    assert level == "error" and "nothing to learn" in message


def test_without_unlabelled_images_there_is_only_a_warning(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", FULL)
    plan = plan_run(small_project, CONFIG)
    ((level, message),) = told(plan)
    assert level == "warning" and "All images are labelled" in message
    plan.require_ready()


def test_pixels_without_a_label_are_something_new_to_learn_from(
    small_project: Project, add_image: AddImage
) -> None:
    strokes = np.where(np.arange(64)[:, np.newaxis] % 8 < 6, 0, FULL)
    add_image("a", strokes)
    assert told(plan_run(small_project, CONFIG)) == []


@pytest.mark.parametrize(
    ("pixels", "level", "words"),
    [
        (0, "error", "'nucleus' is never labelled"),
        (1, "warning", "'nucleus' has only 1 "),
        (49, "warning", "'nucleus' has only 49 "),
        (50, None, ""),
    ],
)
def test_classes_need_labelled_pixels(
    small_project: Project, add_image: AddImage, pixels: int, level: str | None, words: str
) -> None:
    truth = np.ones((64, 64), np.uint8)
    truth.flat[:pixels] = 2
    add_image("a", truth)
    add_image("b")
    problems = told(plan_run(small_project, CONFIG))
    assert [one for one, _ in problems] == ([level] if level else [])
    assert all(words in message for _, message in problems)


def test_images_far_smaller_than_a_crop_are_a_warning(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", FULL)
    add_image("b")
    ((level, message),) = told(
        plan_run(small_project, load_config("quick", {"data.crop": [130] * 2}))
    )
    assert level == "warning" and message.startswith("2 images, e.g. a-")
    assert told(plan_run(small_project, load_config("quick", {"data.crop": [128, 900]}))) == []


def add_sized(project: Project, name: str, side: float, unit: str, split: str = "train") -> str:
    pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, (1, 64, 64), np.uint8)
    scale, units = dict.fromkeys("yx", side), dict.fromkeys("yx", unit)
    image = ImageArray(pixels, "cyx", scale, units)
    record, _ = project.add_image(name, image, split=split)  # type: ignore[arg-type]
    return record.id


def test_pixels_of_very_different_sizes_are_a_warning(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", FULL)  # whose size nobody knows
    fine = add_sized(small_project, "b", 250, "nanometer")
    add_sized(small_project, "c", 0.37, "micrometer")
    assert plan_run(small_project, CONFIG).problems == []
    coarse = add_sized(small_project, "d", 0.5, "micrometer", "validation")
    small_project.save()
    plan = plan_run(Project(small_project.path), CONFIG)
    assert told(plan) == [
        (
            "warning",
            f"Pixels of {coarse} are said to be 2 times as large as those of {fine} "
            "(500 nm, 250 nm), so that things look smaller there.",
        )
    ]
    assert (plan.problems[0].kind, plan.problems[0].about) == ("pixel sizes", coarse)


def test_a_wrong_unit_is_told_in_plain_numbers(small_project: Project, add_image: AddImage) -> None:
    add_image("a", FULL)
    add_sized(small_project, "b", 0.25, "micrometer")
    add_sized(small_project, "c", 0.625, "millimeter")
    (problem,) = plan_run(small_project, CONFIG).problems
    assert "2,500 times as large" in problem.message and "(625 µm, 250 nm)" in problem.message


def test_projects_of_before_say_nothing_of_their_pixels(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", FULL)
    for name, side in (("b", 0.25), ("c", 2.0)):
        add_sized(small_project, name, side, "micrometer")
    small_project.save()
    file = small_project.path / "project.json"
    content = json.loads(file.read_text()) | {"schema_version": 2}
    for record in content["images"].values():
        del record["pixel"]
    file.write_text(json.dumps(content))
    opened = Project(small_project.path)
    assert plan_run(opened, CONFIG).problems == []
    opened.save()
    assert json.loads(file.read_text())["schema_version"] == 3
    for name, side in (("b", 0.25), ("c", 2.0)):  # the same files once more
        add_sized(opened, name, side, "micrometer")
    assert [one.kind for one in plan_run(opened, CONFIG).problems] == ["pixel sizes"]
    assert len(opened.images) == 3


def test_errors_come_before_warnings(small_project: Project, add_image: AddImage) -> None:
    add_image("a", np.ones((64, 64), np.uint8))  # all labelled, one class missing
    assert [level for level, _ in told(plan_run(small_project, CONFIG))] == ["error", "warning"]


@pytest.mark.parametrize("damage", ["folder", "pixels", "labels", "swapped"])
def test_an_image_that_is_gone_or_damaged_is_an_error_that_names_it(
    small_project: Project, add_image: AddImage, damage: str
) -> None:
    other, broken = add_image("a", FULL), add_image("b", FULL)
    add_image("c")
    path = small_project.image_path(broken.id)
    if damage == "folder":
        shutil.rmtree(path)
    elif damage == "pixels":
        shutil.rmtree(path / "0")
    elif damage == "labels":
        (path / "labels" / "ground_truth" / "zarr.json").write_text("{")
    else:
        shutil.rmtree(path / "labels")
        shutil.copytree(small_project.image_path(other.id) / "labels", path / "labels")
    plan = plan_run(small_project, CONFIG)
    (message,) = [message for level, message in told(plan) if level == "error"]
    assert broken.id in message
    with pytest.raises(NotReadyError):
        plan.require_ready()


def test_a_linked_image_whose_source_is_gone_is_an_error_that_says_where_it_was(
    small_project: Project, add_image: AddImage, tmp_path: Path
) -> None:
    add_image("a", FULL)
    source = tmp_path / "far.ome.zarr"
    image = ImageArray(np.zeros((1, 64, 64), np.uint8), "cyx")
    store.write_image(source, image, {})
    small_project.add_image("b", image, link=source)
    assert plan_run(small_project, CONFIG).problems == []
    shutil.rmtree(source)
    ((level, message),) = [
        one for one in told(plan_run(small_project, CONFIG)) if one[0] == "error"
    ]
    assert level == "error" and f"it refers to {source}" in message


def test_problems_say_of_what_kind_they_are(small_project: Project, add_image: AddImage) -> None:
    assert [one.kind for one in plan_run(small_project, CONFIG).problems] == ["no images"]
    record = add_image("one")
    assert [one.kind for one in plan_run(small_project, CONFIG).problems] == ["no labels"]
    unsaved = {record.id: np.array([0, 64 * 64, 0])}
    plan = plan_run(small_project, CONFIG, unsaved)
    assert plan.labelled == [record.id]
    assert plan.pixels == {"background": 64 * 64, "nucleus": 0}
    kinds = {one.kind: one.about for one in plan.problems}
    assert kinds == {"no such label": "nucleus", "all labelled": ""}


def test_a_run_that_does_not_fit_the_memory_is_a_warning(
    small_project: Project, add_image: AddImage
) -> None:
    add_image("a", FULL)
    add_image("b")
    plan = plan_run(small_project, CONFIG)
    assert plan.memory_sentence == ""
    needed = MemoryEstimate(3 * GB, 3 * GB, PARTS)
    fits = plan.with_memory(needed, FreeMemory(3 * GB, 3 * GB), CONFIG)
    assert fits.problems == [] and "Needs about 3.0 GB" in fits.memory_sentence
    short = plan.with_memory(needed, FreeMemory(2 * GB, 2 * GB), CONFIG)
    (problem,) = short.problems
    assert (problem.level, problem.kind) == ("warning", "memory")
    assert problem.message == "The run needs about 3.0 GB of memory, 2.0 GB are free."
    assert problem.fix == "Use smaller crops or batches, e.g. --set data.crop=[32,32]"
    short.require_ready()
    assert json.loads(json.dumps(short.to_dict()))["memory"]["parts"] == PARTS
    less = plan.with_memory(needed, FreeMemory(GB // 2, GB // 2), CONFIG)
    assert less.problems[0].fix == f"Close other programs. {problem.fix}"


@pytest.mark.parametrize(
    ("largest", "fix"),
    [
        ("networks", "network.backbone=compact"),
        ("tiles", "inference.tile=512"),
        ("images", "data.cache_gigabytes=4"),
    ],
)
def test_the_fix_is_for_what_needs_most(small_project: Project, largest: str, fix: str) -> None:
    parts = {"process": 10 * GB, "networks": GB, "tiles": GB, "images": GB, largest: 8 * GB}
    needed = MemoryEstimate(20 * GB, 20 * GB, parts)
    plan = plan_run(small_project, CONFIG).with_memory(needed, FreeMemory(GB, GB), CONFIG)
    assert plan.problems[-1].fix.endswith(fix)


@pytest.mark.parametrize(
    ("device", "host", "words", "fix"),
    [
        (1, 9, "2.0 GB of the GPU's memory, 1.0 GB are there", "data.crop"),
        (None, 1, "3.0 GB of main memory, 1.0 GB are free", "data.cache_gigabytes"),
        (9, 9, "", ""),
        (None, 9, "", ""),
    ],
)
def test_a_gpu_and_main_memory_can_each_be_too_small(
    small_project: Project, device: int | None, host: int, words: str, fix: str
) -> None:
    needed = MemoryEstimate(2 * GB, 3 * GB, PARTS | {"images": 5 * GB}, "cuda")
    free = FreeMemory(device and device * GB, host * GB)
    plan = plan_run(small_project, CONFIG).with_memory(needed, free, CONFIG)
    found = [one for one in plan.problems if one.kind == "memory"]
    assert len(found) == bool(words)
    assert all(words in one.message and fix in one.fix for one in found)
