"""Commands as child processes: what they print, how they fail, how they are stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.gui
SECONDS = 30_000


@pytest.fixture
def start(qapp: Any) -> Any:
    """Start a command and note what it emits."""
    from napari_threestage.widgets.process import CommandProcess

    made = []

    def start(*arguments: str) -> Any:
        process = CommandProcess(arguments)
        process.seen = []
        process.progressed.connect(lambda *what: process.seen.append(("progressed", *what)))
        process.finished.connect(lambda what: process.seen.append(("finished", what)))
        process.failed.connect(lambda *what: process.seen.append(("failed", *what)))
        process.cancelled.connect(lambda: process.seen.append(("cancelled",)))
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        process.close()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script in the place of the command."""

    def put(script: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


def ended(process: Any) -> bool:
    return bool(process.seen) and process.seen[-1][0] != "progressed"


def test_the_document_of_a_real_command_is_handed_over(start: Any, qtbot: Any) -> None:
    process = start("sample", "--list", "--json")
    assert process.running
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    [(kind, document)] = process.seen
    assert kind == "finished"
    assert "tissue" in [one["name"] for one in document]


def test_wrong_input_is_told_in_the_sentence_of_the_command(
    start: Any, qtbot: Any, tmp_path: Path
) -> None:
    process = start("check", str(tmp_path / "nowhere"), "--json")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    kind, message, _ = process.seen[-1]
    assert kind == "failed"
    assert message.startswith(f"There is no folder {tmp_path / 'nowhere'}")


def test_progress_comes_line_by_line(start: Any, qtbot: Any, program: Any) -> None:
    program(
        """printf '{"step": "images", "done": 1, "tot' >&2
        sleep 0.1
        printf 'al": 3}\\nsome warning\\n{"done": 2, "total": null}\\n' >&2
        printf '{"imported": []}'"""
    )
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    progressed = [("progressed", 1, 3), ("progressed", 2, 0)]
    assert process.seen == [*progressed, ("finished", {"imported": []})]


def test_a_document_with_failures_is_a_result_although_the_exit_code_is_1(
    start: Any, qtbot: Any, program: Any
) -> None:
    program("""printf '{"failed": [1]}'; exit 1""")
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert process.seen == [("finished", {"failed": [1]})]


def test_a_long_document_arrives_whole(start: Any, qtbot: Any, program: Any) -> None:
    program("""printf '['; i=0; while [ $i -lt 20000 ]; do printf '"0123456789",'; i=$((i+1)); done
    printf '1]'""")
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert len(process.seen[-1][1]) == 20001


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'error: No room. Make some.' >&2; exit 1", "No room. Make some."),
        ("echo boom >&2; exit 7", "threestage import ended with code 7 and gave no reason."),
        ("kill -9 $$", "threestage import crashed with signal 9 and gave no reason."),
        ("echo 'no json'", "threestage import ended with code 0 and gave no reason."),
    ],
)
def test_every_end_has_a_sentence(
    start: Any, qtbot: Any, program: Any, script: str, words: str
) -> None:
    program(script)
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    kind, message, _ = process.seen[-1]
    assert (kind, message) == ("failed", words)


def test_a_python_that_is_gone_is_told(start: Any, qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert process.seen[-1][1].startswith("/nowhere/python could not be started")


def test_cancel_asks_and_the_command_may_save(start: Any, qtbot: Any, program: Any) -> None:
    program(
        """trap 'echo saved > "$0.saved"; exit 3' TERM
        echo '{"done": 1, "total": 9}' >&2
        while true; do sleep 0.05; done"""
    )
    process = start("import")
    qtbot.waitUntil(lambda: bool(process.seen), timeout=SECONDS)
    process.cancel()
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert process.seen[-1] == ("cancelled",)
    with open(f"{sys.executable}.saved") as file:
        assert file.read() == "saved\n"


def test_a_command_that_does_not_listen_is_killed(
    start: Any, qtbot: Any, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_threestage.widgets import process as module

    monkeypatch.setattr(module, "ASKED_MS", 50)
    program(
        """trap '' INT TERM
        echo '{"done": 1, "total": 9}' >&2
        while true; do sleep 0.05; done"""
    )
    process = start("import")
    qtbot.waitUntil(lambda: bool(process.seen), timeout=SECONDS)
    pid = process.pid
    process.cancel()
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert process.seen[-1] == ("cancelled",)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_command_that_is_closed_may_clean_up(start: Any, qtbot: Any, program: Any) -> None:
    program(
        """trap 'echo asked >> "$0.asked"; sleep 0.3; echo tidy > "$0.tidy"; exit 3' TERM
        echo '{"done": 1, "total": 9}' >&2
        while true; do sleep 0.05; done"""
    )
    process = start("import")
    qtbot.waitUntil(lambda: bool(process.seen), timeout=SECONDS)
    process.cancel()
    process.close()  # and is not asked again, which would end its cleaning up
    assert not process.running and len(process.seen) == 1
    assert Path(f"{sys.executable}.tidy").read_text() == "tidy\n"
    assert Path(f"{sys.executable}.asked").read_text() == "asked\n"


@pytest.mark.parametrize("listens", [True, False])
def test_close_waits_until_the_command_has_gone(
    start: Any, qtbot: Any, program: Any, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    from napari_threestage.widgets import process as module

    monkeypatch.setattr(module, "CLOSED_MS", 2000 if listens else 200)
    answer = 'echo tidy > "$0.tidy"; exit 3' if listens else ""
    program(
        f"""trap '{answer}' TERM
        echo '{{"done": 1, "total": 9}}' >&2
        while true; do sleep 0.05; done"""
    )
    process = start("import")
    qtbot.waitUntil(lambda: bool(process.seen), timeout=SECONDS)
    pid = process.pid
    process.close()
    assert process.seen == [("progressed", 1, 9)]
    assert Path(f"{sys.executable}.tidy").exists() == listens
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_is_ours_and_knows_nothing_of_our_windows(
    start: Any, qtbot: Any, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_PLUGIN_PATH", "/somewhere")
    program("""printf '{"parent": %s, "plugins": "%s"}' "$PPID" "$QT_PLUGIN_PATH" """)
    process = start("import")
    qtbot.waitUntil(lambda: ended(process), timeout=SECONDS)
    assert process.seen[-1][1] == {"parent": os.getpid(), "plugins": ""}
