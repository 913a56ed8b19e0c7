"""The top of a report: what came of the run, and what a person has to know before the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_threestage.report.markup import Html, element, items, joined, paragraph
from napari_threestage.report.wording import (
    bounds,
    count,
    counted,
    percent,
    points,
    without_folders,
)
from napari_threestage.run_view import about

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_threestage.report.material import Material

MARKS = {
    "yes": ("good", "Self-training helped"),
    "no": ("bad", "Self-training did not help"),
    "unclear": ("open", "Not clear whether it helped"),
    "unknown": ("open", "Not known whether it helped"),
}


def head(material: Material) -> Html:
    """Return title, verdict, figures and warnings."""
    project = material.project.path.resolve().name
    named = material.title != material.run.id
    facts = [
        f"Project {project}",
        f"run {material.run.id}" if named else None,
        _kind(material),
        f"preset {material.config.preset}",
        _state(material),
    ]
    return element(
        "header",
        paragraph("Three-stage self-training report", class_="kind"),
        element("h1", material.title),
        paragraph(" · ".join(one for one in facts if one), class_="facts"),
        _verdict(material),
        _figures(material),
        _warnings(material),
    )


def _kind(material: Material) -> str | None:
    inputs = material.inputs
    if inputs.baseline_of:
        return f"labels alone, to compare run {inputs.baseline_of} with"
    return f"a refresh of run {inputs.refreshes}" if inputs.refreshes else None


def _state(material: Material) -> str:
    state = material.run.state()
    stages = material.run.finished_stages()
    last = material.inputs.last_stage
    if state == "finished" or stages[-1:] == [last]:
        return f"finished {_day(material)}".strip()
    return f"{state}: {len(stages)} of {counted(last, 'stage')} done"


def _day(material: Material) -> str:
    """Return the day of the run, from its name, which begins with it."""
    try:
        return time.strftime("%Y-%m-%d", time.strptime(material.run.id[:8], "%Y%m%d"))
    except ValueError:
        return ""


# --- the verdict ----------------------------------------------------------------------------------


def _verdict(material: Material) -> Html:
    document = material.comparison
    if document is None:
        reason = without_folders(material.left_out.get("scores", ""))
        return _box("open", "Nothing to compare yet", reason)
    verdict = document["verdict"]
    kind, title = MARKS.get(verdict["helped"], MARKS["unknown"])
    if verdict["group"] == "labelled":  # whatever they say
        kind, title = "open", "Judged only by images that it learned from"
    if len(document["columns"]) == 1:
        title = "One stage"
    hint = without_folders(" ".join(verdict.get("hints", ())))
    return _box(kind, title, verdict["sentence"], hint)


def _box(kind: str, title: str, text: str, hint: str = "") -> Html:
    return element(
        "div",
        element("strong", title),
        paragraph(text) if text else None,
        paragraph(hint, class_="hint") if hint else None,
        class_=f"verdict {kind}",
    )


def _figures(material: Material) -> Html:
    """Return the few numbers that a person looks for first."""
    inputs = material.inputs
    unlabelled = len(inputs.images) - len(inputs.labels)
    pixels = sum(inputs.pixels.values())
    found = [
        *_scores(material.comparison),
        (count(len(inputs.labels)), "labelled images", f"{count(pixels)} pixels"),
        (count(unlabelled), "unlabelled images", ""),
        *_time(material),
    ]
    tiles = (
        element(
            "div",
            element("b", value),
            element("span", label),
            element("small", more) if more else None,
            class_="figure",
        )
        for value, label, more in found
    )
    return element("div", *tiles, class_="figures")


def _scores(document: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    group = judging_group(document)
    if document is None or group is None:
        return []
    first, last = (document["columns"][place] for place in (0, -1))
    after = group["scores"][last["key"]]["miou"]
    on = {"validation": "validation", "new": "new labels", "labelled": "labels learned from"}
    inner = bounds(after)
    more = f"95 %: {inner}" if inner else f"{counted(group['images'], 'image')}"
    found = [(percent(after["value"]), f"mean IoU, {on[group['name']]}", more)]
    if first is not last:
        before = group["scores"][first["key"]]["miou"]["value"]
        gain = points(after["value"] - before)
        found.append((gain, f"points from {first['title'].lower()}", f"{percent(before)} before"))
    return found


def judging_group(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the group of images that can be believed most; None without any."""
    groups = document["groups"] if document else []
    wanted = document["verdict"]["group"] if document else None
    return next((one for one in groups if one["name"] == wanted), groups[0] if groups else None)


def _time(material: Material) -> list[tuple[str, str, str]]:
    seconds = sum(stage.seconds or 0 for stage in material.view.stages)
    device = material.view.device or material.inputs.device
    return [(about(seconds).removeprefix("about "), "for all stages", device)] if seconds else []


# --- warnings -------------------------------------------------------------------------------------


def _warnings(material: Material) -> Html:
    """Return alarms, then what has changed since, then what the run warned of."""
    alarms = (material.comparison or {}).get("alarms", [])
    failure = material.view.failure
    failed = [f"{failure.message} {failure.hint}".strip()] if failure else []
    # Why there are no scores is said above.
    missing = {part: why for part, why in material.left_out.items() if part != "scores"}
    left_out = [f"{part[0].upper()}{part[1:]}: {reason}" for part, reason in missing.items()]
    told = dict.fromkeys([*material.inputs.warnings, *material.view.warnings])
    return joined(
        [
            _notes("Alarms", [_alarm(one) for one in alarms], "bad"),
            _notes("The run ended with an error", failed, "bad"),
            _notes("Since this run began", material.stale, "open"),
            _notes("Warnings of the run", told, "open"),
            _notes("Not in this report", left_out, "open"),
        ]
    )


def _alarm(alarm: dict[str, Any]) -> Html:
    hint = without_folders(alarm["hint"])
    return joined([alarm["sentence"], element("span", hint, class_="hint") if hint else None], " ")


def _notes(title: str, entries: Iterable[object], kind: str) -> Html | None:
    """Return a box of points; None without any."""
    found = [one if isinstance(one, Html) else without_folders(str(one)) for one in entries]
    if not found:
        return None
    return element("div", element("strong", title), items(found), class_=f"note {kind}")
