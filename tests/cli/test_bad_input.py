"""Wrong input: one sentence, exit code 1, and a project that is as it was."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from cli_helpers import TINY, Result, draw_pair, fingerprint, latest, settings
from PIL import Image

from napari_threestage.cli import training
from napari_threestage.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def unharmed(project: Path, threestage: Callable[..., Result]) -> Callable[..., str]:
    """Call the command, see that it changes nothing in the project, and return its sentence."""

    def run(*arguments: object) -> str:
        before = fingerprint(project)
        result = threestage(*arguments)
        assert fingerprint(project) == before
        assert result.out == ""
        sentence = result.sentence
        document = threestage(*arguments, "--json")
        if arguments[0] != "run":
            assert document.document["message"] == sentence
        assert document.sentence == sentence
        assert fingerprint(project) == before
        return sentence

    return run


# --- files ------------------------------------------------------------------------------------


def save_png(file: Path, pixels: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
    return file


def missing_folder(folder: Path) -> list[object]:
    return ["--images", folder / "nowhere"]


def empty_folder(folder: Path) -> list[object]:
    (folder / "empty").mkdir()
    return ["--images", folder / "empty"]


def missing_masks(folder: Path) -> list[object]:
    return ["--images", save_png(folder / "new.png", draw_pair(50)[0]), "--masks", folder / "none"]


def mask_of_another_size(folder: Path) -> list[object]:
    image, mask = draw_pair(50)
    save_png(folder / "masks/new.png", mask[:-1])
    return ["--images", save_png(folder / "images/new.png", image), "--masks", folder / "masks"]


def mask_with_too_high_a_class(folder: Path) -> list[object]:
    image, mask = draw_pair(50)
    save_png(folder / "masks/new.png", mask + 5)
    return ["--images", save_png(folder / "images/new.png", image), "--masks", folder / "masks"]


def truncated_png(folder: Path) -> list[object]:
    file = save_png(folder / "new.png", draw_pair(50)[0])
    file.write_bytes(file.read_bytes()[:-500])
    return ["--images", file]


def truncated_tiff(folder: Path) -> list[object]:
    tifffile.imwrite(folder / "new.tif", draw_pair(50)[0], photometric="rgb")
    (folder / "new.tif").write_bytes((folder / "new.tif").read_bytes()[:-500])
    return ["--images", folder / "new.tif"]


def text_named_tif(folder: Path) -> list[object]:
    (folder / "new.tif").write_text("this is no image\n")
    return ["--images", folder / "new.tif"]


def other_channels(folder: Path) -> list[object]:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 40, 48), np.uint8)
    tifffile.imwrite(folder / "new.tif", pixels, photometric="minisblack", metadata={"axes": "CYX"})
    return ["--images", folder / "new.tif"]


def channels_that_are_not_there(folder: Path) -> list[object]:
    return ["--images", save_png(folder / "new.png", draw_pair(50)[0]), "--channels", "7"]


def no_channels(folder: Path) -> list[object]:
    return ["--images", save_png(folder / "new.png", draw_pair(50)[0]), "--channels", "red"]


def no_value_of_a_pixel(folder: Path) -> list[object]:
    file = save_png(folder / "new.png", draw_pair(50)[0])
    return ["--images", file, "--unlabelled-value", "high"]


def unknown_mask_values(folder: Path) -> list[object]:
    return ["--images", save_png(folder / "new.png", draw_pair(50)[0]), "--mask-values", "x.json"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing_folder, "nowhere does not exist"),
        (empty_folder, "No image found in"),
        (missing_masks, "none does not exist"),
        (mask_of_another_size, "new.png has 48 x 39 pixels, its image new.png 48 x 40"),
        (mask_with_too_high_a_class, "allowed are 0 to 2 for 3 classes"),
        (truncated_png, "new.png cannot be read as PNG"),
        (truncated_tiff, "new.tif is cut off"),
        (text_named_tif, "new.tif cannot be read as TIF"),
        (other_channels, "new.tif has 5 channels"),
        (channels_that_are_not_there, "the project uses channel 7"),
        (no_channels, "'red' names no channels"),
        (no_value_of_a_pixel, "'high' is no value of a pixel"),
        (unknown_mask_values, "'x.json'"),
    ],
)
def test_files_that_cannot_be_imported(
    make: Callable[[Path], list[object]],
    words: str,
    tmp_path: Path,
    project: Path,
    unharmed: Callable[..., str],
) -> None:
    (tmp_path / "files").mkdir()
    assert words in unharmed("import", project, *make(tmp_path / "files"))


def test_the_good_files_beside_a_bad_one_are_imported_and_the_bad_one_is_named(
    tmp_path: Path, project: Path, threestage: Callable[..., Result]
) -> None:
    truncated_png(tmp_path)
    (tmp_path / "new.png").rename(tmp_path / "bad.png")
    save_png(tmp_path / "good.png", draw_pair(51)[0])
    (tmp_path / "notes.txt").write_text("nothing")
    files = [tmp_path / name for name in ("bad.png", "good.png", "notes.txt")]
    result = threestage("import", project, "--images", *files, "--json")
    assert result.code == 1
    report = result.document
    assert len(report["imported"]) == 1
    assert [one["file"] for one in report["failed"]] == [str(files[0])]
    assert [one["file"] for one in report["ignored"]] == [str(files[2])]
    shown = threestage("import", project, "--images", *files)
    assert shown.code == 1
    assert "bad.png" in shown.out
    assert "notes.txt" in shown.out


def test_images_of_five_channels_need_a_choice_and_work_with_one(
    tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    rng = np.random.default_rng(1)
    for number in range(3):
        image, mask = draw_pair(number)
        extra = rng.integers(0, 255, (2, *mask.shape), np.uint8)
        pixels = np.concatenate([np.moveaxis(image, -1, 0), extra])
        (tmp_path / "images").mkdir(exist_ok=True)
        file = tmp_path / f"images/five{number}.tif"
        tifffile.imwrite(file, pixels, photometric="minisblack", metadata={"axes": "CYX"})
    save_png(tmp_path / "masks/five0.png", draw_pair(0)[1])
    path = tmp_path / "five"
    assert threestage("init", path, "--classes", "a,b,c").code == 0
    before = fingerprint(path)
    files = ("--images", tmp_path / "images", "--masks", tmp_path / "masks")
    assert "has 5 channels" in threestage("import", path, *files).sentence
    assert fingerprint(path) == before
    assert threestage("import", path, *files, "--channels", "0,1,2").code == 0
    assert threestage("run", path, "--stages", "1", *TINY).code == 0
    assert latest(path).inputs.channels == [0, 1, 2]
    out = ("--images", tmp_path / "images", "--output", tmp_path / "out")
    assert threestage("predict", path, *out).code == 0


# --- too little to learn from -----------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, threestage: Callable[..., Result]) -> Path:
    """A project without images."""
    assert threestage("init", tmp_path / "bare", "--classes", "a,b,c").code == 0
    return tmp_path / "bare"


def test_a_run_without_images_says_what_to_do(
    bare: Path, threestage: Callable[..., Result]
) -> None:
    before = fingerprint(bare)
    assert "The project has no images" in threestage("run", bare, *TINY).sentence
    checked = threestage("check", bare)
    assert checked.code == 1
    assert "The project has no images" in checked.out
    assert fingerprint(bare) == before


def test_a_run_without_labels_says_what_to_do(
    bare: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    assert threestage("import", bare, "--images", pictures / "images").code == 0
    before = fingerprint(bare)
    assert "No image has any ground truth" in threestage("run", bare, *TINY).sentence
    checked = threestage("check", bare, "--json")
    assert checked.code == 1
    assert checked.document["problems"][0]["level"] == "error"
    assert fingerprint(bare) == before


def test_a_class_that_is_never_labelled_is_named(
    bare: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    save_png(tmp_path / "masks/picture0.png", np.minimum(draw_pair(0)[1], 1))
    files = ("--images", pictures / "images", "--masks", tmp_path / "masks")
    assert threestage("import", bare, *files).code == 0
    before = fingerprint(bare)
    assert "Class 'c' is never labelled" in threestage("run", bare, *TINY).sentence
    assert "Class 'c' is never labelled" in threestage("check", bare).out
    assert fingerprint(bare) == before


def test_a_run_without_unlabelled_images_works_with_a_note(
    bare: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    files = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    assert threestage("import", bare, *files).code == 0
    assert "All images are labelled" in threestage("check", bare).out
    result = threestage("run", bare, *TINY, "--stages", "1-2", "--json")
    assert result.code == 0
    (note,) = [event for event in result.events if event["event"] == "warning"]
    assert "All images are labelled" in note["message"]


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "data.crops=[32,32]"], "There is no setting 'data.crops'"),
        (["--set", "nonsense=1"], "There is no setting 'nonsense'"),
        (["--set", "data.crop.x=1"], "'data.crop.x' is no setting"),
        (["--set", "data.labelled_batch=0"], "'data.labelled_batch' cannot be 0"),
        (["--set", "loss.pseudo=much"], "'loss.pseudo' cannot be 'much'"),
        (["--set", "loss.pseudo"], "'loss.pseudo' is no setting"),
        (["--preset", "nonsense"], "nonsense"),
        (["--device", "nonsense"], "Device 'nonsense' cannot be used"),
        (["--device", "cuda:99"], "Device 'cuda:99' cannot be used"),
        (["--stages", "x"], "'x' names no stages"),
        (["--stages", "3-1"], "'3-1' names no stages"),
        (["--stages", "0-3"], "'0-3' names no stages"),
        (["--stages", "1-3-4"], "'1-3-4' names no stages"),
        (["--steps", "0"], "steps"),
        (["--steps", "-1"], "steps"),
        (["--steps", "many"], "many"),
        (["--seed", "x"], "x"),
    ],
)
def test_settings_that_make_no_sense(
    arguments: list[str], words: str, project: Path, unharmed: Callable[..., str]
) -> None:
    assert words in unharmed("run", project, *TINY, *arguments)


def test_a_preset_that_is_not_there_cannot_be_checked(
    project: Path, unharmed: Callable[..., str]
) -> None:
    assert "There is no preset 'x'" in unharmed("check", project, "--preset", "x")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run"], ["init", "x"]])
def test_a_command_line_that_is_no_command(
    arguments: list[str], threestage: Callable[..., Result]
) -> None:
    assert threestage(*arguments).sentence


# --- projects ---------------------------------------------------------------------------------


def every_command(path: Path, pictures: Path, tmp_path: Path) -> list[list[Any]]:
    """Return all commands that open a project."""
    images = ["--images", pictures / "test/images"]
    return [
        ["import", path, *images],
        ["check", path],
        ["run", path, *TINY],
        ["run", path, "--resume"],
        ["stop", path],
        ["status", path],
        ["evaluate", path, *images, "--masks", pictures / "test/masks"],
        ["predict", path, *images, "--output", tmp_path / "out"],
        ["export-masks", path, "--output", tmp_path / "out"],
    ]


def newer(file: Path) -> str:
    content = json.loads(file.read_text()) | {"schema_version": 99, "colour_space": "lab"}
    file.write_text(json.dumps(content))
    return "was made by a newer version of this program"


def cut_off(file: Path) -> str:
    file.write_text(file.read_text()[:-100])
    return "is damaged"


def of_another_kind(file: Path) -> str:
    file.write_text("[1, 2]")
    return "is damaged"


def empty(file: Path) -> str:
    file.write_text("")
    return "is damaged"


def binary(file: Path) -> str:
    file.write_bytes(bytes(range(256)))
    return "is damaged"


def without_a_version(file: Path) -> str:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": None}))
    return "is damaged"


def removed(file: Path) -> str:
    file.unlink()
    return "is no project"


@pytest.mark.parametrize(
    "damage", [newer, cut_off, of_another_kind, empty, binary, without_a_version, removed]
)
def test_no_command_opens_a_project_that_it_cannot_read(
    damage: Callable[[Path], str],
    project: Path,
    pictures: Path,
    tmp_path: Path,
    unharmed: Callable[..., str],
) -> None:
    words = damage(project / "project.json")
    for arguments in every_command(project, pictures, tmp_path):
        assert words in unharmed(*arguments)
    assert not (tmp_path / "out").exists()


def test_no_command_opens_a_folder_that_is_not_there(
    project: Path, pictures: Path, tmp_path: Path, unharmed: Callable[..., str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path in (tmp_path / "nowhere", file / "below"):
        for arguments in every_command(path, pictures, tmp_path):
            sentence = unharmed(*arguments)
            assert str(path) in sentence
    assert not (tmp_path / "nowhere").exists()


def test_a_project_is_not_made_where_something_is(
    project: Path, tmp_path: Path, unharmed: Callable[..., str]
) -> None:
    classes = ("--classes", "a,b")
    assert "is a project already" in unharmed("init", project, *classes)
    assert "is not empty" in unharmed("init", tmp_path, *classes)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("one", "at least two classes"),
        ("", "at least two classes"),
        ("a,b,a", "the same name"),
        (",".join(f"class{number}" for number in range(300)), "254"),
    ],
)
def test_classes_that_make_no_sense(
    classes: str, words: str, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    path = tmp_path / "new"
    assert words in threestage("init", path, "--classes", classes).sentence
    assert not path.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '[{"colour": 1}]', '[{"name": "a", "color": "#zz"}, "b"]']
)
def test_files_that_hold_no_classes(
    content: str, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    file = tmp_path / "classes.json"
    file.write_text(content)
    assert threestage("init", tmp_path / "new", "--classes-file", file).sentence
    assert not (tmp_path / "new").exists()


def test_a_path_below_a_file_cannot_be_written(
    trained: Path, pictures: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    below = file / "below"
    before = fingerprint(trained)
    images = ("--images", pictures / "test/images")
    for arguments in (
        ["init", below, "--classes", "a,b"],
        ["predict", trained, *images, "--output", below],
        ["export-masks", trained, "--output", below],
        ["demo", "--output", below, "--steps", "1"],
    ):
        sentence = threestage(*arguments).sentence
        assert str(below) in sentence
        assert not sentence.endswith(":")
    assert fingerprint(trained) == before


# --- runs and models --------------------------------------------------------------------------


def test_results_need_a_run(
    project: Path, pictures: Path, tmp_path: Path, unharmed: Callable[..., str]
) -> None:
    images = ("--images", pictures / "test/images")
    assert "has no run" in unharmed("predict", project, *images, "--output", tmp_path / "out")
    assert "has no run" in unharmed("export-masks", project, "--output", tmp_path / "out")
    assert "has no run" in unharmed("evaluate", project, *images)


@pytest.mark.parametrize("command", ["evaluate", "predict", "export-masks"])
@pytest.mark.parametrize("stage", ["7", "first", "-1"])
def test_a_stage_that_is_not_there(
    stage: str,
    command: str,
    trained: Path,
    pictures: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
) -> None:
    images = [] if command == "export-masks" else ["--images", pictures / "test/images"]
    output = [] if command == "evaluate" else ["--output", tmp_path / "out"]
    result = threestage(command, trained, *images, *output, f"--stage={stage}")
    assert f"'{stage}'" in result.sentence
    assert "1, 2, 3" in result.sentence


def test_evaluate_needs_masks(
    trained: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    images = ("--images", pictures / "images/picture7.png")
    assert "None of these images has a mask" in threestage("evaluate", trained, *images).sentence
    assert "no validation images" in threestage("evaluate", trained).sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask: mask[:-1], "48 x 39"),
        (lambda mask: mask + 9, "allowed are 0 to 2"),
    ],
)
def test_evaluate_refuses_masks_that_do_not_fit(
    change: Callable[[np.ndarray], np.ndarray],
    words: str,
    trained: Path,
    pictures: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
) -> None:
    save_png(tmp_path / "masks/picture100.png", change(draw_pair(100)[1]))
    test = ("--images", pictures / "test/images", "--masks", tmp_path / "masks")
    sentence = threestage("evaluate", trained, *test).sentence
    assert "picture100.png" in sentence
    assert words in sentence


@pytest.mark.parametrize("value", ["high", "-3x"])
def test_evaluate_refuses_a_value_that_no_pixel_has(
    value: str, trained: Path, pictures: Path, threestage: Callable[..., Result]
) -> None:
    test = ("--images", pictures / "test/images", "--masks", pictures / "test/masks")
    result = threestage("evaluate", trained, *test, f"--unlabelled-value={value}")
    assert f"'{value}' is no value of a pixel" in result.sentence


def test_predict_names_the_images_that_it_could_not_read(
    trained: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    truncated_png(tmp_path)
    save_png(tmp_path / "good.png", draw_pair(51)[0])
    other_channels(tmp_path)
    files = ("--images", *sorted(tmp_path.glob("*.*")), "--output", tmp_path / "out")
    result = threestage("predict", trained, *files, "--json")
    assert result.code == 1
    assert result.document["files"] == [str(tmp_path / "out/good.tif")]
    assert {name for name, _ in result.document["failed"]} == {"new.png", "new.tif"}
    shown = threestage("predict", trained, *files)
    assert shown.code == 1
    assert "new.png" in shown.out


@pytest.mark.parametrize("name", ["own.tif", "own_confidence.tif"])
def test_predict_does_not_overwrite_the_files_that_it_was_given(
    name: str, trained: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    save_png(source / "own.png", draw_pair(50)[0])
    tifffile.imwrite(source / name, draw_pair(51)[0], photometric="rgb")
    (tmp_path / "link").symlink_to(source)
    before = fingerprint(source)
    for output in (source, tmp_path / "link"):
        files = ("--images", source, "--output", output, "--confidence")
        sentence = threestage("predict", trained, *files).sentence
        assert "would be overwritten" in sentence
        assert fingerprint(source) == before


def test_exported_masks_do_not_replace_images(
    project: Path, tmp_path: Path, threestage: Callable[..., Result]
) -> None:
    tifffile.imwrite(tmp_path / "picture1.tif", draw_pair(1)[0], photometric="rgb")
    before = fingerprint(tmp_path)
    out = ("--output", tmp_path, "--stage", "ground_truth")
    assert "picture1.tif is there already" in threestage("export-masks", project, *out).sentence
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut off", "text", "empty", "other"])
def test_a_damaged_model_is_not_used(
    damage: str,
    finished: Path,
    pictures: Path,
    tmp_path: Path,
    threestage: Callable[..., Result],
) -> None:
    from safetensors.numpy import save_file

    model = latest(finished).model_path(3)
    if damage == "cut off":
        model.write_bytes(model.read_bytes()[:-1000])
    elif damage == "other":
        save_file({"weight": np.zeros(3, np.float32)}, model)
    else:
        model.write_text("no model" if damage == "text" else "")
    output = ("--images", pictures / "test/images", "--output", tmp_path / "out")
    for source in (finished, model):
        result = threestage("predict", source, *output)
        assert "cannot be read as a segmenter" in result.sentence
    assert not (tmp_path / "out").exists()


def test_a_damaged_run_is_named_and_hides_no_other(
    finished: Path, threestage: Callable[..., Result]
) -> None:
    run = latest(finished)
    for name in ("inputs.json", "config.json"):
        content = (run.path / name).read_text()
        (run.path / name).write_text(content[:-40])
        named = threestage("export-masks", finished, "--run", run.id, "--output", finished / "out")
        assert f"Run {run.id} is damaged" in named.sentence
        assert threestage("status", finished, "--json").document["runs"] == []
        (run.path / name).write_text(content)
    assert len(threestage("status", finished, "--json").document["runs"]) == 1


# --- errors in the middle of a run ------------------------------------------------------------


class BrokenNetwork(RuntimeError):
    """A bug."""


def test_a_run_that_fails_before_it_begins_tells_it_as_an_event(
    bare: Path, threestage: Callable[..., Result]
) -> None:
    result = threestage("run", bare, *TINY, "--json")
    (failed,) = result.events
    assert (failed["event"], failed["error"]) == ("failed", "NotReadyError")
    assert f"{failed['message']} {failed['hint']}".strip() == result.sentence


@pytest.mark.parametrize(
    ("command", "words"), [("run", "Stopped; everything is saved."), ("status", "Stopped.")]
)
def test_only_a_run_that_is_interrupted_says_that_all_is_saved(
    command: str,
    words: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "Project", interrupt)
    result = threestage(command, project)
    assert (result.code, result.err) == (3, f"{words}\n")


def test_a_bug_gives_its_traceback_and_exit_code_2(
    project: Path, monkeypatch: pytest.MonkeyPatch, threestage: Callable[..., Result]
) -> None:
    def fail(*_: object) -> None:
        raise BrokenNetwork("the network is broken")

    monkeypatch.setattr("napari_threestage.training.loop.StageTrainer.train_step", fail)
    result = threestage("run", project, "--stages", "1", *TINY, "--json")
    assert result.code == 2
    assert "Traceback" in result.err
    assert "This is a bug of ours: the network is broken" in result.err
    failed = result.events[-1]
    assert (failed["event"], failed["error"]) == ("failed", "BrokenNetwork")
    assert failed["message"] == "the network is broken"
    log = latest(project).path / "log.txt"
    assert str(log) in failed["hint"]
    assert "BrokenNetwork" in log.read_text()
    (state,) = threestage("status", project, "--json").document["runs"]
    assert state["state"] == "failed"
    assert "the network is broken" in threestage("status", project).out
    monkeypatch.undo()
    assert threestage("run", project, "--resume", "--quiet").code == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bug_elsewhere_is_told_as_well(
    as_json: bool,
    imported: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(training, "_status", fail)
    monkeypatch.setattr(training, "list_runs", lambda project: [None])
    result = threestage("status", imported, *(["--json"] if as_json else []))
    assert result.code == 2
    assert "Traceback" in result.err
    if as_json:
        assert result.document["error"] == "ZeroDivisionError"


@pytest.mark.parametrize("error", ["BrokenPipeError", "KeyboardInterrupt"])
def test_the_end_of_the_reader_and_of_patience_are_no_bugs(
    error: str,
    imported: Path,
    monkeypatch: pytest.MonkeyPatch,
    threestage: Callable[..., Result],
) -> None:
    def fail(project: Project) -> None:
        raise {"BrokenPipeError": BrokenPipeError, "KeyboardInterrupt": KeyboardInterrupt}[error]

    monkeypatch.setattr(training, "list_runs", fail)
    result = threestage("status", imported)
    assert result.code == (0 if error == "BrokenPipeError" else 3)
    assert "Traceback" not in result.err


def test_a_run_that_fails_for_its_input_records_the_sentence(
    project: Path, threestage: Callable[..., Result]
) -> None:
    steps = settings({"stages.steps": "[2]", "optimiser.learning_rate": "1e30"})
    arguments = ("--stages", "1", "--device", "cpu", *steps)
    unclipped = ("--set", "optimiser.clip=0", "--set", "network.batch_norm=frozen")
    result = threestage("run", project, *arguments, *unclipped, "--json")
    assert "Training diverged in stage 1" in result.sentence
    failed = result.events[-1]
    assert (failed["event"], failed["error"]) == ("failed", "ThreeStageError")
    assert failed["message"].startswith("Training diverged in stage 1")
    assert "learning_rate" in failed["hint"]
    assert result.out == latest(project).events_path.read_text()
    shown = threestage("status", project)
    assert "failed" in shown.out
    assert "Training diverged" in shown.out


def test_a_damaged_checkpoint_is_named_and_can_be_removed(
    project: Path, monkeypatch: pytest.MonkeyPatch, threestage: Callable[..., Result]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training._StopSignals, "stop_wanted", lambda self: True)
        stopped = threestage("run", project, *TINY, "--stages", "1")
    assert stopped.code == 3
    checkpoint = latest(project).stage_path(1) / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    images = fingerprint(project / "images")
    result = threestage("run", project, "--resume")
    assert f"The checkpoint {checkpoint} is damaged" in result.sentence
    assert fingerprint(project / "images") == images
    assert threestage("status", project, "--json").document["runs"][0]["state"] == "failed"
    checkpoint.unlink()
    assert threestage("run", project, "--resume", "--quiet").code == 0


def test_an_image_whose_folder_is_gone_is_named(
    project: Path, threestage: Callable[..., Result]
) -> None:
    image = next(iter(Project(project).images))
    shutil.rmtree(Project(project).image_path(image))
    assert f"Image {image} is listed" in threestage("run", project, *TINY).sentence
    checked = threestage("check", project)
    assert checked.code == 1
    assert image in checked.out


def test_weights_that_are_not_there_are_named(
    project: Path, threestage: Callable[..., Result]
) -> None:
    images = fingerprint(project / "images")
    result = threestage("run", project, *TINY, "--set", "network.weights=nowhere.pt")
    assert "nowhere.pt" in result.sentence
    assert fingerprint(project / "images") == images
