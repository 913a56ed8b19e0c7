"""A ``threestage`` command as a child process that the event loop follows."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

ASKED_MS = 3000  # after which a child that was cancelled is made to end
CLOSED_MS = 2000  # the same, while this program waits for it
# What concerns this program's windows; a child opens none.
FOREIGN = ("QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_PLATFORM", "QT_API")


class CommandProcess(QObject):
    """Runs ``threestage …`` with ``--json`` among its arguments and hands over what it prints.

    One of `finished`, `failed` and `cancelled` is emitted, once, when the command has ended.

    Parameters
    ----------
    arguments
        What a person would type after ``threestage``.
    """

    progressed = Signal(int, int)  # done and total, 0 where nobody knows it
    finished = Signal(object)  # the JSON document on stdout
    failed = Signal(str, str)  # what went wrong, and what to do
    cancelled = Signal()

    def __init__(self, arguments: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.arguments = [str(argument) for argument in arguments]
        self.step = ""  # what the progress is about, where a command has several steps
        self._printed = bytearray()
        self._unfinished = b""
        self._messages: list[str] = []
        self._asked_to_end = self._ended = False
        # Never through a shell: only a direct child may change a project that this process holds.
        self._process = QProcess(self)
        self._process.setProcessEnvironment(_environment())
        self._process.setStandardInputFile(QProcess.nullDevice())
        self._process.readyReadStandardError.connect(self._read_messages)
        self._process.readyReadStandardOutput.connect(self._read_printed)
        self._process.finished.connect(self._end)
        self._process.errorOccurred.connect(self._not_started)

    def start(self) -> None:
        """Start the command; returns at once."""
        self._process.start(sys.executable, ["-m", "napari_threestage", *self.arguments])

    @property
    def running(self) -> bool:
        """Whether the command has been started and has not ended."""
        return bool(self._process.state() != QProcess.ProcessState.NotRunning)

    @property
    def pid(self) -> int:
        """Number of the child process, 0 when there is none."""
        return int(self._process.processId())

    def cancel(self) -> None:
        """Ask the command to save what it has and end; one that does not is ended."""
        if not self.running or self._asked_to_end:
            return
        self._asked_to_end = True
        self._process.terminate()  # which commands answer by saving
        QTimer.singleShot(ASKED_MS, self._kill)

    def close(self) -> None:
        """End the command without another word and wait until it has gone.

        It is asked first: one that is killed leaves its own children and hidden files.
        """
        self._ended = True
        if not self.running:
            return
        if not self._asked_to_end:  # asked again, it would not even clean up
            self._asked_to_end = True
            self._process.terminate()
        if not self._process.waitForFinished(CLOSED_MS):
            self._process.kill()
            self._process.waitForFinished(CLOSED_MS)

    def _kill(self) -> None:
        if self.running:
            self._process.kill()

    def _read_printed(self) -> None:
        self._printed += bytes(self._process.readAllStandardOutput())

    def _read_messages(self) -> None:
        text = self._unfinished + bytes(self._process.readAllStandardError())
        *lines, self._unfinished = text.split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        progress = _parse(line) if line.startswith("{") else None
        if isinstance(progress, dict) and {"done", "total"} <= progress.keys():
            self.step = str(progress.get("step", ""))
            if not self._ended:
                self.progressed.emit(int(progress["done"]), int(progress["total"] or 0))
        elif line:
            self._messages.append(line)

    def _end(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_printed()
        self._read_messages()
        if self._unfinished:
            self._take(self._unfinished.decode(errors="replace").rstrip())
        if self._ended:
            return
        self._ended = True
        document = _parse(self._printed.decode(errors="replace"))
        good = isinstance(document, dict | list) and "error" not in document
        if self._asked_to_end and not good:
            self.cancelled.emit()
        elif good and status == QProcess.ExitStatus.NormalExit:
            self.finished.emit(document)
        else:
            self.failed.emit(*self._reason(code, status))

    def _reason(self, code: int, status: QProcess.ExitStatus) -> tuple[str, str]:
        errors = [line for line in self._messages if line.startswith("error: ")]
        if errors:
            return errors[-1].removeprefix("error: "), ""
        how = (
            "crashed with signal" if status == QProcess.ExitStatus.CrashExit else "ended with code"
        )
        said = f" It said: {self._messages[-1]}" if self._messages else ""
        name = self.arguments[0] if self.arguments else ""
        return (
            f"threestage {name} {how} {code} and gave no reason.",
            f"Try again; if it happens again, please report it.{said}",
        )

    def _not_started(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and not self._ended:
            self._ended = True
            self.failed.emit(
                f"{sys.executable} could not be started ({self._process.errorString()}).",
                "Install napari-threestage anew.",
            )


def _environment() -> QProcessEnvironment:
    environment = QProcessEnvironment.systemEnvironment()
    for name in FOREIGN:
        environment.remove(name)
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    return environment


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
