"""Image layers of the viewer as what a segmenter can be applied to, and where results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.layer_file import LayerPixels, axes_choices
from napari_threestage.widgets.own_layers import OURS

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_threestage.project import Project


@dataclass(frozen=True, eq=False)
class LayerSource:
    """A layer, or an image of the project, which may be shown in several layers.

    Attributes
    ----------
    key
        Tells it from the others.
    name
        What a person sees, and what results are called after.
    axes
        What its axes may be, the likeliest first; empty where there are too many of them.
    path, channels, mask_shape
        Of the image, where it is one of the project.
    """

    key: object
    name: str
    layer: Any
    axes: tuple[str, ...]
    path: Path | None = None
    channels: int = 0
    mask_shape: tuple[int, ...] = ()

    def pixels(self, axes: str) -> LayerPixels:
        """Return the pixels of the layer, full resolution."""
        data = self.layer.data[0] if self.layer.multiscale else self.layer.data
        return LayerPixels(data, axes)

    def place(self, axes: str) -> dict[str, Any]:
        """Return where a mask of the layer goes in the world, as napari takes it."""
        layer = self.layer
        kept = [at for at in range(layer.ndim) if axes[at] != "c"]
        place: dict[str, Any] = {
            "scale": [layer.scale[at] for at in kept],
            "translate": [layer.translate[at] for at in kept],
            "units": [layer.units[at] for at in kept],
        }
        if len(kept) == layer.ndim:
            place |= {"rotate": layer.rotate, "shear": layer.shear, "affine": layer.affine}
            place["axis_labels"] = layer.axis_labels
        else:
            place["affine"] = _rest_of_place(layer, kept)
        return place


def _rest_of_place(layer: Any, kept: list[int]) -> np.ndarray:
    """Return what places some axes of a layer after their scale and shift, as an affine matrix.

    Rotation and shear may mix in an axis that is left out; what is left of them need be none.
    """
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    steps = np.array([layer.data_to_world(step) for step in np.eye(layer.ndim)[kept]]) - origin
    whole, own = np.eye(len(kept) + 1), np.diag([*layer.scale[kept], 1.0])
    whole[:-1, :-1], whole[:-1, -1] = steps[:, kept].T, origin[kept]
    own[:-1, -1] = layer.translate[kept]
    return np.asarray(whole @ np.linalg.inv(own))


def layer_sources(viewer: ViewerModel, project: Project | None) -> list[LayerSource]:
    """Return what a segmenter can be applied to, the uppermost first."""
    from napari.layers import Image

    found: dict[object, LayerSource] = {}
    for layer in reversed(viewer.layers):
        about = layer.metadata.get(OURS)
        if not isinstance(layer, Image) or (about and about.get("role") != "image"):
            continue
        image_id = about.get("image", "") if about else ""
        if project is not None and image_id in project.images:
            found.setdefault(image_id, _of_project(project, image_id, layer))
        else:
            axes = axes_choices(layer.ndim, bool(layer.rgb), layer.axis_labels)
            found[id(layer)] = LayerSource(id(layer), layer.name, layer, tuple(axes))
    return list(found.values())


def key_of(layer: Any, sources: list[LayerSource]) -> object:
    """Return which of the sources a layer shows; None for none."""
    about = getattr(layer, "metadata", {}).get(OURS) or {}
    keys = [source.key for source in sources]
    return next((key for key in (about.get("image"), id(layer)) if key in keys), None)


def _of_project(project: Project, image_id: str, layer: Any) -> LayerSource:
    record = project.images[image_id]
    axes = record.axes.replace("c", "")
    path, shape = project.image_path(image_id), record.label_shape
    return LayerSource(image_id, record.name, layer, (axes,), path, record.channels, shape)
