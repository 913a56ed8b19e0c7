"""Which image to label next: those that would teach the next run most, and where to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.compare.places import Place
from napari_threestage.widgets.place_finder import TOP, PlaceFinder, Words
from napari_threestage.widgets.place_list import Entry

if TYPE_CHECKING:
    from napari_threestage.widgets.command_box import Turns
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader
    from napari_threestage.widgets.workbench import Workbench

MANY = 5  # labelled images, after which the rest of the queue is worth another look
WORDS = Words(
    "label_next",
    "Find what to label next",
    "Rank the images without labels by what the stages doubt and no label covers",
    "The search for images to label",
    "The images that would teach the next run most, and the part of each to begin with.",
)


class LabelNext(PlaceFinder):
    """The queue of ``threestage rank``."""

    def __init__(self, bench: Workbench, thumbnails: ThumbnailLoader, turns: Turns) -> None:
        self._tried: tuple[str, list[int]] = ("", [])  # run and stages that were searched unasked
        super().__init__(bench, thumbnails, turns, WORDS)
        turns.changed.connect(self._on_stages)

    def _arguments(self) -> list[str]:
        return ["rank", "--top", str(TOP)]

    def _entries(self, document: dict[str, Any]) -> list[Entry]:
        return [
            Entry(
                one["image"],
                Place.from_dict(one["place"]),
                f"{one['rank']}. {one['name']}",
                one["reason"],
            )
            for one in document["images"]
        ]

    def _on_stages(self) -> None:
        """Search unasked when somebody looks here and there is something new to find."""
        run, free = self._session.runs.run, self._turns.holder is None
        if self._document is not None or run is None or not self._stages or not free:
            return
        if self.isVisible() and self._tried != (run.id, self._stages):
            self._tried = run.id, self._stages
            self.start()

    def _on_counts(self, image_id: str) -> None:
        entries = self.view.places.entries
        for at, entry in enumerate(entries):
            if entry.image == image_id:
                labelled = self._session.counts(image_id)[1:].any()
                self.view.places.mark(at, "Labelled now" if labelled else "")
                self._update()

    def _summary(self) -> str:
        assert self._document is not None
        ranked, listed = self._document["ranked"], len(self.view.places.entries)
        done = listed - self.view.places.waiting
        if not listed:
            return ""
        what = f"{listed:,} of {ranked:,}" if listed < ranked else f"{ranked:,}"
        return f"{what} images without labels{f', {done} done' if done else ''}."

    def _stale(self) -> str:
        places = self.view.places
        done = len(places.entries) - places.waiting
        more = "Search anew with ↻." if done >= MANY or not places.waiting else ""
        return super()._stale() or (more if places.entries else "")

    def _nothing(self) -> str:
        assert self._document is not None
        left_out = self._document["left_out_count"]
        if left_out:
            return (
                f"Every image of this run has labels. {left_out:,} others were imported after "
                "it began: a new run looks at them too."
            )
        return "Every image of this run has labels."
