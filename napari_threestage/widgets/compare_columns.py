"""Which masks of the shown image can be compared: of the run, of a second one, and ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from napari_threestage.widgets.content import ImageContent


class Column(NamedTuple):
    """A mask: ``truth``, or of a ``stage`` of the run or of the ``second`` run; or ``bare``."""

    role: str
    stage: int = 0


LONGEST = 15  # letters of the name of a run
TRUTH, BARE = Column("truth"), Column("bare")


def columns_of(content: ImageContent | None) -> list[Column]:
    """Return the masks that the runs made of an image."""
    if content is None:
        return []
    first = [Column("stage", stage) for stage in sorted(content.masks)]
    return first + [Column("second", stage) for stage in sorted(content.second)]


def mask_of(content: ImageContent, column: Column) -> np.ndarray | None:
    """Return a mask as indices of the present classes; None where there is none."""
    if column == TRUTH:
        return content.editor.truth
    return _masks(content, column).get(column.stage)


def title_of(column: Column, second: str) -> str:
    """Return what a mask is called everywhere in the window; `second` names the second run."""
    if column in (TRUTH, BARE):
        return "Ground truth" if column == TRUTH else "Image alone"
    title = f"Stage {column.stage}"
    if column.role == "second":
        return f"{title} · {shortened(second)}"
    return title


def shortened(name: str) -> str:
    """Return the name of a run so that it fits above a cell of a grid; ends tell runs apart."""
    return name if len(name) <= LONGEST else f"{name[:3]}…{name[4 - LONGEST :]}"


def _masks(content: ImageContent, column: Column) -> dict[int, np.ndarray]:
    by_role = {"stage": content.masks, "second": content.second}
    return by_role.get(column.role, {})
