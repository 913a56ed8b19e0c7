"""Names and pins of runs, which a person gives; the folders of the runs stay as they are.

``run_notes.json`` of the project holds them by the id of the run.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_threestage.errors import BusyError, ConfigError, ProjectError
from napari_threestage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from napari_threestage.project import Project
    from napari_threestage.runs import Run

LATEST = "latest"  # what the command line calls the latest run
LONGEST_NAME = 60
WAIT_SECONDS = 10.0  # for another process that writes the file, which takes milliseconds


@dataclass(frozen=True)
class RunNote:
    """What a person noted about a run."""

    name: str = ""
    pinned: bool = False


NO_NOTE = RunNote()


def read_notes(project: Project) -> dict[str, RunNote]:
    """Return the notes by id of the run; those of runs that are gone may be among them.

    Raises
    ------
    ProjectError
        The file with the notes is damaged; nothing is written over it.
    """
    file = _file(project)
    try:
        return {run_id: _note(entry) for run_id, entry in _read(file).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ProjectError(
            f"{file} cannot be read ({error}).",
            "It only holds names and pins of runs: restore a copy, or remove it.",
        ) from error


def known_notes(project: Project) -> dict[str, RunNote]:
    """Return the notes, none where the file is damaged: without names, runs are the same."""
    try:
        return read_notes(project)
    except ProjectError:
        return {}


def set_note(
    project: Project, run_id: str, name: str | None = None, pinned: bool | None = None
) -> RunNote:
    """Name a run, or pin it; what is not given stays, an empty name takes the name away.

    Raises
    ------
    ProjectError
        There is no such run; the file with the notes is damaged or cannot be written.
    ConfigError
        The name is too long, or another run has it.
    """
    if not has_folder(project, run_id):
        raise ProjectError(
            f"Project {project.path} has no run {run_id}.",
            f"See which there are: threestage runs {project.path}",
        )
    with _changing(project):
        notes = read_notes(project)
        before = notes.get(run_id, NO_NOTE)
        note = RunNote(
            name=before.name if name is None else _checked_name(project, run_id, name, notes),
            pinned=before.pinned if pinned is None else pinned,
        )
        content = _read(_file(project))
        content[run_id] = content.get(run_id, {}) | asdict(note)
        write_json(_file(project), content)
    return note


def forget_notes(project: Project, run_ids: Iterable[str]) -> None:
    """Remove the notes of runs that are gone."""
    gone = set(run_ids)
    with _changing(project):
        if gone & read_notes(project).keys():
            content = _read(_file(project))
            write_json(_file(project), {i: entry for i, entry in content.items() if i not in gone})


def title(run: Run, notes: Mapping[str, RunNote]) -> str:
    """Return what a run is called: its name if it has one, else its id."""
    return notes.get(run.id, NO_NOTE).name or run.id


def id_of(project: Project, name: str) -> str:
    """Return the id of the run of a name; what is no name is returned as it is."""
    if has_folder(project, name):
        return name
    wanted = _plain(name)
    ids = [
        one
        for one, note in read_notes(project).items()
        if note.name and _plain(note.name) == wanted
    ]
    return next((one for one in ids if has_folder(project, one)), name)


def has_folder(project: Project, run_id: str) -> bool:
    """Whether there is a folder of a run of this id."""
    plain = bool(run_id) and not run_id.startswith(".") and not {"/", "\\", "\0"} & set(run_id)
    return plain and (project.path / "runs" / run_id).is_dir()


def _checked_name(project: Project, run_id: str, name: str, notes: Mapping[str, RunNote]) -> str:
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"The name '{name[:LONGEST_NAME]}…' is too long.",
            f"Use {LONGEST_NAME} letters at most.",
        )
    if not name.isprintable() or name.startswith("-"):
        raise ConfigError(f"{name!r} cannot be the name of a run.", "Choose another name.")
    others = {one: note.name for one, note in notes.items() if one != run_id and note.name}
    taken = [one for one, other in others.items() if _plain(other) == _plain(name)]
    if any(has_folder(project, one) for one in taken):
        raise ConfigError(f"Run {taken[0]} is called '{name}' already.", "Choose another name.")
    if name == LATEST or (name != run_id and has_folder(project, name)):
        raise ConfigError(f"'{name}' means another run already.", "Choose another name.")
    return name


def _plain(name: str) -> str:
    """Return what two names must not have in common."""
    return " ".join(name.split()).casefold()


def _note(entry: Any) -> RunNote:
    name, pinned = entry.get("name", ""), entry.get("pinned", False)
    if not isinstance(name, str) or not isinstance(pinned, bool):
        raise TypeError("a name is no text, or a pin neither true nor false")
    return RunNote(name, pinned)


def _file(project: Project) -> Path:
    return project.path / "run_notes.json"


def _read(file: Path) -> dict[str, Any]:
    """Return the content as it lies on disk; entries of a newer version may hold more."""
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise TypeError("it is no object")
    return content


@contextmanager
def _changing(project: Project) -> Iterator[None]:
    """Let one process and thread change the notes at a time."""
    try:
        with FileLock(project.path / ".run_notes.lock", timeout=WAIT_SECONDS):
            yield
    except Timeout as error:
        raise BusyError(
            "Another process is changing the notes of the runs.", "Try again."
        ) from error
    except OSError as error:
        raise ProjectError(
            f"{_file(project)} cannot be written ({error.strerror}).",
            "Free some space, or repair the rights of the folder.",
        ) from error
