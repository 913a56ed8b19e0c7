"""Find the images in files and folders, and the mask that belongs to each of them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_threestage.errors import ImageFileError
from napari_threestage.ingest.read import IMAGE_SUFFIXES, is_image_file

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

_IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "raw"})
_MASK_FOLDERS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "gt"}
    | {"groundtruth", "ground_truth"}
)
_MASK_WORDS = (
    "masks?|labels?|labelids|labeltrainids|segmentation|seg|gt|gtfine|gtcoarse|ground_?truth"
    "|annotations?|annot|l"
)
_MASK_ENDING = re.compile(rf"(.+?)[_\-. ]+({_MASK_WORDS})$")
_IMAGE_ENDING = re.compile(r"(.+?)[_\-. ]+(?:images?|img|raw|leftimg8bit)$")
_WEAK_WORDS = frozenset({"l"})  # also ends names of images: left and right


@dataclass(frozen=True)
class Skipped:
    """A file that was not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Pairing:
    """Images with their masks (None: no mask), in natural order, and what was not used."""

    pairs: tuple[tuple[Path, Path | None], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _Entry:
    path: Path
    root: Path  # the folder that was named, or the one of the file that was named
    parts: tuple[str, ...]  # folders below the root, then the name, lower case
    loose: bool = True  # may belong to a file of another folder

    @property
    def stem(self) -> str:
        return re.sub(r"(\.ome)?\.[^.]*$", "", self.parts[-1])

    @property
    def folder(self) -> tuple[str, ...]:
        """Folders without those that only say what the files are."""
        roles = _IMAGE_FOLDERS | _MASK_FOLDERS
        return tuple(part for part in self.parts[:-1] if part not in roles)


def find_pairs(images: Sequence[Path], masks: Path | None = None) -> Pairing:
    """Find the images and pair each with its mask.

    Parameters
    ----------
    images
        Image files and folders. Folders are searched with their sub-folders; hidden files are
        ignored, folders named ``*.zarr`` are one image each, linked folders are not entered.
    masks
        Folder of the masks. Without it masks are looked for within each folder of `images`: files
        beside an image named like it with an ending (``a.tif``, ``a_mask.png``), and files in
        sub-folders ``masks``, ``labels``, ``annotations`` or ``gt``.

    Returns
    -------
    Pairing
        Every image with its mask or None, and everything else with the reason. Images and masks
        that cannot be told apart are skipped together, so that no mask lands on a wrong image.

    Raises
    ------
    ImageFileError
        A file or folder does not exist, or there is no image at all.

    Notes
    -----
    A mask belongs to the image with the same stem, or with the stem that is left without an ending
    such as ``_mask``, ``-seg``, ``.labels`` or ``_labelIds``, in any case; first in the same
    sub-folder, then in any. ``images`` and ``masks`` in the path do not count as sub-folders.
    """
    skipped: list[Skipped] = []
    found = _unique(entry for path in images for entry in _collect(Path(path), skipped))
    if masks is None:
        found, truths = _split_by_names(found, skipped)
    else:
        found, truths = _split_by_folder(found, Path(masks), skipped)
    if not found:
        raise _no_image(images, skipped, len(truths))
    pairs = _match(found, truths, skipped, apart=masks is None)
    unique = {(item.path, item.reason): item for item in skipped}
    return Pairing(
        tuple(sorted(pairs, key=lambda pair: _natural(pair[0]))),
        tuple(sorted(unique.values(), key=lambda item: _natural(item.path))),
    )


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    """Sort key in which 2 comes before 10."""
    pieces = [re.split(r"([0-9]+)", part.casefold()) for part in path.parts]
    return [[int(p) if i % 2 else p for i, p in enumerate(part)] for part in pieces], str(path)


def _no_image(images: Sequence[Path], skipped: list[Skipped], masks: int) -> ImageFileError:
    places = ", ".join(str(path) for path in images) or "an empty list"
    hint = f"Known formats: {', '.join(IMAGE_SUFFIXES)}, .zarr."
    if masks:
        hint = f"{masks} files there are named like masks, which are not taken for images. {hint}"
    if skipped:
        hint = f"{len(skipped)} files there are of no known format or not used. {hint}"
    return ImageFileError(f"No image found in {places}.", hint)


# --- search -----------------------------------------------------------------------------------


def _collect(path: Path, skipped: list[Skipped]) -> list[_Entry]:
    """Give the image files at or below `path`; list the others in `skipped`."""
    if not path.exists():
        raise ImageFileError(f"{path} does not exist.", "Check the name.")
    if not path.is_dir() or _is_zarr(path):
        files = [path] if _is_zarr(path) or is_image_file(path) else []
        if not files:
            skipped.append(Skipped(path, _no_format(path)))
        root = Path(os.path.abspath(path)).parent
        return [_Entry(file, root, (file.name.lower(),)) for file in files]
    entries = []
    for file in _walk(path, skipped):
        if is_image_file(file) or _is_zarr(file):
            parts = tuple(part.lower() for part in file.relative_to(path).parts)
            entries.append(_Entry(file, Path(os.path.abspath(path)), parts))
        else:
            skipped.append(Skipped(file, _no_format(file)))
    return entries


def _walk(root: Path, skipped: list[Skipped]) -> list[Path]:
    files: list[Path] = []

    def refuse(error: OSError) -> None:
        skipped.append(Skipped(Path(error.filename), f"the folder cannot be read: {error}"))

    for folder, names, leaves in os.walk(root, onerror=refuse):
        here = Path(folder)
        visible = [name for name in names if not name.startswith(".")]
        files += [here / name for name in visible if _is_zarr(here / name)]
        names[:] = [name for name in visible if not _is_zarr(here / name)]
        for name in names:
            if (here / name).is_symlink():
                skipped.append(Skipped(here / name, "a linked folder: name it itself to use it"))
        files += [here / name for name in leaves if not name.startswith(".")]
    return files


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" and path.is_dir()


def _no_format(path: Path) -> str:
    return f"not a known image format ({path.suffix or 'no ending'})"


def _unique(entries: Iterable[_Entry]) -> list[_Entry]:
    first: dict[Path, _Entry] = {}
    for entry in entries:
        first.setdefault(_place(entry), entry)
    return list(first.values())


def _place(entry: _Entry) -> Path:
    return Path(os.path.abspath(entry.path))


# --- images and masks -------------------------------------------------------------------------


def _split_by_folder(
    found: list[_Entry], masks: Path, skipped: list[Skipped]
) -> tuple[list[_Entry], list[_Entry]]:
    """Take the files below `masks` as masks and the others as images."""
    if masks.exists() and not masks.is_dir():
        raise ImageFileError(f"{masks} is not a folder.", "Name the folder that holds the masks.")
    truths = _unique(_collect(masks, skipped))
    if not truths:
        raise ImageFileError(f"No mask found in {masks}.", "Name the folder that holds the masks.")
    below = {_place(entry) for entry in truths}
    inside = Path(os.path.abspath(masks))
    images, beside = _by_name([entry for entry in found if _place(entry) not in below])
    for entry in beside:
        skipped.append(Skipped(entry.path, f"named like a mask, but the masks are in {masks}"))
    # Where the images lie in the folder of the masks or below it, only names tell them apart.
    mixed = [e for e in found if _place(e) in below and e.root not in inside.parents]
    both = {_place(entry) for entry in mixed}
    mixed_images, mixed_masks = _split_by_names(mixed, skipped)
    rest = [entry for entry in truths if _place(entry) not in both]
    return images + mixed_images, rest + mixed_masks


def _split_by_names(
    found: list[_Entry], skipped: list[Skipped]
) -> tuple[list[_Entry], list[_Entry]]:
    """Tell masks from images by their folders and by the endings of their names."""
    split = _split_folders(found)
    images, masks = [], []
    for entry in found:
        role = _role(entry, split)
        if role == "mask":
            masks.append(entry)
        elif role == "image":
            images.append(entry)
        else:
            skipped.append(Skipped(entry.path, "lies beside a folder of images and one of masks"))
    images, beside = _by_name(images, orphans=True)
    return images, masks + beside


def _split_folders(found: list[_Entry]) -> set[tuple[Path, tuple[str, ...]]]:
    """Give the folders that hold both a folder of images and a folder of masks."""
    kinds: dict[tuple[Path, tuple[str, ...]], set[str]] = defaultdict(set)
    for entry in found:
        for depth, part in enumerate(entry.parts[:-1]):
            if part in _IMAGE_FOLDERS | _MASK_FOLDERS:
                kind = "image" if part in _IMAGE_FOLDERS else "mask"
                kinds[entry.root, entry.parts[:depth]].add(kind)
    return {place for place, kind in kinds.items() if len(kind) == 2}


def _role(entry: _Entry, split: set[tuple[Path, tuple[str, ...]]]) -> str:
    folders = len(entry.parts) - 1
    for depth, part in enumerate(entry.parts):
        if depth < folders and part in _MASK_FOLDERS:
            return "mask"
        among_images = depth < folders and part in _IMAGE_FOLDERS
        if (entry.root, entry.parts[:depth]) in split and not among_images:
            return "neither"
    return "image"


def _by_name(entries: list[_Entry], *, orphans: bool = False) -> tuple[list[_Entry], list[_Entry]]:
    """Tell apart ``a`` and ``a_mask``; with `orphans` also ``a_mask`` without ``a``."""
    stems = {(entry.path.parent, stem) for entry in entries for stem in _image_stems(entry.stem)}
    images, masks = [], []
    for entry in entries:
        weak, bases = _bases(entry.stem)
        partner = any((entry.path.parent, base) in stems for base in bases)
        if partner or (orphans and bases and not weak):
            masks.append(replace(entry, loose=False))
        else:
            images.append(entry)
    return images, masks


def _bases(stem: str) -> tuple[bool, list[str]]:
    """Give what is left of a stem without its endings, and whether the last one is weak."""
    bases: list[str] = []
    weak = False
    while match := _MASK_ENDING.fullmatch(stem):
        weak = weak or (not bases and match[2] in _WEAK_WORDS)
        stem = match[1]
        bases.append(stem)
    return weak, bases


def _image_stems(stem: str) -> list[str]:
    match = _IMAGE_ENDING.fullmatch(stem)
    return [stem, match[1]] if match else [stem]


# --- matching ---------------------------------------------------------------------------------


def _match(
    images: list[_Entry], masks: list[_Entry], skipped: list[Skipped], *, apart: bool
) -> list[tuple[Path, Path | None]]:
    """Pair in the same sub-folder first, then by name; `apart` keeps named folders apart."""
    keys = _keys(images, masks)

    def near(entry: _Entry) -> Hashable:
        return entry.root if apart else None, entry.folder, keys[entry]

    def far(entry: _Entry) -> Hashable:
        return (entry.root if apart else None, keys[entry]) if entry.loose else entry

    pairs: list[tuple[Path, Path | None]] = []
    for level in (near, far):
        images, masks = _match_level(images, masks, level, pairs, skipped)
    for mask in masks:
        skipped.append(Skipped(mask.path, "a mask without an image of that name"))
    return pairs + [(image.path, None) for image in images]


def _keys(images: list[_Entry], masks: list[_Entry]) -> dict[_Entry, str]:
    """Give the stem of the image for each image and for each mask that names one."""
    keys = {image: image.stem for image in images}
    short: dict[str, set[str]] = defaultdict(set)
    for stem in keys.values():
        short[_image_stems(stem)[-1]].add(stem)
    wanted = {name: min(stems) for name, stems in short.items() if len(stems) == 1}
    wanted |= {stem: stem for stem in keys.values()}
    for mask in masks:
        names = [mask.stem, *_bases(mask.stem)[1]]
        keys[mask] = next((wanted[name] for name in names if name in wanted), mask.stem)
    return keys


def _match_level(
    images: list[_Entry],
    masks: list[_Entry],
    key: Callable[[_Entry], Hashable],
    pairs: list[tuple[Path, Path | None]],
    skipped: list[Skipped],
) -> tuple[list[_Entry], list[_Entry]]:
    """Pair what has the same key; give the images and masks that are left."""
    groups: dict[Hashable, tuple[list[_Entry], list[_Entry]]] = defaultdict(lambda: ([], []))
    for side, entries in enumerate((images, masks)):
        for entry in entries:
            groups[key(entry)][side].append(entry)
    left: tuple[list[_Entry], list[_Entry]] = ([], [])
    for group in groups.values():
        if len(group[0]) == 1 and len(group[1]) == 1:
            pairs.append((group[0][0].path, group[1][0].path))
        elif group[0] and group[1]:
            skipped.extend(_ambiguous(*group))
        else:
            left[0].extend(group[0])
            left[1].extend(group[1])
    return left


def _ambiguous(images: list[_Entry], masks: list[_Entry]) -> list[Skipped]:
    paths = [entry.path for entry in images + masks]
    few = ", ".join(str(path) for path in paths[:6]) + (", ..." if len(paths) > 6 else "")
    counts = f"{len(images)} image{'s' * (len(images) > 1)}"
    counts += f" and {len(masks)} mask{'s' * (len(masks) > 1)}"
    return [Skipped(path, f"not clear which belong together: {counts} ({few})") for path in paths]
