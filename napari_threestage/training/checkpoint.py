"""Checkpoints: all that the next step depends on, complete or absent, read without pickle code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from napari_threestage.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a state of `save_checkpoint`; None if there is none.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a bad file
        raise ProjectError(
            f"The checkpoint {path} is damaged.", "Remove it; the stage then starts anew."
        ) from error
    return state
