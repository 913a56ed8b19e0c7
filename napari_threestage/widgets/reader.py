"""Open a project folder that is dropped on napari, or chosen in its menu."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN, WIDGET = "napari-threestage", "Three-Stage Self-Training"


def get_reader(path: str | list[str]) -> Callable[[Any], list[tuple[Any, ...]]] | None:
    """Return the reader of project folders; None for everything else."""
    if not isinstance(path, str) or not (_folder(path) / "project.json").is_file():
        return None
    return read_project


def read_project(path: str) -> list[tuple[Any, ...]]:
    """Open a project in the dock, which adds the layers itself."""
    dock = open_dock()
    if dock is not None:
        dock.bench.session.open(_folder(path))
    return [(None,)]


def _folder(path: str) -> Path:
    """Return the project's folder, of which ``project.json`` may be given as well."""
    return Path(path).parent if Path(path).name == "project.json" else Path(path)


def open_dock() -> Any:
    """Show the dock of the current viewer and return it; None without a window."""
    from napari_threestage.widgets.dock import ThreeStageDock

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    # Opened in a menu it has another name, so that napari would add a second one.
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, ThreeStageDock):
            widget.parentWidget().show()
            return widget
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return dock
