"""A thread that shows, every two seconds, that the trainer lives."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_threestage.runs import Run

SECONDS = 2.0


class Heartbeat:
    """While entered, this process is noted as the run's trainer and touches its heartbeat file."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self._run.enter_process()
        self._thread.start()

    def __exit__(self, *exception: Any) -> None:
        self._over.set()
        self._thread.join()
        self._run.leave_process()

    def _beat(self) -> None:
        while True:
            self._run.beat()
            if self._over.wait(SECONDS):
                return
