"""The layers of ground truth and masks, one over the other: what is shown of them, and how."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_threestage.widgets.compare_columns import Column, columns_of, mask_of, title_of
from napari_threestage.widgets.layer_data import (
    class_colormap,
    class_features,
    placed,
    replace_values,
    rescale,
)
from napari_threestage.widgets.options import options
from napari_threestage.widgets.own_layers import OURS, OwnLayers, see

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_threestage.compare.change_map import Named
    from napari_threestage.widgets.content import ImageContent

STYLES = {"Filled": (0, 0.5), "Outlined": (2, 0.9), "Faint": (0, 0.25)}  # contour, opacity
MASKS = ("stage", "second")  # roles of what runs made
CODES_OPACITY = 0.8


class MaskLayers(OwnLayers):
    """The labels layers of the image that is shown.

    Attributes
    ----------
    run
        Whose masks are shown.
    reveal
        Whether a mask of that run that has just come is shown in place of the others.
    at_once
        Entered while several masks are shown or hidden.
    later
        Does something in a moment: napari needs longer than a frame for each new layer.
    """

    truth_wanted = Signal()  # a person is about to paint
    added = Signal()  # a layer that was to come later

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._classes: Sequence[Named] = ()
        self._style = "Filled"
        self._opacity = STYLES[self._style][1]
        self._second = ""
        self._content: ImageContent | None = None
        self.run = ""
        self.reveal = True
        self.at_once: Callable[[], AbstractContextManager[None]] = nullcontext
        self.later: Callable[[Callable[[], None]], object] = lambda work: work()

    # --- what is there --------------------------------------------------------------------------

    @property
    def truth(self) -> Any:
        """The layer that a person paints into, or None."""
        return self.find("truth")

    @property
    def stages(self) -> list[int]:
        """The stages of the run that have a mask of the shown image."""
        return [column.stage for column in self.columns if column.role == "stage"]

    @property
    def columns(self) -> list[Column]:
        """The masks of the shown image, of the run and of the second one."""
        made = [column for column in self._made_columns if not is_empty(self.find(*column))]
        return sorted(made, key=lambda column: (MASKS.index(column.role), column.stage))

    @property
    def _made_columns(self) -> list[Column]:
        return [Column(layer.metadata[OURS]["role"], _stage(layer)) for layer in self._masks()]

    def _masks(self) -> list[Layer]:
        return [layer for role in MASKS for layer in self._all(role)]

    # --- show -----------------------------------------------------------------------------------

    def show_masks(self, content: ImageContent) -> None:
        """Show the masks that an image has now."""
        with self._own_changes():
            self._show_masks(content)

    def _show_masks(self, content: ImageContent) -> None:
        self._content = content
        self.run = content.run
        for column in sorted({*self._made_columns, *columns_of(content)}):
            if column.role != "second" or self.find(*column) is not None:
                self._show_mask(content, column)
        self._add_second_later(content)

    def _add_second_later(self, content: ImageContent) -> None:
        """Have a mask of the second run shown that has no layer yet; then the next one."""
        columns = [one for one in columns_of(content) if self.find(*one) is None]
        if columns:
            self.later(partial(self._add_second, content, columns[0]))

    def _add_second(self, content: ImageContent, column: Column) -> None:
        if self._content is content and column in columns_of(content):
            with self._own_changes():
                self._show_mask(content, column)
            self.added.emit()
            self._add_second_later(content)

    def _show_mask(self, content: ImageContent, column: Column) -> None:
        mask = mask_of(content, column)
        layer = self.find(*column)
        new = mask is not None and (layer is None or is_empty(layer))
        shown = np.zeros(content.record.label_shape, np.uint8) if mask is None else mask
        if layer is None:
            layer = self._add_labels(content, shown.copy(), self.title(column), *column)
            layer.visible = False
            layer.contour = STYLES[self._style][0]
            self._put_below_truth(layer)
        else:
            replace_values(layer, shown)
            rescale(layer, content.pixels.array)
        layer.editable = False  # napari makes a layer editable whenever it gets other data
        layer.metadata[OURS]["empty"] = mask is None
        if new and self.reveal:
            self._reveal(layer, column)

    def _reveal(self, layer: Layer, column: Column) -> None:
        """Show a new mask of the run instead of the others: it is what a person wants to see."""
        if column.role == "second" or not options().show_new_masks:
            layer.visible = False
            return
        for other in self._masks():
            other.visible = other is layer

    def show_codes(
        self,
        role: str,
        name: str,
        content: ImageContent,
        values: np.ndarray,
        legend: Sequence[Named],
    ) -> Any:
        """Show values each of which, from 1, has a name and colour of the legend.

        A layer that is made for them keeps their array.
        """
        with self._own_changes():
            layer = self.find(role)
            if layer is None:
                layer = self._add_labels(content, values, name, role)
                layer.opacity = CODES_OPACITY
                self._put_below_truth(layer)
            else:
                replace_values(layer, values)
                rescale(layer, content.pixels.array)
            _paint_like(layer, legend)
            layer.editable = False
            layer.metadata[OURS]["empty"] = False
        return layer

    def is_empty(self, role: str) -> bool:
        """Whether there is nothing to see of a role."""
        layer = self.find(role)
        return layer is None or is_empty(layer)

    def clear_codes(self, role: str) -> None:
        """Show none of the values until others come."""
        layer = self.find(role)
        if layer is not None and not is_empty(layer):
            layer.data[...] = 0
            layer.refresh(extent=False)

    def empty_codes(self, role: str) -> None:
        """Show none of the values any more."""
        layer = self.find(role)
        if layer is not None:
            see(layer, False)
            layer.metadata[OURS]["empty"] = True
            layer.data[...] = 0

    # --- look -----------------------------------------------------------------------------------

    def set_classes(self, classes: Sequence[Named]) -> None:
        """Show changed names and colours."""
        self._classes = classes
        for layer in [*self._all("truth"), *self._masks(), *self._all("wipe")]:
            _paint_like(layer, classes)

    def title(self, column: Column) -> str:
        """Return what a mask is called everywhere in the window."""
        return title_of(column, self._second)

    def name_second(self, name: str) -> None:
        """Call the second run something else; its layers keep their names when there is none."""
        if not name:
            return
        self._second = name
        for layer in self._all("second"):
            layer.name = self.title(Column("second", _stage(layer)))

    def draw_like_masks(self, layer: Any) -> None:
        """Draw a layer in the style that is chosen for the masks.

        The wipe has no outlines: to find them anew takes longer than a frame.
        """
        contour, opacity = STYLES[self._style][0], self._opacity
        if contour and layer is self.find("wipe"):
            contour, opacity = STYLES["Filled"]
        layer.contour, layer.opacity = contour, opacity

    def set_style(self, style: str) -> None:
        """Show masks filled, outlined or faint."""
        self._style = style
        self._opacity = STYLES[style][1]
        for layer in [*self._masks(), *self._all("wipe")]:
            self.draw_like_masks(layer)

    def set_opacity(self, opacity: float) -> None:
        """Show masks more or less opaque."""
        self._opacity = opacity
        for layer in [*self._masks(), *self._all("wipe")]:
            layer.opacity = opacity

    def show_alone(self, chosen: Column | None) -> None:
        """Show one mask of the image and hide all others; None: hide all."""
        with self.at_once():
            for column in self.columns:
                see(self.find(*column), column == chosen)

    def flip(self, by: int) -> Column | None:
        """Show only the next (1) or previous (-1) mask and return which; None for none.

        After the last one comes the image without any mask.
        """
        columns = self.columns
        if not columns:
            return None
        places = [None, *columns]
        visible = [column for column in columns if self.find(*column).visible]
        at = places.index(visible[-1]) if visible else 0
        chosen = places[(at + by) % len(places)]
        self.show_alone(chosen)
        return chosen

    # --- layers, one by one -----------------------------------------------------------------------

    def _add_labels(
        self, content: ImageContent, data: np.ndarray, name: str, role: str, stage: int = 0
    ) -> Any:
        layer = self._viewer.add_labels(
            data,
            name=name,
            opacity=self._opacity,
            colormap=class_colormap(self._classes),
            features=class_features(self._classes),
            metadata={OURS: {"role": role, "stage": stage, "legend": _legend(self._classes)}},
            **placed(content.pixels.array),
        )
        self._made.append(layer)
        return layer

    def _put_below_truth(self, layer: Layer) -> None:
        truth = self.truth
        if truth is not None:
            self._move(layer, self._viewer.layers.index(truth))


def is_empty(layer: Any) -> bool:
    """Whether a layer of ours stands there with nothing to show."""
    return bool(layer.metadata[OURS].get("empty"))


def _stage(layer: Layer) -> int:
    return int(layer.metadata[OURS]["stage"])


def _paint_like(layer: Any, entries: Sequence[Named]) -> None:
    """Give the values of a layer names and colours, unless they have them already."""
    legend = _legend(entries)
    if layer.metadata[OURS].get("legend") != legend:
        layer.metadata[OURS]["legend"] = legend
        layer.colormap = class_colormap(entries)
        layer.features = class_features(entries)


def _legend(entries: Sequence[Named]) -> list[tuple[str, tuple[int, ...]]]:
    return [(entry.name, tuple(entry.color)) for entry in entries]
