"""Arrays of zarr; the only module that imports it, and only when it is needed: that is slow."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage import ome_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def create_array(
    path: Path, shape: Sequence[int], dtype: Any, axes: str, chunks: Sequence[int]
) -> Any:
    """Make an array of zeros, to be filled chunk by chunk.

    Several processes may fill it at the same time, each its own chunks.
    """
    import zarr

    return zarr.create_array(
        path,
        shape=tuple(shape),
        dtype=dtype,
        chunks=tuple(chunks),
        dimension_names=list(axes),
    )


def open_array(path: Path) -> Any:
    """Open an array of `create_array` to go on filling it."""
    import zarr

    return zarr.open_array(path, mode="r+")


def open_to_read(path: Path) -> Any:
    """Open an array that is not to be changed."""
    import zarr

    return zarr.open_array(path, mode="r")


def read_old_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a group of zarr version 2."""
    import zarr

    return dict(zarr.open_group(path, mode="r", zarr_format=2).attrs)


def open_tiff_store(pieces: Any) -> Any:
    """Open what ``aszarr`` of tifffile gives, as an array that is read when it is asked for."""
    import zarr

    return zarr.open_array(pieces, mode="r")


def write_coarser(folder: Path, axes: str, shrink: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
    """Make the coarser levels of the array ``0`` of a folder, a few rows at a time.

    Returns
    -------
    The arrays of all levels.
    """
    levels = [open_array(folder / "0")]
    while max(levels[-1].shape[-2:]) > ome_metadata.PYRAMID_ABOVE:
        fine = levels[-1]
        shape = (*fine.shape[:-2], *(max(1, side // 2) for side in fine.shape[-2:]))
        chunks = tuple(min(pair) for pair in zip(fine.chunks, shape, strict=True))
        path = folder / str(len(levels))
        shutil.rmtree(path, ignore_errors=True)  # what a killed writer left
        coarse = create_array(path, shape, fine.dtype, axes, chunks)
        for place in np.ndindex(*shape[:-2]):
            for top in range(0, shape[-2], chunks[-2]):
                bottom = min(top + chunks[-2], shape[-2])
                below = max(2 * bottom, 1)
                coarse[(*place, slice(top, bottom))] = shrink(fine[(*place, slice(2 * top, below))])
        levels.append(coarse)
    return levels
