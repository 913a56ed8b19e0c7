"""The project's images, ground truth and masks as layers; the only module that adds layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.widgets.layer_data import (
    channels_of,
    class_colormap,
    class_features,
    kind_of,
    placed,
    replace_values,
    rescale,
)
from napari_threestage.widgets.options import options
from napari_threestage.widgets.own_layers import OURS as OURS
from napari_threestage.widgets.own_layers import OwnLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_threestage.project_file import LabelClass
    from napari_threestage.widgets.content import ImageContent

WAITING = {"role": "waiting"}
TRUTH = "Ground truth"
CHANNEL_COLOURS = ("red", "green", "blue", "cyan", "magenta", "yellow")
STYLES = {"Filled": (0, 0.5), "Outlined": (2, 0.9), "Faint": (0, 0.25)}  # contour, opacity


class ProjectLayers(OwnLayers):
    """The layers of the image that is shown.

    Parameters
    ----------
    viewer
        The viewer; layers of others are left alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._classes: Sequence[LabelClass] = ()
        self._style = "Filled"
        self._mode = ""  # what a person had in hand before `freeze`
        self._shape: tuple[int, ...] = ()
        self._opacity = STYLES[self._style][1]
        self.run = ""  # whose masks are shown

    # --- what is there --------------------------------------------------------------------------

    @property
    def truth(self) -> Any:
        """The layer that a person paints into, or None."""
        return self.find("truth")

    @property
    def stages(self) -> list[int]:
        """The stages that have a mask of the shown image."""
        return [stage for stage in self._made_stages if not self._is_empty(stage)]

    @property
    def _made_stages(self) -> list[int]:
        return sorted(layer.metadata[OURS]["stage"] for layer in self._all("stage"))

    def _is_empty(self, stage: int) -> bool:
        return bool(self.find("stage", stage).metadata[OURS].get("empty"))

    # --- show -----------------------------------------------------------------------------------

    def show(self, content: ImageContent, classes: Sequence[LabelClass], *, editable: bool) -> None:
        """Show an image with its ground truth and masks in place of the one before."""
        self._classes = classes
        active = self._viewer.layers.selection.active
        painting = active is not None and active is self.truth
        shape, kind = content.record.label_shape, kind_of(content)
        with self._own_changes():
            self._clear("confidence", "region")
            self._show_image(content, kind)
            for stage in sorted({*self._made_stages, *content.masks}):
                self._show_mask(content, stage)
            self._show_truth(content, editable)
            self.run = content.run
        if self._shape != shape:
            self._shape = shape
            self._viewer.reset_view()
        if painting or active is None or active not in self._viewer.layers:
            self._viewer.layers.selection.active = self.truth

    def clear(self) -> None:
        """Take all our layers away."""
        with self._own_changes():
            self._clear("image", "stage", "confidence", "truth", "region")
        self._shape = ()

    def blank(self) -> None:
        """Show nothing until the next image, whose labels take the layers over.

        To remove a labels layer that was painted and add another one was seen to crash the drawing
        of napari 0.9, so they stay as long as possible.
        """
        with self._own_changes():
            self._clear("image", "confidence", "region")
            for layer in self._all():
                layer.data = np.zeros(layer.data.shape, np.uint8)
                layer.editable = False

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Show changed names and colours."""
        self._classes = classes
        for layer in self._all("truth") + self._all("stage"):
            layer.colormap = class_colormap(classes)
            layer.features = class_features(classes)

    def show_masks(self, content: ImageContent) -> None:
        """Show the masks of another run of the same image."""
        with self._own_changes():
            for stage in sorted({*self._made_stages, *content.masks}):
                self._show_mask(content, stage)
            self.run = content.run

    def freeze(self) -> None:
        """Let nobody paint until the next image is shown."""
        if self.truth is not None:
            self._mode = self.truth.mode
            self.truth.editable = False

    def show_mask(self, content: ImageContent, stage: int) -> None:
        """Show a mask that has just been written."""
        with self._own_changes():
            self._show_mask(content, stage)

    def show_confidence(self, content: ImageContent, stage: int, values: np.ndarray | None) -> None:
        """Show the confidence (0..255) of a stage, or none."""
        with self._own_changes():
            self._clear("confidence")
            if values is not None:
                layer = self._viewer.add_image(
                    values,
                    name=f"Confidence of stage {stage}",
                    colormap="viridis",
                    blending="translucent",
                    opacity=0.6,
                    contrast_limits=(0, 255),
                    metadata={OURS: {"role": "confidence", "stage": stage}},
                    **placed(content.pixels.array),
                )
                self._made.append(layer)
                self._put_below_truth(layer)

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

    # --- look -----------------------------------------------------------------------------------

    def set_style(self, style: str) -> None:
        """Show masks filled, outlined or faint."""
        self._style = style
        contour, self._opacity = STYLES[style]
        for layer in self._all("stage"):
            layer.contour, layer.opacity = contour, self._opacity

    def set_opacity(self, opacity: float) -> None:
        """Show masks more or less opaque."""
        self._opacity = opacity
        for layer in self._all("stage"):
            layer.opacity = opacity

    def flip(self, by: int) -> int:
        """Show only the next (1) or previous (-1) stage's mask; return its number, 0 for none.

        After the last stage comes the image without any mask.
        """
        stages = self.stages
        if not stages:
            return 0
        places = [0, *stages]
        visible = [stage for stage in stages if self.find("stage", stage).visible]
        at = places.index(visible[-1]) if visible else 0
        chosen = places[(at + by) % len(places)]
        for stage in stages:
            self.find("stage", stage).visible = stage == chosen
        return chosen

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

    def _show_mask(self, content: ImageContent, stage: int) -> None:
        mask = content.masks.get(stage)
        layer = self.find("stage", stage)
        new = layer is None or (mask is not None and self._is_empty(stage))
        shown = np.zeros(content.record.label_shape, np.uint8) if mask is None else mask
        if layer is None:
            name = f"Stage {stage}"
            layer = self._add_labels(content, shown.copy(), name, "stage", self._opacity, stage)
            layer.contour = STYLES[self._style][0]
            self._put_below_truth(layer)
        else:
            replace_values(layer, shown)
            rescale(layer, content.pixels.array)
        layer.editable = False  # napari makes a layer editable whenever it gets other data
        layer.metadata[OURS]["empty"] = mask is None
        if new and mask is not None and not options().show_new_masks:
            layer.visible = False
        elif new and mask is not None:
            for other in self._all("stage"):  # the newest is what a person wants to see
                other.visible = other is layer

    def _show_truth(self, content: ImageContent, editable: bool) -> None:
        layer = self.truth
        if layer is None:
            layer = self._add_labels(content, content.editor.truth, TRUTH, "truth", 0.7)
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

    def _add_labels(
        self,
        content: ImageContent,
        data: np.ndarray,
        name: str,
        role: str,
        opacity: float,
        stage: int = 0,
    ) -> Any:
        layer = self._viewer.add_labels(
            data,
            name=name,
            opacity=opacity,
            colormap=class_colormap(self._classes),
            features=class_features(self._classes),
            metadata={OURS: {"role": role, "stage": stage}},
            **placed(content.pixels.array),
        )
        self._made.append(layer)
        return layer

    def _put_below_truth(self, layer: Layer) -> None:
        truth = self.truth
        if truth is not None:
            self._move(layer, self._viewer.layers.index(truth))
