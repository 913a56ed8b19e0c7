"""How sure a mask is, over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QWidget

from napari_threestage.widgets.compare_columns import Column, mask_of
from napari_threestage.widgets.controls import caption, row
from napari_threestage.widgets.fields import choice_box
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    import numpy as np

    from napari_threestage.runs import Run
    from napari_threestage.widgets.content import ImageContent
    from napari_threestage.widgets.workbench import Workbench


class ConfidenceBox(QWidget):
    """Shows the confidence of one mask, also of the images to come."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench, self._session = bench, bench.session
        self._offered: list[tuple[Column, str]] = []
        self._sure_of: Column | None = None
        self._box: QComboBox = choice_box(
            "Show how sure a stage is, dark: unsure; slower on large images", "confidence"
        )
        self._box.activated.connect(self._choose)
        self.setLayout(row(caption("Confidence"), self._box, stretch=1))
        listen(self, (bench.ticked, self.sync))
        shown, masks_read = self._session.image_shown, self._session.masks_read
        listen(self, (shown, self._on_image), (masks_read, self._on_image))
        self._list([])
        self.sync()

    def sync(self) -> None:
        """Offer the masks that there are now."""
        layers = self._bench.layers
        offered = [(one, layers.title(one)) for one in layers.columns]
        if offered != self._offered:
            self._list(offered)

    def _list(self, offered: list[tuple[Column, str]]) -> None:
        self._offered = offered
        self._box.clear()
        self._box.addItem("Hidden")
        for one, title in offered:
            self._box.addItem(title, one)
        columns = [one for one, _ in offered]
        at = columns.index(self._sure_of) + 1 if self._sure_of in columns else 0
        self._box.setCurrentIndex(at)
        self._box.setEnabled(bool(offered))
        if at and self._sure_of and self._bench.layers.confidence(self._sure_of) is None:
            self._show()

    def _on_image(self, content: ImageContent | None) -> None:
        """Show the confidence that was chosen of this image, or of this run, too."""
        if content is not None and self._sure_of is not None:
            self._show()

    def _choose(self, place: int) -> None:
        self._sure_of = self._offered[place - 1][0] if place else None
        self._show()

    def _run_of(self, one: Column) -> Run | None:
        session = self._session
        return session.second.run if one.role == "second" else session.runs.run

    def _show(self) -> None:
        one, session, layers = self._sure_of, self._session, self._bench.layers
        content = session.content
        if content is None:
            return
        run = self._run_of(one) if one is not None else None
        if one is None or run is None or mask_of(content, one) is None:
            layers.show_confidence(content, 0, None)
            self._bench.views.grid.update()
            return

        def show(values: np.ndarray) -> None:
            same = session.content is content and self._run_of(one) is run
            if same and self._sure_of == one and mask_of(content, one) is not None:
                layers.show_confidence(content, one.stage, values, one.role)
                self._bench.views.grid.update()

        session.background(lambda: run.read_confidence(one.stage, content.record.id), show)
