"""Go to a place in an image: show the image, the plane, and the window of it that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_threestage.widgets.framing import room_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_threestage.compare.places import Place
    from napari_threestage.widgets.content import ImageContent
    from napari_threestage.widgets.layers import ProjectLayers
    from napari_threestage.widgets.session import Session

SHARE = 0.6  # of the canvas, for the window


class Jump(QObject):
    """Goes to places; the image of one may have to be read first.

    Parameters
    ----------
    viewer, session, layers
        Of the workbench; `layers` show an image before this hears of it.
    """

    def __init__(self, viewer: ViewerModel, session: Session, layers: ProjectLayers) -> None:
        super().__init__()
        self._viewer, self._session, self._layers = viewer, session, layers
        self._wanted: tuple[str, Place] | None = None
        session.image_shown.connect(self._arrive)

    def to(self, image_id: str, place: Place | None = None) -> None:
        """Show an image and, where one is given, a window of it."""
        self._wanted = None if place is None else (image_id, place)
        shown = self._session.image_id == self._session.wanted  # and no other one is on its way
        if shown and image_id == self._session.image_id and not self._session.unshown:
            self._arrive(self._session.content)
        else:
            self._session.show(image_id)

    def _arrive(self, content: ImageContent | None) -> None:
        """Look at the place, if this is its image; a person who went elsewhere stays there."""
        wanted, self._wanted = self._wanted, None
        layer = self._layers.truth
        if content is None or wanted is None or wanted[0] != content.record.id or layer is None:
            return
        if len(wanted[1].center) == layer.ndim:
            look_at(self._viewer, layer, wanted[1])


def look_at(viewer: ViewerModel, layer: Any, place: Place) -> None:
    """Let a window of a layer fill the canvas, or a cell of the grid, with some room around it."""
    middle = layer.data_to_world(place.center)
    others = viewer.dims.ndim - layer.ndim  # napari counts a layer's axes from the last one
    for axis, at in enumerate(middle[:-2]):
        viewer.dims.set_point(others + axis, at)
    scene = viewer.scene
    scene.camera.center = (*scene.camera.center[:-2], *middle[-2:])
    sides = (place.rows[1] - place.rows[0], place.columns[1] - place.columns[0])
    world = [side * scale for side, scale in zip(sides, layer.scale[-2:], strict=True)]
    room = zip(room_of(viewer), world, strict=True)
    scene.camera.zoom = SHARE * min(have / max(want, 1e-9) for have, want in room)
