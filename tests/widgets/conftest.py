"""Tests of the dock need Qt and a display; `make test` runs them in a process of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these files alone where Qt may be missing, and beside tests that load torch."""
    expression = config.getoption("markexpr")
    return None if "gui" in expression and "not gui" not in expression else True


@pytest.fixture(autouse=True)
def no_torch_in_this_process() -> Iterator[None]:
    """napari's process crashes when torch comes after a window: it must never be loaded."""
    yield
    assert "torch" not in sys.modules


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the list of recent projects and the samples out of the home of whoever tests."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path / "xdg_data_home"


@pytest.fixture
def qtbot(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hold widgets until they are closed, as napari's window does.

    pytest-qt refers to them weakly, so that the end of a test function may leave a window to the
    garbage collector, which takes it to pieces while Qt paints it: the process crashes.
    """
    held, add = [], qtbot.addWidget

    def add_and_hold(widget: Any, **more: Any) -> None:
        held.append(widget)
        add(widget, **more)

    monkeypatch.setattr(qtbot, "addWidget", add_and_hold)
    return qtbot


@pytest.fixture
def person(make_napari_viewer: Callable[..., Any], qtbot: Any, monkeypatch: Any) -> Any:
    """Somebody in front of napari with the dock open."""
    from napari_helpers import Person

    from napari_threestage.widgets.workbench import Workbench

    monkeypatch.setattr(Workbench, "ask_about_run", lambda bench: "stop")
    return Person(make_napari_viewer(show=True), qtbot)


@pytest.fixture
def clerk(qtbot: Any) -> Any:
    """Somebody with the dock alone: napari's layers are there, its window and canvas are not."""
    from napari.components import ViewerModel
    from napari_helpers import Clerk

    return Clerk(ViewerModel(), qtbot)
