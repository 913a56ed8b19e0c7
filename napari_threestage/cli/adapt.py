"""``adapt``: a segmenter for images of another kind, without labels of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_threestage.cli.data import chosen_channels
from napari_threestage.cli.output import add_command, out, plain_table, print_json, say
from napari_threestage.cli.predict import (
    AUTO,
    add_model_and_images,
    magnification,
    model_file,
)
from napari_threestage.cli.progress import add_progress, showing
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.ingest import find_pairs, open_image
from napari_threestage.segmenter_info import SHARE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np

    from napari_threestage.inference.segmenter import Segmenter

SUFFIX = ".safetensors"


def add_commands(commands: Any) -> None:
    """Add this module's command to the parser."""
    parser = add_command(
        commands,
        "adapt",
        adapt,
        "fit a segmenter to images of another kind (microscope, stain, …), without labels",
        "threestage adapt my_project --images new_microscope --output adapted.safetensors\n"
        "  threestage predict adapted.safetensors --images new_microscope --output masks",
    )
    add_model_and_images(parser)
    parser.add_argument("--output", type=Path, required=True, help="a new .safetensors file")
    parser.add_argument(
        "--share",
        type=float,
        default=SHARE,
        help=f"how far to go, up to 1, which forgets the images of the training ({SHARE})",
    )
    parser.add_argument(
        "--magnify",
        type=magnification,
        metavar="FACTOR",
        help="the adapted segmenter sees images so many times as large, see threestage predict",
    )
    parser.add_argument("--device", default="auto")
    add_progress(parser)


def adapt(options: argparse.Namespace) -> int:
    """Write the adapted segmenter; exit code 1 when an image could not be read."""
    target = _target(options)
    model = model_file(options)
    pairing = find_pairs(options.images)
    failed = [(one.path.name, one.reason) for one in pairing.skipped]
    images = [image for image, _ in pairing.pairs]
    count = _adapt(options, model, images, target, failed)
    if options.json:
        print_json({"file": str(target), "images": count, "failed": [list(one) for one in failed]})
    else:
        images_text = "1 image" if count == 1 else f"{count} images"
        say(f"Wrote {target}, adapted to {images_text}. Use it with: threestage predict {target}")
        if failed:
            out.print(plain_table(("file", "reason"), failed, "[red]Not looked at"))
    return 1 if failed else 0


def _adapt(
    options: argparse.Namespace,
    model: Path,
    images: Sequence[Path],
    target: Path,
    failed: list[tuple[str, str]],
) -> int:
    """Write the adapted segmenter and return how many images it was adapted to."""
    import numpy as np

    from napari_threestage.inference.adapting import adapted, check_adaptable, some_of
    from napari_threestage.inference.device import choose_device
    from napari_threestage.inference.segmenter import load_segmenter

    channels = chosen_channels(options.channels)
    if options.magnify == AUTO:
        raise ConfigError(
            "A segmenter is adapted at one magnification.",
            "Give --magnify a number, or none here and then: threestage predict … --magnify auto",
        )
    loaded = load_segmenter(model, choose_device(options.device))
    segmenter = loaded.adjusted(channels, options.magnify)
    check_adaptable(segmenter, options.share)
    rng = np.random.default_rng(0)
    windows = _windows(options, segmenter, some_of(images, rng), rng, failed)
    if not windows:
        raise ConfigError("None of the images can be read.", _reasons(failed))
    found = adapted(segmenter, windows, options.share)
    _refuse_existing(target)  # it may have come meanwhile
    found.save(target)
    return len(windows)


def _windows(
    options: argparse.Namespace,
    segmenter: Segmenter,
    images: Sequence[Path],
    rng: np.random.Generator,
    failed: list[tuple[str, str]],
) -> list[np.ndarray]:
    """Return the windows of each image that can be read; note the others."""
    from napari_threestage.inference.adapting import draw_windows

    found = []
    with showing("reading", options, step="reading") as show:
        for done, path in enumerate(images):
            show(done, len(images))
            try:
                image = open_image(path, options.axes)
                found.append(draw_windows(segmenter, image, len(images), rng))
            except ImageFileError as error:
                failed.append((path.name, str(error)))
        show(len(images), len(images))
    return found


def _reasons(failed: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{name}: {reason}" for name, reason in failed[:3])


def _target(options: argparse.Namespace) -> Path:
    """Return where to write; nothing is ever replaced."""
    target: Path = options.output
    if target.is_dir():
        raise ConfigError(f"{target} is a folder.", "Give --output the name of a new file.")
    if target.suffix != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    _refuse_existing(target)
    if not target.parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent}.", "Make it, or choose another one.")
    return target.absolute()


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise ConfigError(f"{target} is there already.", "Choose another name with --output.")
