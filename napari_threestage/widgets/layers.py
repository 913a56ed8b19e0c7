"""The layers of the image that is shown: its pixels, ground truth, confidence, regions.

With `mask_layers`, which has those of the masks, the only module that adds layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.widgets.compare_columns import Column
from napari_threestage.widgets.layer_data import (
    channels_of,
    kind_of,
    placed,
    replace_values,
    rescale,
)
from napari_threestage.widgets.mask_layers import MASKS, MaskLayers
from napari_threestage.widgets.own_layers import OURS as OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_threestage.project_file import LabelClass
    from napari_threestage.widgets.content import ImageContent

WAITING = {"role": "waiting"}
TRUTH = "Ground truth"
CHANNEL_COLOURS = ("red", "green", "blue", "cyan", "magenta", "yellow")
CONFIDENCE_OF = {"stage": "confidence", "second": "second confidence"}  # roles
CONFIDENCES = tuple(CONFIDENCE_OF.values())
LINKED = ("colormap", "contrast_limits", "gamma", "interpolation2d")  # of an image and its copies


class ProjectLayers(MaskLayers):
    """The layers of the image that is shown.

    Parameters
    ----------
    viewer
        The viewer; layers of others are left alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._mode = ""  # what a person had in hand before `freeze`
        self._shape: tuple[int, ...] = ()

    # --- show -----------------------------------------------------------------------------------

    def show(self, content: ImageContent, classes: Sequence[LabelClass], *, editable: bool) -> None:
        """Show an image with its ground truth and masks in place of the one before."""
        self.set_classes(classes)
        active = self._viewer.layers.selection.active
        painting = active is not None and active is self.truth
        shape, kind = content.record.label_shape, kind_of(content)
        with self._own_changes():
            self._clear("region")
            for layer in self.all_of(*CONFIDENCES):  # until those of this image are read
                replace_values(layer, np.zeros(shape, np.uint8))
                layer.metadata[OURS]["empty"] = True
            self._show_image(content, kind)
            self._show_masks(content)
            self._show_truth(content, editable)
        if self._shape != shape:
            self._shape = shape
            self._viewer.reset_view()
        if painting or active is None or active not in self._viewer.layers:
            self._viewer.layers.selection.active = self.truth

    def clear(self) -> None:
        """Take all our layers away."""
        with self._own_changes():
            self.drop(self._all("copy"))
            self._clear("image", *MASKS, "changes", "wipe", *CONFIDENCES, "truth", "region")
        self._shape = ()

    def blank(self) -> None:
        """Show nothing until the next image, whose labels take the layers over.

        To remove a labels layer that was painted and add another one was seen to crash the drawing
        of napari 0.9, so they stay as long as possible.
        """
        with self._own_changes():
            self._content = None
            self.drop(self._all("copy"))
            self._clear("image", *CONFIDENCES, "region")
            for layer in self._all():
                layer.data = np.zeros(layer.data.shape, np.uint8)
                layer.editable = False
                layer.metadata[OURS]["empty"] = layer is not self.truth

    def freeze(self) -> None:
        """Let nobody paint until the next image is shown."""
        if self.truth is not None:
            self._mode = self.truth.mode
            self.truth.editable = False

    def show_mask(self, content: ImageContent, stage: int) -> None:
        """Show a mask that has just been written."""
        with self._own_changes():
            self._show_mask(content, Column("stage", stage))

    def confidence(self, column: Column) -> Any:
        """Return the layer with the confidence of a mask, or None."""
        return self.find(CONFIDENCE_OF[column.role], column.stage)

    def show_confidence(
        self, content: ImageContent, stage: int, values: np.ndarray | None, role: str = "stage"
    ) -> None:
        """Show the confidence (0..255) of a stage, of the run or of the second one; or none."""
        column = Column(role, stage)
        with self._own_changes():
            layer = self.confidence(column)
            if values is None or layer is None:
                self._clear(*CONFIDENCES)
            if values is not None and layer is not None:
                replace_values(layer, values)
                rescale(layer, content.pixels.array)
                layer.metadata[OURS]["empty"] = False
            elif values is not None:
                self._add_confidence(content, column, values)

    def _add_confidence(self, content: ImageContent, column: Column, values: np.ndarray) -> None:
        title = self.title(column)
        layer = self._viewer.add_image(
            values,
            name=f"Confidence of {title[0].lower()}{title[1:]}",
            colormap="viridis",
            blending="translucent",
            opacity=0.6,
            contrast_limits=(0, 255),
            metadata={OURS: {"role": CONFIDENCE_OF[column.role], "stage": column.stage}},
            **placed(content.pixels.array),
        )
        self._made.append(layer)
        self._put_below_truth(layer)

    def repeat(self, layer: Layer, cell: Column, name: str) -> Layer:
        """Show an image layer once more, for a cell of a grid; both have the same array."""
        data, state, _ = layer.as_layer_data_tuple()
        state |= {"name": name, "metadata": {OURS: {"role": "copy", "cell": cell}}}
        with self._own_changes():
            copy: Layer = self._viewer.add_image(data, **{**state, "visible": False})
            self._made.append(copy)
            self._viewer.layers.link_layers([layer, copy], LINKED)
        return copy

    def ask_region(self, content: ImageContent) -> Any:
        """Return the layer in which a person draws regions; it is made when there is none."""
        layer = self.find("region")
        if layer is None:
            with self._own_changes():
                layer = self._viewer.add_shapes(
                    name="Region",
                    ndim=len(content.record.label_shape),
                    edge_color="yellow",
                    face_color="#ffff0022",
                    metadata={OURS: {"role": "region"}},
                    **placed(content.pixels.array),
                )
                self._made.append(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "add_polygon_lasso"
        return layer

    def region(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the pixels inside the drawn regions; None when none is drawn."""
        layer = self.find("region")
        if layer is None or not len(layer.data):
            return None
        inside: np.ndarray = layer.to_labels(labels_shape=shape) > 0
        return inside

    def remove_region(self) -> None:
        """Take the drawn regions away."""
        with self._own_changes():
            self._clear("region")

    # --- layers, one by one -----------------------------------------------------------------------

    def _show_image(self, content: ImageContent, kind: list[str]) -> None:
        pixels, layers = content.pixels, self._all("image")
        planes = channels_of(content)
        layers.sort(key=lambda layer: int(layer.metadata[OURS]["channel"]))
        same = all(layer.metadata[OURS]["kind"] == kind for layer in layers)
        if not same or len(layers) != len(planes):
            for number, data in enumerate(planes):
                self._add_image(content, number, data, kind)
            for layer in [*layers, *self._waiting()]:
                self._viewer.layers.remove(layer)
            return
        for layer, data, limits in zip(layers, planes, pixels.limits, strict=False):
            layer.data = data
            rescale(layer, pixels.array)
            if not pixels.rgb and tuple(layer.contrast_limits) != tuple(limits):
                layer.contrast_limits = limits
            layer.metadata[OURS]["image"] = content.record.id

    def _waiting(self) -> list[Layer]:
        """Return the empty layers that stand for a sample until its project is open."""
        return [one for one in self._viewer.layers if one.metadata.get(OURS) == WAITING]

    def _add_image(self, content: ImageContent, number: int, data: Any, kind: list[str]) -> None:
        pixels = content.pixels
        count = 1 if pixels.rgb else len(pixels.limits)
        names = pixels.array.channel_names
        several = {"colormap": CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)]} if count > 1 else {}
        about = {"role": "image", "image": content.record.id, "kind": kind, "channel": number}
        shown = {} if pixels.rgb else {"contrast_limits": pixels.limits[number], **several}
        layer = self._viewer.add_image(
            data,
            name=(names[number] if len(names) == count else f"Channel {number}")
            if count > 1
            else "Image",
            rgb=pixels.rgb,
            multiscale=isinstance(data, list),
            blending="additive" if number else "translucent_no_depth",
            metadata={OURS: about},
            **shown,
            **placed(pixels.array),
        )
        self._made.append(layer)
        self._move(layer, number)

    def _show_truth(self, content: ImageContent, editable: bool) -> None:
        layer = self.truth
        if layer is None:
            layer = self._add_labels(content, content.editor.truth, TRUTH, "truth")
            layer.opacity = 0.7
            layer.brush_size = max(3, min(content.record.label_shape[-2:]) // 40)
        else:
            layer.data = content.editor.truth
            rescale(layer, content.pixels.array)
        mode, self._mode = self._mode or layer.mode, ""
        # Steps of another image must not be undone on this one: this forgets them.
        layer.editable = False
        if editable:
            layer.editable = True
            layer.mode = mode
        layer.metadata[OURS]["image"] = content.record.id
