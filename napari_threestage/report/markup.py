"""HTML put together from pieces, of which whatever is not HTML yet is escaped."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EMPTY = {"img", "meta"}  # elements that have no end


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    content
        Put in as it is where it is `Html`, else escaped; None is left out.
    attributes
        ``class_`` and the like lose their underscore, ``aria_label`` gets a hyphen; None is left
        out, True has no value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    opening = f"<{name}{written}>"
    return Html(opening if name in EMPTY else f"{opening}{joined(content)}</{name}>")


def joined(content: Iterable[object], between: object = "") -> Html:
    """Return pieces in a row."""
    pieces = [
        one if isinstance(one, Html) else escape(str(one)) for one in content if one is not None
    ]
    gap = between if isinstance(between, Html) else escape(str(between))
    return Html(gap.join(pieces))


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table whose first column names the rows; it scrolls where the page is narrow.

    A column is headed as its cells are: cells made by `number` stand to the right.
    """
    body = [[*row] for row in rows]
    kinds = ["n" if _is_number(one) else None for one in body[0]] if body else []
    kinds += [None] * (len(head) - len(kinds))
    titles = (
        element("th", one, scope="col", class_=kind) for one, kind in zip(head, kinds, strict=True)
    )
    top = element("thead", element("tr", *titles)) if any(head) else None
    whole = element("table", top, element("tbody", *map(_row, body)))
    return element("div", whole, class_="scroll")


def number(text: object) -> Html:
    """Return a cell of figures, which stand below each other."""
    return element("td", text, class_="n")


def _is_number(cell: object) -> bool:
    return isinstance(cell, Html) and cell.startswith('<td class="n')


def items(entries: Iterable[object], **attributes: object) -> Html:
    """Return a list of points."""
    return element("ul", *(element("li", one) for one in entries), **attributes)


def folded(summary: object, *content: object) -> Html:
    """Return what is shown when a person asks for it."""
    return element("details", element("summary", summary), *content)


def paragraph(*content: object, **attributes: object) -> Html:
    """Return a paragraph."""
    return element("p", *content, **attributes)


def swatch(color: Sequence[int]) -> Html:
    """Return a small field of a colour."""
    return element("span", class_="swatch", style=f"background:{css(color)}")


def class_name(entry: Mapping[str, Any]) -> Html:
    """Return the name of a class beside its colour."""
    return element("span", swatch(entry["color"]), element("span", entry["name"]), class_="name")


def css(color: Sequence[int]) -> str:
    """Return red, green and blue (0..255) as a style has them."""
    red, green, blue = (int(part) for part in color)
    return f"rgb({red},{green},{blue})"


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Return the address of a file that is part of the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _row(cells: Sequence[object]) -> Html:
    first, *rest = cells
    return element("tr", element("th", first, scope="row"), *map(_cell, rest))


def _cell(content: object) -> Html:
    is_cell = isinstance(content, Html) and content.startswith("<td")
    return content if is_cell else element("td", content)  # type: ignore[return-value]
