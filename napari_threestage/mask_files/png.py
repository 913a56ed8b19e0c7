"""Masks as PNG files with a palette, and the list of labels that CVAT and VOC tools read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_threestage.ingest.masks import encode_mask
from napari_threestage.mask_files.format import Format
from napari_threestage.mask_files.mask import SOFTWARE, UNLABELLED, plane_names
from napari_threestage.mask_files.png_file import is_our_png, write_png
from napari_threestage.mask_files.text_file import GrowingFile, is_ours
from napari_threestage.palette import new_color

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from napari_threestage.mask_files.mask import Mask, MaskClass
    from napari_threestage.palette import Color

LABELMAP = "labelmap.txt"
_HEAD = f"# {SOFTWARE}\n# label:color_rgb:parts:actions\n"
_BLACK, _VOID = (0, 0, 0), (224, 224, 192)  # that of VOC for what does not count
_ROWS = 256


class PngFormat(Format):
    """One file a plane, and the labels of all."""

    most_classes = 255
    common = (LABELMAP,)

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the files of an image, one a plane."""
        return [self.folder / f"{plane}.png" for plane in plane_names(name, shape, axes)]

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a file."""
        return is_ours(path, _HEAD) if path.name == LABELMAP else is_our_png(path)

    def write(self, mask: Mask) -> None:
        """Write the planes."""
        colors, unlabelled = distinct_colors(self.colors)
        palette = [*colors, *[_BLACK] * (UNLABELLED - len(colors)), unlabelled]
        for plane in mask.planes():
            size = plane.labels.shape
            path = self.folder / f"{plane.name}.png"
            write_png(path, (size[0], size[1]), _bands(plane.labels), palette)

    def finish(self) -> list[Path]:
        """Write the list of labels."""
        colors, unlabelled = distinct_colors(self.colors)
        names = label_names(self.classes)
        file = GrowingFile(self.folder / LABELMAP, _HEAD)
        lines = zip([*names, _unused("not labelled", names)], [*colors, unlabelled], strict=True)
        text = "".join(f"{name}:{','.join(map(str, color))}::\n" for name, color in lines)
        return [file.finish(text)]


def distinct_colors(colors: Sequence[Color]) -> tuple[list[Color], Color]:
    """Return a colour for each class and one for not labelled, all different.

    Programs that read the colours, as CVAT does, could not tell classes of one colour apart.  Not
    labelled is black unless a class is.
    """
    found: list[Color] = []
    for color in colors:
        found.append(color if color not in found else new_color([*colors, *found, _BLACK]))
    unlabelled = next((one for one in (_BLACK, _VOID) if one not in found), None)
    return found, unlabelled or new_color(found)


def label_names(classes: Sequence[MaskClass]) -> list[str]:
    """Return names that a line of the list can hold: no colon, no line break, no # in front."""
    names: list[str] = []
    for entry in classes:
        plain = re.sub(r"[:\s]+", " ", entry.name).strip().lstrip("# ") or f"class {entry.id}"
        names.append(_unused(plain, names))
    return names


def _unused(name: str, names: Sequence[str]) -> str:
    """Return a name that is not among others."""
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name} {number}"
    return found


def _bands(labels: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, len(labels), _ROWS):
        yield encode_mask(labels[top : top + _ROWS], UNLABELLED)
