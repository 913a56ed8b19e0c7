"""``predict``: segment files of any size with a project's stage or with an exported segmenter."""

from __future__ import annotations

import itertools
import math
import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.data import chosen_channels
from napari_threestage.cli.masks import refuse_data_folders
from napari_threestage.cli.output import add_command, out, plain_table, print_json, say
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.cli.results import wanted_stages
from napari_threestage.errors import ConfigError
from napari_threestage.ingest import find_pairs
from napari_threestage.mask_files import FORMATS
from napari_threestage.project import Project
from napari_threestage.runs import find_run
from napari_threestage.segmenter_info import NO_SEGMENTER

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_threestage.inference.desk import Order, Outcome
    from napari_threestage.inference.segmenter import Segmenter
    from napari_threestage.ingest import Skipped
    from napari_threestage.segmenter_info import SegmenterInfo

# How many mirror images are averaged, and the settings for that.
MIRRORS: dict[int, tuple[str, ...]] = {
    2: ("flips",),
    4: ("flips", "flips_vertical"),
    8: ("flips", "flips_vertical", "transpose"),
}
AUTO = "auto"
ENDINGS = (".tif", ".png", ".ome.zarr", ".geojson")


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "predict",
        predict,
        "segment images with a project's last stage or with an exported segmenter",
        "threestage predict my_project --images new_images --output masks\n"
        "  threestage predict cells.safetensors --images slide.ome.zarr --as ome-zarr --output out",
    )
    add_model_and_images(parser)
    parser.add_argument("--output", type=Path, required=True)
    _add_results(parser)
    _add_ways(parser)
    add_progress(parser)


def add_model_and_images(parser: argparse.ArgumentParser) -> None:
    """Add what says which segmenter is meant and which images, and how these are read."""
    parser.add_argument("model", type=Path, help="a project, a .safetensors or a BioImage .zip")
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--run", help="of a project: name of a run; the latest if not given")
    parser.add_argument("--stage", default="last", help="of a project: a number or last")
    parser.add_argument("--axes", help="of files that do not say (OME-Zarr does): zyx, yxc, …")
    parser.add_argument("--channels", help="of the files, numbered from 0: e.g. 0,1,2")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="format",
        choices=FORMATS,
        default="tiff",
        help="ome-zarr: of any size, and what was stopped goes on when called again; default: tiff",
    )
    parser.add_argument("--confidence", action="store_true", help="write <name>_confidence too")
    parser.add_argument(
        "--probabilities", action="store_true", help="write <name>_probabilities of all classes too"
    )
    parser.add_argument("--statistics", action="store_true", help="write areas and objects as CSV")
    parser.add_argument(
        "--skip-empty",
        type=float,
        nargs="?",
        const=0.0,
        metavar="VALUE",
        help="leave out tiles in which all pixels have this value; 0 if none is given",
    )


def _add_ways(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--flips",
        type=int,
        nargs="?",
        const=4,
        choices=MIRRORS,
        help="average over so many mirror images, slower and a little better; 4 if none is given",
    )
    parser.add_argument("--tile", type=int, help="side of what larger images are predicted in")
    parser.add_argument("--halo", type=int, help="pixels around a tile that the network sees too")
    parser.add_argument(
        "--magnify",
        type=magnification,
        metavar="FACTOR|auto",
        help="show images to the segmenter so many times as large, 2 where structures are half as "
        "large as in its training; auto: so that pixels have the size of those in its training",
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--workers", type=int, default=0, help="so many processes (needs the extra cluster)"
    )
    parser.add_argument("--scheduler", help="address of a Dask cluster that sees the same folders")


def magnification(text: str) -> float | str:
    """Return a factor, or that it is found for each image."""
    if text == AUTO:
        return text
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is neither a number nor {AUTO}") from None


def predict(options: argparse.Namespace) -> int:
    """Write the mask of every image; exit code 1 when one could not be predicted."""
    _check(options)
    model = model_file(options)
    pairing = find_pairs(options.images)
    sources = [image for image, _ in pairing.pairs]
    names = _names(sources)
    _refuse_inputs([*sources, *(one.path for one in pairing.skipped)], options, names.values())
    found = _predict(options, model, names)
    if options.json:
        _print_json(found, pairing.skipped)
    else:
        _print(found, pairing.skipped, options)
    return 1 if found.failed else 0


def _check(options: argparse.Namespace) -> None:
    """Raise `ConfigError` for options that make no sense."""
    if options.workers < 0:
        raise ConfigError(
            f"{options.workers} processes make no sense.", "Give --workers 1 or more."
        )
    if options.skip_empty is not None and not math.isfinite(options.skip_empty):
        raise ConfigError(f"No pixel has the value {options.skip_empty}.", "Check --skip-empty.")
    if options.output.exists() and not options.output.is_dir():
        raise ConfigError(f"{options.output} is no folder.", "Choose a folder with --output.")


def _predict(options: argparse.Namespace, model: Path, names: dict[Path, str]) -> Outcome:
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.many import predict_many
    from napari_threestage.inference.segmenter import load_segmenter

    settings = _settings(options)
    segmenter = load_segmenter(model, choose_device(options.device)).adjusted(**settings)
    order = _order(options, segmenter.info)
    with showing("predicting", options, step="predicting") as tell:
        if options.workers or options.scheduler:
            return _predict_by_cluster(options, model, segmenter, names, order, tell)
        return predict_many(model, segmenter, names, order, tell)


