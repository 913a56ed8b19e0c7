"""Runs as processes of their own: start one, follow it, stop it, find it again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from napari_threestage.errors import ThreeStageError
from napari_threestage.events import parse_event
from napari_threestage.runs import Run, list_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_threestage.events import Event
    from napari_threestage.project import Project

START_SECONDS = 600.0  # weights may have to be downloaded first
POLL_SECONDS = 0.1

_children: list[subprocess.Popen[bytes]] = []  # held, or Python would warn that they live on


def start_detached(project: Project, arguments: Sequence[str]) -> Run:
    """Start ``threestage run`` in a session of its own, which outlives this process.

    Parameters
    ----------
    arguments
        What a person would type after ``threestage run PROJECT``.

    Returns
    -------
    The run, once its folder is there.

    Raises
    ------
    BusyError
        Another run of this project is going on.
    ThreeStageError
        The process ended before the run began; the sentence is the one it printed.
    """
    with project.running():
        pass  # or the run that is going on would be taken for the new one
    command = [sys.executable, "-m", "napari_threestage", "run", str(project.path), *arguments]
    log_path = project.path / "runs" / ".starting.log"
    before = {
        run.id: run.events_path.stat().st_size if run.events_path.exists() else 0
        for run in list_runs(project)
    }
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [*command, "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    _children[:] = [one for one in _children if one.poll() is None] + [child]
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for run in list_runs(project):
            size = run.events_path.stat().st_size if run.events_path.exists() else 0
            if size > before.get(run.id, 0):
                return run
        if child.poll() is not None:
            raise ThreeStageError(_last_line(log_path.read_text(errors="replace")))
        time.sleep(POLL_SECONDS)
    raise ThreeStageError(
        "The run has not begun within ten minutes; its process goes on.", f"See {log_path}."
    )


def follow(run: Run, should_end: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Yield the events of a run, old and new, until its process ends."""
    position = 0
    while True:
        alive = run.is_running()
        if run.events_path.exists():
            with run.events_path.open() as file:
                file.seek(position)
                while (line := file.readline()).endswith("\n"):
                    position = file.tell()
                    event = parse_event(line)
                    if event is not None:
                        yield event
        if not alive or should_end():
            return
        time.sleep(POLL_SECONDS)


def stop(run: Run, wait_seconds: float = 60.0) -> bool:
    """Ask a run to save and end; return whether it has ended."""
    run.request_stop()
    deadline = time.monotonic() + wait_seconds
    while run.is_running() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return not run.is_running()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "The run ended before it began."
