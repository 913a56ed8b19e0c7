"""Which training images keep their masks, and which are held out to choose a recipe by."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_threestage.errors import ConfigError
from napari_threestage.files import name_pattern
from napari_threestage.ingest import is_image_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.benchmark.items import Item

LABEL_COUNTS = {"voc": (106, 212, 529, 1323), "cityscapes": (100, 372, 744, 1488)}
"""How many images keep their masks in Ke et al., *A three-stage self-training framework for
semi-supervised semantic segmentation*, by layout of the data set: 1/100, 1/50, 1/20 and 1/8 of
10,582, and 100 (about 1/30), 1/8, 1/4 and 1/2 of 2,975."""

FEWEST_LABELLED = 2  # of a share
MOST_HELD_OUT = 100  # more take longer to score and tell little more


def choose_labelled(
    items: Sequence[Item], labelled: float, seed: int, order: Sequence[str] | None = None
) -> list[Item]:
    """Choose the images that keep their masks.

    Parameters
    ----------
    items
        The images to choose from, in any order.
    labelled
        Below 1 a share of the images, which gives at least two; from 1 on their number.
    seed
        Which ones; it has no meaning with `order`.
    order
        Names from a published split, the first ones of which are taken. Names that are not among
        `items` are passed over: they are held out.

    Returns
    -------
    list of Item
        Sorted by file name.

    Raises
    ------
    ConfigError
        `labelled` makes no sense, or there are fewer images.
    """
    ordered = _by_file_name(items)
    count = _count(labelled, len(ordered))
    if order is None:
        chosen = random.Random(seed).sample(ordered, count)
    else:
        by_name = {item.name: item for item in ordered}
        known = [by_name[name] for name in dict.fromkeys(order) if name in by_name]
        if len(known) < count:
            raise ConfigError(
                f"The split names {len(known)} of the training images, but {count} are to be "
                "labelled.",
                "Use the split of this data set, or label fewer images.",
            )
        chosen = known[:count]
    return _by_file_name(chosen)


def hold_out(items: Sequence[Item], which: float | str) -> tuple[list[Item], list[Item]]:
    """Part training images into those that stay and those that a recipe may be chosen by.

    The parts depend on nothing but the names and `which`, so that all seeds have the same.

    Parameters
    ----------
    items
        The training images, in any order.
    which
        Their share, of which at most 100 are taken; or a regular expression that is found in the
        names of those to hold out. It keeps together what is cut from one image, or of one kind:
        an image by chance often has neighbours among those that stay.

    Returns
    -------
    tuple of list of Item
        Those kept, in their order, and those held out, sorted by file name.

    Raises
    ------
    ConfigError
        A share is not between 0 and 1, an expression makes no sense or names no image, or too few
        images would stay.
    """
    kept, out = _named(items, which) if isinstance(which, str) else _by_chance(items, which)
    if len(kept) < FEWEST_LABELLED:
        raise ConfigError(
            f"Of {len(items)} training images {len(out)} cannot be held out.",
            f"At least {FEWEST_LABELLED} have to stay: hold out fewer, or use more images.",
        )
    return kept, out


def _by_chance(items: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    if not 0 < share < 1:
        raise ConfigError(f"{share} of the images cannot be held out.", "Use a share such as 0.2.")
    return set_aside(items, min(max(1, round(share * len(items))), MOST_HELD_OUT), "held out")


def _named(items: Sequence[Item], pattern: str) -> tuple[list[Item], list[Item]]:
    search = name_pattern(pattern).search
    out = [item for item in _by_file_name(items) if search(item.name)]
    if not out:
        raise ConfigError(
            f"'{pattern}' is in the name of none of {len(items)} training images.",
            f"Give a part of names such as '{_by_file_name(items)[0].name}', or a share of the "
            "images such as 0.2.",
        )
    return [item for item in items if not search(item.name)], out


def set_aside(items: Sequence[Item], count: int, purpose: str) -> tuple[list[Item], list[Item]]:
    """Part off `count` images by chance, but the same ones each time for a purpose.

    Returns
    -------
    tuple of list of Item
        Those that stay, in their order, and the others, sorted by file name.
    """
    out = _by_file_name(random.Random(purpose).sample(_by_file_name(items), count))
    names = {item.name for item in out}
    return [item for item in items if item.name not in names], out


def read_order(path: Path, items: Sequence[Item] = ()) -> list[str]:
    """Read the order of images in a published split.

    Parameters
    ----------
    path
        A text file with a name, a file name or a path in each line, alone or followed by that of
        the mask; or an NPY file, see `order_from_permutation`.
    items
        The training images in the order of the data set; only an NPY file needs them.

    Returns
    -------
    list of str
        Names as `Item.name` has them, each once.

    Raises
    ------
    ConfigError
        The file cannot be read as such, or is a pickle, which could run code and is not loaded.
    """
    if path.suffix == ".npy":
        return order_from_permutation(path, items)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The split {path} cannot be read ({error.strerror}).") from error
    if path.suffix in (".pkl", ".pickle") or content.startswith(b"\x80"):
        raise ConfigError(
            f"The split {path} is a pickle, which can run code and is not loaded.",
            'If you trust it, convert it once: python -c "import numpy; numpy.save('
            f"'{path.stem}.npy', numpy.load('{path.name}', allow_pickle=True))\".",
        )
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"The split {path} is no text file.", "List one name a line.") from error
    names = [_line_name(line.strip()) for line in lines if line.strip()]
    if not names:
        raise ConfigError(f"The split {path} names no image.", "List one name a line.")
    return list(dict.fromkeys(names))


def order_from_permutation(path: Path, items: Sequence[Item]) -> list[str]:
    """Read the order of images from a permutation of their list, as French et al. publish it.

    Parameters
    ----------
    path
        NPY file of the integers 0..N-1, shape (N,): the k-th says which image of `items` is the
        k-th to be labelled.
    items
        All N training images in the order of the data set: that of ``train_aug.txt`` for PASCAL
        VOC 2012, sorted by file name for Cityscapes and for folders.

    Raises
    ------
    ConfigError
        The file is no permutation of as many numbers as there are images.

    References
    ----------
    French et al., *Semi-supervised semantic segmentation needs strong, varied perturbations*,
    BMVC 2020: the split files of its code.
    """
    try:
        order = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The split {path} cannot be read ({error}).") from error
    if not isinstance(order, np.ndarray):
        raise ConfigError(
            f"The split {path} is an archive of arrays (NPZ).", "Save one array with numpy.save."
        )
    if order.dtype.kind not in "ui" or not np.array_equal(np.sort(order), np.arange(len(items))):
        raise ConfigError(
            f"The split {path} is no permutation of 0 to {len(items) - 1}.",
            f"It has to name each of the {len(items)} training images once by its place.",
        )
    return [items[place].name for place in order]


def _line_name(line: str) -> str:
    """Return the name in a line: of the first of two files, or of the one that it is."""
    parts = line.split()
    if len(parts) == 2 and all(is_image_file(_path(part)) for part in parts):
        line = parts[0]
    path = _path(line)
    return path.stem if is_image_file(path) else path.name


def _path(text: str) -> Path:
    return Path(text.replace("\\", "/"))


def _count(labelled: float, total: int) -> int:
    if 0 < labelled < 1:
        return min(max(FEWEST_LABELLED, round(labelled * total)), total)
    if not labelled >= 1 or not float(labelled).is_integer():
        raise ConfigError(
            f"{labelled} images cannot be labelled.",
            "Use a share between 0 and 1, or a whole number of images.",
        )
    if labelled > total:
        raise ConfigError(
            f"{labelled:.0f} images are to be labelled, but there are {total} to train on.",
            "Label fewer.",
        )
    return int(labelled)


def _by_file_name(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.image.name)
