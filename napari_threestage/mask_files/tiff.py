"""Masks as TIFF files that Fiji and everything else reads: class indices, 255 = not labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.files import beside
from napari_threestage.ingest.masks import encode_mask
from napari_threestage.mask_files.format import Format
from napari_threestage.mask_files.mask import SOFTWARE, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from napari_threestage.mask_files.mask import Mask

_IMAGEJ_LIMIT = 2**31  # bytes; larger files have to be of the kind that ImageJ's own never are
_SMALLEST, _LARGEST = 1e-8, 1e6  # sizes of which the inverse is a fraction that TIFF can hold
_IMAGEJ_UNITS = {
    "picometer": "pm",
    "nanometer": "nm",
    "micrometer": "micron",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "second": "sec",
    "millisecond": "ms",
    "minute": "min",
}


class TiffFormat(Format):
    """One file an image, stacks included."""

    most_classes = 255

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the file of an image."""
        return [self.folder / f"{name}.tif"]

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a file."""
        return is_mask_file(path)

    def write(self, mask: Mask) -> None:
        """Write the file, with sizes and axes as ImageJ notes them."""
        path = self.folder / f"{mask.name}.tif"
        values = encode_mask(mask.labels, UNLABELLED)
        fits = values.nbytes < _IMAGEJ_LIMIT
        write_mask_file(path, values, **(_imagej(mask, len(self.classes)) if fits else {}))


def write_mask_file(path: Path, array: np.ndarray, **details: Any) -> None:
    """Write a TIFF file that is complete or absent.

    Parameters
    ----------
    details
        What else tifffile is told about it.
    """
    import tifffile

    temporary = beside(path)
    # Stacks of three or four planes would be taken for colours.
    details |= {"photometric": "minisblack", "compression": "zlib", "software": SOFTWARE}
    try:
        tifffile.imwrite(temporary, array, **details)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_mask_file(path: Path) -> bool:
    """Whether `write_mask_file` wrote a file."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return bool(file.pages.first.software == SOFTWARE)
    except (OSError, ValueError, tifffile.TiffFileError):
        return False


def _imagej(mask: Mask, n_classes: int) -> dict[str, Any]:
    """Return what makes ImageJ open stacks as stacks, with sizes, and show the classes.

    Without the range of values to show, indices as low as these would all look black.
    """
    metadata: dict[str, Any] = {"axes": mask.axes.upper(), "unit": "pixel"}
    metadata |= {"min": 0.0, "max": float(max(1, n_classes - 1))}
    details: dict[str, Any] = {"imagej": True, "metadata": metadata}
    unit = mask.unit.get("x", "")
    sizes = [mask.scale.get(axis, 0) for axis in "yx"]
    if min(sizes) > _SMALLEST and max(sizes) < _LARGEST and mask.unit.get("y", "") == unit:
        metadata["unit"] = _imagej_unit(unit)
        details["resolution"] = (1 / mask.scale["x"], 1 / mask.scale["y"])
        if "z" in mask.scale and mask.unit.get("z", "") == unit:
            metadata["spacing"] = mask.scale["z"]
    if "t" in mask.scale:
        metadata["finterval"] = mask.scale["t"]
        if mask.unit.get("t"):
            metadata["tunit"] = _imagej_unit(mask.unit["t"])
    return details


def _imagej_unit(unit: str) -> str:
    """Return the name that ImageJ has for a unit; one that its notes cannot hold is left out."""
    return _IMAGEJ_UNITS.get(unit, unit if unit.isascii() and unit.isprintable() else "")
