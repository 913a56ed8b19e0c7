"""``evaluate`` and ``predict``."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.data import unlabelled_value
from napari_threestage.cli.output import (
    add_command,
    out,
    plain_table,
    print_json,
    progress_bar,
    say,
    score_table,
)
from napari_threestage.compare import Confusion
from napari_threestage.errors import ConfigError, ImageFileError, NotReadyError
from napari_threestage.ingest import (
    ImportOptions,
    check_mask_size,
    encode_mask,
    find_pairs,
    load_image,
    load_mask_values,
    load_truth,
)
from napari_threestage.project import Project
from napari_threestage.runs import Run, find_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.store import ImageArray


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
    parser.add_argument("--device", default="auto")
    _add_predict(commands)


def _add_predict(commands: Any) -> None:
    parser = add_command(
        commands,
        "predict",
        predict,
        "segment images with a project's last stage or with a model file",
        "threestage predict my_project --images new_images --output masks",
    )
    parser.add_argument("model", type=Path, help="a project, or a model.safetensors")
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--run", help="name of a run; the latest if not given")
    parser.add_argument("--stage", default="last")
    parser.add_argument("--confidence", action="store_true", help="write <name>_confidence.tif too")
    parser.add_argument("--device", default="auto")


def evaluate(options: argparse.Namespace) -> None:
    """Score every wanted stage on the same images."""
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    project = Project(options.project)
    run = find_run(project, options.run)
    stages = wanted_stages(run, options.stage)
    device = choose_device(options.device)
    segmenters = {stage: load_segmenter(run.model_path(stage), device) for stage in stages}
    names = [entry["name"] for entry in run.inputs.classes]
    confusions = {stage: Confusion(names) for stage in stages}
    pairs, total = _truth_pairs(project, options)
    with progress_bar("evaluating", options.json) as bar:
        task = bar.add_task("evaluating", total=total)
        for image, truth in pairs:
            for stage, segmenter in segmenters.items():
                mask = segmenter.predict(image)[0]
                confusions[stage].add(truth, mask)
            bar.advance(task)
    scores = {str(stage): confusion.scores().to_dict() for stage, confusion in confusions.items()}
    if options.json:
        print_json({"run": run.id, "images": total, "stages": scores})
        return
    out.print(score_table(f"Run {run.id} on {total} images, in %", scores))
    absent = next(iter(scores.values()))["absent"]
    if absent:
        say(f"Not in the masks, so not counted: {', '.join(absent)}.")


def predict(options: argparse.Namespace) -> int:
    """Write the mask of every image as TIFF; exit code 1 when one could not be read."""
    import tifffile

    segmenter = _segmenter(options)
    pairing = find_pairs(options.images)
    options.output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    taken: set[Path] = set()
    failed = [(skipped.path.name, skipped.reason) for skipped in pairing.skipped]
    ignored = len(failed)
    with progress_bar("predicting", options.json) as bar:
        for path, _ in bar.track(pairing.pairs, description="predicting"):
            try:
                mask, confidence = segmenter.predict(load_image(path))
            except ImageFileError as error:
                failed.append((path.name, str(error)))
                continue
            target = _target(options.output, path, taken)
            extra = target.with_name(f"{target.stem}_confidence.tif")
            tifffile.imwrite(target, encode_mask(mask), compression="zlib")
            written.append(target)
            taken |= {target, extra}
            if options.confidence:
                tifffile.imwrite(extra, confidence, compression="zlib")
    if options.json:
        print_json({"files": list(map(str, written)), "failed": [list(one) for one in failed]})
    else:
        say(f"Wrote {len(written)} masks to {options.output}.")
        if failed:
            out.print(plain_table(("file", "reason"), failed, "[red]Not predicted"))
    return 1 if len(failed) > ignored else 0


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


def _truth_pairs(
    project: Project, options: argparse.Namespace
) -> tuple[Iterator[tuple[ImageArray, np.ndarray]], int]:
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
        return (_truth_pair(project, image, mask, settings) for image, mask in files), len(files)
    ids = [i for i, record in project.images.items() if record.split == "validation"]
    truths = {i: project.read_labels(i) for i in ids}
    found = [(project.read_image(i), truth) for i, truth in truths.items() if truth is not None]
    if not found:
        raise NotReadyError(
            "The project has no validation images with ground truth.",
            "Give --images and --masks, or import some with --split validation.",
        )
    return iter(found), len(found)


def _truth_pair(
    project: Project, image_path: Path, mask_path: Path, settings: ImportOptions
) -> tuple[ImageArray, np.ndarray]:
    """Return an image and its ground truth in the image's shape without channels."""
    image, truth = load_image(image_path), load_truth(mask_path, project, settings)[0]
    check_mask_size(image_path, image, mask_path, truth)
    sizes = zip(image.axes, image.data.shape, strict=True)
    return image, truth.reshape([size for axis, size in sizes if axis != "c"])


def _segmenter(options: argparse.Namespace) -> Segmenter:
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    path = options.model
    if path.is_dir():
        run = find_run(Project(path), options.run)
        path = run.model_path(wanted_stages(run, options.stage)[0])
    elif not path.exists():
        raise ConfigError(f"There is no {path}.", "Give a project or a model.safetensors.")
    return load_segmenter(path, choose_device(options.device))


def _target(folder: Path, source: Path, taken: set[Path]) -> Path:
    """Return a file name that no other image of this call has."""
    name = source.name.removesuffix(".zarr").removesuffix(".ome")
    stem = name if source.is_dir() else source.stem
    candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(
        target
        for target in (folder / f"{candidate}.tif" for candidate in candidates)
        if target not in taken
    )
