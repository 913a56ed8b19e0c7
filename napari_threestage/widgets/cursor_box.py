"""What ground truth and masks say of the pixel under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_threestage.widgets.compare_columns import columns_of, mask_of
from napari_threestage.widgets.controls import column, heading, note
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.mask_layers import is_empty

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
        listen(self, (bench.ticked, self.sync))

    def sync(self) -> None:
        """Say what is under the mouse, while anybody sees it; that may change while it rests."""
        if self.isVisible():
            text = self.describe(tuple(self._bench.viewer.cursor.position))
            if text != self._text.text():
                self._text.setText(text)

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
            known = shown is not None and not is_empty(shown)
            sure = f" {int(shown.data[place]) / 2.55:.0f} %" if known else ""
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
