"""Predictions as OME-Zarr images, written band by band: complete, or gone on with another time.

What is not finished lies in a hidden folder beside the place where it will be.  That has the recipe
(image, segmenter, settings) and an empty file for each band that is done, so that one that was
stopped is gone on with, and processes that share the work need not talk to each other.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_threestage import ome_metadata, store, zarr_arrays
from napari_threestage.errors import ConfigError, ProjectError
from napari_threestage.files import check_plain_name, put_folder, write_json
from napari_threestage.locks import hold_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MASK, CONFIDENCE, PROBABILITIES = "mask", "confidence", "probabilities"
MOST_CHUNK = 2048  # side
LOCK = "command.lock"


class Unit(NamedTuple):
    """A band of a plane, both by their numbers."""

    plane: int
    band: int


@dataclass(frozen=True)
class PredictedClass:
    """A class as label images name it; its id is its place, from 1."""

    id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """What is to be written for an image.

    Attributes
    ----------
    kinds
        Out of `MASK`, `CONFIDENCE` and `PROBABILITIES`, and where each goes.
    shape, axes
        Of the mask.
    bands
        First and last row (exclusive) of each band of a plane.
    classes
        Names and colours, in order.
    scale, unit
        Of the image.
    """

    kinds: Mapping[str, Path]
    shape: tuple[int, ...]
    axes: str
    bands: tuple[tuple[int, int], ...]
    classes: tuple[PredictedClass, ...]
    scale: Mapping[str, float] = field(default_factory=dict)
    unit: Mapping[str, str] = field(default_factory=dict)

    @property
    def units(self) -> list[Unit]:
        """All bands of all planes."""
        planes = int(np.prod(self.shape[:-2], dtype=int))
        return [Unit(plane, band) for plane in range(planes) for band in range(len(self.bands))]


def target_paths(folder: Path, name: str, confidence: bool, probabilities: bool) -> dict[str, Path]:
    """Return where each kind goes that is wanted for an image."""
    wanted = {MASK: "", CONFIDENCE: "_confidence", PROBABILITIES: "_probabilities"}
    if not confidence:
        del wanted[CONFIDENCE]
    if not probabilities:
        del wanted[PROBABILITIES]
    return {kind: folder / f"{name}{ending}.ome.zarr" for kind, ending in wanted.items()}


def check_targets(paths: Mapping[str, Path]) -> None:
    """Raise `ConfigError` where a result would replace something that is no mask of ours."""
    for path in paths.values():
        check_plain_name(path.name)
        if path.exists() and _attributes(path).get("kind") not in (MASK, CONFIDENCE, PROBABILITIES):
            raise ConfigError(
                f"{path} is there already and is no mask of this program.",
                "Choose another folder with --output.",
            )


def is_finished(paths: Mapping[str, Path], recipe: Mapping[str, Any]) -> bool:
    """Whether all of it is there, made by this recipe."""
    plain = json.loads(json.dumps(recipe))
    return all(_attributes(path).get("recipe") == plain for path in paths.values())


def read_mask(path: Path) -> np.ndarray:
    """Return the mask of a finished prediction, whole."""
    return np.asarray(store.read_ome_zarr(path).data[...])


class PartialPrediction:
    """A prediction that is being written.

    Parameters
    ----------
    layout
        What is to be written.
    recipe
        What it is made of; one with another recipe is begun anew.
    """

    def __init__(self, layout: Layout, recipe: Mapping[str, Any]) -> None:
        self.layout, self.recipe = layout, recipe
        mask = layout.kinds[MASK]
        self.folder = mask.with_name(f".{mask.name}.partial")

    @contextmanager
    def held(self) -> Iterator[list[Unit]]:
        """Keep other commands from it; yield the units that are left.

        Raises
        ------
        BusyError
            Another command is writing it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"{self.layout.kinds[MASK]} is being predicted"
        with hold_lock(self.folder / LOCK, busy, children=False):
            yield self.begin()

    def begin(self) -> list[Unit]:
        """Make the arrays, or find those of before; return the units that are left."""
        if not self.is_begun():
            self._clear()
            (self.folder / "done").mkdir(parents=True)
            for kind in self.layout.kinds:
                self._create(kind)
            write_json(self.folder / "recipe.json", self._begun)
        done = {path.name for path in (self.folder / "done").iterdir()}
        return [unit for unit in self.layout.units if _name(unit) not in done]

    def is_begun(self) -> bool:
        """Whether what lies in the folder is of this recipe."""
        return bool(_read(self.folder / "recipe.json") == self._begun)

    def write(self, unit: Unit, found: Mapping[str, np.ndarray]) -> None:
        """Write what was found for a unit, by kind, and note that it is done.

        A kind that is not among it stays 0: nothing was predicted there.
        """
        top, bottom = self.layout.bands[unit.band]
        place = np.unravel_index(unit.plane, self.layout.shape[:-2] or (1,))
        index = tuple(int(number) for number in place)[: len(self.layout.shape) - 2]
        for kind in self.layout.kinds.keys() & found.keys():
            array = zarr_arrays.open_array(self.folder / kind / "0")
            if kind == PROBABILITIES:
                at = self._axes(kind).index("c")
                array[(*index[:at], slice(None), *index[at:], slice(top, bottom))] = found[kind]
            else:
                array[(*index, slice(top, bottom))] = found[kind]
        (self.folder / "done" / _name(unit)).touch()

    def finish(self) -> None:
        """Make the coarser levels, describe the images and put them into their places."""
        for kind in reversed([*self.layout.kinds]):  # the mask last
            folder = self.folder / kind
            if not folder.exists() and is_finished({kind: self.layout.kinds[kind]}, self.recipe):
                continue  # it was put there by one that was killed then
            axes = self._axes(kind)
            shrink = ome_metadata.one_of_four if kind == MASK else ome_metadata.mean_of_four
            levels = zarr_arrays.write_coarser(folder, axes, shrink)
            attributes = {"kind": kind, "software": "threestage", "recipe": dict(self.recipe)}
            store.write_group_attributes(folder, attributes, self._ome(kind, axes, levels))
            put_folder(folder, self.layout.kinds[kind])
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _begun(self) -> Any:
        """What a folder is of that can be gone on with."""
        return json.loads(json.dumps({**self.recipe, "kinds": sorted(self.layout.kinds)}))

    def _clear(self) -> None:
        (self.folder / "recipe.json").unlink(missing_ok=True)  # first: the rest belongs to it
        for name in ("done", *(path.name for path in self.folder.glob("[!.]*") if path.is_dir())):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _create(self, kind: str) -> None:
        axes, shape = self._axes(kind), list(self.layout.shape)
        if kind == PROBABILITIES:
            shape.insert(axes.index("c"), len(self.layout.classes))
        # A chunk belongs to one band, so that two processes never write the same one.
        height = self.layout.bands[0][1]
        side = store.CHUNK if height % store.CHUNK == 0 else height
        sides = {"y": side, "x": min(side, MOST_CHUNK)}
        chunks = [min(size, sides.get(axis, 1)) for axis, size in zip(axes, shape, strict=True)]
        zarr_arrays.create_array(self.folder / kind / "0", shape, np.uint8, axes, chunks)

    def _axes(self, kind: str) -> str:
        axes = self.layout.axes
        if kind != PROBABILITIES:
            return axes
        return f"tc{axes[1:]}" if axes.startswith("t") else f"c{axes}"

    def _ome(self, kind: str, axes: str, levels: Sequence[Any]) -> dict[str, Any]:
        scale, unit, classes = self.layout.scale, self.layout.unit, self.layout.classes
        if kind == MASK:
            ome = ome_metadata.labels(axes, levels, scale, unit, classes, "")
            del ome["image-label"]["source"]  # which would be an image around it
            return ome
        ome = ome_metadata.image(axes, levels, scale, unit, ())
        if kind == PROBABILITIES:
            names = [entry.name for entry in classes]
            ome["omero"] = ome_metadata.omero(names, np.zeros((len(names), 1, 1), np.uint8), "cyx")
        return ome


def _attributes(path: Path) -> dict[str, Any]:
    try:
        return store.read_attributes(path) or {}
    except (ProjectError, OSError, AttributeError):
        return {}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _name(unit: Unit) -> str:
    return f"{unit.plane:05d}-{unit.band:05d}"
