"""``evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.data import print_skipped, unlabelled_value
from napari_threestage.cli.output import (
    add_command,
    out,
    percent,
    plain_table,
    print_json,
    progress_bar,
    say,
    score_table,
)
from napari_threestage.compare.kinds import ConfusionsByKind
from napari_threestage.errors import NotReadyError
from napari_threestage.ingest import (
    ImportOptions,
    check_mask_size,
    find_pairs,
    image_name,
    load_image,
    load_mask_values,
    load_truth,
)
from napari_threestage.project import Project
from napari_threestage.runs import Run, find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from rich.table import Table

    from napari_threestage.ingest import Skipped
    from napari_threestage.store import ImageArray


@dataclass(frozen=True)
class _Truths:
    """Images by name with their ground truth, how many have none, and files of no use."""

    named: Iterable[tuple[str, ImageArray, np.ndarray]]
    total: int
    without_mask: int
    skipped: Sequence[Skipped] = ()


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    parser = add_command(
        commands,
        "evaluate",
        evaluate,
        "score the stages of a run on images with masks that no stage has seen",
        "threestage evaluate my_project --images test/images --masks test/masks",
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--stage", default="all", help="a number or all")
    parser.add_argument("--images", type=Path, nargs="+", help="without: the validation images")
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--mask-values", default="index")
    parser.add_argument("--unlabelled-value", default="255")
    add_kinds(parser)
    parser.add_argument("--device", default="auto")


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Add the option that tells the kinds of images by their names."""
    parser.add_argument(
        "--kinds",
        metavar="PATTERN",
        help="score images of each kind as well: what this regular expression, or a group of it, "
        "finds in their names, such as '^[^_]+'; other images are of the kind 'other'",
    )


def evaluate(options: argparse.Namespace) -> None:
    """Score every wanted stage on the same images."""
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    project = Project(options.project)
    run = find_run(project, options.run)
    stages = wanted_stages(run, options.stage)
    names = [entry["name"] for entry in run.inputs.classes]
    confusions = ConfusionsByKind(names, stages, options.kinds)
    device = choose_device(options.device)
    segmenters = {stage: load_segmenter(run.model_path(stage), device) for stage in stages}
    truths = _truths(project, options)
    with progress_bar("evaluating", options.json) as bar:
        task = bar.add_task("evaluating", total=truths.total)
        for name, image, truth in truths.named:
            of_kind = confusions.of(name)
            for stage, segmenter in segmenters.items():
                of_kind[stage].add(truth, segmenter.predict(image)[0])
            bar.advance(task)
    found = {"run": run.id, "images": truths.total, **confusions.to_dict()}
    if options.json:
        skipped = [{"file": str(one.path), "reason": one.reason} for one in truths.skipped]
        print_json(found | {"without_mask": truths.without_mask, "skipped": skipped})
        return
    print_skipped("Not used", truths.skipped)
    if truths.without_mask:
        say(f"Images without a mask, so not counted: {truths.without_mask}.")
    print_scores(found)


def print_scores(found: dict[str, Any]) -> None:
    """Print what an evaluation found."""
    scores = found["stages"]
    out.print(score_table(f"Run {found['run']} on {found['images']} images, in %", scores))
    if "kinds" in found:
        out.print(_kinds_table(found["kinds"]))
    absent = next(iter(scores.values()))["absent"]
    if absent:
        say(f"Not in the masks, so not counted: {', '.join(absent)}.")


def _kinds_table(kinds: Mapping[str, Any]) -> Table:
    stages = list(next(iter(kinds.values()))["stages"])
    columns = ("kind", "images", *(f"stage {stage}" for stage in stages))
    rows = [
        [kind, str(one["images"]), *(percent(score["miou"]) for score in one["stages"].values())]
        for kind, one in kinds.items()
    ]
    return plain_table(columns, rows, "mIoU by kind, in %")


def stage_metrics(run: Run, stage: int) -> dict[str, Any]:
    """Return the scores a stage noted when it was finished."""
    metrics: dict[str, Any] = json.loads((run.stage_path(stage) / "metrics.json").read_text())
    return metrics


def wanted_stages(run: Run, text: str) -> list[int]:
    """Return the finished stages that ``all``, ``last`` or a number names.

    Raises
    ------
    NotReadyError
        That stage is not finished.
    """
    finished = [stage for stage in run.finished_stages() if run.model_path(stage).exists()]
    chosen = {"all": finished, "last": finished[-1:]}.get(text)
    if chosen is None and text.isdigit() and int(text) in finished:
        chosen = [int(text)]
    if not chosen:
        known = ", ".join(map(str, finished)) or "none yet"
        raise NotReadyError(f"Run {run.id} has no finished stage '{text}'.", f"Finished: {known}.")
    return chosen


def _truths(project: Project, options: argparse.Namespace) -> _Truths:
    """Return images with their ground truth, from folders or from the validation images."""
    if options.images:
        pairing = find_pairs(options.images, options.masks)
        files = [(image, mask) for image, mask in pairing.pairs if mask is not None]
        if not files:
            raise NotReadyError("None of these images has a mask.", "Give --masks FOLDER.")
        settings = ImportOptions(
            mask_values=load_mask_values(options.mask_values),
            unlabelled_value=unlabelled_value(options.unlabelled_value),
        )
        named = (
            (image_name(image), *_truth_pair(project, image, mask, settings))
            for image, mask in files
        )
        without = len(pairing.pairs) - len(files)
        return _Truths(named, len(files), without, pairing.skipped)
    ids = [i for i, record in project.images.items() if record.split == "validation"]
    truths = {i: project.read_labels(i) for i in ids}
    found = [
        (project.images[i].name, project.read_image(i), truth)
        for i, truth in truths.items()
        if truth is not None
    ]
    if not found:
        raise NotReadyError(
            "The project has no validation images with ground truth.",
            "Give --images and --masks, or import some with --split validation.",
        )
    return _Truths(found, len(found), len(ids) - len(found))


def _truth_pair(
    project: Project, image_path: Path, mask_path: Path, settings: ImportOptions
) -> tuple[ImageArray, np.ndarray]:
    """Return an image and its ground truth in the image's shape without channels."""
    image, truth = load_image(image_path), load_truth(mask_path, project, settings)[0]
    check_mask_size(image_path, image, mask_path, truth)
    sizes = zip(image.axes, image.data.shape, strict=True)
    return image, truth.reshape([size for axis, size in sizes if axis != "c"])
