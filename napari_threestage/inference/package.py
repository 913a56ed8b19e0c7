"""The weights in a BioImage package, taken out of the archive with care."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_threestage.model_file import BROKEN, WEIGHTS, weights_entry
from napari_threestage.segmenter_info import not_a_segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give the weights of a package as a file that is there while the context lasts.

    Raises
    ------
    ImageFileError
        There are none, or the archive is damaged, names places outside of it or is absurdly large.
    """
    with tempfile.TemporaryDirectory(prefix="threestage-") as folder:
        target = Path(folder) / WEIGHTS
        try:
            with zipfile.ZipFile(path) as archive:
                entry = weights_entry(archive)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
        except BROKEN as error:
            raise not_a_segmenter(path, error) from error
        yield target
