"""A row of results: one training of a method, its file, and what it may be compared with."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_threestage.config import Config
from napari_threestage.errors import ConfigError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# They change how fast and how closely watched a training is, not what it learns.
FREE_SETTINGS = ("threads", "checkpoint_seconds", "progress_seconds", "live.every_seconds")
FREE_WITH_MASKS = ("loss.crf",)  # acts where images are labelled in part

EVENTS = ".events.jsonl"  # how the names of files end that hold them
KEYS = {
    *("data", "labelled", "labels", "seed", "method", "stages", "recipe"),
    *("training_seconds", "images_per_second"),
}
SETTINGS = "config"  # the part of a recipe that is a `Config`

Labels = Literal["dense", "scribbles"]


@dataclass(frozen=True)
class Group:
    """What rows of one project share.

    Attributes
    ----------
    data
        Name of the data set.
    labelled
        Below 1 the share of the training images that keep their masks, from 1 on their number;
        None: all do.
    labels
        Whether they keep whole masks, or scribbles of them.
    seed
        Which images those are, and what chance does in training.
    """

    data: str
    labelled: float | None
    labels: Labels
    seed: int

    @property
    def name(self) -> str:
        """For files and folders."""
        labelled = "all" if self.labelled is None else f"{self.labelled:g}"
        return f"{self.data}-{labelled}-{self.labels}-{self.seed}"


@dataclass(frozen=True)
class Row:
    """One result to have: a method in a group."""

    group: Group
    method: str

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.group.name}-{self.method}"

    def path(self, folder: Path) -> Path:
        """Return the file of the row; its events are beside it."""
        return folder / f"{self.name}.json"

    def panels_path(self, folder: Path) -> Path:
        """Return the folder with masks of a few images."""
        return folder / f"{self.name}.panels"

    def models_path(self, folder: Path) -> Path:
        """Return the folder with the segmenters of its stages."""
        return folder / f"{self.name}.models"

    def events_path(self, folder: Path) -> Path:
        """Return the file with the events of the training."""
        return folder / f"{self.name}{EVENTS}"


def write_row(
    folder: Path, row: Row, recipe: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep a result, complete or not at all, and return it.

    Parameters
    ----------
    recipe
        All that decides the result but the row itself; see `read_row`.
    found
        ``stages`` as ``evaluate --json`` gives it, ``training_seconds`` and so on.
    """
    document = {**asdict(row.group), "method": row.method, **found, "recipe": dict(recipe)}
    write_json(row.path(folder), document)
    return document


def read_row(folder: Path, row: Row, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a result, or None where there is none yet.

    Raises
    ------
    ConfigError
        The file is damaged, or a result of another recipe: the sentence says what differs.
    """
    path = row.path(folder)
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        known = document["recipe"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error}).", "Remove it.") from error
    change = difference(known, json.loads(json.dumps(recipe)), row.group.labels)
    if change:
        raise ConfigError(
            f"{path} is of another recipe: {change}.", "Choose another --output, or remove it."
        )
    return document


def read_rows(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all results of a folder, whatever they are of, and sentences about damaged files."""
    rows, damaged = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_text())
            if not document.keys() >= KEYS or not document["stages"]:
                raise ValueError("not a row")
            rows.append(document)
        except (OSError, ValueError, AttributeError) as error:
            damaged.append(f"{path} is damaged ({error}), so it is left out.")
    rows.sort(key=lambda row: (row["data"], row["labels"], row["labelled"] or math.inf))
    return rows, damaged


def difference(known: Mapping[str, Any], wanted: Mapping[str, Any], labels: str) -> str:
    """Say in what two recipes for a kind of labels differ first; empty if in nothing.

    A setting that a recipe lacks has its default value, for programs of different age know
    different settings.
    """
    default = _flat(Config().model_dump(mode="json"))
    old, new = (default | _flat(recipe) for recipe in (known, wanted))
    free = FREE_SETTINGS + (FREE_WITH_MASKS if labels == "dense" else ())
    for name in sorted({*old, *new} - {*free}):
        before, now = old.get(name), new.get(name)
        if before != now:
            return f"{name} was {_short(before)} and is {_short(now)}"
    return ""


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by dotted name; those of its settings as people write them."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, "" if name == SETTINGS else f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
