"""The layers that we added to a viewer, told from all others and from copies of ours."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

OURS = "threestage"  # key of our entries in a layer's metadata


def see(layer: Any, visible: bool) -> None:
    """Show or hide a layer; to say it twice would take the brush out of a person's hand."""
    if layer.visible != visible:
        layer.visible = visible


class OwnLayers:
    """Finds, moves and removes our layers.

    Parameters
    ----------
    viewer
        The viewer; layers of others are left alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._changing = False  # whether we are adding or removing layers ourselves
        self._made: list[Layer] = []  # a copy of one carries the same metadata

    def find(self, role: str, stage: int = 0) -> Any:
        """Return our layer of a role (image, truth, stage, confidence, region), or None."""
        for layer in self._all(role):
            if layer.metadata[OURS].get("stage", 0) == stage:
                return layer
        return None

    @property
    def changing(self) -> bool:
        """Whether a removed layer was removed by us."""
        return self._changing

    def all_of(self, *roles: str) -> list[Layer]:
        """Return our layers of some roles, the lowest first."""
        order = self._viewer.layers.index
        return sorted((one for role in roles for one in self._all(role)), key=order)

    def activate(self, layer: Layer) -> None:
        """Select a layer, so that napari's tools act on it."""
        self._viewer.layers.selection.active = layer

    def _all(self, role: str = "") -> list[Layer]:
        there = {id(layer) for layer in self._viewer.layers}
        self._made = [layer for layer in self._made if id(layer) in there]
        return [one for one in self._made if role in ("", one.metadata[OURS]["role"])]

    def _move(self, layer: Layer, place: int) -> None:
        now = self._viewer.layers.index(layer)
        if now != place:
            self._viewer.layers.move(now, place if place < now else place + 1)

    def arrange(self, order: Sequence[Layer]) -> None:
        """Bring layers into an order, the lowest first; all others come after them."""
        with self._own_changes():
            for place, layer in enumerate(order):
                self._move(layer, place)

    def drop(self, layers: Sequence[Layer]) -> None:
        """Take image layers away, all at once: napari tidies up after each time."""
        if layers:
            with self._own_changes(), self._viewer.layers.batched_update():
                for layer in layers:
                    self._viewer.layers.unlink_layers([layer])
                    self._viewer.layers.remove(layer)

    def _clear(self, *roles: str) -> None:
        for role in roles:
            for layer in self._all(role):
                self._viewer.layers.remove(layer)

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        """While entered, what changes is our doing; the layer in a person's hand stays the same."""
        selection, before, self._changing = self._viewer.layers.selection, self._changing, True
        active = selection.active
        try:
            with warnings.catch_warnings():
                # Units of some images are none that napari's library of units knows.
                warnings.simplefilter("ignore", UserWarning)
                yield
        finally:
            self._changing = before
            if active in self._viewer.layers:
                selection.active = active
