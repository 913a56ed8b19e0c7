"""Figures of results for the window and for reports: drawn from the documents of the commands.

The drawing library is loaded when the first one is drawn, which takes a second.
"""

from napari_threestage.result_figures.curves import draw_budget, draw_reliability
from napari_threestage.result_figures.look import Look, new_figure
from napari_threestage.result_figures.matrices import draw_confusion, draw_transitions
from napari_threestage.result_figures.points import draw_fractions, draw_iou
from napari_threestage.result_figures.writing import (
    figure_bytes,
    figure_pixels,
    write_figure,
    write_rows,
)

__all__ = [
    "Look",
    "draw_budget",
    "draw_confusion",
    "draw_fractions",
    "draw_iou",
    "draw_reliability",
    "draw_transitions",
    "figure_bytes",
    "figure_pixels",
    "new_figure",
    "write_figure",
    "write_rows",
]
