"""What ground truth and masks say of the pixel under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_threestage.widgets.compare_columns import columns_of, mask_of
from napari_threestage.widgets.controls import column, heading, note
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench

NOWHERE = "Move the mouse over the image."


class CursorBox(QWidget):
    """A line for each of them, with the confidence where it is shown."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._session = bench, bench.session
        self._text = note(NOWHERE)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setMinimumHeight(72)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setLayout(column(heading("Under the cursor"), self._text))
        self._position: tuple[float, ...] = ()
        session = bench.session
        listen(
            self,
            (bench.ticked, self.sync),
            (session.image_shown, self._on_image),
            (session.masks_read, self._on_image),
            (session.counts_changed, self._on_image),
        )

    def sync(self) -> None:
        """Follow the mouse, while anybody sees it."""
        position = tuple(self._bench.viewer.cursor.position)
        if self.isVisible() and position != self._position:
            self._position = position
            self._text.setText(self.describe(position))

    def _on_image(self, what: object) -> None:
        """There is something else under the mouse, which has not moved: look anew."""
        self._position = ()

    def describe(self, position: tuple[float, ...]) -> str:
        """Return what is known of a place in the world."""
        content, truth = self._session.content, self._bench.layers.truth
        if content is None or truth is None or self._session.project is None:
            return NOWHERE
        place = tuple(round(value) for value in truth.world_to_data(position))
        shape = content.record.label_shape
        if len(place) != len(shape) or any(
            not 0 <= at < side for at, side in zip(place, shape, strict=True)
        ):
            return NOWHERE
        lines = [("Painted", int(content.editor.truth[place]), "")]
        for one in columns_of(content):
            mask, shown = mask_of(content, one), self._bench.layers.confidence(one)
            sure = f" {int(shown.data[place]) / 2.55:.0f} %" if shown is not None else ""
            if mask is not None:
                lines.append((self._bench.layers.title(one), int(mask[place]), sure))
        return "<br>".join(self._line(*entry) for entry in lines)

    def _line(self, who: str, index: int, sure: str) -> str:
        assert self._session.project is not None
        classes, who = self._session.project.classes, _plain(who)
        if not 0 < index <= len(classes):  # a deleted class, until the image is read again
            return f"{who}: –"
        entry = classes[index - 1]
        return f"{who}: <span style='color:rgb{entry.color}'>■</span> {_plain(entry.name)}{sure}"


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
