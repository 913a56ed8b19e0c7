"""Files that are converted once and kept: half resolution, and masks of class indices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage.transform import downscale_local_mean

from napari_threestage.benchmark.fingerprint import fingerprint
from napari_threestage.benchmark.items import DataSet, Item, read_indices, to_indices
from napari_threestage.errors import ImageFileError
from napari_threestage.files import beside
from napari_threestage.ingest import read_image, read_mask_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def half_resolution(data_set: DataSet, folder: Path) -> DataSet:
    """Convert a data set to half its resolution, as the paper does with Cityscapes.

    Results at half resolution do not compare with those at full resolution: the test is at half
    resolution too. The name of the data set says which it is.

    Parameters
    ----------
    data_set
        Of 8-bit images without depth and time.
    folder
        Where the files are kept, ``<fingerprint>/{train,test}/{images,masks}/<name>.png``. What
        is there is not written again; a file is complete or absent.

    Returns
    -------
    DataSet
        ``<name>-half``: images (H // 2, W // 2), each pixel the mean of 2 x 2 rounded down; masks
        of class indices, each the most frequent value of 2 x 2 in the file, the lowest of these
        on a tie. A last odd row or column is left out.

    Raises
    ------
    ImageFileError
        A file cannot be read or is of another kind.

    References
    ----------
    The conversion is that of the code of French et al., BMVC 2020, which the paper builds on.
    """
    return replace(_converted(data_set, folder, _halved), name=f"{data_set.name}-half")


def with_index_masks(data_set: DataSet, folder: Path) -> DataSet:
    """Convert masks to class indices, for what knows no other; the images stay where they are.

    Parameters
    ----------
    folder
        Where the masks are kept, see `half_resolution`.

    Returns
    -------
    DataSet
        The same where the masks hold class indices already.
    """
    if data_set.mask_values == "index":
        return data_set
    return _converted(data_set, folder, _indexed)


def majority(values: np.ndarray) -> np.ndarray:
    """Return the most frequent of each 2 x 2 values, the lowest of these on a tie.

    Parameters
    ----------
    values
        Shape (H, W); a last odd row or column is left out.

    Returns
    -------
    numpy.ndarray
        Shape (H // 2, W // 2), same dtype.
    """
    even = _even(values)
    a, b, c, d = np.sort([even[y::2, x::2] for y in (0, 1) for x in (0, 1)], axis=0)
    # In order, a value that is there twice has an equal neighbour, the lowest such first.
    voted: np.ndarray = np.where(a == b, a, np.where(b == c, b, np.where(c == d, c, a)))
    return voted


def _converted(
    data_set: DataSet, folder: Path, convert: Callable[[DataSet, Path, Item], Item]
) -> DataSet:
    folder = folder / fingerprint(data_set)  # another data set of that name has other files
    with ThreadPoolExecutor() as pool:
        train, test = (
            tuple(pool.map(partial(convert, data_set, folder / part), items))
            for part, items in (("train", data_set.train), ("test", data_set.test))
        )
    origin = data_set.origin or data_set
    return replace(data_set, train=train, test=test, mask_values="index", origin=origin)


def _halved(data_set: DataSet, folder: Path, item: Item) -> Item:
    image = folder / "images" / f"{item.name}.png"
    mask = folder / "masks" / f"{item.name}.png"
    if not image.exists():
        _write(image, _half_image(item.image))
    if not mask.exists():
        _write(mask, to_indices(data_set, item.mask, majority(read_mask_array(item.mask))))
    return Item(item.name, image, mask)


def _indexed(data_set: DataSet, folder: Path, item: Item) -> Item:
    mask = folder / "masks" / f"{item.name}.png"
    if not mask.exists():
        _write(mask, read_indices(data_set, item))
    return replace(item, mask=mask)


def _half_image(path: Path) -> np.ndarray:
    loaded = read_image(path)
    pixels = loaded.array
    if loaded.axes != "cyx" or len(pixels) not in (1, 3) or pixels.dtype != np.uint8:
        raise ImageFileError(
            f"{path} is no 8-bit grey or colour image, which half resolution is made of.",
            "Use the data set in full resolution.",
        )
    even = _even(pixels.transpose(1, 2, 0))
    half: np.ndarray = downscale_local_mean(even, (2, 2, 1)).astype(np.uint8)
    return half[..., 0] if half.shape[-1] == 1 else half


def _even(array: np.ndarray) -> np.ndarray:
    """Return an array (H, W, …) without a last odd row or column."""
    height, width = (size // 2 * 2 for size in array.shape[:2])
    return array[:height, :width]


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
