"""Open a data set in the layout in which its home publishes it, or as folders of images and masks.

Opening looks at the names of files alone, so that ten thousand images take no longer than a blink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from napari_threestage.benchmark.folder_layout import open_folder
from napari_threestage.benchmark.half_resolution import half_resolution, with_index_masks
from napari_threestage.benchmark.items import DataSet, Item, read_indices
from napari_threestage.benchmark.published_layouts import (
    find_voc,
    is_cityscapes,
    open_cityscapes,
    open_voc,
)
from napari_threestage.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DataSet",
    "Item",
    "Layout",
    "half_resolution",
    "open_data_set",
    "read_indices",
    "with_index_masks",
]

Layout = Literal["auto", "folder", "voc", "cityscapes"]


def open_data_set(path: Path, layout: Layout = "auto") -> DataSet:
    """Open a data set.

    Parameters
    ----------
    path
        Its top folder.
    layout
        ``"folder"``: ``train/images``, ``train/masks``, ``test/images``, ``test/masks`` and
        ``classes.json``, see `folder_layout.open_folder`; ``"voc"``: PASCAL VOC 2012, see
        `published_layouts.open_voc`; ``"cityscapes"``, see `published_layouts.open_cityscapes`;
        ``"auto"``: whichever of them the folder looks like.

    Raises
    ------
    ConfigError
        The folder does not exist, or has not that layout.
    ImageFileError
        Files are missing or have no partner.
    """
    if layout not in get_args(Layout):
        raise ConfigError(
            f"The layout '{layout}' is not known.", f"Use {', '.join(get_args(Layout))}."
        )
    path = path.resolve()  # the folder's own name tells data sets apart, also for "."
    if not path.is_dir():
        raise ConfigError(f"There is no folder {path}.", "Name the top folder of a data set.")
    voc = find_voc(path)
    if layout == "voc" or (layout == "auto" and voc):
        if voc is None:
            raise ConfigError(
                f"{path} is not PASCAL VOC 2012: there is no folder JPEGImages.",
                "Name the folder VOCdevkit or VOC2012.",
            )
        return open_voc(voc)
    if layout == "cityscapes" or (layout == "auto" and is_cityscapes(path)):
        return open_cityscapes(path)
    return open_folder(path)
