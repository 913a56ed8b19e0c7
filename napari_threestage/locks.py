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
def hold_lock(path: Path, busy: str, *, children: bool = True) -> Iterator[bool]:
    """Hold a lock that the operating system releases when this process dies.

    Parameters
    ----------
    path
        The lock file; who holds it is noted beside it.
    busy
        What goes on while the lock is held, for the sentence of `BusyError`.
    children
        Whether a child of the process that holds the lock may go on, one at a time.

    Yields
    ------
    bool
        Whether this process holds the lock itself; False when its parent does.

    Raises
    ------
    BusyError
        Another process holds it; the sentence says which.
    ProjectError
        The folder cannot be written.
    """
    lock = FileLock(path)
    if _take(lock, path):
        try:
            if children:
                _refuse_beside_a_child(path, busy)
            _note_holder(path)
            yield True
        finally:
            path.with_suffix(".json").unlink(missing_ok=True)
            lock.release()
    elif children and _parent_holds(path):
        with hold_lock(_lock_of_children(path), busy, children=False):
            yield False
    else:
        raise _busy(path, busy)


def lock_holder(path: Path) -> str:
    """Return who holds a lock, or did when its process was killed, for a sentence."""
    try:
        entry = _read_holder(path)
        return f"process {entry['pid']} on {entry['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _take(lock: FileLock, path: Path) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError as error:
        raise _not_writable(path, error) from error
    return True


def _note_holder(path: Path) -> None:
    file = path.with_suffix(".json")
    if file.exists():
        log.warning("Recovered the lock that was left by %s.", lock_holder(path))
    try:
        file.write_text(json.dumps(this_process() | {"since": time.time()}))
    except OSError as error:
        raise _not_writable(path, error) from error


def _read_holder(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text())


def _parent_holds(path: Path) -> bool:
    """Whether the process that started this one holds the lock."""
    try:
        entry = _read_holder(path)
    except (OSError, ValueError):
        return False
    return is_local(entry) and entry.get("pid") == os.getppid() and is_alive(entry)


def _lock_of_children(path: Path) -> Path:
    return path.with_suffix(f".child{path.suffix}")


def _refuse_beside_a_child(path: Path, busy: str) -> None:
    """Raise `BusyError` while a child goes on whose parent has let go of the lock."""
    theirs = _lock_of_children(path)
    if theirs.exists():
        lock = FileLock(theirs)
        if not _take(lock, theirs):
            raise _busy(theirs, busy)
        lock.release()


def _busy(path: Path, busy: str) -> BusyError:
    return BusyError(f"{busy} ({lock_holder(path)}).", "Wait for it or stop it.")


def _not_writable(path: Path, error: OSError) -> ProjectError:
    return ProjectError(
        f"{path.parent} cannot be written ({error.strerror}).",
        "Choose a folder that you may write to.",
    )
