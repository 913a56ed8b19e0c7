"""What a person chose for an import, as ``threestage import`` takes it; no Qt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt")
_CONTROLS = (
    ("Choose some with --channels, e.g. --channels 0,1,2.", "Tick those to use."),
    ("with --channels, e.g. --channels 0.", "in the list of channels."),
    ("; choose others with --channels.", "; tick others."),
    ("--replace-masks would replace it", "tick Replace labels to replace it"),
    (
        'import with --mask-values FILE where FILE holds {"0": 1, "255": 2}, and --replace-masks.',
        "import the masks again, take the suggestion, and tick Replace labels.",
    ),
    ("; import without --link.", "; import without Link OME-Zarr."),
)


@dataclass(frozen=True)
class ImportChoice:
    """Files and how to read them.

    Attributes
    ----------
    mask_values
        ``index``, ``one-based``, ``rgb`` or a mapping from value or colour to class.
    unlabelled
        The value that means not labelled, or ``none``.
    channels
        Those to use; empty for all, or for what the project uses already.
    """

    images: tuple[Path, ...] = ()
    masks: Path | None = None
    mask_values: str | Mapping[str, int] = "index"
    unlabelled: str = "255"
    split: str = "train"
    link: bool = False
    axes: str = ""
    channels: tuple[int, ...] = ()
    replace: bool = False

    def arguments(self, project: Path, *, preview: bool = False) -> list[str]:
        """Return what a person would type after ``threestage``."""
        values = self.mask_values
        values = values if isinstance(values, str) else json.dumps(dict(values))
        found = ["import", str(project), "--images", *map(str, self.images)]
        found += ["--masks", str(self.masks)] if self.masks else []
        found += ["--mask-values", values, "--unlabelled-value", self.unlabelled]
        found += ["--split", self.split]
        found += ["--axes", self.axes] if self.axes else []
        found += ["--channels", ",".join(map(str, self.channels))] if self.channels else []
        found += ["--link"] if self.link else []
        found += ["--replace-masks"] if self.replace else []
        return [*found, *(["--preview"] if preview else []), "--json", "--progress"]


def for_window(text: str) -> str:
    """Return a sentence of the command with the controls of the dialog in place of options."""
    for option, control in _CONTROLS:
        text = text.replace(option, control)
    return text


def guess_sources(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Return images and masks of what was dropped: a folder may hold a folder of each."""
    if len(paths) == 1 and paths[0].is_dir():
        try:
            inside = {one.name.lower(): one for one in paths[0].iterdir() if one.is_dir()}
        except OSError:
            return list(paths), None
        images = [inside[name] for name in IMAGE_FOLDERS if name in inside]
        masks = [inside[name] for name in MASK_FOLDERS if name in inside]
        if len(images) == 1 and len(masks) == 1:
            return images, masks[0]
    return list(paths), None


def say_counts(counts: Mapping[str, int]) -> str:
    """Return how many images there are and what would become of them."""
    said = [f"{_images(counts['pairs'])}, {counts['with_mask']:,} with a mask"]
    said += (
        [f"{counts['already_there']:,} in the project already"] if counts["already_there"] else []
    )
    said += [f"{counts['problem']:,} with a problem"] if counts["problem"] else []
    more = ""
    if counts["unchecked"]:
        looked = counts["pairs"] - counts["unchecked"]
        more = f" Only the first {looked:,} were looked at."
    return "; ".join(said) + "." + more


def say_suggestion(suggestion: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return a suggestion in the words of the dialog."""
    values, unlabelled = suggestion["mask_values"], suggestion["unlabelled_value"]
    if isinstance(values, str):
        words = {
            "index": "the values are class numbers from 0",
            "one-based": "the values are class numbers from 1, and 0 is not labelled",
            "rgb": "the colours are those of the classes",
        }[values]
    else:
        parts = [
            f"{value} is {names[label - 1] if 0 < label <= len(names) else 'not labelled'}"
            for value, label in values.items()
        ]
        words = ", ".join(parts)
    end = "" if unlabelled is None else f", and {unlabelled} is not labelled"
    return f"These masks may mean: {words}{end}."


def say_report(report: Mapping[str, Any]) -> str:
    """Return in one sentence what an import has done."""
    new, old, failed = (len(report[key]) for key in ("imported", "unchanged", "failed"))
    said = f"Imported {_images(new)}"
    said += f"; {old:,} were there already" if old else ""
    said += f"; {report['labelled']:,} got a mask" if report["labelled"] else ""
    said += f"; {failed:,} could not be imported" if failed else ""
    return said + "."


def _images(count: int) -> str:
    return f"{count:,} image" + ("" if count == 1 else "s")
