"""Runs as processes of their own: start one, follow it, steer it, find it again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, BinaryIO

import psutil

from napari_threestage.errors import ThreeStageError
from napari_threestage.events import parse_event
from napari_threestage.files import read_tail
from napari_threestage.locks import is_alive, is_local
from napari_threestage.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_threestage.events import Event
    from napari_threestage.project import Project

START_SECONDS = 600.0  # weights may have to be downloaded first
POLL_SECONDS = 0.1
MOST_LINES = 300  # read in one go, so that a window stays alive

_children: list[subprocess.Popen[bytes]] = []  # held, or Python would warn that they live on


def launch(project: Project, arguments: Sequence[str]) -> Launch:
    """Start ``threestage run`` in a session of its own, which outlives this process.

    Parameters
    ----------
    arguments
        What a person would type after ``threestage run PROJECT``.

    Raises
    ------
    BusyError
        Another run of this project is going on.
    """
    with project.running():
        pass  # or the run that is going on would be taken for the new one
    return Launch(project, arguments)


class Launch:
    """A run that is about to begin; see `launch`."""

    def __init__(self, project: Project, arguments: Sequence[str]) -> None:
        self._project = project
        self.log_path = project.path / "runs" / ".starting.log"
        self._before = _event_sizes(project)
        self._run: Run | None = None
        command = [sys.executable, "-m", "napari_threestage", "run", str(project.path), *arguments]
        self.log_path.unlink(missing_ok=True)
        with self.log_path.open("xb") as log:
            self._child = subprocess.Popen(
                [*command, "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        _children[:] = [one for one in _children if one.poll() is None] + [self._child]

    def poll(self) -> Run | None:
        """Return the run once it has begun; this never waits.

        Raises
        ------
        ThreeStageError
            The process ended before the run began; the sentence is the one it printed.
        """
        if self._run is None:
            ended = self._child.poll() is not None  # first, for it may begin and end right now
            self._run = self._begun()
            if self._run is not None:
                self._keep_output(self._run)
            elif ended:
                raise ThreeStageError(_last_line(self.log_path))
        return self._run

    def cancel(self) -> None:
        """End the process; a run that has begun meanwhile is saved and can be resumed."""
        if self._child.poll() is None:
            self._child.terminate()

    def _begun(self) -> Run | None:
        for name, size in _event_sizes(self._project).items():
            if size > self._before.get(name, 0):
                return Run(self._project.path / "runs" / name)
        return None

    def _keep_output(self, run: Run) -> None:
        """Give the run the file that its process writes to: output.txt, later output-2.txt, …."""
        number = len(run.output_paths()) + 1
        name = f"output-{number}.txt" if number > 1 else "output.txt"
        with contextlib.suppress(OSError):  # open files cannot be renamed everywhere
            self.log_path.rename(run.path / name)


def start_detached(project: Project, arguments: Sequence[str]) -> Run:
    """Start a run as `launch` does, and wait until it has begun.

    Raises
    ------
    BusyError
        Another run of this project is going on.
    ThreeStageError
        The process ended before the run began; the sentence is the one it printed.
    """
    starting = launch(project, arguments)
    deadline = time.monotonic() + START_SECONDS
    while (run := starting.poll()) is None:
        if time.monotonic() > deadline:
            raise ThreeStageError(
                "The run has not begun within ten minutes; its process goes on.",
                f"See {starting.log_path}.",
            )
        time.sleep(POLL_SECONDS)
    return run


class EventTail:
    """Reads a file of events as it grows.

    Parameters
    ----------
    path
        The file; it need not exist yet.

    Attributes
    ----------
    at_end
        Whether the last `read` came to the end of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self.at_end = False

    def read(self) -> list[Event]:
        """Return the events of the lines that have been completed, of 300 lines at most."""
        self.at_end = True
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._position:
                    self._position = 0  # another file: its events are all new
                file.seek(self._position)
                return [event for line in self._lines(file) if (event := parse_event(line))]
        except FileNotFoundError:
            self._position = 0
            return []

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        for _ in range(MOST_LINES):
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            self._position = file.tell()
            yield line.decode(errors="replace")
        self.at_end = False


def follow(run: Run, should_end: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Yield the events of a run, old and new, until its process ends."""
    tail = EventTail(run.events_path)
    while True:
        alive = run.is_running()
        yield from tail.read()
        while not tail.at_end:
            yield from tail.read()
        if not alive or should_end():
            return
        time.sleep(POLL_SECONDS)


def stop(run: Run, wait_seconds: float = 60.0) -> bool:
    """Ask a run to save and end; return whether it has ended."""
    run.request_stop()
    return _wait(lambda: not run.is_running(), wait_seconds)


def pause(run: Run, wait_seconds: float = 60.0) -> bool:
    """Ask a run to hold in place; return whether it does."""
    run.request_pause()
    _wait(lambda: run.state() != "running", wait_seconds)
    return run.state() == "paused"


def kill(run: Run, hard: bool = False) -> None:
    """End the process of a run that does not obey; what its last checkpoint has is kept.

    Parameters
    ----------
    hard
        False: ask the process once more, through the operating system.  True: end it and its
        children at once.

    Raises
    ------
    ThreeStageError
        The run is trained on another host.
    """
    try:
        entry = run.process()
    except (OSError, ValueError):
        return
    if not is_local(entry):
        raise ThreeStageError(f"Run {run.id} is trained on another host.", "End its process there.")
    if not is_alive(entry):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(entry["pid"]))
        if not hard:
            process.terminate()
            return
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return condition()


def _event_sizes(project: Project) -> dict[str, int]:
    """Return how many bytes of events each run has."""
    paths = (project.path / "runs").glob("*/events.jsonl")
    return {path.parent.name: path.stat().st_size for path in paths}


def _last_line(path: Path) -> str:
    lines = [line for line in read_tail(path, 10_000).splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "The run ended before it began."
