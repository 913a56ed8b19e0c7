"""Masks as OME-Zarr label images with names and colours: class ids 1..C, 0 = not labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage import store
from napari_threestage.errors import ProjectError
from napari_threestage.mask_files.format import Format
from napari_threestage.mask_files.mask import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_threestage.mask_files.mask import Mask

_KIND = "mask"


class OmeZarrFormat(Format):
    """One folder an image, stacks included."""

    def paths(self, name: str, shape: Sequence[int], axes: str) -> list[Path]:
        """Return the folder of an image."""
        return [self.folder / f"{name}.ome.zarr"]

    def is_ours(self, path: Path) -> bool:
        """Whether we wrote a mask there; the images of a project are ours, but no masks."""
        try:
            return (store.read_attributes(path) or {}).get("kind") == _KIND
        except (ProjectError, OSError, AttributeError):
            return False

    def write(self, mask: Mask) -> None:
        """Write the label image."""
        attributes = {"kind": _KIND, "software": SOFTWARE, "source": mask.source}
        store.write_label_image(
            self.folder / f"{mask.name}.ome.zarr",
            store.ImageArray(mask.labels, mask.axes, dict(mask.scale), dict(mask.unit)),
            self.classes,
            attributes,
        )
