"""Commands as processes of their own, which end together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from napari_threestage.errors import Stopped, ThreeStageError

MODULE = "napari_threestage"


class CommandFailed(ThreeStageError):
    """A command ended with an error; `output` is all that it said."""

    def __init__(self, command: str, code: int, output: str) -> None:
        lines = [line for line in output.splitlines() if line.strip()]
        said = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
        super().__init__(f"'{command}' failed: {said}")
        self.output = output


class Children:
    """Runs commands, several at the same time if several threads ask for it.

    Parameters
    ----------
    threads
        How many threads each of them may use; 0: as many as it likes.
    """

    def __init__(self, threads: int = 0) -> None:
        self._environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def threestage(self, command: str, *arguments: object) -> str:
        """Run a command of ours as a person would, and return what it printed.

        Raises
        ------
        CommandFailed
            It ended with an error.
        Stopped
            It was asked to end, or all were.
        """
        return self.run(command, [MODULE, command, *map(str, arguments)])

    def run(self, name: str, arguments: list[str], told: str = "") -> str:
        """Run ``python -m`` with these arguments; `told` is what it reads from stdin."""
        process = self._start(arguments)
        try:
            out, err = process.communicate(told)
        finally:
            with self._lock:
                self._running.discard(process)
        if self._ended or process.returncode == 3:
            raise Stopped
        if process.returncode:
            raise CommandFailed(name, process.returncode, f"{out}\n{err}")
        return out

    def end(self) -> None:
        """Ask all to save and end, and start no more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()

    def _start(self, arguments: list[str]) -> subprocess.Popen[str]:
        with self._lock:
            if self._ended:
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
            self._running.add(process)
            return process
