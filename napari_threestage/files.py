"""Small files that are complete or absent, and what killed writers leave of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import uuid
from typing import TYPE_CHECKING, Any

from napari_threestage.errors import ConfigError, ProjectError

if TYPE_CHECKING:
    from pathlib import Path


def beside(path: Path) -> Path:
    """Return a new hidden name in the same folder, for what is written and then renamed."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def share_as_usual(path: Path) -> None:
    """Give a file the rights that files get in its folder, where these can be changed."""
    usual = beside(path)
    with contextlib.suppress(OSError):  # some shares allow no change; the file is worth more
        usual.touch()
        shutil.copymode(usual, path)
    with contextlib.suppress(OSError):
        usual.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is complete or absent."""
    temporary = beside(path)
    try:
        with temporary.open("w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, parents: bool = False) -> None:
    """Write a file that a person named, complete or not at all.

    Parameters
    ----------
    parents
        Make the folders that are missing.

    Raises
    ------
    ProjectError
        It cannot be written.
    """
    temporary = beside(path)
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be written ({error.strerror or error}).", "Choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # of the same folder that could not be written
            temporary.unlink(missing_ok=True)


def put_folder(folder: Path, target: Path) -> None:
    """Rename a folder; one that has the name already goes when the new one has come."""
    aside = beside(target)
    try:
        if target.exists():
            target.rename(aside)
        folder.rename(target)
    finally:
        if aside.exists() and not target.exists():
            aside.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def check_plain_name(name: str) -> None:
    """Raise `ConfigError` for a name that would lead out of the folder or hide the file."""
    if not name or name.startswith(".") or re.search(r"[/\\\0]", name):
        raise ConfigError(f"'{name}' cannot be the name of a mask file.", "Rename the image.")


def name_pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression for names of images.

    Raises
    ------
    ConfigError
        It makes no sense.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"'{text}' is no regular expression ({error}).",
            "Write a part of the names of images; special characters need a \\ before them.",
        ) from error


def safe_name(name: str) -> str:
    """Turn a name from outside into part of a file name that is safe everywhere."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "image"


def read_tail(path: Path, limit: int) -> str:
    """Return the last bytes of a text file; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def remove_temporaries(folder: Path, ending: str) -> None:
    """Remove what killed writers left in a folder; nobody may be writing there.

    Parameters
    ----------
    ending
        How the names end that were to be written, e.g. ``.ome.zarr``; empty for all.
    """
    name = re.compile(rf"\..*{re.escape(ending)}\.[0-9a-f]{{8}}")
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        if name.fullmatch(entry.name):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # it does no harm either
                    entry.unlink()
