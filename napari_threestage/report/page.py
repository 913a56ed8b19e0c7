"""The page: its sections in order, in one file that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage import __version__, result_figures
from napari_threestage.report.data import data
from napari_threestage.report.examples import examples
from napari_threestage.report.markup import Html, element, joined, number, paragraph, table
from napari_threestage.report.overview import head
from napari_threestage.report.plots import LOOK, WIDE, draw_losses, draw_scores, inline
from napari_threestage.report.provenance import configuration, methods, reproduction
from napari_threestage.report.scores import agreement, scores
from napari_threestage.report.style import STYLE
from napari_threestage.report.wording import bounds, count, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_threestage.report.material import Material

GENERATOR = "napari-threestage report"


def page(material: Material) -> str:
    """Return the whole report."""
    sections = [(key, title, body) for key, title, body in _sections(material) if body]
    links = (element("a", title, href=f"#{key}") for key, title, _ in sections)
    body = element(
        "body",
        element(
            "main",
            head(material),
            element("nav", *links, aria_label="Sections"),
            *(_section(*one) for one in sections),
            element("footer", f"Made by napari-threestage {__version__}."),
        ),
    )
    return f"<!DOCTYPE html>\n{element('html', _head(material), body, lang='en')}\n"


def _head(material: Material) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=GENERATOR),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{material.title} – three-stage self-training"),
        element("style", Html(STYLE)),
    )


def _sections(material: Material) -> list[tuple[str, str, Html | None]]:
    """Return name, title and content of each section; None where there is nothing to say."""
    document = material.comparison
    several = document is not None and len(document["columns"]) > 1
    return [
        ("scores", "Scores", scores(document) if document else None),
        ("examples", "Examples", examples(material) if document else None),
        ("stages", "Between the stages", agreement(document) if document and several else None),
        ("training", "Training", _training(material)),
        ("data", "Data and classes", data(material)),
        ("labels", "More labels", _budget(material.budget)),
        ("methods", "Methods", methods(material)),
        ("configuration", "Settings", configuration(material)),
        ("reproduction", "Versions and hashes", reproduction(material)),
    ]


def _section(key: str, title: str, body: Html) -> Html:
    return element("section", element("h2", title), body, id=key)


def _training(material: Material) -> Html | None:
    colours = {entry["name"]: entry["color"] for entry in material.inputs.classes}
    losses, scored = draw_losses(material.view), draw_scores(material.view, colours)
    plots = [
        inline(losses, "losses", "The losses over the steps of all stages") if losses else None,
        _by_class(scored) if scored else None,
    ]
    if not any(plots):
        return None
    note = (
        "Losses are smoothed. Lines of IoU are of a few windows while a stage trains, points of "
        "all images at its end."
    )
    return joined([element("div", *plots, class_="plots"), paragraph(note, class_="aside")])


def _by_class(figure: Figure) -> Html:
    return inline(figure, "learning", "IoU over the steps of all stages", series=False)


def _budget(document: dict[str, Any] | None) -> Html | None:
    """Return what labels brought over the runs of the project."""
    if document is None:
        return None
    parts: list[object] = [paragraph(document["sentence"])]
    points = document["points"]
    if points:
        figure = result_figures.new_figure(WIDE)
        result_figures.draw_budget(figure, document, LOOK)
        parts.append(inline(figure, "budget", "Mean IoU of each run by its labelled pixels"))
        rows = [
            (
                one["name"] or one["run"],
                number(count(one["labelled_images"])),
                number(count(one["labelled_pixels"])),
                number(_miou(one["miou"])),
            )
            for one in points
        ]
        parts.append(table(("Run", "Labelled images", "Labelled pixels", "Mean IoU"), rows))
        parts.append(paragraph(f"On {document['on']['text']}.", class_="aside"))
    return joined(parts)


def _miou(interval: dict[str, Any]) -> Html:
    inner = bounds(interval)
    return joined([percent(interval["value"]), element("small", f"[{inner}]") if inner else None])
