"""One writer at a time: a lock file that says who holds it."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from napari_threestage.errors import BusyError, ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)


def this_process() -> dict[str, Any]:
    """Return what tells a process from every other: host, pid and start time."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def is_local(process: Any) -> bool:
    """Whether a process of `this_process` is one of this host."""
    return isinstance(process, dict) and process.get("host") == socket.gethostname()


def is_alive(process: dict[str, Any]) -> bool:
    """Whether a process of `this_process` still runs; one on another host counts as alive."""
    try:
        if process["host"] != socket.gethostname():
            return True
        found = psutil.Process(int(process["pid"]))
        same: bool = abs(found.create_time() - float(process["started"])) < 2
        return same and bool(found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


@contextmanager
def hold_lock(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock that the operating system releases when this process dies.

    Raises
    ------
    BusyError
        Another process holds it; the sentence says which.
    ProjectError
        The folder cannot be written.
    """
    holder_file = path.with_suffix(".json")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{busy} ({_holder(holder_file)}).", "Wait for it or stop it.") from None
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        if holder_file.exists():
            log.warning("Recovered the lock that was left by %s.", _holder(holder_file))
        try:
            holder_file.write_text(json.dumps(this_process() | {"since": time.time()}))
        except OSError as error:
            raise _not_writable(path, error) from error
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        lock.release()


def _not_writable(path: Path, error: OSError) -> ProjectError:
    return ProjectError(
        f"{path.parent} cannot be written ({error.strerror}).",
        "Choose a folder that you may write to.",
    )


def _holder(file: Path) -> str:
    try:
        entry = json.loads(file.read_text())
        return f"process {entry['pid']} on {entry['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
