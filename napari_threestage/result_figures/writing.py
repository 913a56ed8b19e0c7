"""Figures as pixels and as files, and the numbers in them as tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.compare.sheets import to_csv
from napari_threestage.errors import ConfigError
from napari_threestage.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_threestage.compare.sheets import Row

DOTS = 200  # per inch, of a picture in a file
KINDS = ("png", "svg")


def figure_pixels(figure: Figure) -> np.ndarray:
    """Return a figure as it is shown, (H, W, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file holds it: ``png`` or ``svg``, the same each time."""
    from matplotlib import rc_context

    made = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "threestage", "svg.fonttype": "none"}):
        figure.savefig(made, format=kind, dpi=DOTS, metadata=metadata)
    return made.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that the name of the file ends with.

    Raises
    ------
    ConfigError
        There is no such format.
    ProjectError
        The file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{path} is neither a PNG nor an SVG file.", "Name it *.png or *.svg.")
    write_bytes(path, figure_bytes(figure, kind))


def write_rows(path: Path, rows: Iterator[Row]) -> None:
    """Write the rows of a figure as CSV; ProjectError when that is not possible."""
    write_bytes(path, to_csv(rows).encode())
