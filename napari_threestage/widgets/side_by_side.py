"""Masks side by side: napari's grid, with the image and one of them in each cell.

napari puts so many layers into a cell as its stride says, in the order of the list.  So the layers
of the image are repeated for each cell, with the same arrays, and all is brought into that order.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_threestage.widgets.compare_columns import TRUTH, Column
from napari_threestage.widgets.framing import frame, room_of, seen
from napari_threestage.widgets.mask_layers import MASKS, is_empty
from napari_threestage.widgets.own_layers import OURS, see

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_threestage.widgets.layers import ProjectLayers

SPACING = 4  # pixels between cells
FONT_SIZE = 8  # of the captions
CELLS = ("truth", *MASKS, "changes", "confidence", "second confidence", "region")  # roles


@dataclass(frozen=True)
class _Before:
    """What the viewer was like."""

    order: list[Layer]
    visible: dict[Layer, bool]
    grid: dict[str, Any]
    camera: tuple[Any, float]


class SideBySide(QObject):
    """Shows the masks in a grid, and everything as it was afterwards.

    Parameters
    ----------
    viewer, layers
        Of the workbench.

    """

    def __init__(self, viewer: ViewerModel, layers: ProjectLayers) -> None:
        super().__init__()
        self._viewer, self._layers = viewer, layers
        self._before: _Before | None = None
        self.arranging = False
        self._left_out: set[Column] = set()  # what a person wants no cell for
        self._sources: dict[Layer, tuple[Layer, Any]] = {}  # of a copy: the layer, and its array
        self._captions: dict[Layer, dict[str, Any]] = {}  # as they were
        self._framed: tuple[Any, float] | None = None
        self._room: tuple[float, ...] = ()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._catch_up)

    @property
    def active(self) -> bool:
        """Whether the grid is shown, or about to be."""
        return self._before is not None

    @property
    def shown(self) -> bool:
        """Whether the grid is there already."""
        return self.active and bool(self._room)

    @property
    def busy(self) -> bool:
        """Whether something is still to come."""
        return bool(self._later.isActive())

    # --- on and off -------------------------------------------------------------------------------

    def start(self) -> None:
        """Show the grid; it comes when all its layers are there."""
        viewer, camera = self._viewer, self._viewer.scene.camera
        self._before = _Before(
            list(viewer.layers),
            {layer: layer.visible for layer in viewer.layers},
            viewer.canvas.grid.model_dump(),
            (camera.center, camera.zoom),
        )
        self._layers.reveal, self._layers.at_once = False, self._at_once
        self._left_out, self._room = set(), ()
        for events in self._list_events():
            events.connect(self._on_list)
        self.update()

    def stop(self) -> None:
        """Bring back what was there before."""
        if self._before is None:
            return
        before, self._before = self._before, None
        for events in self._list_events():
            events.disconnect(self._on_list)
        self._layers.reveal, self._layers.at_once = True, nullcontext
        part, moved = seen(self._viewer, room_of(self._viewer)), self._camera != self._framed
        self._viewer.canvas.grid.enabled = False  # first: all else takes longer while it is there
        self._release()
        for copy in self._layers.all_of("copy"):
            see(copy, False)
        self._viewer.canvas.grid.update(before.grid)
        self._restore(before)
        if moved:
            frame(self._viewer, part, room_of(self._viewer))
        else:
            self._viewer.scene.camera.center, self._viewer.scene.camera.zoom = before.camera
        self._later.start(0)

    def _list_events(self) -> list[Any]:
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.reordered]

    def _catch_up(self) -> None:
        """Show what there is by now; once the grid is gone, take its layers away."""
        if self.active:
            self.update()
        else:
            self._layers.drop(self._layers.all_of("copy"))
            self._sources = {}

    def close(self) -> None:
        """Do nothing any more."""
        self._before = None
        self._later.stop()

    def _restore(self, before: _Before) -> None:
        """Bring back order and visibility; masks that came meanwhile stay hidden."""
        there = list(self._viewer.layers)
        known = [layer for layer in before.order if layer in there]
        new = [layer for layer in there if layer not in before.visible]
        images = [layer for layer in self._images() if layer in new]
        ours = [layer for layer in self._overlays() if layer in new]
        others = [layer for layer in new if layer not in images and layer not in ours]
        at = known.index(self._layers.truth) if self._layers.truth in known else len(known)
        self._layers.arrange([*images, *known[:at], *ours, *known[at:], *others])
        for layer in there:
            if layer in before.visible:
                see(layer, before.visible[layer])
            elif layer.metadata.get(OURS, {}).get("role") in MASKS:
                see(layer, False)

    @property
    def _camera(self) -> tuple[Any, float]:
        camera = self._viewer.scene.camera
        return camera.center, camera.zoom

    # --- what is shown ----------------------------------------------------------------------------

    def look_again(self) -> None:
        """Show in a moment what there is then."""
        if self.active:
            self._later.start(0)

    def update(self) -> None:
        """Show what there is now; layers that are missing are added one by one."""
        if self._before is None or self._layers.truth is None:
            return
        with self._own_doing():
            self._drop_stale()
            missing = self._add_missing()
            if not missing:
                self._arrange()
            if missing or self._add_caption():
                self._later.start(0)  # napari needs longer than a frame for each of these

    @contextmanager
    def _own_doing(self) -> Iterator[None]:
        """While entered, what happens to the grid is no person's wish."""
        before, self.arranging = self.arranging, True
        try:
            yield
        finally:
            self.arranging = before

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Let several masks be shown or hidden: napari is slow at that while there is a grid."""
        with self._own_doing():
            self._viewer.canvas.grid.enabled = False
            yield
        for layer in self._overlays():
            self._note(layer)
        self.update()

    def _images(self) -> list[Layer]:
        return self._layers.all_of("image")

    def _overlays(self) -> list[Layer]:
        """Return what has a cell, in the order of the cells."""
        return [layer for role in CELLS for layer in self._layers.all_of(role)]

    def _copies(self, cell: Column) -> list[Layer]:
        copies = [one for one in self._all_copies() if one.metadata[OURS]["cell"] == cell]
        of = {self._sources[copy][0]: copy for copy in copies}
        return [of[image] for image in self._images() if image in of]

    def _all_copies(self) -> list[Layer]:
        return [one for one in self._layers.all_of("copy") if one in self._sources]

    def _drop_stale(self) -> None:
        """Take copies away of images, and for cells, that are no more; refresh the others."""
        images, cells = self._images(), [_cell(layer) for layer in self._overlays()]
        stale = []
        for copy in self._all_copies():
            image, data = self._sources[copy]
            if image not in images or copy.metadata[OURS]["cell"] not in cells:
                stale.append(copy)
            elif data is not image.data:
                copy.data, copy.scale = image.data, image.scale
                self._sources[copy] = image, image.data
        self._layers.drop(stale)

    def _add_missing(self) -> bool:
        """Add one layer that is missing, if any is."""
        for overlay in self._overlays()[1:]:
            cell = _cell(overlay)
            there = [self._sources[copy][0] for copy in self._copies(cell)]
            for image in self._images():
                if image not in there and not is_empty(overlay):
                    copy = self._layers.repeat(image, cell, f"{image.name} ({overlay.name})")
                    self._sources[copy] = image, image.data
                    return True
        return False

    def _arrange(self) -> None:
        """Give each mask its cell: bring all into order, and show the grid."""
        part = seen(self._viewer, self._room or room_of(self._viewer))
        images, order, visible = self._images(), [], {}
        for number, overlay in enumerate(self._overlays()):
            pixels = images if number == 0 else self._copies(_cell(overlay))
            wanted = not is_empty(overlay) and _cell(overlay) not in self._left_out
            visible[overlay] = wanted
            for image, pixel in zip(images, pixels, strict=False):
                visible[pixel] = wanted and self._was_visible(image)
            if len(pixels) == len(images):
                order += [*pixels, overlay]
        grid = self._viewer.canvas.grid
        same = list(self._viewer.layers)[: len(order)] == order
        if not same or any(layer.visible != visible[layer] for layer in visible):
            grid.enabled = False  # each of these takes long while there is a grid
            for layer in visible:
                see(layer, visible[layer])
            self._layers.arrange(order)
        grid.update({"stride": len(images) + 1, "shape": (-1, -1), "spacing": SPACING})
        grid.enabled = True
        if self._room != room_of(self._viewer):
            self._room = room_of(self._viewer)
            frame(self._viewer, part, self._room)
            self._framed = self._camera

    def _was_visible(self, image: Layer) -> bool:
        return self._before is None or self._before.visible.get(image, True)

    def _add_caption(self) -> bool:
        """Name one cell that has no name, if any has none, and hear of it when it is hidden."""
        for overlay in self._overlays():
            if overlay not in self._captions:
                caption = overlay.name_overlay
                self._captions[overlay] = caption.model_dump()
                caption.update({"box": True, "font_size": FONT_SIZE, "visible": True})
                overlay.events.visible.connect(self._on_visible)
                return True
        return False

    def _release(self) -> None:
        for overlay, before in self._captions.items():
            overlay.events.visible.disconnect(self._on_visible)
            overlay.name_overlay.update(before)
        self._captions = {}

    # --- what a person does -----------------------------------------------------------------------

    def _on_visible(self, event: Any) -> None:
        """Hide the cell of a mask that is hidden, with its image."""
        if not self.arranging:
            self._note(event.source)
            self._later.start(0)

    def _note(self, layer: Layer) -> None:
        """Note whether a mask is to have a cell."""
        if not is_empty(layer):
            change = self._left_out.discard if layer.visible else self._left_out.add
            change(_cell(layer))

    def _on_list(self, event: Any = None) -> None:
        """Bring layers into order again that somebody added, removed or moved."""
        if not self.arranging:
            self._later.start(0)


def _cell(layer: Layer) -> Column:
    about = layer.metadata[OURS]
    return Column(about["role"], about.get("stage", 0)) if about["role"] != "truth" else TRUTH
