"""The path of a person who follows the help: from files to masks, in words and in JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from cli_helpers import CLASSES, MIXED, TINY, Result, latest, make_project, settings
from PIL import Image

from napari_threestage import __version__
from napari_threestage.cli import doctor
from napari_threestage.mask_files import write_mask_file
from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = (
    "init",
    "import",
    "sample",
    "check",
    "export-masks",
    "run",
    "pause",
    "continue",
    "stop",
    "status",
    "evaluate",
    "predict",
    "demo",
    "doctor",
    "info",
    "benchmark",
)


def scores_by_hand(truths: list[np.ndarray], masks: list[np.ndarray]) -> dict[str, float]:
    """IoU of each class that the truth holds, over all labelled pixels; truths 0..C-1, 255."""
    truth, mask = (np.concatenate([one.ravel() for one in part]) for part in (truths, masks))
    truth, mask = truth[truth != 255], mask[truth != 255]
    scores = {}
    for index, name in enumerate(CLASSES):
        both = ((truth == index) & (mask == index)).sum()
        either = ((truth == index) | (mask == index)).sum()
        if (truth == index).any():
            scores[name] = float(both / either)
    return scores


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(
    command: str, threestage: Callable[..., Result]
) -> None:
    result = threestage(command, "--help")
    assert result.code == 0
    assert f"example:\n  threestage {command}" in result.out


def test_no_command_lacks_from_the_list_above(threestage: Callable[..., Result]) -> None:
    listed = threestage("--help").out.split("COMMAND", 1)[1]
    words = {line.split()[0] for line in listed.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) <= words


def test_python_m_is_the_same_program() -> None:
    command = [sys.executable, "-m", "napari_threestage", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"threestage {__version__}\n"


def test_a_project_is_made_and_filled(
    tmp_path: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    path = tmp_path / "new"
    made = threestage("init", path, "--classes", ", ".join(CLASSES), "--json")
    assert made.document == {"project": str(path), "classes": list(CLASSES)}
    folders = ("--images", pictures / "images", "--masks", pictures / "masks")
    report = threestage("import", path, *folders, "--json").document
    assert (len(report["imported"]), report["labelled"], report["failed"]) == (8, 3, [])
    again = threestage("import", path, *folders)
    assert again.code == 0
    assert "Imported 0 images" in again.out
    assert "8 were there already" in again.out
    assert len(Project(path).images) == 8


def test_classes_come_from_a_file_with_their_colours(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    file = tmp_path / "classes.json"
    file.write_text(json.dumps([{"name": "a", "color": "#0a0b0c"}, "b"]))
    result = threestage("init", tmp_path / "new", "--classes-file", file)
    assert result.code == 0
    assert "2 classes" in result.out
    classes = Project(tmp_path / "new").classes
    assert [entry.name for entry in classes] == ["a", "b"]
    assert classes[0].color == (10, 11, 12)


def test_check_tells_what_a_run_would_be_made_of(
    imported: Path, threestage: Callable[..., Result]
) -> None:
    plan = threestage("check", imported, "--json").document
    assert (len(plan["labelled"]), len(plan["unlabelled"]), plan["validation"]) == (3, 5, [])
    assert sum(plan["pixels"].values()) == 3 * 40 * 48
    shown = threestage("check", imported)
    assert shown.code == 0
    assert "3 labelled, 5 unlabelled" in shown.out
    for name, count in plan["pixels"].items():
        assert name in shown.out
        assert f"{count:,}" in shown.out


def test_a_run_shows_its_scores_and_keeps_progress_off_stdout(
    project: Path, threestage: Callable[..., Result]
) -> None:
    result = threestage("run", project, "--stages", "1", *TINY)
    assert result.code == 0
    assert "mIoU" in result.out
    assert latest(project).id in result.out
    assert "stage 1: finished" in result.err
    assert "stage 1: finished" not in result.out


def test_a_run_tells_its_events_as_json_lines(
    project: Path, threestage: Callable[..., Result]
) -> None:
    result = threestage("run", project, "--stages", "1", *TINY, "--json")
    assert result.code == 0
    assert [event["event"] for event in result.events] == [
        "started",
        "stage_started",
        "sampled",
        *["progress"] * 2,
        "sampled",
        *["predicted"] * 8,
        "validated",
        "stage_finished",
        "finished",
    ]
    assert result.out == latest(project).events_path.read_text()
    progress = result.events[4]
    assert (progress["stage"], progress["step"], progress["steps"]) == (1, 2, 2)
    assert progress["losses"]["segmentation"] > 0
    assert progress["memory"] > 0
    assert result.err == ""


def test_a_quiet_run_says_nothing(project: Path, threestage: Callable[..., Result]) -> None:
    result = threestage("run", project, "--stages", "1", *TINY, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_status_tells_what_runs_there_are(
    imported: Path, trained: Path, threestage: Callable[..., Result]
) -> None:
    assert "No runs yet" in threestage("status", imported).out
    assert threestage("status", imported, "--json").document["runs"] == []
    (state,) = threestage("status", trained, "--json").document["runs"]
    assert (state["state"], state["finished_stages"]) == ("finished", [1, 2, 3])
    assert state["last_event"]["event"] == "finished"
    shown = threestage("status", trained).out
    assert state["run"] in shown
    assert "1, 2, 3" in shown


def test_evaluate_agrees_with_scores_made_from_the_predicted_masks(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    found = threestage("evaluate", trained, *test, "--json").document
    assert (found["run"], found["images"]) == (latest(trained).id, 3)
    truths = [np.asarray(Image.open(p)) for p in sorted((pictures / "test/masks").iterdir())]
    classes = set()
    for stage in (1, 2, 3):
        output = tmp_path / str(stage)
        images = ("--images", pictures / "test/images", "--output", output)
        assert threestage("predict", trained, *images, "--stage", stage).code == 0
        masks = [tifffile.imread(path) for path in sorted(output.iterdir())]
        classes |= {int(value) for mask in masks for value in np.unique(mask)}
        score = found["stages"][str(stage)]
        by_hand = scores_by_hand(truths, masks)
        assert score["iou"] == pytest.approx(by_hand)
        assert score["miou"] == pytest.approx(np.mean(list(by_hand.values())))
        right = [(truth == mask).mean() for truth, mask in zip(truths, masks, strict=True)]
        assert score["accuracy"] == pytest.approx(np.mean(right))
        assert score["pixels"] == 3 * 40 * 48
    assert len(classes) > 1, "the masks are all of one class"
    one = threestage("evaluate", trained, *test, "--stage", "2", "--json").document
    assert one["stages"] == {"2": found["stages"]["2"]}


def test_evaluate_shows_a_table(
    trained: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    found = threestage("evaluate", trained, *test, "--json").document
    shown = threestage("evaluate", trained, *test)
    assert shown.code == 0
    for name in ("mIoU", *CLASSES, "stage 1", "stage 2", "stage 3"):
        assert name in shown.out
    assert f"{100 * found['stages']['3']['miou']:.1f}" in shown.out


def test_evaluate_names_classes_that_the_masks_lack(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = np.full((40, 48), 255, np.uint8)
    mask[:5], mask[5:8] = 0, 1
    Image.fromarray(mask).save(folder / "picture100.png")
    test = ("--images", pictures / "test/images", "--masks", folder)
    found = threestage("evaluate", trained, *test, "--stage", "3", "--json").document
    score = found["stages"]["3"]
    assert (found["images"], score["pixels"], score["absent"]) == (1, 8 * 48, ["blue"])
    assert score["iou"]["blue"] is None
    assert "blue" in threestage("evaluate", trained, *test).out.splitlines()[-1]


def test_a_model_file_predicts_as_its_project_does(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    images = ("--images", pictures / "test/images/picture100.png")
    one, other = tmp_path / "project", tmp_path / "model"
    made = threestage("predict", trained, *images, "--output", one, "--confidence", "--json")
    assert made.document == {
        "files": [str(one / "picture100.tif")],
        "confidence": [str(one / "picture100_confidence.tif")],
        **{key: [] for key in ("probabilities", "statistics", "kept", "stale")},
        **{key: [] for key in ("magnified", "other_pixels", "failed")},
    }
    model = latest(trained).model_path(3)
    shown = threestage("predict", model, *images, "--output", other, "--confidence")
    assert shown.code == 0
    assert "Wrote 1 file to" in shown.out
    for name in ("picture100.tif", "picture100_confidence.tif"):
        first, second = tifffile.imread(one / name), tifffile.imread(other / name)
        assert (first.shape, str(first.dtype)) == ((40, 48), "uint8")
        np.testing.assert_array_equal(first, second)


def test_images_of_one_name_do_not_overwrite_each_others_masks(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    image = Image.open(pictures / "images/picture0.png")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "same.png")
    sources = ("--images", tmp_path / "a", tmp_path / "b")
    made = threestage("predict", trained, *sources, "--output", tmp_path / "out", "--json")
    assert len(set(made.document["files"])) == 2
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(("stage", "number"), [("last", 3), ("1", 1), ("ground_truth", None)])
def test_masks_are_exported_as_class_indices(
    stage: str,
    number: int | None,
    trained: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
) -> None:
    made = threestage("export-masks", trained, "--output", tmp_path, "--stage", stage, "--json")
    assert made.document["stage"] == number
    project, run = Project(trained), latest(trained)
    assert len(made.document["files"]) == (3 if number is None else 8)
    for file in made.document["files"]:
        name = file.rsplit("/", 1)[-1].removesuffix(".tif")
        (image,) = (i for i, record in project.images.items() if record.name == name)
        labels = project.read_labels(image) if number is None else run.read_mask(number, image)
        assert labels is not None
        np.testing.assert_array_equal(tifffile.imread(file), labels - np.uint8(1))
    shown = threestage("export-masks", trained, "--output", tmp_path, "--stage", stage)
    assert shown.code == 0
    assert f"Wrote {len(made.document['files'])} masks" in shown.out
    assert made.document["without_mask"] == (5 if number is None else 0)
    assert ("Images that have no such mask: 5." in shown.out) == (number is None)
    assert {path.suffix for path in tmp_path.iterdir()} == {".tif"}, "a temporary is left"


def test_exported_masks_of_images_of_one_name_carry_the_ids(
    tmp_path: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    path = make_project(tmp_path / "twice", pictures)
    for kind, source in (("images", "picture100"), ("masks", "picture100")):
        (tmp_path / kind).mkdir()
        shutil.copy(pictures / f"test/{kind}/{source}.png", tmp_path / kind / "Picture0.png")
    folders = ("--images", tmp_path / "images", "--masks", tmp_path / "masks")
    assert threestage("import", path, *folders).code == 0
    out = ("--output", tmp_path / "out", "--stage", "ground_truth", "--json")
    files = {Path(file).stem for file in threestage("export-masks", path, *out).document["files"]}
    ids = {i for i, one in Project(path).images.items() if one.name.lower() == "picture0"}
    assert len(ids) == 2
    assert files == {"picture1", "picture2"} | ids


def test_a_mask_file_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Path, *_: object, **__: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    write_mask_file(tmp_path / "a.tif", np.ones((2, 3), np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr(tifffile, "imwrite", fail)
        with pytest.raises(OSError, match="No space"):
            write_mask_file(tmp_path / "a.tif", np.zeros((2, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert tifffile.imread(tmp_path / "a.tif").all()


def test_evaluate_tells_what_it_could_not_use(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    masks = shutil.copytree(pictures / "test/masks", tmp_path / "masks")
    (masks / "picture101.png").rename(masks / "other.png")
    test = ("--images", pictures / "test/images", "--masks", masks, "--stage", "3")
    found = threestage("evaluate", trained, *test, "--json").document
    assert (found["images"], found["without_mask"]) == (2, 1)
    (skipped,) = found["skipped"]
    assert skipped["file"] == str(masks / "other.png")
    assert "without an image" in skipped["reason"]
    shown = threestage("evaluate", trained, *test).out
    assert "Images without a mask, so not counted: 1." in shown
    assert "other.png" in shown


def test_the_earlier_of_two_runs_can_be_named(
    finished: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    first = latest(finished).id
    assert threestage("run", finished, "--stages", "1", *TINY).code == 0
    assert latest(finished).id != first
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    named = threestage("evaluate", finished, *test, "--run", first, "--json").document
    assert (named["run"], list(named["stages"])) == (first, ["1", "2", "3"])
    newest = threestage("evaluate", finished, *test, "--json").document
    assert list(newest["stages"]) == ["1"]
    rows = threestage("status", finished, "--json").document["runs"]
    assert [row["run"] for row in rows] == [first, latest(finished).id]


def test_validation_images_judge_and_are_not_learned_from(
    project: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    report = threestage("import", project, *test, "--split", "validation", "--json").document
    judges = set(report["imported"])
    assert len(judges) == 3
    result = threestage("run", project, "--stages", "1", *MIXED, "--json")
    assert result.code == 0
    validated = {event["on"]: event for event in result.events if event["event"] == "validated"}
    inputs = latest(project).inputs
    assert len(inputs.images) == 8
    assert not judges & (inputs.images.keys() | inputs.labels.keys())
    from_project = threestage("evaluate", project, "--json").document
    from_folders = threestage("evaluate", project, *test, "--json").document
    assert from_project == from_folders
    assert from_project["images"] == 3
    assert from_project["stages"]["1"]["miou"] == validated["validation"]["miou"]
    assert "On the validation images" in threestage("run", project, "--stages", "1", *TINY).out


@pytest.mark.parametrize("command", ["doctor", "info"])
def test_doctor_tells_versions_device_and_memory(
    command: str, threestage: Callable[..., Result]
) -> None:
    found = threestage(command, "--json").document
    assert found["napari-threestage"] == __version__
    for name in ("python", "torch", "numpy", "zarr", "GPU", "CPU cores", "memory", "disk"):
        assert found[name]
    assert isinstance(found["advice"], list)
    shown = threestage(command)
    assert shown.code == 0
    assert found["torch"] in shown.out


def test_the_advice_of_doctor_is_shown_whole(
    monkeypatch: pytest.MonkeyPatch, threestage: Callable[..., Result]
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert 'pip install "napari-threestage[all]"' in threestage("doctor").out


def test_names_with_brackets_are_shown_whole(
    tmp_path: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    folder = tmp_path / "my [red] pictures"
    folder.mkdir()
    for number in range(3):
        Image.open(pictures / f"images/picture{number}.png").save(
            folder / f"cell [raw] {number}.png"
        )
    (folder / "notes [b].txt").write_text("no image")
    path = tmp_path / "project [/x]"
    assert "project [/x]" in threestage("init", path, "--classes", "[/ground],[red]b").out
    shown = threestage("import", path, "--images", folder)
    assert shown.code == 0
    assert "notes [b].txt" in shown.out
    shown = threestage("check", path)
    assert "[/ground]" in shown.out
    assert "[red]b" in shown.out


def test_settings_change_what_a_run_does(project: Path, threestage: Callable[..., Result]) -> None:
    more = settings({"stages.steps": "[1,2]", "loss.pseudo": "0"})
    result = threestage("run", project, "--stages", "1-2", "--device", "cpu", *more, "--json")
    assert result.code == 0
    progress = [event for event in result.events if event["event"] == "progress"]
    assert [(event["stage"], event["step"]) for event in progress] == [(1, 1), (2, 1), (2, 2)]
    assert "pseudo" not in progress[-1]["losses"]
    assert latest(project).config.loss.pseudo == 0
