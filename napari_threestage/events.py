"""What a run tells: one frozen class per kind of event, one JSON object a line."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST_BYTES = 2**16  # events are far shorter


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; `time` is in seconds since the epoch."""

    kind: ClassVar[str] = "event"
    time: float = field(default_factory=time.time)

    def to_json(self) -> str:
        """Return the event as one line without the line break."""
        return json.dumps({"event": self.kind} | asdict(self), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The run begins or goes on."""

    kind = "started"
    run: str
    device: str
    stages: list[int]
    labelled: int
    unlabelled: int
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A stage begins or goes on at `step`."""

    kind = "stage_started"
    stage: int
    steps: int
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """Where training is; losses by name, `eta` in seconds for the whole run, `memory` in bytes."""

    kind = "progress"
    stage: int
    step: int
    steps: int
    losses: dict[str, float]
    images_per_second: float
    eta: float
    memory: int


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """Scores of a stage; `on` says on which images: validation or labelled."""

    kind = "validated"
    stage: int
    on: str
    miou: float | None
    iou: dict[str, float | None]
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Predicted(Event):
    """`done` of `total` images have their pseudo-mask of this stage."""

    kind = "predicted"
    stage: int
    image: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """What the segmenter in training thinks of a few windows; its masks are on disk.

    Scores are over the windows that have ground truth, `on` says of which images: validation or
    labelled.  A window has image, plane (its outer indices), y, x, height and width.
    """

    kind = "sampled"
    stage: int
    step: int
    on: str
    miou: float | None
    iou: dict[str, float | None]
    windows: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """The run holds in place, on request, until it is asked to go on or to end."""

    kind = "paused"
    stage: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Continued(Event):
    """A paused run goes on."""

    kind = "continued"
    stage: int
    step: int


@dataclass(frozen=True, kw_only=True)
class StageFinished(Event):
    """A stage is complete: model, scores and pseudo-masks are on disk; pauses do not count."""

    kind = "stage_finished"
    stage: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the person should know; the run goes on."""

    kind = "warning"
    message: str


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """All stages are done."""

    kind = "finished"
    run: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StoppedEvent(Event):
    """The run ended on request and can be resumed."""

    kind = "stopped"
    run: str
    stage: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The run ended with an error."""

    kind = "failed"
    error: str
    message: str
    hint: str = ""


KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        Started,
        StageStarted,
        Progress,
        Validated,
        Predicted,
        Sampled,
        Paused,
        Continued,
        StageFinished,
        Warned,
        Finished,
        StoppedEvent,
        Failed,
    )
}


def parse_event(line: str) -> Event | None:
    """Read one line; None for an incomplete one or a kind of a newer program."""
    try:
        values: dict[str, Any] = json.loads(line)
        kind = KINDS.get(values.pop("event", ""))
        if kind is None:
            return None
        names = {entry.name for entry in fields(kind)}
        return kind(**{name: value for name, value in values.items() if name in names})
    except (ValueError, TypeError, AttributeError):
        return None


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a file; a file that does not exist has none."""
    if not path.exists():
        return
    with path.open(errors="replace") as lines:
        for line in lines:
            event = parse_event(line)
            if event is not None:
                yield event


def last_event(path: Path) -> Event | None:
    """Return the last event of a file; most often only the end of the file is read."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for length in (LAST_BYTES, size):
            file.seek(max(0, size - length))
            for line in reversed(file.read().decode(errors="replace").splitlines()):
                event = parse_event(line)
                if event is not None:
                    return event
    return None
