"""Tables of classes by classes: what is taken for what, and what became of what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_threestage.result_figures.look import (
    LINE,
    SMALL,
    finish,
    fitted,
    name_axes,
    name_width,
    new_axes,
    parts,
    resize,
    short_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_threestage.result_figures.look import Look

LEAST, MOST, TALLEST = 0.27, 0.8, 0.42  # inches: sides of a cell
RIGHT, WRONG = 0, 1  # colours of what stays on the diagonal, and of what leaves it


def draw_confusion(
    figure: Figure, document: Mapping[str, Any], group: str, key: str, look: Look
) -> None:
    """Draw what a stage takes the pixels of each class for, in percent of the class.

    Parameters
    ----------
    document
        Of ``threestage compare``.
    group, key
        Names of one of its groups and of one of its columns.
    """
    found = next(one for one in document["groups"] if one["name"] == group)
    draw_matrix(
        figure,
        np.array(found["scores"][key]["confusion"]),
        [entry["name"] for entry in document["classes"]],
        look,
        rows="Labels",
        columns=title_of(document, key),
    )


def draw_transitions(
    figure: Figure, document: Mapping[str, Any], pair: tuple[str, str], look: Look
) -> None:
    """Draw what became of the pixels of each class from one column to another, in percent."""
    found = next(one for one in document["agreement"] if (one["from"], one["to"]) == pair)
    before, after = (title_of(document, key) for key in pair)
    names = [entry["name"] for entry in document["classes"]]
    draw_matrix(figure, np.array(found["transitions"]), names, look, rows=before, columns=after)


def title_of(document: Mapping[str, Any], key: str) -> str:
    """Return what a column is called."""
    return next(str(one["title"]) for one in document["columns"] if one["key"] == key)


def draw_matrix(
    figure: Figure,
    counts: np.ndarray,
    names: Sequence[str],
    look: Look,
    *,
    rows: str,
    columns: str,
) -> None:
    """Draw counts (C, C) as shares of their row, each with its number.

    Parameters
    ----------
    rows, columns
        What these are.
    """
    labels = [short_name(name) for name in names]
    count, length = len(names), name_width(labels)
    beside = length + 2 * LINE
    wide = float(np.clip((figure.get_figwidth() - beside - 0.15) / count, LEAST, MOST))
    tall, lying = min(wide, TALLEST), length < wide - 0.05
    below = 4 * LINE if lying else beside
    resize(figure, count * tall + below + 0.15, count * wide + beside + 0.15)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = new_axes(figure, look)
    axes.imshow(_painted(shares, look), aspect="auto", interpolation="nearest")
    _write_numbers(axes, counts, shares, look, SMALL if tall > LEAST + 0.05 else SMALL - 1)
    axes.set_yticks(range(count), labels)
    axes.set_xticks(range(count), labels, rotation=0 if lying else 90)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in np.arange(count - 1) + 0.5:
        axes.axhline(edge, color=look.grid, linewidth=0.6)
        axes.axvline(edge, color=look.grid, linewidth=0.6)
    lengths = (count * wide, count * tall)
    across, down = (fitted(*one) for one in zip((columns, rows), lengths, strict=True))
    name_axes(axes, look, x=across, y=down)
    finish(figure, look)


def _painted(shares: np.ndarray, look: Look) -> np.ndarray:
    """Return a colour (C, C, 3) for each share: paper for none."""
    paper = np.array(parts(look.paper))
    full = np.empty((*shares.shape, 3))
    full[:] = parts(look.colours[WRONG])
    full[np.diag_indices(len(shares))] = parts(look.colours[RIGHT])
    weight = (0.9 * np.sqrt(shares))[..., None]  # a small share is seen, too
    painted: np.ndarray = (1 - weight) * paper + weight * full
    return painted


def _write_numbers(
    axes: Axes, counts: np.ndarray, shares: np.ndarray, look: Look, size: float
) -> None:
    colours = _painted(shares, look)
    for row, column in np.argwhere(counts > 0):
        light = colours[row, column] @ (0.299, 0.587, 0.114) > 0.55
        share = 100 * shares[row, column]
        text = f"{share:.0f}" if share >= 0.5 else "<1"
        ink = "#000000" if light else "#ffffff"
        number = axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
        number.set_in_layout(False)  # it is inside anyway, and there are hundreds
