"""The report from the window: named, written by the command, opened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from data_helpers import make_project, new_session
from qtpy.QtCore import QObject
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton
from run_helpers import make_run

from napari_threestage.widgets.command_box import Turns
from napari_threestage.widgets.report_box import ReportBox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gui

# What stands in for the command: it notes what it was told, and says what the real one would.
PROGRAM = """#!/bin/sh
echo "$@" > {noted}
echo '{{"file": "{file}", "bytes": 1048576, "left_out": []}}'
"""


def test_the_report_of_the_run_is_written_and_opened(
    tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "cells")
    session, keeper = new_session(project.path), QObject()
    box = ReportBox(session, Turns(), keeper)
    qtbot.addWidget(box)
    start, opens = (box.findChild(QPushButton, f"report_{name}") for name in ("start", "open"))
    assert not start.isEnabled()
    assert box.findChild(QLabel, "report_why_not").text() == "There is no run yet."

    run = make_run(project)
    session.runs.follow(run)
    line = box.findChild(QLineEdit, "report_file")
    assert line.text() == str(project.path / "exports" / f"report-{run.id}.html")
    line.setText(str(tmp_path / "mine"))
    program, noted, file = (tmp_path / name for name in ("program", "noted", "mine.html"))
    program.write_text(PROGRAM.format(noted=noted, file=file))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))

    start.click()
    qtbot.waitUntil(lambda: not opens.isHidden())
    words = f"report {project.path} --run {run.id} --output {file} --json --progress"
    assert noted.read_text().split("napari_threestage ")[1].strip() == words
    opens.click()
    assert opened == [str(file)]
    session.runs.forget()
    session.close()
