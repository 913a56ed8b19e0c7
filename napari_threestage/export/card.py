"""The card of an exported segmenter: what the project and its run know, and what people add."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError
from napari_threestage.files import write_json
from napari_threestage.pixel_size import agreed, images_of_run
from napari_threestage.sections import for_stage
from napari_threestage.segmenter_info import Card

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.store import ImageArray

PAPER = {
    "text": "Ke, Aviles-Rivero, Pandey, Reddy, Schönlieb, “A Three-Stage Self-Training Framework "
    "for Semi-Supervised Semantic Segmentation”, IEEE Transactions on Image Processing 31, 2022.",
    "url": "https://arxiv.org/abs/2012.00827",
}
COMMON_LICENCES = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "MIT",
)
PACKAGES = ("napari-threestage", "torch", "torchvision")


@dataclass(frozen=True)
class CardText:
    """What people say of their segmenter; it is remembered in the project.

    Attributes
    ----------
    name, description, licence
        Empty where nothing was said.
    authors
        Their names.
    cite
        What to cite besides the method.
    """

    name: str = ""
    description: str = ""
    licence: str = ""
    authors: tuple[str, ...] = ()
    cite: tuple[str, ...] = ()


def remembered_text(project: Project, given: CardText) -> CardText:
    """Return what was given, and for the rest what was said the last time.

    Raises
    ------
    ConfigError
        The licence cannot be an SPDX identifier.
    """
    given = replace(given, licence=checked_licence(given.licence))
    said: dict[str, Any] = {name: value for name, value in asdict(given).items() if value}
    return replace(_read(_place(project)), **said)


def remember_text(project: Project, text: CardText) -> None:
    """Keep what was said for the next export."""
    path = _place(project)
    if text != _read(path):
        path.parent.mkdir(exist_ok=True)
        write_json(path, asdict(text))


def checked_licence(licence: str) -> str:
    """Return an SPDX identifier, a common one in its own capitals.

    Raises
    ------
    ConfigError
        It cannot be one; not all of them are known here.
    """
    if licence and not re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.+-]{1,60}", licence):
        raise ConfigError(
            f"'{licence}' is no SPDX identifier of a licence.",
            "Give e.g. --licence CC-BY-4.0; the list is at https://spdx.org/licenses.",
        )
    return next((one for one in COMMON_LICENCES if one.lower() == licence.lower()), licence)


def make_card(project: Project, run: Run, stage: int, text: CardText, multiple: int) -> Card:
    """Return the card of a stage's segmenter.

    Parameters
    ----------
    multiple
        What the sides of the network's images have to be multiples of.
    """
    images = images_of_run(project, run)
    sizes, units = agreed(images)
    records = [project.images[i] for i in run.inputs.images if i in project.images]
    dtypes = Counter(one.dtype for one in records or project.images.values())
    name = project.path.resolve().name
    versions = {name: version(name) for name in PACKAGES}
    return Card(
        name=text.name or f"{name}, stage {stage}",
        description=text.description or _describe(run, stage),
        authors=tuple(text.authors),
        licence=text.licence,
        citation=(PAPER, *(_cited(one) for one in text.cite)),
        channel_names=_channel_names(run, images),
        image_dtype=dtypes.most_common(1)[0][0] if dtypes else "uint8",
        pixel_size=sizes,
        pixel_unit=units,
        multiple=multiple,
        smallest=max(64, multiple),
        training=_training(name, run, stage),
        versions=versions | {"trained with": run.inputs.versions.get("napari-threestage", "?")},
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _place(project: Project) -> Path:
    return project.path / "exports" / "card.json"


def _read(path: Path) -> CardText:
    """Return what was remembered; a file that is missing or damaged remembers nothing."""
    try:
        content = json.loads(path.read_text())
        values = {one.name: content[one.name] for one in fields(CardText) if one.name in content}
        return CardText(**{name: _of_kind(name, value) for name, value in values.items()})
    except (OSError, ValueError, TypeError):
        return CardText()


def _of_kind(name: str, value: Any) -> Any:
    return tuple(map(str, value)) if name in ("authors", "cite") else str(value)


def _channel_names(run: Run, images: list[ImageArray]) -> tuple[str, ...]:
    """Return the names that all images give to what the network takes, or numbers."""
    places = run.inputs.channels or range(run.inputs.n_channels)
    found = {one.channel_names for one in images if one.channel_names}
    names = found.pop() if len(found) == 1 else ()
    if max(places, default=0) < len(names):
        return tuple(names[place] for place in places)
    return tuple(f"channel {place}" for place in places)


def _cited(text: str) -> dict[str, str]:
    found = re.search(r"https?://\S+", text)
    return {"text": text} | ({"url": found.group().rstrip(".,;)")} if found else {})


def _describe(run: Run, stage: int) -> str:
    names = ", ".join(entry["name"] for entry in run.inputs.classes)
    labelled, others = len(run.inputs.labels), len(run.inputs.images) - len(run.inputs.labels)
    return (
        f"Semantic segmentation into {names}; stage {stage} of three-stage self-training on "
        f"{labelled} labelled and {others} unlabelled images."
    )


def _training(project: str, run: Run, stage: int) -> dict[str, Any]:
    stages = range(1, stage + 1)
    scores = json.loads((run.stage_path(stage) / "metrics.json").read_text())
    return {
        "project": project,
        "run": run.id,
        "stage": stage,
        "preset": run.config.preset,
        "seed": run.inputs.seed,
        "steps": {str(one): for_stage(run.config.stages.steps, one) for one in stages},
        "labelled_images": len(run.inputs.labels),
        "unlabelled_images": len(run.inputs.images) - len(run.inputs.labels),
        "labelled_pixels": dict(run.inputs.pixels),
        "scores": scores,
        "warnings": list(run.inputs.warnings),
    }
