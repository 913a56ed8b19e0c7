"""Figures of a benchmark; each is made from plain data, and `save` writes it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_threestage.benchmark.figure_curves import (
    gap_bars,
    label_curve,
    stage_curve,
    weight_curve,
)
from napari_threestage.benchmark.figure_panels import Panel, panels
from napari_threestage.benchmark.figure_style import panel_title
from napari_threestage.benchmark.figure_training import training_curves
from napari_threestage.benchmark.rows import Group, Row
from napari_threestage.benchmark.statistics import summarise
from napari_threestage.errors import NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = [
    "Panel",
    "gap_bars",
    "label_curve",
    "panels",
    "save",
    "save_figures",
    "stage_curve",
    "training_curves",
    "weight_curve",
]

FORMATS = ("png", "svg")
DOTS = 160  # per inch
CURVES = {"three-stage": "with pseudo-masks", "no-pseudo": "without pseudo-masks"}


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as SVG.

    Parameters
    ----------
    path
        Without ending; its folder is made.

    Returns
    -------
    list of Path
        The files written.
    """
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.{kind}") for kind in FORMATS]
    for file in written:
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        with rc_context({"svg.hashsalt": "threestage"}):  # the same figure gives the same file
            figure.savefig(file, dpi=DOTS, metadata=metadata)
    return written


def save_figures(
    results: Sequence[Mapping[str, Any]], output: Path, events: Mapping[str, Path]
) -> list[Path]:
    """Write all figures that there is data for.

    Parameters
    ----------
    results
        Rows as `rows.read_row` gives them.
    output
        The folder for the figures.
    events
        The events of trainings by `rows.Row.name`; those of ``three-stage`` and ``no-pseudo`` are
        drawn.

    Returns
    -------
    list of Path
        The files written, PNG and SVG; none without results.
    """
    summary = summarise(results)
    drawings: dict[str, Callable[[], Figure]] = {
        "stages": partial(stage_curve, summary),
        "weights": partial(weight_curve, summary),
        "labels": partial(label_curve, summary),
        "label-gap": partial(gap_bars, summary),
    }
    for name, (title, runs) in _runs_by_group(results, events).items():
        drawings[f"training-{name}"] = partial(training_curves, runs, title)
    written: list[Path] = []
    for name, draw in drawings.items():
        with suppress(NotReadyError):  # no result of that kind
            written += save(draw(), output / name)
    return written


def _runs_by_group(
    results: Sequence[Mapping[str, Any]], events: Mapping[str, Path]
) -> dict[str, tuple[str, dict[str, list[Path]]]]:
    """Return a title and the events of all seeds by label, for each data set and amount."""
    found: dict[str, tuple[str, dict[str, list[Path]]]] = {}
    for result in results:
        group = Group(result["data"], result["labelled"], result["labels"], result["seed"])
        path, label = events.get(Row(group, result["method"]).name), CURVES.get(result["method"])
        if path is not None and label is not None:
            title = panel_title(result).replace("\n", ", ")
            empty: dict[str, list[Path]] = {label: [] for label in CURVES.values()}
            _, runs = found.setdefault(group.name.removesuffix(f"-{group.seed}"), (title, empty))
            runs[label].append(path)
    return found
