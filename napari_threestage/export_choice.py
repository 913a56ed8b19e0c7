"""What a person chose to export or to apply, as ``threestage`` takes it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError
from napari_threestage.files import safe_name, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.runs import Run

GROUND_TRUTH = "ground_truth"
BETWEEN = "; "  # several texts in one field
LICENCES = (
    "",
    "CC-BY-4.0",
    "CC0-1.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "MIT",
    "BSD-3-Clause",
    "Apache-2.0",
)


@dataclass(frozen=True)
class Format:
    """A kind of file: its name on the command line and in words, its ending, who reads it."""

    key: str
    title: str
    suffix: str
    readers: str

    @property
    def ending(self) -> str:
        """What its files have to end with: the last part alone is enough for the command."""
        return f".{self.suffix.rpartition('.')[2]}"


MODEL_FORMATS = (
    Format(
        "safetensors",
        "Safetensors",
        ".safetensors",
        "For this program: threestage predict, and Apply below, on any machine.",
    ),
    Format(
        "pt2",
        "PyTorch pt2",
        ".pt2",
        "For plain PyTorch: torch.export.load reads it without this program.",
    ),
    Format(
        "onnx",
        "ONNX",
        ".onnx",
        "For ONNX Runtime, which programs in many languages are built on.",
    ),
    Format(
        "bioimageio",
        "BioImage package",
        ".bioimageio.zip",
        "For programs that take models of the BioImage Model Zoo, and for this one.",
    ),
)
MASK_FORMATS = (
    Format("tiff", "TIFF", ".tif", "Class numbers from 0; 255 where there is no class."),
    Format("png", "PNG", ".png", "Class numbers from 0, in colour; a file for each plane."),
    Format(
        "ome-zarr", "OME-Zarr", ".ome.zarr", "Label images with classes from 1, named and coloured."
    ),
    Format("coco", "COCO", ".json", "One JSON file of all objects, as detection tools read it."),
    Format("geojson", "GeoJSON", ".geojson", "Outlines with class names, as QuPath opens them."),
)


@dataclass(frozen=True)
class Model:
    """A segmenter: a stage of a run, or a file of its own.

    Attributes
    ----------
    place
        The project, or the file.
    run, stage
        In a project; empty and 0 for a file.
    """

    place: Path
    run: str = ""
    stage: int = 0

    @property
    def in_project(self) -> bool:
        """Whether it is a stage of a run."""
        return bool(self.stage)

    @property
    def title(self) -> str:
        """What results are called."""
        return f"stage {self.stage}" if self.in_project else self.place.name.split(".")[0]

    def arguments(self) -> list[str]:
        """Return what names it after ``predict`` or ``export``."""
        stage = ["--run", self.run, "--stage", str(self.stage)] if self.in_project else []
        return [str(self.place), *stage]


@dataclass(frozen=True)
class CardText:
    """What people want to know about a segmenter, as it stands in fields.

    Attributes
    ----------
    authors
        With semicolons between them.
    citation
        What to cite; several with a semicolon and a blank between them.
    """

    name: str = ""
    description: str = ""
    authors: str = ""
    licence: str = ""
    citation: str = ""

    def arguments(self) -> list[str]:
        """Return what a person would type; empty fields are left out."""
        options = {
            "--name": self.name,
            "--description": self.description,
            "--licence": self.licence,
        }
        # With a sign between, so that a text may begin with a hyphen.
        found = [f"{name}={text}" for name, text in options.items() if text]
        found += [f"--cite={text}" for text in _split_citations(self.citation)]
        return found + [f"--author={author}" for author in split_names(self.authors)]


@dataclass(frozen=True)
class ExportChoice:
    """A segmenter, and the file that it becomes."""

    model: Model
    format: str
    output: Path
    card: CardText = CardText()

    def arguments(self) -> list[str]:
        """Return what a person would type after ``threestage``."""
        where = ["--format", self.format, "--output", str(self.output)]
        return ["export", *self.model.arguments(), *where, *self.card.arguments(), *_FOR_PROGRAMS]


@dataclass(frozen=True)
class Switches:
    """How a segmenter is applied: what comes beside the mask, mirrored images, parts left out."""

    confidence: bool = False
    probabilities: bool = False
    statistics: bool = False
    flips: bool = False
    skip_empty: bool = False

    def arguments(self) -> list[str]:
        """Return what a person would type."""
        return [f"--{name.replace('_', '-')}" for name, on in asdict(self).items() if on]


@dataclass(frozen=True)
class ApplyChoice:
    """A segmenter, and the images that it is applied to.

    Attributes
    ----------
    axes
        Of files that do not say, empty where they do.
    magnify
        The segmenter sees images so many times as large.
    """

    model: Model
    images: tuple[Path, ...]
    output: Path
    format: str = "tiff"
    axes: str = ""
    switches: Switches = Switches()
    magnify: float = 1.0

    def arguments(self) -> list[str]:
        """Return what a person would type after ``threestage``."""
        found = ["predict", *self.model.arguments(), "--images", *map(str, self.images)]
        found += ["--output", str(self.output), "--as", self.format]
        found += ["--axes", self.axes] if self.axes else []
        found += ["--magnify", f"{self.magnify:g}"] if self.magnify != 1 else []
        return [*found, *self.switches.arguments(), *_FOR_PROGRAMS]


@dataclass(frozen=True)
class MasksChoice:
    """Masks of a project, and the folder for them.

    Attributes
    ----------
    run, stage
        Whose masks; stage 0 is the ground truth.
    """

    project: Path
    output: Path
    run: str = ""
    stage: int = 0
    format: str = "tiff"
    statistics: bool = False

    def arguments(self) -> list[str]:
        """Return what a person would type after ``threestage``."""
        found = ["export-masks", str(self.project), "--output", str(self.output)]
        found += ["--as", self.format, "--stage", str(self.stage or GROUND_TRUTH)]
        found += ["--run", self.run] if self.stage else []
        found += ["--statistics"] if self.statistics else []
        return [*found, *_FOR_PROGRAMS]


_FOR_PROGRAMS = ("--json", "--progress")


def format_of(formats: Sequence[Format], key: str) -> Format:
    """Return a format by its name on the command line."""
    return next(one for one in formats if one.key == key)


def split_names(text: str) -> list[str]:
    """Return the names in a field, which semicolons part."""
    return [name for part in text.split(";") if (name := part.strip())]


def _split_citations(text: str) -> list[str]:
    """Return what `read_card` joined; a semicolon without a blank may belong to an address."""
    return [one for part in text.split(BETWEEN) if (one := part.strip())]


def default_file(project: Path, stage: int, kind: Format) -> Path:
    """Return where a segmenter is written when nobody says otherwise."""
    return project / "exports" / f"{safe_name(project.name)}-stage-{stage}{kind.suffix}"


def file_to_write(output: Path, key: str) -> Path:
    """Return the file that an export of a format writes, as the command names it.

    Raises
    ------
    ConfigError
        It has no name, or the ending of another format.
    """
    if not output.name:
        raise ConfigError(f"{output} is no file.", "Name a file.")
    given, endings = output.suffix.lower(), {one.key: one.ending for one in MODEL_FORMATS}
    if given == endings[key]:
        return output
    if given in endings.values():
        other = next(one.title for one in MODEL_FORMATS if one.ending == given)
        raise ConfigError(f"{output.name} has the ending of the format {other}.", "Name another.")
    return output.with_name(output.name + endings[key])


def say_existing(target: Path) -> str:
    """Return what becomes of a file that is there already; empty where there is none.

    Whether it was changed after its export only the command finds out: it reads all of it. Nothing
    is raised for names that cannot be: people are typing them.
    """
    if not os.path.exists(target):
        return ""
    if os.path.isfile(f"{target}.json"):
        return f"{target.name} is there already and will be replaced."
    return f"{target.name} is there already and is no export: choose another name."


def usable_stages(run: Run) -> list[int]:
    """Return the finished stages whose segmenter is there."""
    return [stage for stage in run.finished_stages() if run.model_path(stage).is_file()]


def read_card(project: Path) -> CardText:
    """Return what was filled in for the last export; empty fields where that is not known."""
    content = _card_content(project)
    texts = {key: _text(content.get(key)) for key in ("name", "description", "licence")}
    authors, citation = (_list(content.get(key)) for key in ("authors", "cite"))
    return CardText(**texts, authors=BETWEEN.join(authors), citation=BETWEEN.join(citation))


def forget_emptied(project: Path, card: CardText) -> None:
    """Have fields that a person emptied forgotten: the command fills them from the last export.

    Raises
    ------
    OSError
        That cannot be written.
    """
    content = _card_content(project)
    names = {"authors": card.authors, "cite": card.citation, "name": card.name}
    names |= {"description": card.description, "licence": card.licence}
    kept = {key: value for key, value in content.items() if names.get(key, "kept")}
    if kept != content:
        write_json(_card_file(project), kept)


def _card_file(project: Path) -> Path:
    return project / "exports" / "card.json"


def _card_content(project: Path) -> dict[str, Any]:
    try:
        content = json.loads(_card_file(project).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _list(value: object) -> list[str]:
    """Return texts that may be one text, several, or each in an entry of its own."""
    entries = value if isinstance(value, list) else [value]
    texts = [_text(one.get("text") if isinstance(one, dict) else one) for one in entries]
    return [text for text in texts if text]
