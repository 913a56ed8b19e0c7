"""Events as lines of JSON."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import pytest

from napari_threestage.events import (
    KINDS,
    LAST_BYTES,
    Continued,
    Event,
    Failed,
    Finished,
    Paused,
    Predicted,
    Progress,
    Sampled,
    StageFinished,
    StageStarted,
    Started,
    StoppedEvent,
    Validated,
    Warned,
    last_event,
    parse_event,
    read_events,
)

if TYPE_CHECKING:
    from pathlib import Path

PROGRESS = Progress(
    stage=1,
    step=2,
    steps=3,
    losses={"seg": 0.5},
    images_per_second=1.5,
    eta=9.0,
    memory=2**33,
)
EVENTS: list[Event] = [
    Started(run="r", device="cpu", stages=[1, 2], labelled=1, unlabelled=2, resumed=True),
    StageStarted(stage=1, steps=10, step=5),
    PROGRESS,
    Validated(stage=1, on="labelled", miou=None, iou={"é": 0.5, "b": None}, accuracy=0.25),
    Predicted(stage=1, image="a-1", done=1, total=2),
    Sampled(
        stage=2,
        step=7,
        on="validation",
        miou=0.5,
        iou={"a": 0.5, "b": None},
        windows=[{"image": "a-1", "plane": [3], "y": 0, "x": 8, "height": 16, "width": 16}],
    ),
    Paused(stage=1, step=5),
    Continued(stage=1, step=5),
    StageFinished(stage=1, seconds=1.5),
    Warned(message='"quoted"\nsecond line'),
    Finished(run="r", seconds=2.5),
    StoppedEvent(run="r", stage=1, step=5),
    Failed(error="OSError", message="disk full", hint="free some"),
]


def test_every_kind_has_an_example_here() -> None:
    assert {event.kind for event in EVENTS} == set(KINDS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_one_line_and_comes_back(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line and json.loads(line)["event"] == event.kind
    assert parse_event(line) == event
    with pytest.raises(FrozenInstanceError):
        event.time = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        StageFinished(stage=1, seconds=value).to_json()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        PROGRESS.to_json()[:-1],
        PROGRESS.to_json()[:20],
        '{"event": "of_a_newer_program", "x": 1}',
        '{"event": ["finished"]}',
        '{"event": "finished"}',
        '{"stage": 1}',
        "7",
        "null",
        "\0\0\0",
    ],
)
def test_a_line_that_is_no_known_event_is_none(line: str) -> None:
    assert parse_event(line) is None


def test_fields_of_a_newer_program_are_left_out() -> None:
    line = json.dumps(json.loads(PROGRESS.to_json()) | {"new": 1})
    assert parse_event(line) == PROGRESS


def test_a_file_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert list(read_events(path)) == []
    lines = [event.to_json() for event in EVENTS]
    path.write_text("\n".join(lines) + "\n" + lines[0][:30])
    assert list(read_events(path)) == EVENTS
    path.write_bytes(b"\xff\xfe\0\n" + lines[0].encode() + b"\n")
    assert list(read_events(path)) == EVENTS[:1]


def test_the_last_event_of_a_file_is_found_behind_all_that_follows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert last_event(path) is None
    path.write_text("")
    assert last_event(path) is None
    path.write_text("".join(f"{event.to_json()}\n" for event in EVENTS) + '{"event": "fin')
    assert last_event(path) == EVENTS[-1]
    path.write_text(PROGRESS.to_json() + "\n" + "x" * LAST_BYTES + "\n")
    assert last_event(path) == PROGRESS
