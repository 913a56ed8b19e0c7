"""What the run learned from: images, labels, classes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_threestage.report.markup import (
    Html,
    class_name,
    css,
    element,
    joined,
    number,
    paragraph,
    table,
)
from napari_threestage.report.wording import count, counted, small_percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_threestage.project_file import ImageRecord
    from napari_threestage.report.material import Material

MOST_KINDS = 4  # of images that are told one by one


def data(material: Material) -> Html:
    """Return the section."""
    return element("div", _images(material), element("div", _classes(material)), class_="plots")


def _images(material: Material) -> Html:
    inputs, images = material.inputs, material.project.images
    here = [images[one] for one in inputs.images if one in images]
    validation = [one for one in images.values() if one.split == "validation"]
    rows: list[tuple[object, ...]] = [
        ("Labelled", count(len(inputs.labels))),
        ("Unlabelled", count(len(inputs.images) - len(inputs.labels))),
        ("For\N{NO-BREAK SPACE}validation", count(len(validation))),
    ]
    gone = len(inputs.images) - len(here)
    rows += [("No longer in the project", count(gone))] if gone else []
    rows += [("Size", _kinds(here))] if here else []
    rows += [
        ("Channels\N{NO-BREAK SPACE}used", _channels(material)),
        ("Values", _values(material, here)),
    ]
    return table(("Images", ""), rows)


def _kinds(records: Iterable[ImageRecord]) -> Html:
    """Return the sizes that the images have, the most frequent first."""
    found = Counter(map(_kind, records)).most_common()
    told = [f"{counted(number, 'image')} of {kind}" for kind, number in found[:MOST_KINDS]]
    rest = sum(number for _, number in found[MOST_KINDS:])
    told += [f"{counted(rest, 'image')} of other sizes"] if rest else []
    return joined(told, Html("<br>"))


def _kind(record: ImageRecord) -> str:
    height, width = record.label_shape[-2:]
    planes = f" × {counted(record.n_planes, 'plane')}" if record.n_planes > 1 else ""
    return f"{width} × {height} pixels{planes}"


def _channels(material: Material) -> str:
    inputs = material.inputs
    if inputs.channels is None:
        return f"all {count(inputs.n_channels)}" if inputs.n_channels > 1 else "1"
    return f"number {', '.join(map(str, inputs.channels))}, counted from 0"


def _values(material: Material, records: Iterable[ImageRecord]) -> str:
    kinds = ", ".join(sorted({one.dtype for one in records})) or "unknown"
    method = material.inputs.normalisation
    how = {
        "auto": "bytes as they are, others from the 0.1st to the 99.9th percentile of each channel",
        "range": "the whole range of the type",
        "percentile": "from the 0.1st to the 99.9th percentile of each channel",
    }
    return f"{kinds}; {how.get(method, method)}"


def _classes(material: Material) -> Html:
    pixels = material.inputs.pixels
    total = max(1, sum(pixels.values()))
    most = max(1, *pixels.values()) if pixels else 1
    rows = [
        (
            class_name(entry),
            number(count(pixels.get(entry["name"], 0))),
            number(small_percent(pixels.get(entry["name"], 0) / total)),
            _bar(entry, pixels.get(entry["name"], 0) / most),
        )
        for entry in material.inputs.classes
    ]
    return joined(
        [
            table(("Class", "Labelled pixels", "Share", ""), rows),
            paragraph("The labels as they were when the run began.", class_="aside"),
        ]
    )


def _bar(entry: dict[str, Any], share: float) -> Html:
    style = f"width:{100 * share:.1f}%;background:{css(entry['color'])}"
    return element("td", element("span", style=style, class_="bar"), class_="bars")
