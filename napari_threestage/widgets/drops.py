"""Files and folders that a person drops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtCore import QMimeData


def dropped_paths(data: QMimeData | None) -> list[Path]:
    """Return the local files and folders that were dropped."""
    if data is None or not data.hasUrls():
        return []
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def is_project(path: Path) -> bool:
    """Whether a folder is a project."""
    return (path / "project.json").is_file()
