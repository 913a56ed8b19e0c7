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
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from napari_threestage.locks import hold_lock
with hold_lock(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    sys.stdin.readline()
"""


TRIER = """
import sys
from pathlib import Path
from napari_threestage.errors import BusyError
from napari_threestage.locks import hold_lock
try:
    with hold_lock(Path(sys.argv[1]), "busy", children=sys.argv[2] == "yes") as own:
        print("own" if own else "as a child", flush=True)
        sys.stdin.readline()
except BusyError as error:
    print(error, flush=True)
"""
BETWEEN = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.fixture
def try_lock(lock: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a child, or a grandchild, that tries to take the lock and then waits for a line."""
    started: list[subprocess.Popen[str]] = []

    def start(children: str = "yes", *, far: bool = False) -> subprocess.Popen[str]:
        script = [BETWEEN, TRIER] if far else [TRIER]
        command = [sys.executable, "-c", *script, str(lock), children]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate("\n", timeout=60)


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(60) == 0


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


def test_a_child_of_the_holder_goes_on_without_the_lock(
    lock: Path, try_lock: Callable[..., subprocess.Popen[str]]
) -> None:
    with hold_lock(lock, "busy") as own:
        assert own is True
        note = lock.with_suffix(".json").read_text()
        child = try_lock()
        assert told(child) == "as a child"
        finish(child)
        assert lock.with_suffix(".json").read_text() == note
        finish(again := try_lock())
        assert told(again) == "as a child"
    assert not list(lock.parent.glob(".*.json"))


def test_a_grandchild_of_the_holder_and_a_child_of_another_process_are_refused(
    lock: Path,
    try_lock: Callable[..., subprocess.Popen[str]],
) -> None:
    with hold_lock(lock, "busy"):
        assert told(try_lock(far=True)).startswith(f"busy (process {os.getpid()} on ")
        assert told(try_lock("no")).startswith(f"busy (process {os.getpid()} on ")


def test_a_stranger_is_refused(
    holder: subprocess.Popen[str], try_lock: Callable[..., subprocess.Popen[str]]
) -> None:
    assert told(try_lock()).startswith(f"busy (process {holder.pid} on ")


def test_of_two_children_the_second_is_told_of_the_first(
    lock: Path, try_lock: Callable[..., subprocess.Popen[str]]
) -> None:
    with hold_lock(lock, "busy"):
        first = try_lock()
        assert told(first) == "as a child"
        assert told(try_lock()).startswith(f"busy (process {first.pid} on ")


def test_a_child_keeps_others_out_when_its_parent_has_let_go(
    lock: Path, try_lock: Callable[..., subprocess.Popen[str]]
) -> None:
    with hold_lock(lock, "busy"):
        child = try_lock()
        assert told(child) == "as a child"
    with pytest.raises(BusyError, match=rf"process {child.pid} on"):
        hold_lock(lock, "busy").__enter__()
    finish(child)
    with hold_lock(lock, "busy") as own:
        assert own


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
