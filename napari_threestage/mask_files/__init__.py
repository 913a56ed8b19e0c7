"""Masks as files for other programs: TIFF, PNG, OME-Zarr, COCO and GeoJSON.

>>> with MaskFolder(folder, "png", [("ground", (40, 40, 40)), ("cell", (230, 50, 50))]) as masks:
...     masks.add("picture", labels, "yx", scale={}, unit={})

``docs/masks.md`` says what the values mean and which program reads what.
"""

from __future__ import annotations

from napari_threestage.mask_files.folder import FORMATS, MaskFolder, refuse_foreign
from napari_threestage.mask_files.mask import SOFTWARE
from napari_threestage.mask_files.tiff import is_mask_file, write_mask_file

__all__ = ["FORMATS", "SOFTWARE", "MaskFolder", "is_mask_file", "refuse_foreign", "write_mask_file"]
