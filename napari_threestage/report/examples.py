"""Images with the masks of all stages side by side, as in figures 4 and 5 of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_threestage.panels import CHANGE_LEGEND, CORRECTED, UNDECIDED, WORSENED
from napari_threestage.report.markup import (
    Html,
    class_name,
    data_uri,
    element,
    joined,
    paragraph,
    swatch,
)
from napari_threestage.report.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_threestage.report.choosing import Chosen
    from napari_threestage.report.material import Material
    from napari_threestage.report.pictures import Frame, ImagePictures

GROUPS = {
    "validation": "validation, never learned from",
    "new": "labelled afterwards, never learned from",
    "labelled": "learned from with its labels",
    "unlabelled": "no labels",
}


def examples(material: Material) -> Html:
    """Return the section."""
    document = material.comparison
    if document is None or not material.pictures:
        return paragraph("There are no images to show.", class_="aside")
    several = len(document["columns"]) > 1
    rows = [_row(document, chosen, pictures) for chosen, pictures in material.pictures]
    framed = " Frames mark where the first and the last stage differ most." if several else ""
    return joined(
        [
            paragraph(f"The worst, the best and the most changed images in turn.{framed}"),
            _legend(document, several),
            *rows,
        ]
    )


def _legend(document: Mapping[str, Any], several: bool) -> Html:
    entries = [class_name(one) for one in document["classes"]]
    entries.append(joined([element("span", class_="swatch none"), "not labelled"], " "))
    if several:
        shown = (CORRECTED, WORSENED, UNDECIDED)
        changes = [(name, colour) for name, colour in CHANGE_LEGEND if colour in shown]
        entries += [joined([swatch(colour), name], " ") for name, colour in changes]
    return element("p", *(element("span", one) for one in entries), class_="legend")


def _row(document: Mapping[str, Any], chosen: Chosen, pictures: ImagePictures) -> Html:
    entry, columns = chosen.entry, document["columns"]
    tiles = [_tile(pictures.image, "Image", pictures.frames, smooth=True)]
    for column in columns:
        score = entry["miou"].get(column["key"])
        text = f"{column['title']} · {percent(score)}" if score is not None else column["title"]
        tiles.append(_tile(pictures.masks[column["key"]], text, pictures.frames))
    tiles.append(_tile(pictures.truth, "Ground truth", pictures.frames))
    if pictures.changes is not None:
        first, last = (columns[place]["title"].lower() for place in (0, -1))
        text = f"Changes, {first} to {last.removeprefix('stage ')}"
        tiles.append(_tile(pictures.changes, text, pictures.frames))
    style = f"--tiles:{len(tiles)}"
    return element(
        "div",
        element("h3", _title(chosen, pictures)),
        element("div", *tiles, class_="tiles", style=style),
        paragraph(entry["why"], class_="aside") if entry["why"] else None,
        class_="example",
    )


def _title(chosen: Chosen, pictures: ImagePictures) -> str:
    entry = chosen.entry
    place = ", ".join(f"{axis} {index}" for axis, index in pictures.plane.items())
    parts = [chosen.why, entry["name"], place, GROUPS.get(entry["group"], "")]
    return " · ".join(one for one in parts if one)


def _tile(picture: bytes | None, text: str, frames: list[Frame], smooth: bool = False) -> Html:
    if picture is None:
        shown = element("div", "no labels", class_="nothing")
    else:
        kind = None if smooth else "crisp"
        image = element("img", src=data_uri(picture), alt=text, class_=kind)
        shown = element("div", image, *map(_frame, frames), class_="picture")
    return element("figure", shown, element("figcaption", text))


def _frame(frame: Frame) -> Html:
    names = ("left", "top", "width", "height")
    sides = zip(names, frame, strict=True)
    style = ";".join(f"{name}:{100 * share:.2f}%" for name, share in sides)
    return element("span", class_="frame", style=style)
