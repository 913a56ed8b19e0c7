"""What a run is asked to do while it works: to hold, to go on, to save and end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_threestage.errors import Stopped
from napari_threestage.events import Continued, Event, Paused, StoppedEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.runs import Run

POLL_SECONDS = 0.2


class Control:
    """Asks what is wanted, and does it.

    Parameters
    ----------
    run
        Its ``control.json`` holds the requests.
    emit
        Called with the events.
    should_stop
        Another way to ask for the end.
    """

    def __init__(
        self, run: Run, emit: Callable[[Event], None], should_stop: Callable[[], bool]
    ) -> None:
        self._run, self._emit, self._should_stop = run, emit, should_stop
        self._held = 0.0
        self._ended = False
        self.place = (run.inputs.first_stage, 0)  # stage and step, for the events

    def clock(self) -> float:
        """Return seconds that run on as `time.monotonic` does, but not during a pause."""
        return time.monotonic() - self._held

    def wanted(self) -> str | None:
        """Return ``stop``, ``pause`` or nothing."""
        return "stop" if self._should_stop() else self._run.command()

    def obey(self) -> None:
        """Hold as long as a pause is wanted.

        Raises
        ------
        Stopped
            The end is wanted.
        """
        if self.wanted() == "pause":
            self.hold()
        if self.wanted() == "stop":
            self.end()

    def end(self) -> None:
        """Say that the run ends here, once, and raise `Stopped`."""
        if not self._ended:
            self._ended = True
            self._emit(StoppedEvent(run=self._run.id, stage=self.place[0], step=self.place[1]))
        raise Stopped

    def hold(self) -> None:
        """Wait until a pause is over."""
        stage, step = self.place
        begun = time.monotonic()
        self._emit(Paused(stage=stage, step=step))
        while self.wanted() == "pause":
            time.sleep(POLL_SECONDS)
        self._held += time.monotonic() - begun
        if self.wanted() != "stop":
            self._emit(Continued(stage=stage, step=step))
