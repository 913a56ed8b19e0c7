"""One writer at a time, across processes, and none after a kill."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from napari_threestage.errors import BusyError, ProjectError
from napari_threestage.locks import hold_lock, is_alive, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from napari_threestage.locks import hold_lock
with hold_lock(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / ".edit.lock"


@pytest.fixture
def holder(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it reads a line."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_holder_is_told_which_process_holds_it(
    lock: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(BusyError, match=rf"^busy \(process {holder.pid} on .*\)\. Wait for it"):
        hold_lock(lock, "busy").__enter__()
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.wait(60) == 0
    with hold_lock(lock, "busy"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_the_lock_of_a_killed_process_is_free_and_a_warning_says_so(
    lock: Path, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    with caplog.at_level(logging.WARNING), hold_lock(lock, "busy"):
        held_by = json.loads(lock.with_suffix(".json").read_text())
    assert held_by["pid"] == os.getpid()
    assert f"left by process {holder.pid} on" in caplog.text
    caplog.clear()
    with hold_lock(lock, "busy"):
        assert caplog.text == ""


def test_the_lock_is_free_after_an_error(lock: Path) -> None:
    with pytest.raises(RuntimeError), hold_lock(lock, "busy"):
        raise RuntimeError
    assert not lock.with_suffix(".json").exists()
    with hold_lock(lock, "busy"):
        pass


def test_a_holder_that_left_no_name_is_another_process(lock: Path) -> None:
    with hold_lock(lock, "busy"):
        lock.with_suffix(".json").write_text("{")
        with pytest.raises(BusyError, match=r"busy \(another process\)"):
            hold_lock(lock, "busy").__enter__()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ProjectError, match=r"cannot be written .* you may write to"):
        hold_lock(tmp_path / "file" / ".edit.lock", "busy").__enter__()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path, lock: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ProjectError, match="cannot be written"):
            hold_lock(lock, "busy").__enter__()
    finally:
        tmp_path.chmod(0o755)


def test_a_full_disk_is_a_sentence_and_frees_the_lock(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_threestage.locks.this_process", fail)
        with pytest.raises(ProjectError, match="No space left on device"):
            hold_lock(lock, "busy").__enter__()
    with hold_lock(lock, "busy"):
        pass


def test_a_process_is_known_by_its_pid_and_its_start() -> None:
    me = this_process()
    assert is_alive(me)
    assert not is_alive(me | {"started": me["started"] - 100})  # the number was given again
    assert is_alive(me | {"host": "another-host", "pid": 1})  # who can tell
    unused = next(number for number in range(10**6, 10**7) if not psutil.pid_exists(number))
    assert not is_alive(me | {"pid": unused})


@pytest.mark.parametrize("change", [{"pid": "?"}, {"pid": None}, {"started": "?"}])
def test_a_damaged_note_names_no_living_process(change: dict[str, object]) -> None:
    assert not is_alive(this_process() | change)
