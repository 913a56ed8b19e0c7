"""What part of an image is seen, and how to see the same part where there is more or less room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

MARGIN = 0.025  # of the image, around it


def seen(viewer: ViewerModel, room: Sequence[float]) -> np.ndarray:
    """Return the corners (2, 2) in the world of what is seen of the layers in a room.

    Parameters
    ----------
    room
        Height and width of where it is drawn, in pixels.
    """
    camera, half = viewer.scene.camera, np.array(room) / 2 / viewer.scene.camera.zoom
    centre = np.array(camera.center[-2:])
    extent = np.array(viewer.layers.extent.world)[:, list(viewer.dims.displayed[-2:])]
    margin = MARGIN * (extent[1] - extent[0])
    corners = np.array([centre - half, centre + half])
    inside = np.clip(corners, extent[0] - margin, extent[1] + margin)
    return inside if (inside[1] > inside[0]).all() else corners


def frame(viewer: ViewerModel, corners: np.ndarray, room: Sequence[float]) -> None:
    """Let a part of the world fill a room."""
    camera = viewer.scene.camera
    camera.center = (*camera.center[:-2], *corners.mean(0))
    camera.zoom = float(np.min(np.array(room) / np.maximum(corners[1] - corners[0], 1e-9)))


def room_of(viewer: ViewerModel) -> tuple[float, ...]:
    """Return height and width of a cell of the grid, or of the canvas where there is no grid."""
    return tuple(float(side) for side in viewer.canvas.viewbox_size(viewer.layers))
