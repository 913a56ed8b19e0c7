"""One mask left of a divider and another one right of it, in one canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_threestage.compare.halves import Halves
from napari_threestage.widgets.compare_columns import BARE, TRUTH, Column, columns_of, mask_of
from napari_threestage.widgets.mask_layers import MASKS
from napari_threestage.widgets.own_layers import see
from napari_threestage.widgets.wipe_line import WipeLine

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_threestage.widgets.content import ImageContent
    from napari_threestage.widgets.layers import ProjectLayers
    from napari_threestage.widgets.session import Session

NAME = "Wipe"


class Wipe:
    """Shows two masks in place of all others, and these as they were afterwards.

    Parameters
    ----------
    viewer, session, layers
        Of the workbench.

    Attributes
    ----------
    share
        How far right the divider is, 0..1.
    """

    changed = Signal()  # other masks, or another place of the divider

    def __init__(self, viewer: ViewerModel, session: Session, layers: ProjectLayers) -> None:
        self._viewer, self._session, self._layers = viewer, session, layers
        self.active = False
        self.share = 0.5
        self._chosen: dict[str, Column] = {}  # by a person, for the side
        self._hidden: list[Layer] = []
        self._halves: Halves | None = None
        self._shown: list[int] = []
        self._layer: Any = None
        self._line: WipeLine | None = None

    # --- what is compared -------------------------------------------------------------------------

    def choices(self) -> list[Column]:
        """Return what each side can show."""
        return [BARE, TRUTH, *columns_of(self._session.content)]

    def side(self, side: str) -> Column:
        """Return what is ``left`` or ``right`` of the divider."""
        chosen, columns = self._chosen.get(side), columns_of(self._session.content)
        if chosen is not None and chosen in self.choices():
            return chosen
        own = [column for column in columns if column.role == "stage"]
        if columns[len(own) :] and own:  # the runs, each with its last stage
            return own[-1] if side == "left" else columns[-1]
        if len(columns) > 1:
            return columns[0] if side == "left" else columns[-1]
        return TRUTH if side == "left" else (columns or [BARE])[-1]

    def choose(self, side: str, column: Column) -> None:
        """Show a mask on one side."""
        self._chosen[side] = column
        self.update()

    # --- on and off -------------------------------------------------------------------------------

    def start(self) -> None:
        """Show the two masks alone."""
        self.active, self._layers.reveal = True, False
        self._hidden = [one for one in self._layers.all_of("truth", *MASKS) if one.visible]
        for layer in self._hidden:
            see(layer, False)
        self._line = WipeLine.over(self._viewer, self._drag)
        for event in self._moves():
            event.connect(self._on_view)
        self._viewer.dims.events.connect(self._on_dims)
        self.update()

    def stop(self) -> None:
        """Show the masks again that were shown before."""
        if not self.active:
            return
        self.active, self._layers.reveal = False, True
        for event in self._moves():
            event.disconnect(self._on_view)
        self._viewer.dims.events.disconnect(self._on_dims)
        if self._line is not None:
            self._line.remove()
        self._line = self._halves = self._layer = None
        self._layers.empty_codes("wipe")
        there = self._layers.all_of("truth", *MASKS)
        for layer in self._hidden:
            if layer in there:
                see(layer, True)
        self._hidden = []

    def _moves(self) -> list[Any]:
        camera = self._viewer.scene.camera.events
        return [camera.center, camera.zoom, self._viewer.canvas.events.size]

    # --- what is shown ----------------------------------------------------------------------------

    def update(self) -> None:
        """Show the masks that there are now."""
        content, project = self._session.content, self._session.project
        if not self.active or content is None or project is None:
            return
        shape, layer = content.record.label_shape, self._layers.find("wipe")
        same = layer is not None and layer.data.shape == shape
        values = layer.data if same else np.zeros(shape, np.uint8)
        self._layer = self._layers.show_codes("wipe", NAME, content, values, project.classes)
        self._layers.draw_like_masks(self._layer)
        self._compose(content)

    def _compose(self, content: ImageContent) -> None:
        """Fill the layer anew: with other masks, or along another axis."""
        sides = [mask_of(content, self.side(side)) for side in ("left", "right")]
        self._shown = self._displayed()
        self._halves = Halves(self._layer.data, sides[0], sides[1], self._shown)
        self._place()
        see(self._layer, True)
        self.changed.emit()

    def move(self, share: float) -> None:
        """Bring the divider to another place."""
        self.share = min(1.0, max(0.0, share))
        self._place()
        self.changed.emit()

    def _place(self) -> None:
        """Let the shown plane have the divider where it is to be."""
        if self._halves is None:
            return
        if self._halves.move(self._column, self._plane()):
            self._layer.refresh(extent=False)
        self._on_view()

    @property
    def _column(self) -> int:
        """In front of which column of pixels the divider is."""
        return round(self.share * self._layer.data.shape[self._shown[-1]])

    def _displayed(self) -> list[int]:
        """Return the axes of the layer that are displayed, the horizontal one last."""
        more = self._viewer.dims.ndim - self._layer.ndim
        return [axis - more for axis in self._viewer.dims.displayed if axis >= more]

    def _plane(self) -> dict[int, int]:
        """Return the shown plane: the layer's index along each axis that is not displayed."""
        point = self._layer.world_to_data(self._viewer.dims.point)
        last = np.array(self._layer.data.shape) - 1
        return dict(enumerate(np.clip(np.round(point).astype(int), 0, last).tolist()))

    # --- what a person does -----------------------------------------------------------------------

    def _on_dims(self, event: Any = None) -> None:
        """Follow to another plane, or to planes along other axes."""
        content = self._session.content
        if self._halves is None or content is None:
            return
        if self._displayed() != self._shown:
            self._compose(content)
        else:
            self._place()

    def _on_view(self, event: Any = None) -> None:
        """Keep the line over the divider."""
        if self._line is not None and self._halves is not None:
            flat = self._viewer.dims.ndisplay == 2
            titles = [self._layers.title(self.side(side)) for side in ("left", "right")]
            self._line.show_at(self._canvas_x() if flat else None, titles)

    def _canvas_x(self) -> float:
        """Return where the divider is on the canvas, in pixels from the left."""
        start, step = self._world()
        camera = self._viewer.scene.camera
        at = start + self._column * step
        return float(self._viewer.canvas.size[1] / 2 + (at - camera.center[-1]) * camera.zoom)

    def _drag(self, x: float) -> None:
        """Bring the divider to where the mouse is on the canvas."""
        camera = self._viewer.scene.camera
        at = camera.center[-1] + (x - self._viewer.canvas.size[1] / 2) / camera.zoom
        start, step = self._world()
        self.move((at - start) / step / self._layer.data.shape[self._shown[-1]])

    def _world(self) -> tuple[float, float]:
        """Return where the image begins along the horizontal axis, and the width of a pixel."""
        axis = self._shown[-1]
        corner = np.zeros(self._layer.ndim)
        corner[axis] = -0.5
        start = self._layer.data_to_world(corner)[axis]
        return float(start), float(self._layer.scale[axis])
