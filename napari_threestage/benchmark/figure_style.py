"""What all figures share: colours that colour-blind people can tell apart, panels, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from napari_threestage.benchmark.methods import CONTROL, FULL, METHODS, SUPERVISED
from napari_threestage.errors import NotReadyError
from napari_threestage.palette import LINE_COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes

Entry = dict[str, Any]
"""One entry of `statistics.summarise`."""

COLOURS = (*LINE_COLOURS, "#000000")
MARKERS = "osD^vPX*<>"
NEUTRAL, GRID = "#6A6A6A", "#E4E4E4"
BOUNDS = {  # where others lie between: grey, so that the methods stand out
    SUPERVISED: {"color": "#8A8A8A", "linestyle": ":"},
    CONTROL: {"color": "#8A8A8A", "linestyle": "--"},
    FULL: {"color": "#4D4D4D", "linestyle": "-."},
}
SEED: dict[str, Any] = {
    "s": 14,
    "linewidths": 0,
    "alpha": 0.55,
    "zorder": 3,
}  # of a point for each seed
PANEL = (3.6, 3.1)  # inches
WIDEST = 12.0  # of a figure, in inches
SWATCH, LETTER = 0.7, 0.085  # of a legend's entry, in inches
BETWEEN = 0.06  # panels, as a share of their width


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colour, line and marker of each method, in the order of the tables."""
    ordered = in_order(names)
    others = [name for name in ordered if name not in BOUNDS]
    looks: dict[str, dict[str, Any]] = {
        name: {
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": ("-", "--", "-.")[place // len(COLOURS) % 3],
            "marker": MARKERS[place % len(MARKERS)],
        }
        for place, name in enumerate(others)
    }
    bounds = {name: {"marker": "", **look} for name, look in BOUNDS.items()}
    return {name: (bounds | looks)[name] for name in ordered}


def in_order(names: Iterable[str]) -> list[str]:
    """Return methods in the order of the tables, each once; unknown ones last."""
    found = set(names)
    return [name for name in METHODS if name in found] + sorted(found - METHODS.keys())


def say_amount(labelled: float | None) -> str:
    """Say how many images are labelled."""
    if labelled is None:
        return "all labelled"
    if labelled < 1:
        return f"{100 * labelled:g} % labelled"
    return f"{labelled:g} labelled"


def panel_title(entry: Mapping[str, Any]) -> str:
    """Return data set, amount and kind of labels of an entry or a row, in two lines."""
    kind = "" if entry["labels"] == "dense" else f", {entry['labels']}"
    return f"{entry['data']}\n{say_amount(entry['labelled'])}{kind}"


def by_panel(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Group entries by data set, amount and kind of labels, in the order in which they come."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        key = (entry["data"], entry["labelled"], entry["labels"])
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


def make_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, which lays out itself."""
    figure = Figure((width, height), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(wspace=BETWEEN, hspace=BETWEEN)  # type: ignore[call-arg]
    return figure


def make_panels(count: int, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, of this size each, in rows.

    Raises
    ------
    NotReadyError
        There is none: no result is of the kind that the figure shows.
    """
    if not count:
        raise NotReadyError(
            "There is no result to draw in this figure.", "Train the methods first."
        )
    columns = min(count, max(1, int(WIDEST / size[0])))
    rows = -(-count // columns)
    figure = make_figure(size[0] * columns, size[1] * rows)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="y", color=GRID, linewidth=0.8)
        one.set_axisbelow(True)
    return figure, axes


def add_legend(figure: Figure, axes: Sequence[Axes], names: Iterable[str] | None = None) -> None:
    """Put one legend with each label once below the panels and make room for it.

    Parameters
    ----------
    names
        The labels in the order wanted; without, as they come.
    """
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    order = [name for name in names if name in found] if names is not None else list(found)
    add_legend_of({name: found[name] for name in order}, figure)


def add_legend_of(handles: Mapping[str, Any], figure: Figure) -> None:
    """Put a legend of these handles by label below the panels and make room for it."""
    widest = SWATCH + LETTER * max(map(len, handles), default=1)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / widest)))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.25 * rows)
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(list(handles.values()), list(handles), **where)
