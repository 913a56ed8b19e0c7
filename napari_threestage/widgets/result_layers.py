"""What a segmenter found in a layer, as layers of their own: a person's, whatever is open."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_threestage.project_file import LabelClass
from napari_threestage.widgets.layer_data import class_colormap, class_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from napari.components import ViewerModel


@dataclass(frozen=True)
class Found:
    """A mask (0 = no class, 1..C), its classes, and confidence (0..255) where it was asked for."""

    mask: np.ndarray
    classes: Sequence[Mapping[str, Any]]
    confidence: np.ndarray | None = None


def add_found(viewer: ViewerModel, found: Found, name: str, place: Mapping[str, Any]) -> Any:
    """Add the layers and return that of the mask.

    Parameters
    ----------
    place
        Where they go in the world, as napari takes it.
    """
    classes = [
        LabelClass(id=number, name=entry["name"], color=tuple(entry["color"]))
        for number, entry in enumerate(found.classes, 1)
    ]
    with warnings.catch_warnings():
        # Units of some images are none that napari's library of units knows.
        warnings.simplefilter("ignore", UserWarning)
        if found.confidence is not None:
            viewer.add_image(
                found.confidence,
                name=f"{name}, confidence",
                colormap="viridis",
                blending="translucent",
                opacity=0.6,
                contrast_limits=(0, 255),
                visible=False,
                **place,
            )
        return viewer.add_labels(
            found.mask,
            name=name,
            opacity=0.5,
            colormap=class_colormap(classes),
            features=class_features(classes),
            **place,
        )
