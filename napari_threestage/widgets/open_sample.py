"""The entries of File > Open Sample: each makes its project with the dock's help, and opens it."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_threestage.errors import NotReadyError
from napari_threestage.widgets.layers import OURS, WAITING
from napari_threestage.widgets.reader import open_dock

Layers = list[tuple[Any, ...]]


def open_tissue() -> Layers:
    """Open a project of made-up tissue; needs no connection."""
    return _open("tissue")


def open_stack() -> Layers:
    """Open a project of made-up stacks with scribbles; needs no connection."""
    return _open("stack")


def open_nuclei() -> Layers:
    """Fetch the nuclei of the 2018 Data Science Bowl (CC0) and open them as a project."""
    return _open("nuclei")


def open_coffee() -> Layers:
    """Fetch leaves of coffee with symptoms (MIT licence) and open them as a project."""
    return _open("coffee")


def _open(name: str) -> Layers:
    """Have a sample made in the background.

    napari wants a layer at once; it is an empty one that the first image of the project replaces.
    """
    dock = open_dock()
    if dock is None:
        raise NotReadyError("A sample project opens in napari's window.", "Start napari first.")
    dock.open_tab("Data")
    dock.data.samples.open(name)
    about = {"name": f"{name} …", "metadata": {OURS: WAITING}}
    return [(np.zeros((2, 2), np.uint8), about, "image")]
