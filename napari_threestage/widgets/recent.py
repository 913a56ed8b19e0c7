"""The projects that were open last, and where samples are kept; no Qt."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import platformdirs

from napari_threestage.files import write_json

APP = "napari-threestage"
KEPT = 10


def recent_projects() -> list[Path]:
    """Return the folders of the projects that were open last, the latest first."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return [Path(one) for one in content["projects"] if isinstance(one, str)][:KEPT]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def add_recent(path: Path) -> None:
    """Put a project at the top of the list."""
    path = Path(path).absolute()
    _write([path, *(one for one in recent_projects() if one != path)])


def forget_gone() -> None:
    """Take the projects off the list that are no longer there."""
    _write([one for one in recent_projects() if (one / "project.json").is_file()])


def sample_folder(name: str) -> Path:
    """Return where the project of a sample is, or would be."""
    return Path(platformdirs.user_data_path(APP)) / "samples" / name


def _file() -> Path:
    return Path(platformdirs.user_config_path(APP)) / "recent.json"


def _write(paths: list[Path]) -> None:
    # A list for convenience: where it cannot be written, all goes on without it.
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(), {"projects": [str(path) for path in paths[:KEPT]]})
