"""Labels that may be wrong: look at each, say that it is right, or take over what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_threestage.compare.places import Place
from napari_threestage.label_checks import Spot, dismiss, undismiss
from napari_threestage.label_suspects import is_settled, spot_pixels
from napari_threestage.widgets.controls import button, row
from napari_threestage.widgets.place_finder import TOP, PlaceFinder, Words
from napari_threestage.widgets.place_list import Entry

if TYPE_CHECKING:
    from napari_threestage.widgets.command_box import Turns
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader
    from napari_threestage.widgets.workbench import Workbench

RIGHT, CHANGED = "The label is right", "Changed now"
WORDS = Words(
    "suspects",
    "Check labels",
    "Search for labels that all stages contradict with confidence",
    "The check of labels",
    "Labels that all stages of the run contradict with confidence: some of them are slips of "
    "the brush.",
)


class SuspectsBox(PlaceFinder):
    """What ``threestage suspects`` finds, and what a person decides about it."""

    def __init__(self, bench: Workbench, thumbnails: ThumbnailLoader, turns: Turns) -> None:
        self._taking = False
        super().__init__(bench, thumbnails, turns, WORDS)
        self.view.selectionModel().selectionChanged.connect(self._update_buttons)
        self.view.places.dataChanged.connect(self._update)

    def _below(self) -> list[Any]:
        self._right = button(RIGHT, "Do not list it again as long as it stays", self._say_right)
        self._right.setObjectName("suspects_right")
        self._take_over = button("Take over", "", self._take_over_found)
        self._take_over.setObjectName("suspects_take_over")
        self._buttons = QWidget()
        layout = row(self._right, self._take_over)
        layout.setStretch(0, 1)
        layout.setStretch(1, 1)
        self._buttons.setLayout(layout)
        return [self._buttons]

    # --- the list -------------------------------------------------------------------------------

    def _arguments(self) -> list[str]:
        return ["suspects", "--top", str(TOP), "--progress"]

    def _entries(self, document: dict[str, Any]) -> list[Entry]:
        return [self._entry(one) for one in document["regions"]]

    @staticmethod
    def _entry(one: dict[str, Any]) -> Entry:
        place = Place.from_dict(one["place"])
        plane = "".join(f", plane {index + 1}" for index in place.plane)
        name = f"{one['name']}{plane}"
        return Entry(one["image"], place, name, one["sentence"], one["key"], one["pixels"])

    def _summary(self) -> str:
        assert self._document is not None
        listed, found = len(self.view.places.entries), self._document["suspected"]
        what = f"{listed:,} of {found:,}" if listed < found else f"{found:,}"
        done = listed - self.view.places.waiting
        labels = f"{what} label{'s' * (found > 1)} to check{f', {done} done' if done else ''}."
        texts = [labels] if listed else []
        if len(self._document["stages"]) == 1:
            texts.append("Only one stage is finished: it alone says so.")
        if self._document["dismissed"]:
            texts.append(f"{self._document['dismissed']:,} more you said are right.")
        return " ".join(texts)

    def _nothing(self) -> str:
        assert self._document is not None
        left_out = self._document["left_out_count"]
        more = f" {left_out:,} images were not checked: they have no masks." if left_out else ""
        return f"The stages contradict no label for sure.{more}"

    def _update(self, *unused: object) -> None:
        super()._update()
        self._buttons.setVisible(bool(self.view.places.entries))
        self._update_buttons()

    def _on_image(self, content: object) -> None:
        self._on_counts(self._session.image_id)
        self._update_buttons()

    def _on_counts(self, image_id: str) -> None:
        """Look whether what was suspected is still painted so."""
        content, project = self._session.content, self._session.project
        if content is None or project is None or image_id != self._session.image_id:
            return
        mask = self._mask()
        if mask is None:
            return
        for at, entry in enumerate(self.view.places.entries):
            if entry.image == image_id and entry.done in ("", CHANGED):
                spot, truth = Spot.from_key(entry.key), content.editor.truth
                settled = is_settled(project, spot, entry.pixels, truth, mask)
                self.view.places.mark(at, CHANGED if settled else "")

    def _mask(self) -> np.ndarray | None:
        """Return the mask of the last stage of the image that is shown, if the list is of it."""
        content, run = self._session.content, self.run
        if content is None or run is None or content.run != run.id or not self._made_from[1]:
            return None
        return content.masks.get(self._made_from[1][-1])

    # --- what a person decides ------------------------------------------------------------------

    @property
    def _entry_now(self) -> Entry | None:
        at = self.view.row
        return self.view.places.entries[at] if at >= 0 else None

    def _update_buttons(self, *unused: object) -> None:
        entry, project = self._entry_now, self._session.project
        found = self._found(entry)
        self._take_over.setText(f"Take over “{_short(found)}”" if found else "Take over")
        self._take_over.setToolTip(
            f"Paint {found} there and right beside, as all stages found; Ctrl+Z takes it back"
            if found
            else ""
        )
        ready = entry is not None and project is not None and self._session.writable
        dismissed = entry is not None and entry.done == RIGHT
        self._right.setText("Not sure any more" if dismissed else RIGHT)
        self._right.setEnabled(ready and entry is not None and entry.done in ("", RIGHT))
        shown = entry is not None and entry.image == self._session.image_id
        self._take_over.setEnabled(
            ready
            and shown
            and entry is not None
            and not entry.done
            and not self._taking
            and self._mask() is not None
        )

    def _found(self, entry: Entry | None) -> str:
        project = self._session.project
        if entry is None or project is None:
            return ""
        meant = project.class_table.resolve(Spot.from_key(entry.key).found)
        return project.class_table.get(meant).name if meant else ""

    def _say_right(self) -> None:
        """Note that a label is right, or take that back."""
        entry, at, project = self._entry_now, self.view.row, self._session.project
        if entry is None or project is None:
            return
        key, before = entry.key, entry.done
        note = undismiss if before == RIGHT else dismiss
        self.view.places.mark(at, "" if before == RIGHT else RIGHT)

        def failed(error: Exception) -> None:
            for place, one in enumerate(self.view.places.entries):
                if one.key == key:
                    self.view.places.mark(place, before)
            self._session.fail(error)

        self._background(lambda: note(project, [key]), failed=failed)

    def _take_over_found(self) -> None:
        """Paint what all stages found, in the pixels of the suspect alone."""
        entry, project, run = self._entry_now, self._session.project, self.run
        content, stages = self._session.content, self._made_from[1]
        if entry is None or project is None or run is None or content is None:
            return
        spot, place = Spot.from_key(entry.key), entry.place
        truth = content.editor.truth[place.slices].copy()
        self._taking = True
        self._update_buttons()

        def show(pixels: tuple[np.ndarray, ...]) -> None:
            self._taking = False
            if self._session.content is content and self._mask() is not None:
                self._paint(spot, stages[-1], pixels)
            self._update_buttons()

        def failed(error: Exception) -> None:
            self._taking = False
            self._update_buttons()
            self._session.fail(error)

        self._background(lambda: spot_pixels(project, run, spot, place, truth), show, failed)

    def _paint(self, spot: Spot, stage: int, pixels: tuple[np.ndarray, ...]) -> None:
        content, project = self._session.content, self._session.project
        assert content is not None and project is not None
        painted = project.class_table.indices(np.array([spot.painted]))[0]
        still = content.editor.truth[pixels] == painted  # nobody painted there meanwhile
        changed = self._bench.painter.take_over_pixels(stage, tuple(one[still] for one in pixels))
        if changed:
            self._bench.painter.start_painting()
            self._session.say(
                f"Took over {changed:,} pixels of stage {stage}.",
                "Ctrl+Z on the Ground truth layer takes it back.",
            )
        else:
            self._session.say("The label there has changed meanwhile; nothing was taken over.")


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
