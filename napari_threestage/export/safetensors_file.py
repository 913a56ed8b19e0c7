"""The format of this program: weights and description, which no code goes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.export.material import Material


def write(material: Material, path: Path) -> None:
    """Write the file that `load_segmenter` reads."""
    material.segmenter.save(path)
