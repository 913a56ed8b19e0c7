"""Data sets that are folders of images and masks with a ``classes.json``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_threestage.benchmark.items import DataSet, Item, check_items
from napari_threestage.benchmark.splits import set_aside
from napari_threestage.errors import ConfigError, ImageFileError
from napari_threestage.ingest import find_pairs, is_image_file

if TYPE_CHECKING:
    from pathlib import Path

TEST_SHARE = 0.2  # of the images, where no part is set aside for testing
FEWEST_IMAGES = 4  # to part into those to train on and those to test on

_LAYOUT_HINT = (
    "A data set has train/images, train/masks, test/images, test/masks and classes.json, "
    "or images, masks and classes.json."
)
_CLASSES_HINT = (
    'It has to hold {"classes": [{"index": 0, "name": "background"}, {"index": 1, '
    '"name": "nucleus"}]}, where index is the value in the masks.'
)


def open_folder(path: Path) -> DataSet:
    """Open a folder of images and masks.

    Parameters
    ----------
    path
        Holds ``classes.json`` and the folders ``train`` and ``test`` with ``images`` and ``masks``
        each. Where there is no ``test``, a fifth of the images of ``train`` is set aside for
        testing, the same for every seed; where there is no ``train`` either, of those of
        ``images`` and ``masks`` in `path` itself.

    Returns
    -------
    DataSet
        Sorted by file name. A mask belongs to the image as `ingest.find_pairs` says: same stem,
        or the stem with an ending such as ``_mask``. Masks hold class indices, 255 = not labelled.

    Raises
    ------
    ConfigError
        A folder or ``classes.json`` is missing or holds no classes.
    ImageFileError
        An image has no mask, a mask no image, or two images have one name.
    """
    classes = _read_classes(path / "classes.json")
    train = _read_part(path / "train" if (path / "train").is_dir() else path)
    if (path / "test").is_dir():
        return DataSet(path.name, classes, train, _read_part(path / "test"))
    if len(train) < FEWEST_IMAGES:
        raise ImageFileError(
            f"{path} has {len(train)} images, too few to set some aside for testing.",
            f"Use {FEWEST_IMAGES} at least, or add test/images and test/masks.",
        )
    kept, test = set_aside(train, max(1, round(TEST_SHARE * len(train))), "test")
    return DataSet(path.name, classes, tuple(kept), tuple(test))


def _read_part(folder: Path) -> tuple[Item, ...]:
    for needed in (folder / "images", folder / "masks"):
        if not needed.is_dir():
            raise ConfigError(f"There is no folder {needed}.", _LAYOUT_HINT)
    pairing = find_pairs([folder / "images"], folder / "masks")
    unclear = [one for one in pairing.skipped if is_image_file(one.path)]
    if unclear:
        raise ImageFileError(
            f"{unclear[0].path} cannot be used: {unclear[0].reason}.",
            f"{len(unclear)} files have such problems." if len(unclear) > 1 else "",
        )
    bare = [image for image, mask in pairing.pairs if mask is None]
    if bare:
        raise ImageFileError(
            f"{len(bare)} of {len(pairing.pairs)} images have no mask, the first is {bare[0]}.",
            "A benchmark needs the masks of all images, also of those that count as unlabelled.",
        )
    items = (Item(image.stem, image, mask) for image, mask in pairing.pairs if mask is not None)
    return check_items(sorted(items, key=lambda item: item.image.name))


def _read_classes(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        raise ConfigError(f"There is no {path}.", _CLASSES_HINT)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content["classes"] if isinstance(content, dict) else content
        named = [{"name": one} if isinstance(one, str) else dict(one) for one in entries]
        classes = [{"index": place, **one} for place, one in enumerate(named)]
        classes.sort(key=lambda entry: int(entry["index"]))
        right = [entry["index"] for entry in classes] == list(range(len(classes)))
        right = right and all(isinstance(entry["name"], str) for entry in classes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read as classes ({error}).", _CLASSES_HINT) from error
    if not right or len(classes) < 2:
        raise ConfigError(
            f"{path} does not name two classes or more with the indices 0, 1, 2 and so on.",
            _CLASSES_HINT,
        )
    return tuple(classes)
