"""Changes of ground truth, kept within a second and made part of the label set later.

Each change is one small file ``.journal/<image id>/<number>.npz`` that is complete or absent.
`fold` applies them in order to the label set and its provenance, writes these as wholes and then
removes the files, oldest first: a process that is killed in between leaves files whose folding
gives the same result again.

Only whoever holds `Project.editing` may append and fold; any thread of that process may.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage import store
from napari_threestage.errors import ProjectError, ThreeStageError
from napari_threestage.files import beside, remove_temporaries
from napari_threestage.labels import PAINTED, StoredTruth, number_names, read_stored, write_stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.project import Project

log = logging.getLogger(__name__)

_ENDING = ".npz"
_changing_files = threading.Lock()


@dataclass(frozen=True, eq=False)
class Block:
    """A change of ground truth within a rectangle.

    Attributes
    ----------
    start
        First pixel of the rectangle along each axis of the label set.
    values
        Ids of classes (uint8 or uint16), 0 = not labelled.
    origin
        Source of each pixel: 0 = not labelled, k = ``names[k - 1]``.
    names
        The sources.
    changed
        Which pixels the change is about; all if None.
    """

    start: tuple[int, ...]
    values: np.ndarray
    origin: np.ndarray
    names: tuple[str, ...]
    changed: np.ndarray | None = None

    @property
    def box(self) -> tuple[slice, ...]:
        """The rectangle, to index the whole array with."""
        sides = zip(self.start, self.values.shape, strict=True)
        return tuple(slice(first, first + size) for first, size in sides)


@dataclass(frozen=True, eq=False)
class Entry:
    """A change as it was kept, and the hash of the image that it belongs to, where known."""

    block: Block
    image_sha256: str


class DamagedEntryError(ProjectError):
    """A file of a journal is not what `append` writes."""


def append(project_path: Path, image_id: str, block: Block) -> Path:
    """Keep a change; its file is complete and on disk when this returns.

    Raises
    ------
    ProjectError
        The file could not be written; the change is not kept.
    """
    about = {
        "start": list(block.start),
        "names": list(block.names),
        "image_sha256": _hash_of_image(project_path, image_id),
    }
    folder = _folder(project_path, image_id)
    try:
        with _changing_files:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{_last_number(folder) + 1:08d}{_ENDING}"
            _write(path, block, json.dumps(about))
    except OSError as error:
        raise ProjectError(
            f"What was painted in {image_id} cannot be kept: {folder} cannot be written "
            f"({error.strerror}).",
            "Free some space, or repair the rights of the folder.",
        ) from error
    return path


def entries(project_path: Path, image_id: str) -> list[Path]:
    """Return the files of an image's journal in order."""
    folder = _folder(project_path, image_id)
    try:
        names = [name for name in os.listdir(folder) if _is_entry(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names, key=_number)]


