"""What every format of masks can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.mask_files.mask import Mask, MaskClass
    from napari_threestage.mask_files.text_file import GrowingFile
    from napari_threestage.palette import Color


class Format(ABC):
    """Masks of one format in one folder.

    Parameters
    ----------
    folder
        Where to; it exists when the first mask is written.
    classes
        In order.
    """

    most_classes = 2**16 - 1
    common: tuple[str, ...] = ()
    """Names of the files that concern all images."""

    def __init__(self, folder: Path, classes: Sequence[MaskClass]) -> None:
        self.folder = folder
        self.classes = tuple(classes)
        self._files: list[GrowingFile] = []

    @property
    def colors(self) -> list[Color]:
        """Colours of the classes, in order."""
        return [entry.color for entry in self.classes]

    @abstractmethod
    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the files that belong to one image."""

    @abstractmethod
    def is_ours(self, path: Path) -> bool:
        """Whether we wrote what is there, so that it may be replaced."""

    @abstractmethod
    def write(self, mask: Mask) -> None:
        """Write the files of one image, each complete or absent."""

    def finish(self) -> list[Path]:
        """Write what concerns all images, and return those files."""
        return []

    def discard(self) -> None:
        """Give up what concerns all images and is not finished."""
        for file in self._files:
            file.discard()
