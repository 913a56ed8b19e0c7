"""A second run, whose masks are shown beside those of the one that is looked at; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_threestage.events import Predicted, StageFinished
from napari_threestage.jobs import EventTail

if TYPE_CHECKING:
    from napari_threestage.events import Event
    from napari_threestage.runs import Run
    from napari_threestage.widgets.session import Session


class SecondRun:
    """Knows which run it is, and asks for its masks as they are written.

    Attributes
    ----------
    run
        None: nothing is compared.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.run: Run | None = None
        self._tail: EventTail | None = None

    @property
    def name(self) -> str:
        """What a person calls the run; its id where it has no name."""
        if self.run is None:
            return ""
        row = self._session.runs.all.row(self.run.id)
        return (row.name if row is not None else "") or self.run.id

    def compare_with(self, run: Run | None) -> None:
        """Show the masks of a run too; None: no more."""
        self.run = run
        self._tail = None if run is None else EventTail(run.events_path)
        self.changed.emit()
        self._session.refresh()

    def forget(self) -> None:
        """Compare with no run any more."""
        self.run, self._tail = None, None
        self.changed.emit()

    def tick(self) -> None:
        """Look whether the run has a new mask of the shown image."""
        content = self._session.content
        if self._tail is None or self.run is None:
            return
        stages = {stage for event in self._tail.read() if (stage := self._stage_of(event))}
        if content is not None and content.second_run == self.run.id and stages - {*content.second}:
            self._session.refresh()

    def _stage_of(self, event: Event) -> int:
        """Return the stage whose mask of the shown image an event may tell of, or 0."""
        match event:
            case Predicted(stage=stage, image=self._session.image_id) | StageFinished(stage=stage):
                return stage
        return 0
