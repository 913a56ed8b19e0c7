"""The command: trains what is missing, goes on where it was, refuses what does not compare."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from data_set_helpers import folder_data_set, write_classes, write_part

from napari_threestage.benchmark.children import Children, CommandFailed
from napari_threestage.benchmark.datasets import open_data_set
from napari_threestage.benchmark.examples import read_panels
from napari_threestage.benchmark.methods import FOREST
from napari_threestage.benchmark.projects import GroupProject
from napari_threestage.benchmark.splits import choose_labelled
from napari_threestage.cli import main, training
from napari_threestage.errors import Stopped
from napari_threestage.project import Project
from napari_threestage.runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 300.0
SETTINGS = {
    "network.backbone": "compact",
    "network.weights": "none",
    "data.crop": "[32,32]",
    "data.labelled_batch": "2",
    "data.whole_set_batch": "2",
    "data.stage1_batch": "2",
    "stages.steps": "[2,2]",
    "threads": "1",
    "progress_seconds": "0",
}
TINY = ["--device", "cpu", "--seeds", "0", "--labelled", "2"]


def settings(changes: dict[str, str] | None = None) -> list[str]:
    merged = SETTINGS | (changes or {})
    return [part for name, value in merged.items() for part in ("--set", f"{name}={value}")]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def call(*arguments: object) -> Result:
    """Call a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_data_set(tmp_path_factory.mktemp("sets") / "squares", train=6, test=2)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is called, in this process, where a process of its own would load torch each time."""
    called: list[list[str]] = []
    process = Children.run

    def run(self: Children, name: str, arguments: list[str], told: str = "") -> str:
        called.append(arguments[1:] or [name])
        if name == FOREST:
            return process(self, name, arguments, told)
        result = call(*arguments[1:])
        if result.code:
            raise CommandFailed(name, result.code, result.err)
        return result.out

    # Signals are for the main thread, and a group has a thread of its own.
    class NoSignals(contextlib.nullcontext[Any]):
        def __enter__(self) -> NoSignals:
            return self

        def stop_wanted(self) -> bool:
            return False

    monkeypatch.setattr(Children, "run", run)
    monkeypatch.setattr(training, "_StopSignals", NoSignals)
    return called


def test_the_masks_of_all_stages_are_drawn_side_by_side(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("benchmark", data, "--methods", "three-stage", *TINY, *settings())
    result = call(*arguments, "--output", tmp_path, "--panels", "2", "--figures")
    assert result.code == 0, result.err
    kept = tmp_path / "test" / "rows" / "squares-2-dense-0-three-stage.panels"
    names = [item.name for item in open_data_set(data).test]
    found = sorted(path.relative_to(kept).as_posix() for path in kept.glob("*/*"))
    assert found == sorted(f"stage-{k}/{name}.tif" for k in (1, 2, 3) for name in names)
    panels = read_panels(open_data_set(data), open_data_set(data).test, kept)
    assert [list(panel.masks) for panel in panels] == [["stage 1", "stage 2", "stage 3"]] * 2
    for panel in panels:
        assert panel.truth is not None
        assert panel.image.shape[:2] == panel.truth.shape == panel.masks["stage 3"].shape
    drawn = tmp_path / "test" / "figures" / "panels-squares-2-dense-0-three-stage.png"
    assert drawn.stat().st_size > 10_000


def names_of(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "rows").glob("*.json")}


def test_methods_are_trained_scored_and_compared(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    methods = ("--methods", "supervised", "three-stage")
    arguments = ("benchmark", data, *methods, *TINY, *settings(), "--output", tmp_path)
    result = call(*arguments, "--json")
    assert result.code == 0, result.err
    ours, supervised = "squares-2-dense-0-three-stage", "squares-2-dense-0-supervised"
    assert names_of(tmp_path / "test") == {ours, supervised}
    assert f"[2/2] {ours}: mIoU " in result.err

    # One project for both, each trained as a person would.
    assert [one[0] for one in commands] == ["init", "import", *["run", "evaluate"] * 2]
    assert not list((tmp_path / "test" / "work").glob("*/project"))

    row = json.loads((tmp_path / "test" / "rows" / f"{ours}.json").read_text())
    assert set(row["stages"]) == {"1", "2", "3"}
    assert set(row["stages"]["3"]["iou"]) == {"background", "square"}
    assert row["scored_images"] == 2
    assert row["training_seconds"] > 0 < row["images_per_second"]
    chosen = choose_labelled(open_data_set(data).train, 2, 0)
    assert row["recipe"]["labelled_images"] == [item.name for item in chosen]
    assert row["recipe"]["config"]["stages"]["steps"] == [2, 2]
    events = (tmp_path / "test" / "rows" / f"{ours}.events.jsonl").read_text().splitlines()
    assert json.loads(events[0])["labelled"] == 2
    assert json.loads(events[0])["unlabelled"] == 4

    document = json.loads(result.out)
    assert document == json.loads((tmp_path / "test" / "results.json").read_text())
    assert [entry["method"] for entry in document["summary"]] == ["supervised", "three-stage"]
    assert "|three-stage|" in (tmp_path / "test" / "table.md").read_text()

    assert document["recipes"] == [
        "preset quick, network.backbone=compact, network.weights=none, data.crop=[32, 32], "
        "data.labelled_batch=2, data.whole_set_batch=2, data.stage1_batch=2, stages.steps=[2, 2]"
    ]
    assert "stages.steps=[2, 2]" in (tmp_path / "test" / "table.md").read_text()

    # Again: everything is there.
    commands.clear()
    shown = call(*arguments)
    assert shown.code == 0
    assert commands == []
    assert "three-stage" in shown.out

    other = call(*arguments, *settings({"stages.steps": "[3,2]"}))
    assert other.code == 1
    assert "stages.steps was [2, 2] and is [3, 2]" in other.err
    assert commands == []


def test_a_method_that_fails_stops_no_other(
    data: Path, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = Children.run

    def run(self: Children, name: str, arguments: list[str], told: str = "") -> str:
        if name == "run" and "augment.cutmix=1.0" in arguments:
            raise CommandFailed(name, 1, "step 1 of 8\nerror: No luck.")
        return working(self, name, arguments, told)

    methods = ("--methods", "cutmix", "supervised")
    arguments = ("benchmark", data, *methods, *TINY, *settings(), "--output", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Children, "run", run)
        result = call(*arguments)
    assert result.code == 1
    assert "squares-2-dense-0-cutmix: failed. 'run' failed: No luck." in result.err
    rows = tmp_path / "test" / "rows"
    assert "step 1 of 8" in (rows / "squares-2-dense-0-cutmix.error.txt").read_text()
    assert names_of(tmp_path / "test") == {"squares-2-dense-0-supervised"}

    # The project is there for the next try, which needs no import.
    commands.clear()
    again = call(*arguments)
    assert again.code == 0, again.err
    assert [one[0] for one in commands] == ["run", "evaluate"]
    assert not list(rows.glob("*.error.txt"))


def test_held_out_images_are_scored_and_watched_apart_from_the_test(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("benchmark", data, "--methods", "supervised", *TINY, *settings())
    held_out = ("--held-out", "0.34", "--curve-images", "1", "--output", tmp_path)
    assert call(*arguments, *held_out).code == 0
    folder = tmp_path / "held-out-0.34"
    [name] = names_of(folder)
    row = json.loads((folder / "rows" / f"{name}.json").read_text())
    assert row["recipe"]["images"] == 4
    assert row["scored_images"] == 2
    assert not (tmp_path / "test").exists()
    lines = (folder / "rows" / f"{name}.events.jsonl").read_text().splitlines()
    looks = [event for event in map(json.loads, lines) if event["event"] == "sampled"]
    assert looks
    assert {event["on"] for event in looks} == {"validation"}


def test_images_held_out_by_name_have_a_folder_of_their_own(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("benchmark", data, "--methods", "supervised", *TINY, *settings())
    train = sorted(path.stem for path in (data / "train" / "images").iterdir())
    for pattern in (f"^{train[0]}$|^{train[1]}$", f"^{train[0]}$|^{train[2]}$"):
        kinds = ("--kinds", f"{train[0]}$")
        found = call(*arguments, "--held-out", pattern, *kinds, "--output", tmp_path)
        assert found.code == 0, found.err
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 2
    assert all("by kind of image" in (one / "table.md").read_text() for one in folders)
    rows = [json.loads(path.read_text()) for one in folders for path in one.glob("rows/*.json")]
    assert [row["scored_images"] for row in rows] == [2, 2]
    assert [[*row["kinds"]] for row in rows] == [[train[0], "other"]] * 2
    assert all(row["recipe"]["images"] == len(train) - 2 for row in rows)


def test_options_that_make_no_sense_are_refused_before_anything_is_trained(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    for option, sentence in (
        (("--kinds", "("), "'(' is no regular expression"),
        (("--held-out", "2007_000032"), "in the name of none of 6 training images"),
        (("--held-out", "20%"), "or a share of the images such as 0.2"),
        (("--held-out", ""), "give a share such as 0.2, or a part of the names"),
        (("--against", FOREST), "invalid choice"),
    ):
        found = call("benchmark", data, *TINY, *settings(), *option, "--output", tmp_path)
        assert found.code and sentence in " ".join(found.err.split())
    assert not commands


def test_segmenters_that_are_kept_can_be_applied(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("--methods", "three-stage", *TINY, *settings(), "--output", tmp_path / "out")
    assert call("benchmark", data, *arguments, "--keep-models").code == 0
    models = tmp_path / "out/test/rows/squares-2-dense-0-three-stage.models"
    assert [path.name for path in sorted(models.iterdir())] == [
        f"stage-{stage}.safetensors" for stage in (1, 2, 3)
    ]
    images = data / "test" / "images"
    masks = tmp_path / "masks"
    found = call("predict", models / "stage-3.safetensors", "--images", images, "--output", masks)
    assert found.code == 0, found.err
    assert len(list(masks.glob("*.tif"))) == 2

    # Segmenters of another training must not stay beside the next row.
    models.with_suffix(".json").unlink()
    again = call("benchmark", data, *arguments, "--kinds=-none")
    assert again.code == 0, again.err
    assert not models.exists()
    told = call("benchmark", data, *arguments, "--kinds", "^im").err
    assert "1 finished rows, such as squares-2-dense-0-three-stage, were not scored by" in told


def test_all_labels_and_scribbles(
    data: Path, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels: dict[str, int] = {}
    made = GroupProject.make

    def make(self: GroupProject) -> None:
        made(self)
        project = Project(self.path)
        truths = [project.read_labels(image) for image in project.images]
        pixels[self.group.name] = sum((one > 0).sum() for one in truths if one is not None)

    monkeypatch.setattr(GroupProject, "make", make)
    arguments = ("benchmark", data, "--methods", "supervised", "full-short", *TINY, *settings())
    assert call(*arguments, "--labels", "scribbles", "--output", tmp_path).code == 0
    assert set(pixels) == {"squares-2-scribbles-0", "squares-all-dense-0"}
    assert pixels["squares-all-dense-0"] == 6 * 32 * 32
    assert 0 < pixels["squares-2-scribbles-0"] < 0.5 * 2 * 32 * 32


@pytest.mark.parametrize("labels", [pytest.param("dense", marks=pytest.mark.slow), "scribbles"])
def test_the_forest_is_one_of_the_methods(
    labels: str, data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("benchmark", data, "--methods", FOREST, *TINY, "--labels", labels)
    result = call(*arguments, "--output", tmp_path, "--json")
    assert result.code == 0, result.err
    assert commands == [[FOREST]]  # it needs no project
    [row] = json.loads(result.out)["rows"]
    assert row["stages"]["1"]["miou"] > 0.5
    assert row["images_per_second"] is None
    other = call(*arguments, "--output", tmp_path, "--preset", "balanced")
    assert other.code == 0  # presets are nothing to it
    assert commands == [[FOREST]]


def test_the_forest_learns_from_training_images_whatever_those_of_the_test_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "squares"
    write_classes(folder)
    write_part(folder / "train", 4)
    write_part(folder / "test", 4, side=48)  # the same names
    told: list[dict[str, Any]] = []

    def run(self: Children, name: str, arguments: list[str], text: str = "") -> str:
        told.append(json.loads(text))
        return json.dumps({"stages": {"1": {"miou": 0.5, "iou": {}}}})

    monkeypatch.setattr(Children, "run", run)
    arguments = ("benchmark", folder, "--methods", FOREST, *TINY, "--output", tmp_path / "out")
    assert call(*arguments).code == 0
    [one] = told
    assert {Path(item["image"]).parent for item in one["labelled"]} == {folder / "train/images"}
    assert {Path(mask).parent for mask in one["masks"]} == {folder / "train/masks"}
    assert {Path(item["image"]).parent for item in one["test"]} == {folder / "test/images"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--labelled", "inf"], "inf images cannot be labelled"),
        (["--methods", "magic"], "no method 'magic'"),
        (["--curve-images", "2"], "--held-out"),
        (["--labelled", "700"], "700 images are to be labelled"),
        (["--set", "loss.magic=1"], "no setting 'loss.magic'"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str], sentence: str, data: Path, tmp_path: Path
) -> None:
    result = call("benchmark", data, "--output", tmp_path, *arguments)
    assert result.code == 1
    assert sentence in result.err
    assert "Traceback" not in result.err


def test_two_data_sets_of_one_name_are_refused(data: Path, tmp_path: Path) -> None:
    other = folder_data_set(tmp_path / "squares")
    result = call("benchmark", data, other, "--output", tmp_path / "out")
    assert result.code == 1
    assert "squares" in result.err


def test_the_table_alone_trains_nothing(data: Path, tmp_path: Path) -> None:
    result = call("benchmark", data, "--table-only", "--output", tmp_path)
    assert result.code == 0, result.err
    assert "There are no rows" in result.out
    assert not (tmp_path / "test").exists()


def test_the_table_holds_all_rows_whatever_is_asked_for(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("benchmark", data, *TINY, *settings(), "--output", tmp_path)
    assert call(*arguments, "--methods", "supervised").code == 0
    assert call(*arguments, "--methods", "full-short").code == 0
    table = (tmp_path / "test" / "table.md").read_text()
    assert "|supervised|" in table
    assert "|full-short|" in table

    commands.clear()
    (tmp_path / "test" / "rows" / "damaged.json").write_text("{")
    other = ("--methods", "cutmix", "--set", "loss.dice=0.7", "--table-only")
    shown = call(*arguments, *other)
    assert shown.code == 0, shown.err
    assert "supervised" in shown.out
    assert "damaged.json is damaged" in shown.err
    assert (tmp_path / "test" / "table.md").read_text() == table
    assert commands == []


def test_methods_that_are_the_same_here_are_trained_once(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    methods = ("--methods", "three-stage", "quick")
    result = call("benchmark", data, *methods, *TINY, *settings(), "--output", tmp_path)
    assert result.code == 0, result.err
    assert "quick is left out: here it is the same as three-stage." in result.err
    assert names_of(tmp_path / "test") == {"squares-2-dense-0-three-stage"}


def test_rows_know_which_data_they_are_of(
    data: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    arguments = ("--methods", "supervised", *TINY, *settings(), "--output", tmp_path / "out")
    assert call("benchmark", data, *arguments, "--keep-projects").code == 0
    other = shutil.copytree(data, tmp_path / "other" / "squares")
    assert call("benchmark", other, *arguments).code == 0
    image = other / "test" / "images" / "im006.png"
    image.write_bytes(image.read_bytes() + b" ")
    refused = call("benchmark", other, *arguments)
    assert refused.code == 1
    assert "data_fingerprint" in refused.err

    # What was kept of the project is of the other data too.
    (tmp_path / "out/test/rows/squares-2-dense-0-supervised.json").unlink()
    commands.clear()
    assert call("benchmark", other, *arguments).code == 0
    assert [one[0] for one in commands] == ["init", "import", "run", "evaluate"]


def test_a_training_that_could_not_be_scored_is_kept_for_the_next_time(
    data: Path, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = Children.run
    scored: list[int] = []

    def run(self: Children, name: str, arguments: list[str], told: str = "") -> str:
        if name == "evaluate":
            scored.append(1)
            if len(scored) == 1:
                raise CommandFailed(name, 1, "error: The disk is full.")
        out = working(self, name, arguments, told)
        if name == "evaluate" and len(scored) == 2:
            skipped = [{"file": "im007.png", "reason": "it is damaged"}]
            return json.dumps(json.loads(out) | {"skipped": skipped})
        return out

    methods = ("--methods", "supervised", "three-stage", "no-pseudo")
    arguments = ("benchmark", data, *methods, *TINY, *settings(), "--output", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Children, "run", run)
        result = call(*arguments)
    assert result.code == 1
    assert "The disk is full." in result.err
    assert "1 of the images to score were left out" in result.err
    assert names_of(tmp_path / "test") == {"squares-2-dense-0-no-pseudo"}
    commands.clear()
    again = call(*arguments)
    assert again.code == 0, again.err
    assert [one[0] for one in commands] == ["evaluate", "evaluate"]
    row = json.loads((tmp_path / "test/rows/squares-2-dense-0-three-stage.json").read_text())
    assert set(row["stages"]) == {"1", "2", "3"}
    assert not list((tmp_path / "test" / "work").glob("*/"))


# --- processes --------------------------------------------------------------------------------


def test_children_end_together() -> None:
    children, ended = Children(), []
    began = threading.Event()

    def wait() -> None:
        began.set()
        try:
            children.run("sleep", ["timeit", "-n1", "-r1", f"import time; time.sleep({SECONDS})"])
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait(SECONDS)
    children.end()
    thread.join(SECONDS)
    assert ended == ["stopped"]
    with pytest.raises(Stopped):
        children.run("sleep", ["timeit", "pass"])


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(CommandFailed, match=r"'status' failed:.*no_such_project"):
        Children(threads=1).threestage("status", "no_such_project")


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process of its own, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "napari_threestage", *map(str, arguments)]
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_benchmark_goes_on_where_it_was(
    number: signal.Signals, data: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    steps = settings({"stages.steps": "[100,2]", "checkpoint_seconds": "0.001"})
    arguments = ("benchmark", data, "--methods", "three-stage", *TINY, *steps)
    arguments += ("--output", tmp_path)
    process = start(*arguments)
    project = tmp_path / "test" / "work" / "squares-2-dense-0" / "project"
    checkpoint = "runs/*/stage-1/checkpoint.pt"
    wait_until(lambda: project.exists() and list(project.glob(checkpoint)))
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    if number != signal.SIGKILL:
        assert process.returncode == 3
        [run] = list_runs(Project(project))
        assert run.state() == "stopped"
    again = start(*arguments, "--json")
    out, err = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, err
    [row] = json.loads(out)["rows"]
    assert set(row["stages"]) == {"1", "2", "3"}
    rows = tmp_path / "test" / "rows"
    lines = (rows / "squares-2-dense-0-three-stage.events.jsonl").read_text().splitlines()
    begun = [event for event in map(json.loads, lines) if event["event"] == "stage_started"]
    assert begun[0]["stage"] == begun[1]["stage"] == 1
    assert begun[1]["step"] > 0
    assert not project.exists()
