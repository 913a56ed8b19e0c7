"""``demo``: the whole job on a made-up data set, offline and in minutes."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.output import add_command, duration, print_json, say
from napari_threestage.cli.results import print_scores
from napari_threestage.errors import ProjectError, ThreeStageError
from napari_threestage.ingest import ImportOptions, find_pairs, load_image, load_truth
from napari_threestage.panels import PanelRow, draw_panels
from napari_threestage.project import Project
from napari_threestage.runs import Run, find_run
from napari_threestage.sample import write_sample

if TYPE_CHECKING:
    import argparse

MARK = ".threestage-demo"  # only folders that a demo made are made anew
ROWS = 5
# Random weights, so that the demo needs no connection and gives everybody the same figures; these
# learn faster at a higher rate and without strong perturbation of the few labels.
SETTINGS = (
    "network.weights=none",
    "optimiser.learning_rate=0.003",
    "augment.labelled=[0]",
)
STEPS = [400, 300]  # minutes on two cores


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "demo",
        demo,
        "make a sample project, train three stages, evaluate, compare, report, export the last",
        "threestage demo --output threestage-demo",
    )
    parser.add_argument("--output", type=Path, default=Path("threestage-demo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, help="steps of every stage, to try it faster")


def demo(options: argparse.Namespace) -> None:
    """Do what a person would do, one command after the other."""
    begun = time.monotonic()
    folder = options.output
    _clear(folder)
    sample, path = folder / "sample", folder / "project"
    _say(options, f"Making images in {sample}: 6 labelled, 60 unlabelled, 40 for the test.")
    write_sample(sample, seed=options.seed)
    steps = [options.steps] if options.steps else STEPS
    wanted = (*SETTINGS, f"stages.steps={json.dumps(steps, separators=(',', ':'))}")
    settings = [part for setting in wanted for part in ("--set", setting)]
    settings += ["--seed", options.seed, "--device", options.device]
    test = ["--images", sample / "test/images", "--masks", sample / "test/masks"]
    _command(options, "init", path, "--classes-file", sample / "classes.json")
    _command(options, "import", path, "--images", sample / "images", "--masks", sample / "masks")
    # For validation: nothing is learnt from them, and they tell whether the stages helped.
    _command(options, "import", path, *test, "--split", "validation")
    _command(options, "run", path, *settings)
    scores = _evaluate(options, path, "--device", options.device, *test)
    project = Project(path)
    run = find_run(project)
    picture = folder / "stages.png"
    _draw(project, run, sample / "test", picture, scores["stages"])
    (folder / "scores.json").write_text(json.dumps(scores, indent=1))
    _command(options, "compare", path)
    report = folder / "report.html"
    _command(options, "report", path, "--output", report)
    segmenter = folder / "segmenter.safetensors"
    _command(options, "export", path, "--format", "safetensors", "--output", segmenter)
    if options.json:
        files = {"picture": picture, "report": report, "segmenter": segmenter}
        print_json(scores | {"project": str(path)} | {k: str(v) for k, v in files.items()})
        return
    say(f"\nDone in {duration(time.monotonic() - begun)}.")
    say(f"See what the stages changed: {picture}")
    say(f"All about the run, for a browser: {report}")
    say(f"The segmenter, for threestage predict: {segmenter}")
    say(f"The project is {path}. One of its images with all masks, for napari with the plugin")
    say(f"napari-ome-zarr: {project.image_path(min(project.images))}")
    say("Your own images, in a terminal where threestage is known (source .venv/bin/activate):")
    say("threestage init my_project --classes background,nucleus")


def _clear(folder: Path) -> None:
    """Remove what an earlier demo left; refuse any other folder that is not empty."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise ProjectError(f"{folder} is not empty.", "Choose a new folder with --output.")
        _refuse_work(folder / "project")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _refuse_work(path: Path) -> None:
    """Refuse to remove a project in which somebody works, or has painted or accepted labels."""
    try:
        project = Project(path)
    except ProjectError:
        return  # nothing that could be opened is lost
    with project.editing(), project.running():
        for image_id in project.images:
            labels = project.label_attributes(image_id)
            if labels and labels.get("source") != "imported":
                raise ProjectError(
                    f"The demo's project {path} has labels that were not there at first "
                    f"(of {image_id}), and a new demo would remove them.",
                    "Choose a new folder with --output.",
                )


def _command(options: argparse.Namespace, name: str, *arguments: Any) -> None:
    """Show and run a command."""
    words = [name, *map(str, arguments)]
    _say(options, f"\n$ threestage {shlex.join(words)}")
    with contextlib.redirect_stdout(io.StringIO()) if options.json else contextlib.nullcontext():
        _call([*words, "--quiet"] if options.json and name == "run" else words)


def _evaluate(options: argparse.Namespace, *arguments: Any) -> Any:
    """Show and run ``evaluate``; return what it found."""
    words = ["evaluate", *map(str, arguments)]
    _say(options, f"\n$ threestage {shlex.join(words)}")
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        _call([*words, "--json"])
    found = json.loads(shown.getvalue())
    if not options.json:
        print_scores(found)
    return found


def _call(words: list[str]) -> None:
    from napari_threestage.cli import main

    code = main(words)
    if code:
        raise ThreeStageError(f"threestage {words[0]} ended with code {code}.")


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        say(text)


def _draw(
    project: Project, run: Run, test: Path, picture: Path, scores: dict[str, dict[str, Any]]
) -> None:
    """Draw some test images with the masks of all stages and what changed between them."""
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    stages = run.finished_stages()
    device = choose_device(run.inputs.device)
    segmenters = {stage: load_segmenter(run.model_path(stage), device) for stage in stages}
    rows = []
    for path, mask in find_pairs([test / "images"], test / "masks").pairs[:ROWS]:
        image = load_image(path)
        truth = load_truth(mask, project, ImportOptions())[0] if mask else None
        masks = {stage: one.predict(image)[0] for stage, one in segmenters.items()}
        rows.append(PanelRow(path.stem, image.data.transpose(1, 2, 0), truth, masks))
    classes = [(entry.name, entry.color) for entry in project.classes]
    miou = {int(stage): score["miou"] for stage, score in scores.items()}
    draw_panels(rows, classes, miou).save(picture)
