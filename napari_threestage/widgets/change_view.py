"""What changed from mask to mask of the shown image: computed apart from the event loop, shown."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from napari_threestage.compare.change_map import (
    BECAME,
    JUDGED,
    ChangeMap,
    change_map,
    disagreement_map,
)
from napari_threestage.widgets.compare_columns import Column, mask_of
from napari_threestage.widgets.mask_layers import MASKS
from napari_threestage.widgets.own_layers import see

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

    from napari_threestage.widgets.content import ImageContent
    from napari_threestage.widgets.layers import ProjectLayers
    from napari_threestage.widgets.session import Session
    from napari_threestage.widgets.view_modes import ViewModes

NAME = "Changes"


class Comparison(NamedTuple):
    """Two masks, or all of the run: then where they disagree."""

    columns: tuple[Column, ...] = ()
    disagree: bool = False


NOTHING, DISAGREE = Comparison(), Comparison(disagree=True)


def comparisons_of(content: ImageContent | None) -> list[Comparison]:
    """Return what can be compared of an image."""
    if content is None:
        return []
    stages = sorted(content.masks)
    pairs = list(pairwise(stages))
    if len(stages) > 2:
        pairs.append((stages[0], stages[-1]))
    found = [Comparison((Column("stage", one), Column("stage", two))) for one, two in pairs]
    both = sorted({*content.masks} & {*content.second})
    if both:  # the two runs, by the last stage that they have in common
        found.append(Comparison((Column("stage", both[-1]), Column("second", both[-1]))))
    return [*found, DISAGREE] if len(stages) > 1 else found


class ChangeView:
    """Knows what is compared and how it is shown, and keeps the layer in step.

    Attributes
    ----------
    comparison
        What is compared, also of the images to come.
    what
        As `change_map` takes it; a class by its id.
    result
        Of the shown image; None while there is none.
    """

    changed = Signal()

    def __init__(self, session: Session, layers: ProjectLayers, modes: ViewModes) -> None:
        self._session, self._layers, self._modes = session, layers, modes
        self.comparison = NOTHING
        self.what: str | int = BECAME
        self.result: ChangeMap | None = None
        self._number = 0  # of the latest look
        self._aside: list[Layer] = []  # hidden, so that the changes are seen
        session.image_shown.connect(self._on_image)
        session.masks_read.connect(self._on_image)
        session.classes_changed.connect(self.update)
        session.counts_changed.connect(self._on_counts)
        modes.changed.connect(self._make_room)

    # --- what a person chooses --------------------------------------------------------------------

    def compare(self, comparison: Comparison) -> None:
        """Compare other masks."""
        if comparison == self.comparison:
            return
        self.comparison = comparison
        self.update()

    def choose(self, what: str | int) -> None:
        """Show another side of the changes."""
        self.what = what
        self.update()

    def cycle(self) -> None:
        """Compare the next masks, after the last ones none."""
        offered = [NOTHING, *comparisons_of(self._session.content)]
        at = offered.index(self.comparison) if self.comparison in offered else 0
        self.compare(offered[(at + 1) % len(offered)])

    # --- what is shown ----------------------------------------------------------------------------

    def _make_room(self, mode: str = "") -> None:
        """Hide what would cover the changes where all lies one over the other, while they are."""
        if not self._modes.stacked:
            return
        there = self._layers.all_of("truth", *MASKS)
        showing = [layer for layer in there if layer.visible]
        self._layers.reveal = self.result is None
        if self.result is not None:
            self._aside = [*self._aside, *showing]
            for layer in showing:
                see(layer, False)
        else:
            aside, self._aside = self._aside, []
            for layer in () if showing else aside:
                see(layer, layer in there)

    def update(self) -> None:
        """Compute what is to be shown of the present image, and show it."""
        self._number += 1
        number, content, work = self._number, self._session.content, self._work()
        if work is None or content is None:
            self._show(content, None)
            return

        def show(result: ChangeMap | None) -> None:
            if self._number == number and self._session.content is content:
                self._show(content, result)

        # When many images are flicked through, only the last one is worth the work.
        self._session.background(lambda: work() if self._number == number else None, show)

    def _work(self) -> Callable[[], ChangeMap] | None:
        """Return what computes the changes; None where there is nothing to compare."""
        content, project = self._session.content, self._session.project
        if content is None or project is None:
            return None
        if content.editor.ids.tolist() != project.class_table.ids.tolist():
            return None  # classes have changed: the image is about to be shown anew
        if self.comparison.disagree:
            masks = [content.masks[stage] for stage in sorted(content.masks)]
            return (lambda: disagreement_map(masks)) if len(masks) > 1 else None
        found = [mask_of(content, column) for column in self.comparison.columns]
        if len(found) != 2 or found[0] is None or found[1] is None:
            return None
        before, after, classes = found[0], found[1], list(project.classes)
        truth, what = content.editor.truth, self._what()
        return lambda: change_map(before, after, truth, classes, what)

    def _what(self) -> str | int:
        """Return what is shown, a class by its index; what it became when that class is gone."""
        project = self._session.project
        ids = [entry.id for entry in project.classes] if project is not None else []
        if isinstance(self.what, int):
            return ids.index(self.what) + 1 if self.what in ids else BECAME
        return self.what

    def _show(self, content: ImageContent | None, result: ChangeMap | None) -> None:
        turned, self.result = (result is None) != (self.result is None), result
        if content is None or result is None:
            self._layers.empty_codes("changes")
        else:
            new = self._layers.is_empty("changes")
            layer = self._layers.show_codes("changes", NAME, content, result.values, result.legend)
            see(layer, new or layer.visible)
        if turned:  # otherwise it is as a person wants it by now
            self._make_room()
        self._modes.grid.update()
        self.changed.emit()

    # --- what happens meanwhile -------------------------------------------------------------------

    def _on_image(self, content: object) -> None:
        if content is None:
            self.comparison = NOTHING
        elif self.comparison != NOTHING:
            self._layers.clear_codes("changes")  # until those of this image are known
        self.update()

    def _on_counts(self, image_id: str) -> None:
        if self.what == JUDGED and self.comparison.columns and image_id == self._session.image_id:
            self.update()
