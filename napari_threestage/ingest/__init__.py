"""From files to arrays: images, masks, and which mask belongs to which image."""

from __future__ import annotations

from napari_threestage.ingest.checks import check_mask_size
from napari_threestage.ingest.importer import (
    ImportOptions,
    ImportReport,
    image_name,
    import_images,
    load_image,
    load_truth,
)
from napari_threestage.ingest.large import image_of, open_image
from napari_threestage.ingest.mask_options import ColourValues, MaskValues, load_mask_values
from napari_threestage.ingest.masks import decode_mask, encode_mask, looks_binary
from napari_threestage.ingest.pair import Pairing, Skipped, find_pairs
from napari_threestage.ingest.preview import ImportPreview, preview_import
from napari_threestage.ingest.read import (
    IMAGE_SUFFIXES,
    LoadedImage,
    is_image_file,
    read_image,
    read_mask_array,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "ColourValues",
    "ImportOptions",
    "ImportPreview",
    "ImportReport",
    "LoadedImage",
    "MaskValues",
    "Pairing",
    "Skipped",
    "check_mask_size",
    "decode_mask",
    "encode_mask",
    "find_pairs",
    "image_name",
    "image_of",
    "import_images",
    "is_image_file",
    "load_image",
    "load_mask_values",
    "load_truth",
    "looks_binary",
    "open_image",
    "preview_import",
    "read_image",
    "read_mask_array",
]
