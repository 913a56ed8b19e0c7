"""The ways to look at the masks of an image: one over the other, side by side, or wiped."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_threestage.widgets.own_layers import see
from napari_threestage.widgets.side_by_side import SideBySide
from napari_threestage.widgets.wipe import Wipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel

    from napari_threestage.widgets.layers import ProjectLayers
    from napari_threestage.widgets.session import Session

OVERLAY, GRID, WIPE = "Overlay", "Side by side", "Wipe"
MODES = (OVERLAY, GRID, WIPE)


class ViewModes:
    """Knows the way that is chosen, and keeps what is shown in step with the session.

    Parameters
    ----------
    viewer, session, layers
        Of the workbench; `layers` show an image before this hears of it.
    """

    changed = Signal(str)

    def __init__(self, viewer: ViewerModel, session: Session, layers: ProjectLayers) -> None:
        self._viewer, self._session, self._layers = viewer, session, layers
        self.mode = OVERLAY
        self.grid = SideBySide(viewer, layers)
        self.wipe = Wipe(viewer, session, layers)
        session.image_shown.connect(self._on_content)
        session.masks_read.connect(self._on_content)
        session.counts_changed.connect(self._on_counts)
        session.runs.all.changed.connect(self._name_second)
        session.second.changed.connect(self._name_second)
        viewer.canvas.grid.events.enabled.connect(self._on_grid)
        layers.truth_wanted.connect(self._show_truth)
        layers.added.connect(self.grid.look_again)

    @property
    def stacked(self) -> bool:
        """Whether all that is shown lies one over the other."""
        return self.mode == OVERLAY

    def choose(self, mode: str) -> None:
        """Look at the masks in another way."""
        if mode == self.mode or self._session.content is None:
            return
        self._leave()
        self.mode = mode
        if mode == GRID:
            self.grid.start()
        elif mode == WIPE:
            self.wipe.start()
            self._layers.at_once = self._over_each_other
        self.changed.emit(mode)

    def cycle(self, by: int = 1) -> None:
        """Look at the masks in the next way (1), or in the previous one (-1)."""
        self.choose(MODES[(MODES.index(self.mode) + by) % len(MODES)])

    def close(self) -> None:
        """Hear and do nothing any more: the window is going."""
        self.grid.close()
        self._session.image_shown.disconnect(self._on_content)
        self._session.masks_read.disconnect(self._on_content)
        self._viewer.canvas.grid.events.enabled.disconnect(self._on_grid)

    def _leave(self) -> None:
        mode, self.mode = self.mode, OVERLAY
        if mode == GRID:
            self.grid.stop()
        elif mode == WIPE:
            self.wipe.stop()
            self._layers.at_once = nullcontext

    @contextmanager
    def _over_each_other(self) -> Iterator[None]:
        """Leave the wipe when somebody flips through the masks."""
        self.choose(OVERLAY)
        yield

    def update(self) -> None:
        """Show the layers that there are now."""
        self.grid.update()
        self.wipe.update()

    # --- what happens meanwhile -------------------------------------------------------------------

    def _on_content(self, content: object) -> None:
        if content is None:
            self._leave()
            self.changed.emit(self.mode)
        else:
            self.update()

    def _on_counts(self, image_id: str) -> None:
        if self.wipe.active and image_id == self._session.image_id:
            self.wipe.update()  # ground truth may be on one of its sides

    def _name_second(self) -> None:
        self._layers.name_second(self._session.second.name)
        self.wipe.changed.emit()

    def _on_grid(self, event: Any = None) -> None:
        """Leave the grid when napari's own button or key takes it away."""
        off = not self._viewer.canvas.grid.enabled
        if self.mode == GRID and self.grid.shown and off and not self.grid.arranging:
            self.choose(OVERLAY)

    def _show_truth(self) -> None:
        """Let a person see what they are about to paint."""
        if self.mode == WIPE:
            self.choose(OVERLAY)
        see(self._layers.truth, True)
