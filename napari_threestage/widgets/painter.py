"""Between the Ground truth layer and the session: strokes, undo, the picked class, taking over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_threestage.truth_editor import take_over

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_threestage.widgets.layers import ProjectLayers
    from napari_threestage.widgets.session import Session

LOOK_MS = 250  # after the last change that no stroke told about: undo and redo


class Painter(QObject):
    """Sends what is painted to the session, and keeps the layer's brush at the picked class.

    Parameters
    ----------
    session
        Holds the ground truth of the image that is shown.
    layers
        Where the layer comes from.
    """

    def __init__(self, session: Session, layers: ProjectLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self._layer: Any = None
        self._taking = False
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self._after_undo)
        session.class_picked.connect(self._pick)

    def attach(self) -> None:
        """Listen to the layer that is there now."""
        layer = self._layers.truth
        if layer is self._layer:
            return
        self.detach()
        self._layer = layer
        if layer is not None:
            layer.events.paint.connect(self._painted)
            layer.events.set_data.connect(self._changed)
            layer.events.selected_label.connect(self._picked)
            self._pick(self._session.picked_class)

    def detach(self) -> None:
        """Listen no more."""
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._painted)
            self._layer.events.set_data.disconnect(self._changed)
            self._layer.events.selected_label.disconnect(self._picked)
        self._layer = None
        self._look.stop()

    def start_painting(self) -> None:
        """Make the ground truth the active layer, with the brush in hand."""
        layer = self._layers.truth
        if layer is not None and layer.editable:
            self._layers.truth_wanted.emit()
            self._layers.activate(layer)
            layer.mode = "erase" if self._session.picked_class == 0 else "paint"

    def take_over(
        self,
        stage: int,
        *,
        classes: Collection[int] | None = None,
        inside_region: bool = False,
        only_unlabelled: bool = True,
        at_least: float = 0.0,
    ) -> int | None:
        """Take a stage's mask over into the ground truth; one undo takes it back.

        Parameters
        ----------
        classes
            Indices to take over, None for all.
        inside_region
            Only where a region is drawn.
        only_unlabelled
            Leave what is labelled already.
        at_least
            Least confidence, 0..1.

        Returns
        -------
        The number of pixels that changed; None when that was not possible.
        """
        mask, content, run = self._mask(stage), self._session.content, self._session.runs.run
        if mask is None or content is None or run is None:
            return None
        region = self._layers.region(content.record.label_shape) if inside_region else None
        if inside_region and region is None:
            return None
        confidence = run.read_confidence(stage, content.record.id) if at_least > 0 else None
        where = take_over(
            content.editor.truth,
            mask,
            classes=classes,
            region=region,
            only_unlabelled=only_unlabelled,
            confidence=confidence,
            at_least=at_least,
        )
        return self._copy(stage, mask, np.nonzero(where))

    def take_over_pixels(self, stage: int, pixels: tuple[np.ndarray, ...]) -> int | None:
        """Take a stage's mask over in some pixels, whatever is painted there.

        Parameters
        ----------
        pixels
            Their indices along each axis.

        Returns
        -------
        The number of pixels that changed; None when that was not possible.
        """
        mask, content = self._mask(stage), self._session.content
        if mask is None or content is None:
            return None
        found = mask[pixels]
        new = (found > 0) & (found != content.editor.truth[pixels])
        return self._copy(stage, mask, tuple(along[new] for along in pixels))

    def _mask(self, stage: int) -> np.ndarray | None:
        """Return a stage's mask of the shown image, if it may be taken over now."""
        content, run, layer = self._session.content, self._session.runs.run, self._layer
        if content is None or run is None or layer is None or not layer.editable:
            return None
        if content.run != run.id:
            return None  # the masks of the run that was just chosen are on their way
        return content.masks.get(stage)

    def _copy(self, stage: int, mask: np.ndarray, pixels: tuple[np.ndarray, ...]) -> int:
        """Copy pixels of a mask into the ground truth, as one step; return how many."""
        run, changed = self._session.runs.run, len(pixels[0])
        if changed and run is not None:
            self._session.commit("painted")
            self._write(pixels, mask)
            self._session.commit(f"stage-{stage} of run {run.id}")
        return changed

    def _write(self, pixels: tuple[np.ndarray, ...], mask: np.ndarray) -> None:
        """Change the layer as one step of its history."""
        self._taking = True  # napari tells of this step before the pixels have changed
        try:
            self._layer.data_setitem(pixels, mask[pixels], refresh=False)
            self._layer.refresh()
        finally:
            self._taking = False

    def _painted(self, event: Any) -> None:
        if not self._taking:
            self._session.commit("painted", _region(event.value))

    def _changed(self, event: Any = None) -> None:
        if not self._taking:
            self._keep_array()
            self._look.start()

    def _keep_array(self) -> None:
        """Take other data that somebody gave the layer into the array that is saved."""
        content, layer = self._session.content, self._layer
        if content is None or layer is None or layer.data is content.editor.truth:
            return
        truth, given = content.editor.truth, np.asarray(layer.data)
        if given.shape == truth.shape:
            truth[...] = given
        layer.data = truth

    def _after_undo(self) -> None:
        self._session.commit(None)

    def _pick(self, index: int) -> None:
        if self._layer is not None and self._layer.selected_label != index:
            self._layer.selected_label = index

    def _picked(self, event: Any = None) -> None:
        """Follow the label that was chosen in napari, as far as there is such a class."""
        project, chosen = self._session.project, int(self._layer.selected_label)
        if project is None or chosen == self._session.picked_class:
            return
        if chosen > len(project.classes):
            self._session.say(
                f"There is no class {chosen}.", "Add classes in the part Data.", "warning"
            )
            chosen = self._session.picked_class
        self._session.pick_class(chosen)
        self._pick(chosen)


def _region(atoms: Any) -> tuple[slice, ...] | None:
    """Return the box around the changes of a stroke; None when they do not say."""
    keys = [getattr(atom, "slice_key", None) for atom in atoms]
    if not keys or any(key is None for key in keys):
        return None
    box = []
    for sides in zip(*keys, strict=True):
        whole = [
            side if isinstance(side, slice) else slice(int(side), int(side) + 1) for side in sides
        ]
        if any(side.start is None or side.stop is None for side in whole):
            return None
        box.append(slice(min(side.start for side in whole), max(side.stop for side in whole)))
    return tuple(box)
