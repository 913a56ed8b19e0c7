"""Has a command find places in images, lists them, and goes from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_threestage.widgets.command_box import CommandBox
from napari_threestage.widgets.controls import column, note, row, small_button
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.place_list import PlaceList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QShowEvent

    from napari_threestage.runs import Run
    from napari_threestage.widgets.command_box import Turns
    from napari_threestage.widgets.place_list import Entry
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader
    from napari_threestage.widgets.workbench import Workbench

TOP = 50  # places, more than anybody looks at before something has changed


class PlaceKey(QObject):
    """Tells the key that goes on in the open list; a child of the workbench."""

    pressed = Signal(int)  # 1: to the next place


@dataclass(frozen=True)
class Words:
    """What is written around a list.

    Attributes
    ----------
    name
        Begins the names of the controls.
    button, tooltip
        Of what starts the search.
    doing
        What goes on meanwhile: "The search for …".
    about
        What the list will hold.
    """

    name: str
    button: str
    tooltip: str
    doing: str
    about: str


class PlaceFinder(QWidget):
    """What `LabelNext` and `SuspectsBox` have in common.

    Parameters
    ----------
    bench
        Goes to the places.
    thumbnails
        Shared with the list of images.
    turns
        Shared with the other list: one search at a time.
    """

    def __init__(
        self, bench: Workbench, thumbnails: ThumbnailLoader, turns: Turns, words: Words
    ) -> None:
        super().__init__()
        self._bench, self._session, self._words = bench, bench.session, words
        self._turns = turns
        self._document: dict[str, Any] | None = None
        self._made_from: tuple[str, list[int]] = ("", [])  # run and its stages
        self._stages: list[int] | None = None  # of the run that is looked at, once they are known
        self._asked: tuple[str, list[int]] = ("", [])
        self._make_controls(thumbnails)
        runs = self._session.runs
        listen(
            self,
            (self._session.project_changed, self._forget),
            (self._session.counts_changed, self._on_counts),
            (self._session.image_shown, self._on_image),
            (self._session.masks_read, self._on_image),
            (runs.changed, self._look_at_run),
            (runs.masks_arrived, self._on_masks),
        )
        self._forget()

    def _make_controls(self, thumbnails: ThumbnailLoader) -> None:
        words = self._words
        self.view = PlaceList(self._session, thumbnails, f"{words.name}_list")
        self.view.chosen.connect(self.go)
        self.state = note()
        self.state.setObjectName(f"{words.name}_state")
        self._refresh = small_button("↻", words.tooltip, self.start)
        self._refresh.setObjectName(f"{words.name}_refresh")
        self._head = QWidget()
        self._head.setLayout(row(self.state, self._refresh, stretch=0))
        self._empty = note()
        self._empty.setObjectName(f"{words.name}_empty")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        start, turns = self.start, self._turns
        self.box = CommandBox(
            words.button, words.tooltip, words.name, words.doing, start, turns, self._bench
        )
        self.box.finished.connect(self._take)
        self.box.ended.connect(self._update)  # with a sentence that has to be seen
        turns.changed.connect(self._update)
        self.setLayout(column(self._head, self.view, self._empty, self.box, *self._below()))

    def _below(self) -> list[Any]:
        """Return what stands below the list."""
        return []

    # --- the search -----------------------------------------------------------------------------

    def start(self) -> None:
        """Search anew; what was painted is saved first."""
        project, run, stages = self._session.project, self._session.runs.run, self._stages
        if project is None or run is None or not stages or self._turns.holder is not None:
            return

        def begun() -> None:
            self._asked = run.id, stages

        doing = self._words.doing[0].lower() + self._words.doing[1:]
        arguments = [*self._arguments(), str(project.path), "--run", run.id, "--json"]
        self.box.run_saved(self._session, arguments, f"{doing} was not started", begun)

    def _background(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None] = lambda result: None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Do something apart from the event loop; nobody is told when the dock is gone by then."""

        def told(receiver: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda result: receiver(result) if isalive(self) else None

        self._session.background(work, told(done), told(failed or self._session.fail))

    def _arguments(self) -> list[str]:
        """Return the command and its options."""
        raise NotImplementedError

    def _entries(self, document: dict[str, Any]) -> Sequence[Entry]:
        """Return what a document lists."""
        raise NotImplementedError

    def _take(self, document: dict[str, Any]) -> None:
        project = self._session.project
        if project is None:
            return
        self._document, self._made_from = document, self._asked
        known = [one for one in self._entries(document) if one.image in project.images]
        self.view.places.put(known)
        self._update()

    # --- what is known of the run ---------------------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self._look_at_run()

    def _on_masks(self, stage: int) -> None:
        self._look_at_run()

    def _look_at_run(self) -> None:
        """Learn which stages are finished, apart from the event loop."""
        run = self._session.runs.run
        if self._session.project is None or run is None:
            self._stages = None
            self._update()
            return

        def show(stages: list[int]) -> None:
            if self._session.runs.run is run:
                self._stages = stages
                self._update()
                self._on_stages()

        self._background(run.finished_stages, show)

    def _on_stages(self) -> None:
        """Do what can be done once stages are finished."""

    @property
    def run(self) -> Run | None:
        """The run that is looked at, if the list is of it."""
        run = self._session.runs.run
        return run if run is not None and run.id == self._made_from[0] else None

    def _why_not(self) -> str:
        if self._session.runs.run is None:
            return "No run yet: start one in Train."
        if self._stages is None:
            return "Looking at the run …"
        return "" if self._stages else "No stage of this run is finished yet."

    def _stale(self) -> str:
        """Say what has changed since the list was made; empty when nothing has."""
        if self._session.runs.run is None or self._stages is None:
            return ""
        if self.run is None:
            return "You look at another run now."
        return "A stage has finished since." if self._stages != self._made_from[1] else ""

    # --- what is shown --------------------------------------------------------------------------

    def _forget(self) -> None:
        """Show nothing: it was of another project."""
        self.box.drop()
        self._document, self._stages = None, None
        self.view.places.put([])
        self._look_at_run()

    def _update(self) -> None:
        listed, why = self._document is not None, self._why_not()
        stale = self._stale() if listed else ""
        self.box.set_reason(why)
        self._head.setVisible(listed)
        self._refresh.setEnabled(not why and self._turns.holder is None)
        self.view.setVisible(bool(self.view.places.entries))
        self._empty.setVisible(not self.view.places.entries)
        self._empty.setText(self._nothing() if listed else self._words.about)
        banner = self.box.banner.isVisibleTo(self.box)
        self.box.setVisible(not listed or self.box.busy or banner)
        self.state.setText(" ".join(filter(None, (self._summary() if listed else "", stale))))
        font = self.state.font()
        font.setBold(bool(stale))
        self.state.setFont(font)

    def _summary(self) -> str:
        """Say what is listed."""
        raise NotImplementedError

    def _nothing(self) -> str:
        """Say why nothing is listed."""
        raise NotImplementedError

    def _on_counts(self, image_id: str) -> None:
        """Take notice of changed labels."""

    def _on_image(self, content: object) -> None:
        """Take notice of another image, or of its masks."""

    # --- going there ----------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Look at a place."""
        entry = self.view.places.entries[at]
        self.view.go(at)
        self._bench.jump.to(entry.image, entry.place)

    def step(self, by: int) -> None:
        """Look at the next place that waits, or the previous one."""
        at = self.view.places.next_row(self.view.row, by)
        if at >= 0:
            self.go(at)
        elif self._document is not None:
            self._session.say(self._end())

    def _end(self) -> str:
        """Say that there is no further place."""
        waiting = sum(not entry.done for entry in self.view.places.entries[: self.view.row])
        if waiting:
            return f"That was the last of the list; {waiting} before it still wait."
        return "Nothing is left in this list. Search anew with ↻ after the next run."
