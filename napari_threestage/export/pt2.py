"""A program of PyTorch alone (``torch.export``), with the description as a file inside."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch

from napari_threestage.export.network import exported_program

if TYPE_CHECKING:
    from pathlib import Path

    from napari_threestage.export.material import Material

DESCRIPTION = "threestage.json"  # name of the description inside


def write(material: Material, path: Path) -> None:
    """Write the program with its weights."""
    info = material.segmenter.info.to_json()
    # Through memory: where the disk is full torch would end the process.
    file = io.BytesIO()
    torch.export.save(exported_program(material), file, extra_files={DESCRIPTION: info})
    path.write_bytes(file.getbuffer())
