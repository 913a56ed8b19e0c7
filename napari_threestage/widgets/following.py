"""The runs of the dock: one that trains, and one that is looked at, mostly the same; no Qt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
from psygnal import Signal

from napari_threestage import jobs
from napari_threestage.errors import ProjectError, ThreeStageError
from napari_threestage.events import Predicted, StageFinished
from napari_threestage.run_view import RunView
from napari_threestage.widgets.run_list import RunList
from napari_threestage.widgets.run_search import (
    how_it_ended,
    latest_run,
    running_run,
    same_run,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.events import Event
    from napari_threestage.jobs import EventTail, Launch
    from napari_threestage.project import Project
    from napari_threestage.runs import Run
    from napari_threestage.widgets.session import Session

LOOK_SECONDS = 1.0  # between two looks whether the trainer lives
SEEK_SECONDS = 3.0  # between two looks whether a run was started elsewhere
ACTIVE = ("starting", "running", "paused")
TURNS = ("started", "paused", "continued", "finished", "stopped", "failed")


class RunFollower:
    """Knows which run of the session's project trains, and follows the one that is looked at.

    Attributes
    ----------
    run, view
        The run that is looked at, and what its events add up to.
    state
        Of that run, as `Run.state`; "starting" before there is a run, "" without one.
    going
        The run that trains, None when there is none or it is still starting.
    all
        All runs of the project, as rows.
    """

    changed = Signal()  # another run, another state, or none
    progressed = Signal()  # `view` holds new events
    masks_arrived = Signal(int)  # the shown image has a new mask of this stage

    def __init__(self, session: Session) -> None:
        self._session = session
        self.run: Run | None = None
        self.view = RunView()
        self.state = ""
        self.going: Run | None = None
        self._going_state = ""  # one of ACTIVE, or ""
        self._chosen = False  # by a person, who wants to go on looking at it
        self._launch: Launch | None = None
        self._starts = 0
        self._tail: EventTail | None = None
        self._looked = self._sought = 0.0
        self._seeking = False
        self.all = RunList(session)
        self.changed.connect(self.all.outdate)
        self.masks_arrived.connect(self.all.outdate)

    @property
    def active(self) -> bool:
        """Whether a run of this project, looked at or not, is starting, training or paused."""
        return self._going_state in ACTIVE

    @property
    def looks_elsewhere(self) -> bool:
        """Whether a run is active while another one is looked at."""
        return self.active and self.state not in ACTIVE

    # --- which run is looked at -----------------------------------------------------------------

    def find(self) -> None:
        """Look at the run that is going on, or else the latest."""
        project = self._session.project
        self._chosen = False
        if self._going_state != "starting":
            self.going, self._going_state = None, ""
        self._show(None if project is None else running_run(project) or latest_run(project))

    def follow(self, run: Run | None) -> None:
        """Look at a run, from its first event on; one that is going on goes on."""
        self._chosen = run is not None and not same_run(run, self.going)
        self._show(run)

    def follow_going(self) -> None:
        """Look at the run that trains, or is about to."""
        if self.going is not None:
            self.follow(self.going)
        elif self._going_state == "starting":
            self.state, self._chosen = "starting", False
            self.changed.emit()

    def forget(self) -> None:
        """Look at no run; one that is going on goes on."""
        self.run, self._tail, self._launch, self.state = None, None, None, ""
        self.going, self._going_state, self._chosen = None, "", False
        self._sought = 0.0
        self._starts += 1
        self.view = RunView()

    def _show(self, run: Run | None) -> None:
        self.run, self.view = run, RunView() if run is None else RunView.of(run)
        self._tail = jobs.EventTail(run.events_path) if run is not None else None
        self._take_state(run.state() if run is not None else "")
        self._looked = time.monotonic()
        self.changed.emit()
        self._session.refresh()

    def _take_state(self, state: str) -> None:
        """Note the state of the run that is looked at."""
        self.state = state
        if state in ACTIVE:
            self.going, self._going_state = self.run, state
        elif same_run(self.run, self.going):
            self.going, self._going_state = None, ""

    # --- starting -------------------------------------------------------------------------------

    def start(self, arguments: Sequence[str]) -> bool:
        """Start ``threestage run`` with these arguments; false after saying what is wrong."""
        session, project = self._session, self._session.project
        if project is None or not self._may_start():
            return False
        self._starts += 1
        number = self._starts
        self.state = self._going_state = "starting"
        self.changed.emit()
        save = session.saving("the run was not started")

        def failed(error: Exception) -> None:
            if self._starts == number:
                self._not_started(error)

        session.background(save, lambda result: self._go(project, arguments, number), failed)
        return True

    def _may_start(self) -> bool:
        if self.active:
            self._session.say(
                "A run of this project is going on already.",
                "Stop it, or wait for its end.",
                "warning",
            )
        elif not self._session.writable:
            self._session.say(
                "The project is open to read only, so no run can be started or resumed here.",
                "Train where it is being edited, or close it there and open it here again.",
                "error",
            )
        else:
            return True
        return False

    def _go(self, project: Project, arguments: Sequence[str], number: int) -> None:
        if self._starts != number:
            return  # closed or stopped meanwhile
        try:
            self._launch = jobs.launch(project, arguments)
        except ThreeStageError as error:
            self._not_started(error)
        except OSError as error:
            self._not_started(ProjectError(f"No run can be started: {error}"))

    def _not_started(self, error: Exception) -> None:
        self._session.fail(error)
        self._end_start()

    def _end_start(self) -> None:
        self._launch, self.going, self._going_state = None, None, ""
        self._starts += 1
        if self.state == "starting":
            self.find()
        else:
            self.changed.emit()

    def _await_launch(self, launch: Launch) -> None:
        try:
            run = launch.poll()
        except ThreeStageError as error:
            self._not_started(error)
            return
        if run is None:
            return
        self._launch = None
        self.going, self._going_state = run, "running"
        if self.state == "starting":
            self.follow(run)
        else:  # somebody looks at another run
            self.changed.emit()

    # --- steering -------------------------------------------------------------------------------

    def resume(self) -> bool:
        """Go on with a run that was stopped, interrupted or failed."""
        return self.run is not None and self.start(["--resume", self.run.id])

    def pause(self) -> None:
        """Hold the training in place."""
        self._ask("request_pause")

    def go_on(self) -> None:
        """Let a paused run go on."""
        self._ask("request_continue")

    def stop(self) -> None:
        """Have the trainer save and end."""
        if self._going_state == "starting":
            if self._launch is not None:
                self._launch.cancel()
            self._end_start()
        else:
            self._ask("request_stop")

    def kill(self) -> None:
        """End a trainer that does not answer; the last checkpoint stays."""
        if self.going is None:
            return
        try:
            jobs.kill(self.going, hard=True)
        except ThreeStageError as error:
            self._session.fail(error)
        except psutil.AccessDenied:
            self._session.fail(
                ThreeStageError(
                    f"Run {self.going.id} was started by another user and cannot be ended here.",
                    "Ask that person to end it.",
                )
            )

    def _ask(self, request: str) -> None:
        if self.going is None:
            return
        try:
            getattr(self.going, request)()
        except OSError as error:
            path = self.going.path
            self._session.fail(ProjectError(f"{path} cannot be written ({error.strerror})."))

    # --- what happens meanwhile -----------------------------------------------------------------

    def tick(self) -> None:
        """Take in what has happened since the last call."""
        if self._launch is not None:
            self._await_launch(self._launch)
        events = self._read_events()
        turned = any(event.kind in TURNS for event in events)
        news = bool(events) and self.state not in ACTIVE  # of a run that had ended
        if turned or news or time.monotonic() - self._looked > LOOK_SECONDS:
            self._look(bool(events))
        if not self.active:
            self._seek()

    def _read_events(self) -> list[Event]:
        if self._tail is None or self.state == "starting":
            return []
        events = self._tail.read()
        for event in events:
            self.view.add(event)
        if events:
            self.progressed.emit()
        for stage in self._new_masks(events):
            self.masks_arrived.emit(stage)
        return events

    def _new_masks(self, events: Sequence[Event]) -> list[int]:
        """Return the stages whose mask of the shown image has just been written."""
        stages = set()
        for event in events:
            match event:
                case (
                    Predicted(stage=stage, image=self._session.image_id)
                    | StageFinished(stage=stage)
                ):
                    stages.add(stage)
        return sorted(stages)

    def _look(self, news: bool) -> None:
        """Read the states of the run that is looked at and of the one that trains."""
        self._looked = time.monotonic()
        before = self.state, self._going_state
        if self.run is not None and self.state != "starting" and (news or self.state in ACTIVE):
            self._take_state(self.run.state())
        if self.going is not None and not same_run(self.run, self.going):
            state = self.going.state()
            if state in ACTIVE:
                self._going_state = state
            else:
                ended, self.going, self._going_state = self.going, None, ""
                self._session.say(*how_it_ended(ended, state))
        if (self.state, self._going_state) != before:
            self.changed.emit()

    def _seek(self) -> None:
        """Look now and then whether somebody has started or resumed a run elsewhere."""
        project = self._session.project
        now = time.monotonic()
        if project is None or self._seeking or now - self._sought < SEEK_SECONDS:
            return
        self._seeking, self._sought = True, now

        def found(run: Run | None) -> None:
            self._seeking = False
            if run is not None and self._session.project is project and not self.active:
                self._on_found(run)

        def failed(error: Exception) -> None:
            self._seeking = False

        self._session.background(lambda: running_run(project), found, failed)

    def _on_found(self, run: Run) -> None:
        if not self._chosen or same_run(run, self.run):
            self._chosen = False
            self._show(run)
            return
        self.going, self._going_state = run, "running"
        self._session.say(f"Run {run.id} was started elsewhere and trains now.")
        self.changed.emit()
