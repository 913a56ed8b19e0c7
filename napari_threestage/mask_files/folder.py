"""A folder of masks in one format: the front of this package."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from napari_threestage.errors import ConfigError
from napari_threestage.files import check_plain_name
from napari_threestage.mask_files.coco import CocoFormat
from napari_threestage.mask_files.geojson import GeoJsonFormat
from napari_threestage.mask_files.mask import MaskClass, checked_mask
from napari_threestage.mask_files.ome_zarr import OmeZarrFormat
from napari_threestage.mask_files.png import PngFormat
from napari_threestage.mask_files.tiff import TiffFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np

    from napari_threestage.mask_files.format import Format
    from napari_threestage.mask_statistics import StatisticsFiles

_FORMATS: dict[str, type[Format]] = {
    "tiff": TiffFormat,
    "png": PngFormat,
    "ome-zarr": OmeZarrFormat,
    "coco": CocoFormat,
    "geojson": GeoJsonFormat,
}
FORMATS = tuple(_FORMATS)


class MaskFolder:
    """Write masks into a folder; a context manager.

    Files that concern all images (the COCO JSON, the list of labels, statistics) are written when
    the context is left.  That is so after an error and after Ctrl-C as well: what was written for
    single images stays, and without those files it would mean little.  They are complete and tell
    of exactly the images that were added; where nothing was added, nothing is written.

    Parameters
    ----------
    folder
        Made when it is needed.
    format
        One of `FORMATS`.
    classes
        Name and colour (red, green, blue) of each class, in order.
    statistics
        Write ``classes.csv`` and ``objects.csv`` too.

    Attributes
    ----------
    files
        What was written, statistics apart.
    statistics
        The statistics that were written.

    Raises
    ------
    ConfigError
        The format is unknown or cannot hold so many classes, or a file that concerns all images
        is there already and not by us.
    """

    def __init__(
        self,
        folder: Path,
        format: str,
        classes: Sequence[tuple[str, tuple[int, int, int]]],
        statistics: bool = False,
    ) -> None:
        if format not in _FORMATS:
            raise ConfigError(f"There is no format '{format}' of masks.", f"Use {_listed()}.")
        kind = _FORMATS[format]
        if len(classes) > kind.most_classes:
            raise ConfigError(
                f"Masks as {format} can have {kind.most_classes} classes, not {len(classes)}.",
                "Choose ome-zarr.",
            )
        self.folder = folder
        self.files: list[Path] = []
        self.statistics: list[Path] = []
        self._classes = [MaskClass(place, *one) for place, one in enumerate(classes, start=1)]
        self._format = kind(folder, self._classes)
        self._tables: StatisticsFiles | None = None
        if statistics:
            from napari_threestage.mask_statistics import StatisticsFiles

            self._tables = StatisticsFiles(folder, self._classes)
            refuse_foreign(self._tables.paths, self._tables.is_ours)
        refuse_foreign([folder / name for name in kind.common], self._format.is_ours)
        self._taken: set[str] = set()

    def __enter__(self) -> MaskFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # After an error, that one is to be told, not what it brings about here.
            with contextlib.suppress(*([OSError] if error else [])):
                self._finish()
        finally:
            self._format.discard()
            if self._tables:
                self._tables.discard()

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the files that `add` would write for a mask of this shape."""
        return self._format.paths(name, shape, axes)

    def check(self, name: str, shape: Sequence[int], axes: str) -> None:
        """Raise what `add` would raise for a mask of this shape, before anything is written.

        Raises
        ------
        ConfigError
            The name is no name of a file, or would replace what we did not write.
        """
        check_plain_name(name)
        refuse_foreign(self.paths(name, shape, axes), self._format.is_ours)

    def add(
        self,
        name: str,
        labels: np.ndarray,
        axes: str,
        scale: Mapping[str, float],
        unit: Mapping[str, str],
        source: str = "",
    ) -> list[Path]:
        """Write the mask of an image and return its files.

        Parameters
        ----------
        name
            Of the files, without an ending.
        labels
            Unsigned integers with the axes `axes`; 0 = not labelled, 1..C = the classes.
        axes
            Such as ``yx``, ``zyx``, ``tzyx``.
        scale, unit
            Size of a pixel along each axis; a size of 1 without a unit counts as not known.
        source
            Name of the image's file.

        Raises
        ------
        ConfigError
            See `check`; or an earlier mask has the same files.
        """
        mask = checked_mask(name, labels, axes, scale, unit, source, len(self._classes))
        self.check(name, labels.shape, axes)
        paths = self.paths(name, labels.shape, axes)
        # Some file systems take upper and lower case for the same.
        names = {path.name.casefold() for path in paths}
        if names & self._taken:
            raise ConfigError(
                f"Two images would have the mask {paths[0]}.", "Give them different names."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._format.write(mask)
        self._taken |= names
        self.files += paths
        if self._tables:
            self._tables.add(mask)
        return paths

    def measure(
        self,
        name: str,
        labels: np.ndarray,
        axes: str,
        scale: Mapping[str, float],
        unit: Mapping[str, str],
        source: str = "",
    ) -> None:
        """Put a mask whose file is there already into the statistics, where those are wanted.

        The parameters are those of `add`.
        """
        if self._tables:
            mask = checked_mask(name, labels, axes, scale, unit, source, len(self._classes))
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tables.add(mask)

    def _finish(self) -> None:
        if self.files:
            self.files += self._format.finish()
        if self._tables:
            self.statistics += self._tables.finish()


def refuse_foreign(paths: Sequence[Path], is_ours: Callable[[Path], bool]) -> None:
    """Raise `ConfigError` where one of the files is there and not ours."""
    for path in paths:
        if path.exists() and not is_ours(path):
            raise ConfigError(
                f"{path} is there already and is no mask of this program.",
                "Choose another folder with --output.",
            )


def _listed() -> str:
    return ", ".join(FORMATS)
