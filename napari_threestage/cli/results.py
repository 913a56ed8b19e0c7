"""``evaluate`` and ``predict``."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.data import print_skipped, unlabelled_value
from napari_threestage.cli.output import (
    add_command,
    out,
    plain_table,
    print_json,
    progress_bar,
    say,
    score_table,
    write_mask_file,
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
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.ingest import Pairing, Skipped
    from napari_threestage.store import ImageArray


@dataclass(frozen=True)
class _Truths:
    """Images with their ground truth, how many images have none, and files of no use."""

    pairs: Iterable[tuple[ImageArray, np.ndarray]]
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
    truths = _truths(project, options)
    with progress_bar("evaluating", options.json) as bar:
        task = bar.add_task("evaluating", total=truths.total)
        for image, truth in truths.pairs:
            for stage, segmenter in segmenters.items():
                mask = segmenter.predict(image)[0]
                confusions[stage].add(truth, mask)
            bar.advance(task)
    scores = {str(stage): confusion.scores().to_dict() for stage, confusion in confusions.items()}
    found = {"run": run.id, "images": truths.total, "stages": scores}
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
    absent = next(iter(scores.values()))["absent"]
    if absent:
        say(f"Not in the masks, so not counted: {', '.join(absent)}.")


def predict(options: argparse.Namespace) -> int:
    """Write the mask of every image as TIFF; exit code 1 when one could not be read."""
    segmenter = _segmenter(options)
    pairing = find_pairs(options.images)
    targets = _targets(options.output, [image for image, _ in pairing.pairs])
    _refuse_inputs(pairing, targets.values(), options.confidence)
    options.output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    failed = [(skipped.path.name, skipped.reason) for skipped in pairing.skipped]
    ignored = len(failed)
    with progress_bar("predicting", options.json) as bar:
        for path, _ in bar.track(pairing.pairs, description="predicting"):
            try:
                mask, confidence = segmenter.predict(load_image(path))
            except ImageFileError as error:
                failed.append((path.name, str(error)))
                continue
            write_mask_file(targets[path], encode_mask(mask))
            written.append(targets[path])
            if options.confidence:
                write_mask_file(_confidence_file(targets[path]), confidence)
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
        pairs = (_truth_pair(project, image, mask, settings) for image, mask in files)
        without = len(pairing.pairs) - len(files)
        return _Truths(pairs, len(files), without, pairing.skipped)
    ids = [i for i, record in project.images.items() if record.split == "validation"]
    truths = {i: project.read_labels(i) for i in ids}
    found = [(project.read_image(i), truth) for i, truth in truths.items() if truth is not None]
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


def _targets(folder: Path, sources: Sequence[Path]) -> dict[Path, Path]:
    """Return a file for the mask of each image, of a name that no other image of this call has."""
    targets: dict[Path, Path] = {}
    taken: set[Path] = set()
    for source in sources:
        target = next(one for one in _candidates(folder, source) if one not in taken)
        targets[source] = target
        taken |= {target, _confidence_file(target)}
    return targets


def _candidates(folder: Path, source: Path) -> Iterator[Path]:
    name = source.name.removesuffix(".zarr").removesuffix(".ome")
    stem = name if source.is_dir() else source.stem.removesuffix(".ome")
    yield folder / f"{stem}.tif"
    for number in itertools.count(2):
        yield folder / f"{stem}-{number}.tif"


def _confidence_file(target: Path) -> Path:
    return target.with_name(f"{target.stem}_confidence.tif")


def _refuse_inputs(pairing: Pairing, targets: Iterable[Path], confidence: bool) -> None:
    """Raise `ConfigError` when a file that would be written is one of those that were given."""
    files = [file for pair in pairing.pairs for file in pair if file is not None]
    files += [one.path for one in pairing.skipped]
    given = {_place(file) for file in files}
    for target in targets:
        for file in (target, _confidence_file(target))[: 1 + confidence]:
            if file.exists() and _place(file) in given:
                raise ConfigError(
                    f"{file} is one of the files given with --images and would be overwritten.",
                    "Choose another folder with --output.",
                )


def _place(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other, whatever name it is called by."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
