"""What is said about runs, one or several."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from napari_threestage.memory_estimate import memory_text
from napari_threestage.widgets.class_model import short_number
from napari_threestage.widgets.controls import LEVEL_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.run_upkeep import RunRow

ACTIVE = ("running", "paused")
STALE = "out of date"
BASELINE = "labels only"
PIN = "★"
MOST_NAMED = 8  # in a question


def title(row: RunRow) -> str:
    """Return the name of a run, or its id, which is its time and preset."""
    return row.name or row.run


def state_text(row: RunRow) -> str:
    """Return the state of a run, and whether it is out of date."""
    return f"{row.state}, {STALE}" if row.stale else row.state


def stages_text(row: RunRow) -> str:
    """Return what a run trains: ``2 of 3``, or labels only."""
    if row.kind == "baseline":
        return BASELINE
    return f"{len(row.finished_stages)} of {row.stages[-1]}"


def score_text(row: RunRow) -> str:
    """Return the score of the last stage, and on what."""
    on = {"validation": " validation", "labelled": " own labels"}
    return "–" if row.miou is None else f"{100 * row.miou:.1f} %{on.get(row.on, '')}"


def labels_text(row: RunRow) -> str:
    """Return what a run learned from."""
    return f"{_images(row.labelled_images)} · {short_number(row.labelled_pixels)} px"


def line_text(row: RunRow) -> str:
    """Return a run in a line, as choices list it."""
    pin = f"{PIN} " if row.pinned else ""
    kind = f" · {BASELINE}" if row.kind == "baseline" else ""
    done = "" if kind else f" · {_count(len(row.finished_stages), 'stage')}"
    score = "" if row.miou is None else f" · mIoU {100 * row.miou:.1f} %"
    return f"{pin}{title(row)}{kind} · {row.state}{done}{score}"


def total_text(rows: Sequence[RunRow]) -> str:
    """Return how many runs there are, and how much space they take."""
    return f"{_count(len(rows), 'run')} · {memory_text(_bytes(rows))} in all" if rows else ""


def reasons(row: RunRow) -> str:
    """Return why a run is out of date; empty when it is not."""
    return " ".join(row.stale)


def stale_html(row: RunRow) -> str:
    """Return, marked, why a run is out of date."""
    style = f"background-color:{LEVEL_COLOURS['warning']};color:white;font-weight:bold"
    return f"<span style='{style}'>&nbsp;!&nbsp;</span> Out of date: {escape(reasons(row))}"


def about_html(rows: Sequence[RunRow]) -> str:
    """Return a line about chosen runs."""
    if not rows:
        return "Choose a run; several with Ctrl or Shift."
    if len(rows) > 1:
        return f"{len(rows)} runs chosen · {memory_text(_bytes(rows))}"
    if rows[0].stale:
        return stale_html(rows[0])
    return "Up to date: labels and classes are as it learned them."


# --- starting -------------------------------------------------------------------------------------


def why_no_refresh(row: RunRow | None) -> str:
    """Return why a run cannot be refreshed; empty when it can."""
    if row is None:
        return "Choose one run."
    if row.kind == "baseline":
        return "Refresh the run that this one is compared with."
    if not row.finished_stages:
        return "No stage of it is finished."
    return "" if row.stale else "Nothing has changed since this run."


def why_no_baseline(row: RunRow | None) -> str:
    """Return why a run cannot be compared with labels only; empty when it can."""
    if row is None:
        return "Choose one run."
    return "This one is trained on labels only." if row.kind == "baseline" else ""


# --- deleting -------------------------------------------------------------------------------------


def why_kept(rows: Sequence[RunRow]) -> str:
    """Return why these runs cannot be deleted; empty when they can."""
    running = [row for row in rows if row.state in ACTIVE]
    pinned = [row for row in rows if row.pinned]
    if running:
        return f"{title(running[0])} is {running[0].state}: stop it before you delete it."
    if pinned:
        return f"{title(pinned[0])} is pinned: unpin it before you delete it."
    return ""


def question(rows: Sequence[RunRow]) -> tuple[str, str, str]:
    """Return the title of what is asked before deleting, the text, and the words of the button."""
    what = "the run" if len(rows) == 1 else f"{len(rows)} runs"
    lines = [f"•  {title(row)} ({memory_text(row.bytes)})" for row in rows[:MOST_NAMED]]
    if len(rows) > MOST_NAMED:
        lines.append(f"•  and {len(rows) - MOST_NAMED} more")
    goes = (
        f"This frees {memory_text(_bytes(rows))}. The models, masks and curves of "
        f"{'this run' if len(rows) == 1 else 'these runs'} do not come back."
    )
    stays = "Your images and your labels are not touched."
    text = "\n".join([f"Delete {what}?", *lines, "", goes, "", stays])
    return f"Delete {what}", text, f"Delete {what}"


def said_deleted(deleted: Sequence[dict[str, object]]) -> str:
    """Return what a command that deletes has done."""
    freed = sum(int(str(one["bytes"])) for one in deleted)
    be = "was" if len(deleted) == 1 else "were"
    return f"{_count(len(deleted), 'run')} {be} deleted: {memory_text(freed)} are free again."


def _bytes(rows: Sequence[RunRow]) -> int:
    return sum(row.bytes for row in rows)


def _images(count: int) -> str:
    return _count(count, "image")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