def pending(project_path: Path) -> list[str]:
    """Return the ids of the images whose journals hold changes, sorted."""
    try:
        folders = sorted(os.listdir(project_path / ".journal"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [image_id for image_id in folders if entries(project_path, image_id)]


def read_entry(path: Path) -> Entry:
    """Read a file of a journal.

    Raises
    ------
    DamagedEntryError
        It is not what `append` writes.
    """
    content = path.read_bytes()
    try:
        # The check sums first: a damaged header may claim any amount of memory.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() is not None:
                raise ValueError("a check sum is wrong")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return _decode({name: stored[name] for name in stored.files})
    except MemoryError:
        raise
    except Exception as error:  # zip, zlib and numpy raise many kinds
        raise DamagedEntryError(f"{path} is damaged ({error}).") from error


def fold(project: Project, image_id: str) -> int:
    """Make an image's journal part of its ground truth; return how many changes that were.

    A journal of an image that is not in the project, or has other pixels now, stays as it is.  A
    damaged file is set aside.  Does not look at what a `TruthEditor` holds in memory, so that a
    worker thread may fold while a person paints on.

    Raises
    ------
    ProjectError
        The ground truth is damaged or cannot be written; the journal stays.
    """
    folder = _folder(project.path, image_id)
    if image_id not in project.images:
        log.warning("Kept %s: the project has no such image.", folder)
        return 0
    with project.changing_image(image_id):
        with _changing_files:
            remove_temporaries(folder, _ENDING)
        paths = entries(project.path, image_id)
        folded = _apply(project, image_id, paths) if paths else []
        with _changing_files:
            for path in folded:
                path.unlink()
            _remove_if_empty(folder)
    return len(folded)


def fold_all(project: Project) -> None:
    """Fold all journals of a project; what cannot be folded stays, with a warning."""
    for image_id in pending(project.path):
        try:
            fold(project, image_id)
        except (ThreeStageError, OSError) as error:
            log.warning("Kept the journal of %s: %s", image_id, error)


def _apply(project: Project, image_id: str, paths: Sequence[Path]) -> list[Path]:
    """Write the ground truth that the files lead to; return those that are part of it."""
    before = read_stored(project, image_id)
    ids, origin, names = before.ids.copy(), before.origin.copy(), before.names
    known = {"", project.images[image_id].sha256}
    moved = _hash_of_image(project.path, image_id) not in known
    folded = []
    for path in paths:
        try:
            entry = read_entry(path)
            if moved or entry.image_sha256 not in known:
                log.warning("Kept %s: the image %s has other pixels now.", path, image_id)
                continue
            ids, origin, names = _with_block(ids, origin, names, entry.block, path)
            folded.append(path)
        except DamagedEntryError as error:
            path.rename(path.with_name(f"{path.name}.damaged"))
            log.warning("%s It was set aside; the other changes are kept.", error)
    if folded:
        ids = _keep_meanings(project, before.ids, ids)
        write_stored(project, image_id, StoredTruth(ids, origin, names), PAINTED)
        _bring_to_disk(project.image_path(image_id) / "labels" / "ground_truth")
        _bring_to_disk(project.image_path(image_id) / "provenance")
    return folded


def _with_block(
    ids: np.ndarray, origin: np.ndarray, names: tuple[str, ...], block: Block, path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Write a block into the arrays, or into wider ones where it needs them."""
    ends = [part.stop for part in block.box]
    if len(ends) != ids.ndim or any(np.greater(ends, ids.shape)) or min(block.start) < 0:
        raise DamagedEntryError(f"{path} reaches beyond its image.")
    names, numbers = number_names(names, block.names)
    lookup = np.array([0, *numbers], np.min_scalar_type(len(names)))
    ids = ids.astype(np.promote_types(ids.dtype, block.values.dtype), copy=False)
    origin = origin.astype(np.promote_types(origin.dtype, lookup.dtype), copy=False)
    changed = True if block.changed is None else block.changed
    np.copyto(ids[block.box], block.values, where=changed)
    np.copyto(origin[block.box], lookup[block.origin], where=changed)
    return ids, origin, names


def _keep_meanings(project: Project, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Give pixels that mean the same class as before their ids of before."""
    table = project.class_table
    if not table.merged:
        return after
    meaning = table.indices(after)
    return np.where((meaning > 0) & (meaning == table.indices(before)), before, after)


def _write(path: Path, block: Block, about: str) -> None:
    changed = np.array(True) if block.changed is None else np.packbits(block.changed)
    temporary = beside(path)
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                about=np.array(about),
                values=block.values,
                origin=block.origin,
                changed=changed,
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _decode(stored: dict[str, np.ndarray]) -> Entry:
    about = json.loads(str(stored["about"]))
    values, origin, packed = stored["values"], stored["origin"], stored["changed"]
    changed = None
    if packed.dtype == np.uint8:
        changed = np.unpackbits(packed, count=values.size).reshape(values.shape).view(bool)
    names = tuple(str(name) for name in about["names"])
    start = tuple(int(first) for first in about["start"])
    if values.shape != origin.shape or len(start) != values.ndim:
        raise ValueError("its arrays do not fit each other")
    if values.dtype not in (np.uint8, np.uint16) or origin.dtype.kind != "u":
        raise ValueError("its arrays hold no labels")
    if int(origin.max(initial=0)) > len(names):
        raise ValueError("a source has no name")
    return Entry(Block(start, values, origin, names, changed), str(about["image_sha256"]))


def _hash_of_image(project_path: Path, image_id: str) -> str:
    try:
        found = store.read_attributes(project_path / "images" / f"{image_id}.ome.zarr")
    except ProjectError:  # what was painted is kept all the same
        found = None
    return str((found or {}).get("sha256", ""))


def _folder(project_path: Path, image_id: str) -> Path:
    return project_path / ".journal" / image_id


def _is_entry(name: str) -> bool:
    return name.endswith(_ENDING) and name.removesuffix(_ENDING).isdecimal()


def _number(name: str) -> int:
    return int(name.split(".")[0])


def _last_number(folder: Path) -> int:
    names = [name for name in os.listdir(folder) if name.split(".")[0].isdecimal()]
    return max(map(_number, names), default=0)


def _remove_if_empty(folder: Path) -> None:
    for place in (folder, folder.parent):
        try:
            place.rmdir()
        except OSError:  # something is left in it, or it is gone
            return


def _bring_to_disk(folder: Path) -> None:
    """Wait until the files of a folder are on disk; only then may the journal go."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