def _predict_by_cluster(
    options: argparse.Namespace,
    model: Path,
    segmenter: Segmenter,
    names: dict[Path, str],
    order: Order,
    tell: Callable[[int, int], None],
) -> Outcome:
    from napari_threestage.inference.cluster import Worker, connected, predict_by
    from napari_threestage.inference.device import default_threads
    from napari_threestage.inference.to_zarr import digest_of

    threads = 0 if options.scheduler else max(1, default_threads() // options.workers)
    settings = tuple(_settings(options).items())
    worker = Worker(model.resolve(), digest_of(model), options.device, threads, settings)
    places = {Path(os.path.abspath(path)): name for path, name in names.items()}
    with connected(options.workers, options.scheduler) as client:
        return predict_by(client, worker, segmenter, places, order, tell)


def _order(options: argparse.Namespace, info: SegmenterInfo) -> Order:
    from napari_threestage.inference.blending import Wanted
    from napari_threestage.inference.desk import Order
    from napari_threestage.inference.magnifying import GIVE_NUMBER, trained_at

    trained = trained_at(info)
    if options.magnify == AUTO and trained is None:
        raise ConfigError(
            "It is not known how large the pixels of the training images are: they do not say it, "
            "or not all the same, or an older version has trained.",
            GIVE_NUMBER,
        )
    return Order(
        output=options.output.resolve(),
        format=options.format,
        wanted=Wanted(options.probabilities, options.skip_empty),
        confidence=options.confidence,
        statistics=options.statistics,
        axes=options.axes,
        trained_at=None if options.magnify == 1 else trained,  # told so, nobody wants to be asked
        match_pixels=options.magnify == AUTO,
    )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return how the segmenter is to be adjusted."""
    settings: dict[str, Any] = dict.fromkeys(MIRRORS.get(options.flips or 0, ()), True)
    given = {"tile": options.tile, "halo": options.halo}
    channels = chosen_channels(options.channels)
    if channels is not None:
        settings["channels"] = tuple(channels)
    if options.magnify != AUTO:
        given["magnify"] = options.magnify
    return settings | {name: value for name, value in given.items() if value is not None}


def model_file(options: argparse.Namespace) -> Path:
    """Return the file of a project's stage, or the one that was named."""
    path: Path = options.model
    if path.is_dir():
        project = Project(path)
        refuse_data_folders(project, options.output)
        run = find_run(project, options.run)
        return run.model_path(wanted_stages(run, options.stage)[0])
    if not path.exists():
        raise ConfigError(f"There is no {path}.", NO_SEGMENTER)
    if options.run or options.stage != "last":
        raise ConfigError(f"{path} holds one stage.", "--run and --stage are for projects.")
    return path


def _names(sources: Sequence[Path]) -> dict[Path, str]:
    """Return a name for the results of each image, which no other one has."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for source in sources:
        name = next(one for one in _candidates(source) if one.casefold() not in taken)
        names[source] = name
        taken |= {f"{name}{end}".casefold() for end in ("", "_confidence", "_probabilities")}
    return names


def _candidates(source: Path) -> Iterator[str]:
    name = source.name.removesuffix(".zarr").removesuffix(".ome")
    stem = name if source.is_dir() else source.stem.removesuffix(".ome")
    stem = re.sub(r"[\\\0]", "_", stem).lstrip(".") or "image"
    yield stem
    for number in itertools.count(2):
        yield f"{stem}-{number}"


def _refuse_inputs(
    given: Sequence[Path], options: argparse.Namespace, names: Iterable[str]
) -> None:
    """Raise `ConfigError` when what would be written is one of the images that were given."""
    places = {_place(file) for file in given}
    extra = ["", *["_confidence"] * options.confidence, *["_probabilities"] * options.probabilities]
    for name, kind, ending in itertools.product(names, extra, ENDINGS):
        file = options.output / f"{name}{kind}{ending}"
        if file.exists() and _place(file) in places:
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


def _print_json(found: Outcome, skipped: Sequence[Skipped]) -> None:
    kinds = ("files", "confidence", "probabilities", "statistics", "kept", "stale")
    files = {kind: [str(path) for path in getattr(found, kind)] for kind in kinds}
    failed = [*((one.path.name, one.reason) for one in skipped), *found.failed]
    factors = {"magnified": found.magnified, "other_pixels": found.other_pixels}
    print_json(files | factors | {"failed": failed})


def _print(found: Outcome, skipped: Sequence[Skipped], options: argparse.Namespace) -> None:
    count = len(found.files) - len(found.kept)
    say(f"Wrote {count} {'file' if count == 1 else 'files'} to {options.output}.")
    if found.kept:
        say(f"Masks that were there already, made of the same: {len(found.kept)}.")
    _say_magnification(found, options.magnify)
    for path in found.statistics:
        say(f"Statistics: {path}")
    for path in found.stale:
        say(f"Of an earlier prediction and not of these masks: {path}")
    failed = [*((one.path.name, one.reason) for one in skipped), *found.failed]
    if failed:
        out.print(plain_table(("file", "reason"), failed, "[red]Not predicted"))


def _say_magnification(found: Outcome, asked: float | str | None) -> None:
    if found.magnified:
        say(f"Magnified {_factors(found.magnified)}.")
    if found.other_pixels:
        hint = "If masks are poor, try --magnify auto." if asked is None else "Check --magnify."
        say(
            "Pixels are larger or smaller than in the training: "
            f"{_factors(found.other_pixels)}. {hint}"
        )


def _factors(images: Sequence[tuple[str, float]]) -> str:
    """Return ``a.tif 2 times, b.tif 0.5 times and 3 more``."""
    text = ", ".join(f"{name} {factor:.3g} times" for name, factor in images[:3])
    return text + f" and {len(images) - 3} more" * (len(images) > 3)
